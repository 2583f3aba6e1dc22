/* Phi-3, Phi-3.5 and Phi-4 mini (Abdin et al. 2024): Llama's block with q, k, v in one matrix and
 * gate, up in another.
 *
 *   x = x + attention(norm(x))
 *   x = x + down(silu(gate(norm(x))) * up(norm(x)))
 *
 * Long contexts come by LongRoPE (Ding et al. 2024): divisors by pair, one set for sequences within
 * the original context and one for longer ones; cos and sin grow by attn_factor in both cases. */
#include "model/arch_blocks.h"

static void read_hparams(struct metadata *metadata, struct hparams *h)
{
    h->window = metadata_u32_or(metadata, "attention.sliding_window", 0, HPARAMS_MAX_CONTEXT, 0);
}

static tensor_id rope_factors(struct builder *b)
{
    static const char long_role[] = "rope_factors_long.weight";
    static const char short_role[] = "rope_factors_short.weight";
    const bool is_long = b->context_length > b->hparams->rope_original_context;
    weights_skip(b->weights, is_long ? short_role : long_role);
    return weights_optional_factors(
        b->weights, is_long ? long_role : short_role, b->hparams->rope_columns / 2);
}

static struct block_qkv project_qkv(struct builder *b, tensor_id x)
{
    const struct hparams *const h = b->hparams;
    const uint32_t rows = (h->n_heads + 2 * h->n_kv_heads) * h->head_columns;
    const tensor_id weight = weights_matrix(b->weights, "attn_qkv.weight", rows, h->width);
    return block_split_qkv(b, plan_append_matmul(b->plan, "attn_qkv", x, &weight, NULL, 1));
}

static tensor_id project_gate_up(struct builder *b, tensor_id x)
{
    const struct hparams *const h = b->hparams;
    /* "ffn_up" holds the rows of the gate first. */
    const tensor_id weight =
        weights_matrix(b->weights, "ffn_up.weight", 2 * h->ffn_width, h->width);
    return plan_append_matmul(b->plan, "ffn_gate_up", x, &weight, NULL, 1);
}

static void build(struct builder *b)
{
    const struct hparams *const h = b->hparams;
    const tensor_id embedding = block_embedding(b);
    const tensor_id factors = rope_factors(b);

    tensor_id x = plan_append_embed(b->plan, embedding, h->embed_scale);
    for (uint32_t layer = 0; layer < h->n_layers; layer++) {
        block_begin_layer(b, layer);

        const tensor_id normed = block_norm(b, "attn_norm", x);
        const struct block_qkv qkv = project_qkv(b, normed);
        const struct rope_attributes rope = block_rope_attributes(b, layer, ROPE_HALVES, factors);
        block_rope(b, &qkv, &rope);
        tensor_id attended = block_attention(b, &qkv, layer);
        block_select_last(b, layer, &x, &attended);
        x = plan_append_add(b->plan, "attn_residual", x, attended);

        const tensor_id ffn_normed = block_norm(b, "ffn_norm", x);
        const tensor_id down = block_ffn_silu(b, project_gate_up(b, ffn_normed), BIAS_NONE);
        x = plan_append_add(b->plan, "ffn_residual", x, down);
    }
    block_output(b, x, embedding);
}

const struct architecture arch_phi3 = {
    .name = "phi3",
    .read_hparams = read_hparams,
    .build = build,
};
