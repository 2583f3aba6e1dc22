#include "support/plan_reference.h"

#include "quant/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct reference {
    const struct plan *plan;
    const struct weight_source *source;
    const token_id *tokens;
    uint32_t n_tokens;
    struct plan_reference_options options;
    double **activations; /* by tensor; [n_tokens][columns]; NULL for weights and views */
};

/* A row of an activation or view, wherever it is stored. */
/* NOLINTNEXTLINE(misc-no-recursion): views lie in what is no view */
static double *row_of(const struct reference *r, tensor_id id, uint32_t row)
{
    const struct plan_tensor *const t = plan_tensor(r->plan, id);
    if (t->kind == TENSOR_VIEW) {
        return row_of(r, t->parent, row) + t->first_column;
    }
    return r->activations[id] + (size_t)row * t->columns;
}

static float *weight_values(const struct reference *r, tensor_id id)
{
    const struct plan_tensor *const t = plan_tensor(r->plan, id);
    const struct quant_type *const type = quant_find(t->type);
    const struct bytes_view view = r->source->read(r->source->context, t);
    float *const values = malloc((size_t)t->rows * t->columns * sizeof *values);
    if (values == NULL || type == NULL) {
        abort();
    }
    for (uint32_t row = 0; row < t->rows; row++) {
        const size_t row_bytes = view.n_bytes / t->rows;
        type->dequantise_row((const char *)view.data + row * row_bytes,
                             values + (size_t)row * t->columns,
                             t->columns);
    }
    return values;
}

static void run_embed(const struct reference *r, const struct op *op)
{
    float *const table = weight_values(r, op->weights[0]);
    const uint32_t columns = plan_tensor(r->plan, op->weights[0])->columns;
    for (uint32_t t = 0; t < r->n_tokens; t++) {
        double *const out = row_of(r, op->output, t);
        for (uint32_t c = 0; c < columns; c++) {
            const double value = (double)table[(size_t)r->tokens[t] * columns + c];
            out[c] = (double)op->attributes.embed.scale * value;
        }
    }
    free(table);
}

static void run_rms_norm(const struct reference *r, const struct op *op)
{
    float *const weight = weight_values(r, op->weights[0]);
    const uint32_t columns = plan_tensor(r->plan, op->output)->columns;
    const uint32_t group = op->attributes.norm.group;
    for (uint32_t t = 0; t < r->n_tokens; t++) {
        const double *const x = row_of(r, op->inputs[0], t);
        double *const out = row_of(r, op->output, t);
        for (uint32_t first = 0; first < columns; first += group) {
            double squares = 0;
            for (uint32_t c = 0; c < group; c++) {
                squares += x[first + c] * x[first + c];
            }
            const double norm = 1 / sqrt(squares / group + (double)op->attributes.norm.epsilon);
            for (uint32_t c = 0; c < group; c++) {
                out[first + c] = x[first + c] * norm * (double)weight[c];
            }
        }
    }
    free(weight);
}

#define BLOCK 32u

/* A copy of x, rounded as the options say. */
static double *
matmul_input(const struct reference *r, const double *x, uint32_t n, enum tensor_type type)
{
    double *const rounded = malloc(n * sizeof *rounded);
    memcpy(rounded, x, n * sizeof *rounded);
    const bool quantised = tensor_type_find((uint32_t)type)->quantised;
    for (uint32_t first = 0; r->options.q8_activations && quantised && first < n; first += BLOCK) {
        float largest = 0;
        for (uint32_t c = first; c < first + BLOCK; c++) {
            largest = fmaxf(largest, fabsf((float)x[c]));
        }
        const float scale = largest / 127.0f;
        for (uint32_t c = first; c < first + BLOCK; c++) {
            rounded[c] = scale == 0.0f ? 0 : (double)(rintf((float)x[c] / scale) * scale);
        }
    }
    for (uint32_t c = 0; r->options.bf16_activations && type == TENSOR_BF16 && c < n; c++) {
        rounded[c] = (double)quant_bf16_to_f32(quant_f32_to_bf16((float)x[c]));
    }
    return rounded;
}

static void run_matmul(const struct reference *r, const struct op *op)
{
    uint32_t first = 0;
    for (uint32_t i = 0; i < op->n_weights; i++) {
        const struct plan_tensor *const w = plan_tensor(r->plan, op->weights[i]);
        float *const values = weight_values(r, op->weights[i]);
        float *const bias = op->biases[i] == TENSOR_NONE ? NULL : weight_values(r, op->biases[i]);
        for (uint32_t t = 0; t < r->n_tokens; t++) {
            double *const x = matmul_input(r, row_of(r, op->inputs[0], t), w->columns, w->type);
            double *const out = row_of(r, op->output, t) + first;
            for (uint32_t row = 0; row < w->rows; row++) {
                double sum = bias == NULL ? 0 : (double)bias[row];
                for (uint32_t c = 0; c < w->columns; c++) {
                    sum += (double)values[(size_t)row * w->columns + c] * x[c];
                }
                out[row] = sum;
            }
            free(x);
        }
        first += w->rows;
        free(values);
        free(bias);
    }
}

