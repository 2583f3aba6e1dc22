/* Gemma 3 (Gemma team 2025).
 *
 *   x = embedding * sqrt(width)
 *   x = x + post_norm(attention(norm(x)))      q and k: rope(head_norm(.))
 *   x = x + post_norm(down(gelu(gate(norm(x))) * up(norm(x))))
 *
 * Five of six layers look back over a window only and rotate by a base of their own; the sixth sees
 * all, with the long base, stretched where the file says so.  The file's norm weights have Gemma's
 * "+ 1" in them.  Gemma 3 has no soft cap on its logits: a final_logit_softcapping that some
 * converters write for all Gemmas is not read. */
#include "model/arch_blocks.h"

#include <math.h>

#define DEFAULT_INTERVAL     6u
#define DEFAULT_WINDOW_BASE  10000.0f
#define LAYERS_OF_27_BILLION 62u

static void read_hparams(struct metadata *metadata, struct hparams *h)
{
    h->embed_scale = sqrtf((float)h->width);
    h->window = metadata_u32_or(metadata, "attention.sliding_window", 0, HPARAMS_MAX_CONTEXT, 0);
    if (h->window > 0) {
        h->global_interval = metadata_window_interval(
            metadata, "attention.sliding_window_pattern", h->n_layers, DEFAULT_INTERVAL);
        h->rope_window_base =
            metadata_f32_or(metadata, "rope.freq_base_swa", 2.0f, 1e12f, DEFAULT_WINDOW_BASE);
    }
    /* The 27B alone scales queries by its width per head, which is not its head's width. */
    if (h->n_layers == LAYERS_OF_27_BILLION && !metadata_has(metadata, "attention.scale")) {
        h->attention_scale = 1.0f / sqrtf((float)h->width / (float)h->n_heads);
    }
}

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
        attended = block_norm(b, "post_attention_norm", attended);
        x = plan_append_add(b->plan, "attn_residual", x, attended);

        const tensor_id ffn_normed = block_norm(b, "ffn_norm", x);
        const tensor_id gate_up = block_ffn_gate_up(b, ffn_normed, BIAS_NONE);
        const tensor_id down = block_ffn_gelu(b, gate_up, BIAS_NONE);
        x = plan_append_add(b->plan, "ffn_residual", x, block_norm(b, "post_ffw_norm", down));
    }
    block_output(b, x, embedding);
}

const struct architecture arch_gemma3 = {
    .name = "gemma3",
    .read_hparams = read_hparams,
    .build = build,
};
