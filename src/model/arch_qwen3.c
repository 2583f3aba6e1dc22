/* Qwen3 (Yang et al. 2025): Qwen2 without biases; instead each head of q and k is normed before it
 * rotates.
 *
 *   x = x + attention(norm(x))      q and k: rope(head_norm(.))
 *   x = x + down(silu(gate(norm(x))) * up(norm(x))) */
#include "model/arch_blocks.h"

static void build(struct builder *b)
{
    const struct hparams *const h = b->hparams;
    const tensor_id embedding = block_embedding(b);

    tensor_id x = plan_append_embed(b->plan, embedding, h->embed_scale);
    for (uint32_t layer = 0; layer < h->n_layers; layer++) {
        block_begin_layer(b, layer);

        const tensor_id normed = block_norm(b, "attn_norm", x);
        struct block_qkv qkv = block_project_qkv(b, normed, BIAS_NONE);
        qkv.q = block_head_norm(b, "attn_q_norm", qkv.q);
        qkv.k = block_head_norm(b, "attn_k_norm", qkv.k);
        qkv.all = TENSOR_NONE;
        const struct rope_attributes rope =
            block_rope_attributes(b, layer, ROPE_HALVES, TENSOR_NONE);
        block_rope(b, &qkv, &rope);
        tensor_id attended = block_attention(b, &qkv, layer);
        block_select_last(b, layer, &x, &attended);
        x = plan_append_add(b->plan, "attn_residual", x, attended);

        const tensor_id ffn_normed = block_norm(b, "ffn_norm", x);
        const tensor_id gate_up = block_ffn_gate_up(b, ffn_normed, BIAS_NONE);
        const tensor_id down = block_ffn_silu(b, gate_up, BIAS_NONE);
        x = plan_append_add(b->plan, "ffn_residual", x, down);
    }
    block_output(b, x, embedding);
}

const struct architecture arch_qwen3 = {
    .name = "qwen3",
    .build = build,
};