static double
rope_angle(const struct rope_attributes *a, uint32_t i, double position, double factor)
{
    const double power = -2.0 * i / a->rotated_columns;
    const double angle = position * pow((double)a->base, power) / factor;
    const double width = fmax(0.001, (double)(a->yarn_ramp_high - a->yarn_ramp_low));
    const double ramp = fmin(1, fmax(0, (i - (double)a->yarn_ramp_low) / width));
    const double mix = (double)a->yarn_mix * (1 - ramp);
    return angle * mix + angle * (double)a->position_scale * (1 - mix);
}

static void run_rope(const struct reference *r, const struct op *op)
{
    const struct rope_attributes *const a = &op->attributes.rope;
    const uint32_t columns = plan_tensor(r->plan, op->inputs[0])->columns;
    float *const factors = a->factors == TENSOR_NONE ? NULL : weight_values(r, a->factors);
    const uint32_t half = a->rotated_columns / 2;
    for (uint32_t t = 0; t < r->n_tokens; t++) {
        double *const x = row_of(r, op->inputs[0], t);
        for (uint32_t head = 0; head < columns; head += a->head_columns) {
            for (uint32_t i = 0; i < half; i++) {
                const double factor = factors == NULL ? 1 : (double)factors[i];
                const double angle = rope_angle(a, i, t, factor);
                const bool adjacent = a->pairing == ROPE_ADJACENT;
                double *const first = x + head + (adjacent ? 2 * i : i);
                double *const second = adjacent ? first + 1 : first + half;
                const double p = *first;
                const double q = *second;
                *first = (double)a->magnitude * (p * cos(angle) - q * sin(angle));
                *second = (double)a->magnitude * (p * sin(angle) + q * cos(angle));
            }
        }
    }
    free(factors);
}

static double as_f16(double value)
{
    return (double)quant_f16_to_f32(quant_f32_to_f16((float)value));
}

/* Number c of n in 4 bits, given the ends of its block. */
static double keep_nibble(double number, double least, double most)
{
    const double scale = as_f16((most - least) / 15);
    const double min = as_f16(least);
    return scale > 0 ? fmin(fmax(rint((number - min) / scale), 0), 15) * scale + min : min;
}

/* A head's key, or value, of one token as the KV cache keeps it. */
static void keep(const struct plan_reference_options *options,
                 bool is_key,
                 const double *in,
                 uint32_t n,
                 double *out)
{
    const bool bytes_in_keys = is_key && options->kv_type == KV_Q8_0_Q4_1;
    memcpy(out, in, n * sizeof *out);
    for (uint32_t c = 0; options->kv_rounded && c < n; c++) {
        double least = INFINITY;
        double most = -INFINITY;
        for (uint32_t i = c & ~31u; i < n && i < (c & ~31u) + 32; i++) {
            least = fmin(least, (double)(float)in[i]);
            most = fmax(most, (double)(float)in[i]);
        }
        const double scale = as_f16(fmax(fabs(least), fabs(most)) / 127);
        switch (bytes_in_keys ? KV_Q8_0 : options->kv_type) {
        case KV_F16:
            out[c] = as_f16(in[c]);
            break;
        case KV_BF16:
            out[c] = (double)quant_bf16_to_f32(quant_f32_to_bf16((float)in[c]));
            break;
        case KV_Q8_0_Q4_1:
            out[c] = keep_nibble(in[c], least, most);
            break;
        default:
            out[c] = scale > 0 ? fmin(fmax(rint(in[c] / scale), -127), 127) * scale : 0;
            break;
        }
    }
}

