#include "model/arch_blocks.h"

#include <math.h>
#include <stdio.h>

#define MAX_ROLE_BYTES 64

static const float two_pi = 6.28318530717958647692f;

void block_begin_layer(struct builder *b, uint32_t layer)
{
    char prefix[24];
    (void)snprintf(prefix, sizeof prefix, "blk.%u.", layer);
    plan_name_prefix(b->plan, prefix);
    b->weights->layer = layer;
}

void block_end_layers(struct builder *b)
{
    plan_name_prefix(b->plan, "");
    b->weights->layer = WEIGHTS_NO_LAYER;
}

tensor_id block_embedding(struct builder *b)
{
    return weights_matrix(
        b->weights, "token_embd.weight", b->hparams->vocabulary, b->hparams->width);
}

static tensor_id
norm(struct builder *b, const char *name, tensor_id x, uint32_t columns, uint32_t group)
{
    char role[MAX_ROLE_BYTES];
    (void)snprintf(role, sizeof role, "%s.weight", name);
    const tensor_id weight = weights_vector(b->weights, role, columns);
    return plan_append_rms_norm(b->plan, name, x, weight, b->hparams->norm_epsilon, group);
}

tensor_id block_norm(struct builder *b, const char *name, tensor_id x)
{
    return norm(b, name, x, b->hparams->width, 0);
}

tensor_id block_head_norm(struct builder *b, const char *name, tensor_id x)
{
    return norm(b, name, x, b->hparams->head_columns, b->hparams->head_columns);
}

static tensor_id find_bias(struct builder *b, const char *role, uint32_t rows, enum block_bias bias)
{
    switch (bias) {
    case BIAS_OPTIONAL:
        return weights_optional_vector(b->weights, role, rows);
    case BIAS_NEEDED:
        return weights_vector(b->weights, role, rows);
    case BIAS_NONE:
        break;
    }
    return TENSOR_NONE;
}

/* Product with the one weight "<name>.weight" of rows x columns. */
static tensor_id project(struct builder *b,
                         const char *name,
                         tensor_id x,
                         uint32_t rows,
                         uint32_t columns,
                         enum block_bias bias)
{
    char role[MAX_ROLE_BYTES];
    (void)snprintf(role, sizeof role, "%s.weight", name);
    const tensor_id weight = weights_matrix(b->weights, role, rows, columns);
    (void)snprintf(role, sizeof role, "%s.bias", name);
    const tensor_id bias_weight = find_bias(b, role, rows, bias);
    return plan_append_matmul(b->plan, name, x, &weight, &bias_weight, 1);
}

struct block_qkv block_split_qkv(struct builder *b, tensor_id all)
{
    const uint32_t q_columns = b->hparams->n_heads * b->hparams->head_columns;
    const uint32_t kv_columns = b->hparams->n_kv_heads * b->hparams->head_columns;
    return (struct block_qkv){
        .all = all,
        .q = plan_view(b->plan, all, 0, q_columns),
        .k = plan_view(b->plan, all, q_columns, kv_columns),
        .v = plan_view(b->plan, all, q_columns + kv_columns, kv_columns),
    };
}

struct block_qkv block_project_qkv(struct builder *b, tensor_id x, enum block_bias bias)
{
    const struct hparams *const h = b->hparams;
    const uint32_t q_columns = h->n_heads * h->head_columns;
    const uint32_t kv_columns = h->n_kv_heads * h->head_columns;
    const tensor_id weights[] = {
        weights_matrix(b->weights, "attn_q.weight", q_columns, h->width),
        weights_matrix(b->weights, "attn_k.weight", kv_columns, h->width),
        weights_matrix(b->weights, "attn_v.weight", kv_columns, h->width),
    };
    const tensor_id biases[] = {
        find_bias(b, "attn_q.bias", q_columns, bias),
        find_bias(b, "attn_k.bias", kv_columns, bias),
        find_bias(b, "attn_v.bias", kv_columns, bias),
    };
    const tensor_id all = plan_append_matmul(b->plan, "attn_qkv", x, weights, biases, 3);
    return block_split_qkv(b, all);
}

/* Index of the pair that turns `rotations` times over the original context (Peng et al. 2023, 3.2).
 */
static float yarn_pair_of(const struct hparams *h, float base, float rotations)
{
    const float context = (float)h->rope_original_context;
    return (float)h->rope_columns * logf(context / (rotations * two_pi)) / (2.0f * logf(base));
}

static float yarn_magnitude(const struct hparams *h)
{
    if (h->rope_factor <= 1.0f) {
        return 1.0f;
    }
    const float logarithm = 0.1f * logf(h->rope_factor);
    if (h->yarn_log_multiplier == 0.0f) {
        return logarithm + 1.0f;
    }
    return (logarithm + 1.0f) / (h->yarn_log_multiplier * logarithm + 1.0f);
}

