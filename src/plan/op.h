/* The operations of a plan.  Each reads and writes tensors by id; "x" is always the first input.
 * A backend may fuse neighbours as long as every result that is read later is the same.
 *
 *   EMBED        out[t] = scale * weight[token of t]
 *   RMS_NORM     out[t][c] = x[t][c] / sqrt(mean over group of x^2 + eps) * weight[c mod group]
 *                group = attributes.norm.group columns (a whole row, or one head)
 *   MATMUL       out[t] = concatenation over i of (weight_i . x[t] + bias_i); up to 3 weights that
 * share x ROPE         x rotated in place by position, per head ATTENTION    writes k and v of all
 * token rows into the KV pages of `layer`, then out[t] = softmax(scale * q . K^T) . V over the
 * positions <= position of t of its sequence (and > position - window when window is not 0)
 *   SILU_MUL     out = silu(gate) * up          GELU_MUL   out = gelu_tanh(gate) * up
 *   ADD          out = x + y
 *   SELECT       out (span logits) = the rows of x that want logits
 *   LOGITS       x (span logits) becomes the step's answer, vocabulary wide */
#ifndef REALM_PLAN_OP_H
#define REALM_PLAN_OP_H

#include "plan/tensor.h"

enum op_kind {
    OP_EMBED,
    OP_RMS_NORM,
    OP_MATMUL,
    OP_ROPE,
    OP_ATTENTION,
    OP_SILU_MUL,
    OP_GELU_MUL,
    OP_ADD,
    OP_SELECT,
    OP_LOGITS,
    OP_N_KINDS
};

#define OP_MAX_WEIGHTS 3

/* Which pairs of a head's columns rotate together: (i, i+1), or (i, i + n/2). */
enum rope_pairing { ROPE_ADJACENT, ROPE_HALVES };

/* Rotation of pair i, 0 <= i < rotated_columns / 2, of a head at position p:
 *   free   = p * base^(-2i / rotated_columns) / factors[i]                 (no factors: / 1)
 *   ramp   = clamp((i - yarn_ramp_low) / max(0.001, yarn_ramp_high - yarn_ramp_low), 0, 1)
 *   mix    = yarn_mix * (1 - ramp)
 *   theta  = free * mix + free * position_scale * (1 - mix)
 *   (a, b) becomes magnitude * (a cos(theta) - b sin(theta), a sin(theta) + b cos(theta))
 * Columns from rotated_columns on pass through unchanged (magnitude does not touch them).
 * magnitude is the whole of it: YaRN's 1 + 0.1 ln(factor) and longrope's factor are in it already.
 */
struct rope_attributes {
    enum rope_pairing pairing;
    uint32_t head_columns; /* of one head */
    uint32_t
        rotated_columns; /* the first of them that rotate; even; halves: pair (i, i + this / 2) */
    float base;
    float position_scale; /* linear scaling and YaRN: 1 / factor */
    float magnitude;      /* 1 normally */
    /* YaRN (Peng et al. 2023). */
    float yarn_mix; /* 0: off; 1: fast pairs keep their frequency, slow ones are interpolated */
    float yarn_ramp_low;  /* up to this pair all is kept */
    float yarn_ramp_high; /* from this pair on all is interpolated */
    /* Divisors of theta by pair (F32 weight, 1 x rotated_columns / 2), or TENSOR_NONE. */
    tensor_id factors;
};

struct attention_attributes {
    uint32_t layer; /* which layer's KV storage */
    uint32_t n_heads;
    uint32_t n_kv_heads;   /* divides n_heads */
    uint32_t head_columns; /* multiple of 2, at most 256 */
    float scale;
    uint32_t window; /* 0: all earlier positions */
};

struct op {
    enum op_kind kind;
    const char *name;    /* "blk.3.attention", for dumps and profiles; owned by the plan */
    tensor_id inputs[3]; /* x; gate, up; q, k, v; x, y */
    uint32_t n_inputs;
    tensor_id weights[OP_MAX_WEIGHTS];
    tensor_id biases[OP_MAX_WEIGHTS]; /* TENSOR_NONE: none */
    uint32_t n_weights;
    tensor_id output; /* ROPE: the same as x */
    union {
        struct {
            float scale;
        } embed;
        struct {
            float epsilon;
            uint32_t group;
        } norm;
        struct rope_attributes rope;
        struct attention_attributes attention;
    } attributes;
};

/* "matmul"; static. */
const char *op_kind_name(enum op_kind kind);

#endif
