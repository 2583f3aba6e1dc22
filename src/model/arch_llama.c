/* Llama and what is built like it: Llama 1-3, Mistral, SmolLM2 (Touvron et al. 2023, Jiang et al.
 * 2023).
 *
 *   x = x + attention(norm(x))
 *   x = x + down(silu(gate(norm(x))) * up(norm(x)))
 *
 * Its GGUF files have the rows of q and k permuted, so that neighbouring columns rotate together.
 */
#include "model/arch_blocks.h"

static void read_hparams(struct metadata *metadata, struct hparams *h)
{
    h->window = metadata_u32_or(metadata, "attention.sliding_window", 0, HPARAMS_MAX_CONTEXT, 0);
}

static void build(struct builder *b)
{
    const struct hparams *const h = b->hparams;
    const tensor_id embedding = block_embedding(b);
    /* Llama 3 stretches its context by a divisor for each pair. */
    const tensor_id factors =
        weights_optional_factors(b->weights, "rope_freqs.weight", h->rope_columns / 2);

    tensor_id x = plan_append_embed(b->plan, embedding, h->embed_scale);
    for (uint32_t layer = 0; layer < h->n_layers; layer++) {
        block_begin_layer(b, layer);

        const tensor_id normed = block_norm(b, "attn_norm", x);
        const struct block_qkv qkv = block_project_qkv(b, normed, BIAS_OPTIONAL);
        const struct rope_attributes rope = block_rope_attributes(b, layer, ROPE_ADJACENT, factors);
        block_rope(b, &qkv, &rope);
        tensor_id attended = block_attention(b, &qkv, layer);
        block_select_last(b, layer, &x, &attended);
        x = plan_append_add(b->plan, "attn_residual", x, attended);

        const tensor_id ffn_normed = block_norm(b, "ffn_norm", x);
        const tensor_id gate_up = block_ffn_gate_up(b, ffn_normed, BIAS_OPTIONAL);
        const tensor_id down = block_ffn_silu(b, gate_up, BIAS_OPTIONAL);
        x = plan_append_add(b->plan, "ffn_residual", x, down);
    }
    block_output(b, x, embedding);
}

const struct architecture arch_llama = {
    .name = "llama",
    .read_hparams = read_hparams,
    .build = build,
};