/* One head of one token; scores has room for n_tokens. */
static void
attend(const struct reference *r, const struct op *op, uint32_t t, uint32_t head, double *scores)
{
    const struct attention_attributes *const a = &op->attributes.attention;
    const uint32_t columns = a->head_columns;
    const uint32_t kv_head = head / (a->n_heads / a->n_kv_heads);
    const uint32_t first = a->window > 0 && t + 1 > a->window ? t + 1 - a->window : 0;
    const double *const q = row_of(r, op->inputs[0], t) + (size_t)head * columns;
    double *const out = row_of(r, op->output, t) + (size_t)head * columns;
    double *const kept = malloc(columns * sizeof *kept);
    double largest = -INFINITY;
    for (uint32_t p = first; p <= t; p++) {
        const double *const k = row_of(r, op->inputs[1], p) + (size_t)kv_head * columns;
        scores[p] = 0;
        keep(&r->options, true, k, columns, kept);
        for (uint32_t c = 0; c < columns; c++) {
            scores[p] += q[c] * kept[c];
        }
        scores[p] *= (double)a->scale;
        largest = fmax(largest, scores[p]);
    }
    double sum = 0;
    for (uint32_t p = first; p <= t; p++) {
        scores[p] = exp(scores[p] - largest);
        sum += scores[p];
    }
    memset(out, 0, columns * sizeof *out);
    for (uint32_t p = first; p <= t; p++) {
        const double *const v = row_of(r, op->inputs[2], p) + (size_t)kv_head * columns;
        keep(&r->options, false, v, columns, kept);
        for (uint32_t c = 0; c < columns; c++) {
            out[c] += scores[p] / sum * kept[c];
        }
    }
    free(kept);
}

static void run_attention(const struct reference *r, const struct op *op)
{
    double *const scores = malloc(r->n_tokens * sizeof *scores);
    for (uint32_t t = 0; t < r->n_tokens; t++) {
        for (uint32_t head = 0; head < op->attributes.attention.n_heads; head++) {
            attend(r, op, t, head, scores);
        }
    }
    free(scores);
}

static double combine(enum op_kind kind, double a, double b)
{
    switch (kind) {
    case OP_SILU_MUL:
        return a / (1 + exp(-a)) * b;
    case OP_GELU_MUL:
        return 0.5 * a * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (a + 0.044715 * a * a * a))) *
               b;
    default:
        return a + b;
    }
}

static void run_binary(const struct reference *r, const struct op *op)
{
    const uint32_t columns = plan_tensor(r->plan, op->output)->columns;
    for (uint32_t t = 0; t < r->n_tokens; t++) {
        const double *const a = row_of(r, op->inputs[0], t);
        const double *const b = row_of(r, op->inputs[1], t);
        double *const out = row_of(r, op->output, t);
        for (uint32_t c = 0; c < columns; c++) {
            out[c] = combine(op->kind, a[c], b[c]);
        }
    }
}

/* Every token's logits are wanted, so its rows are the logits rows. */
static void run_select(const struct reference *r, const struct op *op)
{
    const uint32_t columns = plan_tensor(r->plan, op->output)->columns;
    for (uint32_t t = 0; t < r->n_tokens; t++) {
        memcpy(row_of(r, op->output, t), row_of(r, op->inputs[0], t), columns * sizeof(double));
    }
}

static void run_op(const struct reference *r, const struct op *op, float *out)
{
    switch (op->kind) {
    case OP_EMBED:
        run_embed(r, op);
        break;
    case OP_RMS_NORM:
        run_rms_norm(r, op);
        break;
    case OP_MATMUL:
        run_matmul(r, op);
        break;
    case OP_ROPE:
        run_rope(r, op);
        break;
    case OP_ATTENTION:
        run_attention(r, op);
        break;
    case OP_SILU_MUL:
    case OP_GELU_MUL:
    case OP_ADD:
        run_binary(r, op);
        break;
    case OP_SELECT:
        run_select(r, op);
        break;
    case OP_LOGITS:
        for (uint32_t t = 0; t < r->n_tokens; t++) {
            const double *const x = row_of(r, op->inputs[0], t);
            for (uint32_t c = 0; c < plan_vocabulary(r->plan); c++) {
                out[(size_t)t * plan_vocabulary(r->plan) + c] = (float)x[c];
            }
        }
        break;
    case OP_N_KINDS:
        abort();
    }
}

void plan_reference_run(const struct plan *plan,
                        const struct weight_source *source,
                        const token_id *tokens,
                        uint32_t n_tokens,
                        const struct plan_reference_options *options,
                        float *out)
{
    struct reference r = {
        .plan = plan,
        .source = source,
        .tokens = tokens,
        .n_tokens = n_tokens,
        .options = *options,
        .activations = calloc(plan_n_tensors(plan), sizeof(double *)),
    };
    for (tensor_id i = 0; i < plan_n_tensors(plan); i++) {
        const struct plan_tensor *const t = plan_tensor(plan, i);
        if (t->kind == TENSOR_ACTIVATION) {
            r.activations[i] = calloc((size_t)n_tokens * t->columns, sizeof(double));
        }
    }
    for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
        run_op(&r, plan_op(plan, i), out);
    }
    for (tensor_id i = 0; i < plan_n_tensors(plan); i++) {
        free(r.activations[i]);
    }
    free(r.activations);
}
