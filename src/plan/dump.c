#include "base/strbuf.h"
#include "plan/plan_internal.h"

const char *op_kind_name(enum op_kind kind)
{
    static const char *const names[OP_N_KINDS] = {
        [OP_EMBED] = "embed",
        [OP_RMS_NORM] = "rms_norm",
        [OP_MATMUL] = "matmul",
        [OP_ROPE] = "rope",
        [OP_ATTENTION] = "attention",
        [OP_SILU_MUL] = "silu_mul",
        [OP_GELU_MUL] = "gelu_mul",
        [OP_ADD] = "add",
        [OP_SELECT] = "select",
        [OP_LOGITS] = "logits",
    };
    return (unsigned)kind < OP_N_KINDS ? names[kind] : "unknown";
}

/* "%7:576", or "%7[0..64):64" for a view. */
static void dump_activation(const struct plan *plan, tensor_id id, struct strbuf *out)
{
    const struct plan_tensor *const t = &plan->tensors[id];
    if (t->kind == TENSOR_VIEW) {
        const uint32_t end = t->first_column + t->columns;
        strbuf_append_format(out, " %%%u[%u..%u)", t->parent, t->first_column, end);
        return;
    }
    strbuf_append_format(
        out, " %%%u:%u%s", id, t->columns, t->span == SPAN_LOGITS ? "/logits" : "");
}

static void dump_weight(const struct plan *plan, tensor_id id, struct strbuf *out)
{
    const struct plan_tensor *const t = &plan->tensors[id];
    strbuf_append_format(
        out, " %s(%s %ux%u)", t->name, tensor_type_name(t->type), t->rows, t->columns);
}

static void dump_attributes(const struct op *op, struct strbuf *out)
{
    const struct rope_attributes *const rope = &op->attributes.rope;
    const struct attention_attributes *const attention = &op->attributes.attention;
    switch (op->kind) {
    case OP_EMBED:
        strbuf_append_format(out, " scale=%g", (double)op->attributes.embed.scale);
        break;
    case OP_RMS_NORM:
        strbuf_append_format(out,
                             " epsilon=%g group=%u",
                             (double)op->attributes.norm.epsilon,
                             op->attributes.norm.group);
        break;
    case OP_ROPE:
        strbuf_append_format(out,
                             " %s head=%u rotated=%u base=%g scale=%g",
                             rope->pairing == ROPE_ADJACENT ? "adjacent" : "halves",
                             rope->head_columns,
                             rope->rotated_columns,
                             (double)rope->base,
                             (double)rope->position_scale);
        if (rope->yarn_mix != 0.0f) {
            strbuf_append_format(out,
                                 " yarn=%g ramp=%g..%g magnitude=%g",
                                 (double)rope->yarn_mix,
                                 (double)rope->yarn_ramp_low,
                                 (double)rope->yarn_ramp_high,
                                 (double)rope->magnitude);
        }
        break;
    case OP_ATTENTION:
        strbuf_append_format(out,
                             " layer=%u heads=%u/%u columns=%u scale=%g window=%u",
                             attention->layer,
                             attention->n_heads,
                             attention->n_kv_heads,
                             attention->head_columns,
                             (double)attention->scale,
                             attention->window);
        break;
    default:
        break;
    }
}

void plan_dump(const struct plan *plan, struct strbuf *out)
{
    for (uint32_t i = 0; i < plan->n_ops; i++) {
        const struct op *const op = &plan->ops[i];
        strbuf_append_format(out, "%4u %-9s %s:", i, op_kind_name(op->kind), op->name);
        for (uint32_t k = 0; k < op->n_inputs; k++) {
            dump_activation(plan, op->inputs[k], out);
        }
        for (uint32_t k = 0; k < op->n_weights; k++) {
            dump_weight(plan, op->weights[k], out);
            if (op->biases[k] != TENSOR_NONE) {
                strbuf_append_text(out, " +");
                dump_weight(plan, op->biases[k], out);
            }
        }
        if (op->kind == OP_ROPE && op->attributes.rope.factors != TENSOR_NONE) {
            strbuf_append_text(out, " factors");
            dump_weight(plan, op->attributes.rope.factors, out);
        }
        dump_attributes(op, out);
        if (op->kind != OP_LOGITS) {
            strbuf_append_text(out, " ->");
            dump_activation(plan, op->output, out);
        }
        strbuf_append_char(out, '\n');
    }
}