struct rope_attributes block_rope_attributes(const struct builder *b,
                                             uint32_t layer,
                                             enum rope_pairing pairing,
                                             tensor_id factors)
{
    const struct hparams *const h = b->hparams;
    const bool windowed = hparams_layer_window(h, layer) > 0;
    struct rope_attributes rope = {
        .pairing = pairing,
        .head_columns = h->head_columns,
        .rotated_columns = h->rope_columns,
        .base = windowed ? h->rope_window_base : h->rope_base,
        .position_scale = 1.0f / h->rope_factor,
        .magnitude = h->rope_attention_factor,
        .factors = factors,
    };
    /* Layers that never look far and have a base of their own were not stretched (gemma3). */
    if (windowed && h->rope_window_base != h->rope_base) {
        rope.position_scale = 1.0f;
        return rope;
    }
    if (h->rope_scaling == ROPE_SCALING_YARN && h->yarn_mix > 0.0f) {
        rope.yarn_mix = h->yarn_mix;
        rope.yarn_ramp_low = fmaxf(0.0f, floorf(yarn_pair_of(h, rope.base, h->yarn_beta_fast)));
        rope.yarn_ramp_high = fminf((float)h->rope_columns - 1.0f,
                                    ceilf(yarn_pair_of(h, rope.base, h->yarn_beta_slow)));
        rope.magnitude *= yarn_magnitude(h);
    }
    return rope;
}

void block_rope(struct builder *b, const struct block_qkv *qkv, const struct rope_attributes *rope)
{
    const struct hparams *const h = b->hparams;
    if (qkv->all == TENSOR_NONE) {
        plan_append_rope(b->plan, "attn_q_rope", qkv->q, rope);
        plan_append_rope(b->plan, "attn_k_rope", qkv->k, rope);
        return;
    }
    /* q and k lie side by side: one operation turns the heads of both. */
    const uint32_t columns = (h->n_heads + h->n_kv_heads) * h->head_columns;
    plan_append_rope(b->plan, "attn_rope", plan_view(b->plan, qkv->all, 0, columns), rope);
}

tensor_id block_attention(struct builder *b, const struct block_qkv *qkv, uint32_t layer)
{
    const struct hparams *const h = b->hparams;
    const struct attention_attributes attributes = {
        .layer = layer,
        .n_heads = h->n_heads,
        .n_kv_heads = h->n_kv_heads,
        .head_columns = h->head_columns,
        .scale = h->attention_scale,
        .window = hparams_layer_window(h, layer),
    };
    const tensor_id mixed =
        plan_append_attention(b->plan, "attention", qkv->q, qkv->k, qkv->v, &attributes);
    const uint32_t columns = h->n_heads * h->head_columns;
    return project(b, "attn_output", mixed, h->width, columns, BIAS_OPTIONAL);
}

tensor_id block_ffn_gate_up(struct builder *b, tensor_id x, enum block_bias bias)
{
    const struct hparams *const h = b->hparams;
    const tensor_id weights[] = {
        weights_matrix(b->weights, "ffn_gate.weight", h->ffn_width, h->width),
        weights_matrix(b->weights, "ffn_up.weight", h->ffn_width, h->width),
    };
    const tensor_id biases[] = {
        find_bias(b, "ffn_gate.bias", h->ffn_width, bias),
        find_bias(b, "ffn_up.bias", h->ffn_width, bias),
    };
    return plan_append_matmul(b->plan, "ffn_gate_up", x, weights, biases, 2);
}

tensor_id block_ffn_silu(struct builder *b, tensor_id gate_up, enum block_bias bias)
{
    const struct hparams *const h = b->hparams;
    const tensor_id gate = plan_view(b->plan, gate_up, 0, h->ffn_width);
    const tensor_id up = plan_view(b->plan, gate_up, h->ffn_width, h->ffn_width);
    const tensor_id gated = plan_append_silu_mul(b->plan, "ffn_silu", gate, up);
    return project(b, "ffn_down", gated, h->width, h->ffn_width, bias);
}

tensor_id block_ffn_gelu(struct builder *b, tensor_id gate_up, enum block_bias bias)
{
    const struct hparams *const h = b->hparams;
    const tensor_id gate = plan_view(b->plan, gate_up, 0, h->ffn_width);
    const tensor_id up = plan_view(b->plan, gate_up, h->ffn_width, h->ffn_width);
    const tensor_id gated = plan_append_gelu_mul(b->plan, "ffn_gelu", gate, up);
    return project(b, "ffn_down", gated, h->width, h->ffn_width, bias);
}

void block_select_last(struct builder *b, uint32_t layer, tensor_id *x, tensor_id *y)
{
    if (layer + 1 == b->hparams->n_layers) {
        *x = plan_append_select(b->plan, *x);
        *y = plan_append_select(b->plan, *y);
    }
}

void block_output(struct builder *b, tensor_id x, tensor_id embedding)
{
    block_end_layers(b);
    const tensor_id normed = block_norm(b, "output_norm", x);
    tensor_id output = embedding;
    if (weights_has(b->weights, "output.weight")) {
        output =
            weights_matrix(b->weights, "output.weight", b->hparams->vocabulary, b->hparams->width);
    }
    plan_append_logits(b->plan, plan_append_matmul(b->plan, "output", normed, &output, NULL, 1));
}
