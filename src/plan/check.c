#include "base/checked.h"
#include "plan/plan_internal.h"

#define MAX_HEAD_COLUMNS 256u
/* Bounds of what any model is; they keep every product of two of them inside 64 bits. */
#define MAX_LAYERS 4096u

static const struct plan_tensor *activation(const struct plan *plan, tensor_id id)
{
    if (id >= plan->n_tensors || plan->tensors[id].kind == TENSOR_WEIGHT) {
        return NULL;
    }
    return &plan->tensors[id];
}

static const struct plan_tensor *weight(const struct plan *plan, tensor_id id)
{
    if (id >= plan->n_tensors || plan->tensors[id].kind != TENSOR_WEIGHT) {
        return NULL;
    }
    return &plan->tensors[id];
}

static bool holds_reals(enum tensor_type type)
{
    switch (type) {
    case TENSOR_I8:
    case TENSOR_I16:
    case TENSOR_I32:
    case TENSOR_I64:
    case TENSOR_F64:
        return false;
    default:
        return true;
    }
}

/* A weight of one row with this many columns (norms, biases, rope factors). */
static realm_status check_vector(const struct plan *plan,
                                 const struct op *op,
                                 tensor_id id,
                                 uint32_t columns,
                                 struct realm_error *error)
{
    const struct plan_tensor *const w = weight(plan, id);
    if (w == NULL) {
        return realm_error_set(error, REALM_INVALID_FORMAT, "%s: %u is no weight", op->name, id);
    }
    if (w->rows != 1 || w->columns != columns || !holds_reals(w->type)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: %s is %s %u x %u; wanted is a vector of %u real numbers",
                               op->name,
                               w->name,
                               tensor_type_name(w->type),
                               w->rows,
                               w->columns,
                               columns);
    }
    return REALM_OK;
}

static realm_status check_embed(const struct plan *plan,
                                const struct op *op,
                                struct op_result *result,
                                struct realm_error *error)
{
    const struct plan_tensor *const w = weight(plan, op->weights[0]);
    if (w == NULL || !holds_reals(w->type)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: %s is no table of real numbers",
                               op->name,
                               w == NULL ? "its weight" : w->name);
    }
    *result = (struct op_result){.columns = w->columns, .span = SPAN_TOKENS};
    return REALM_OK;
}

static realm_status check_rms_norm(const struct plan *plan,
                                   const struct op *op,
                                   struct op_result *result,
                                   struct realm_error *error)
{
    const struct plan_tensor *const x = activation(plan, op->inputs[0]);
    const uint32_t group = op->attributes.norm.group;
    if (group == 0 || x->columns % group != 0) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: groups of %u do not divide %u columns",
                               op->name,
                               group,
                               x->columns);
    }
    if (!(op->attributes.norm.epsilon >= 0.0f)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: epsilon %g is not 0 or more",
                               op->name,
                               (double)op->attributes.norm.epsilon);
    }
    REALM_TRY(check_vector(plan, op, op->weights[0], group, error));
    *result = (struct op_result){.columns = x->columns, .span = x->span};
    return REALM_OK;
}

/* Weight `i` of a product, and its bias. */
static realm_status
check_factor(const struct plan *plan, const struct op *op, uint32_t i, struct realm_error *error)
{
    const struct plan_tensor *const x = activation(plan, op->inputs[0]);
    const struct plan_tensor *const w = weight(plan, op->weights[i]);
    if (w == NULL || !holds_reals(w->type)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: weight %u (%s) is no matrix of real numbers",
                               op->name,
                               i,
                               w == NULL ? "not there" : w->name);
    }
    if (w->columns != x->columns) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: %s has %u columns, its input %u",
                               op->name,
                               w->name,
                               w->columns,
                               x->columns);
    }
    return op->biases[i] == TENSOR_NONE ? REALM_OK
                                        : check_vector(plan, op, op->biases[i], w->rows, error);
}

static realm_status check_matmul(const struct plan *plan,
                                 const struct op *op,
                                 struct op_result *result,
                                 struct realm_error *error)
{
    const struct plan_tensor *const x = activation(plan, op->inputs[0]);
    uint64_t rows = 0;
    if (op->n_weights == 0 || op->n_weights > OP_MAX_WEIGHTS) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: %u weights; wanted are 1 to %u",
                               op->name,
                               op->n_weights,
                               (unsigned)OP_MAX_WEIGHTS);
    }
    for (uint32_t i = 0; i < op->n_weights; i++) {
        REALM_TRY(check_factor(plan, op, i, error));
        rows += plan->tensors[op->weights[i]].rows;
    }
    *result = (struct op_result){.span = x->span};
    if (!checked_narrow_u32(rows, &result->columns)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: %llu output columns are too many",
                               op->name,
                               (unsigned long long)rows);
    }
    return REALM_OK;
}

static realm_status check_head(const struct op *op, uint32_t columns, struct realm_error *error)
{
    if (columns == 0 || columns % 2 != 0 || columns > MAX_HEAD_COLUMNS) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: heads of %u columns; wanted is an even number up to %u",
                               op->name,
                               columns,
                               MAX_HEAD_COLUMNS);
    }
    return REALM_OK;
}

static realm_status check_rope(const struct plan *plan,
                               const struct op *op,
                               struct op_result *result,
                               struct realm_error *error)
{
    const struct plan_tensor *const x = activation(plan, op->inputs[0]);
    const struct rope_attributes *const rope = &op->attributes.rope;
    REALM_TRY(check_head(op, rope->head_columns, error));
    if (x->columns % rope->head_columns != 0 || x->span != SPAN_TOKENS) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: %u columns%s are not whole heads of %u of token rows",
                               op->name,
                               x->columns,
                               x->span == SPAN_LOGITS ? " of logits rows" : "",
                               rope->head_columns);
    }
    if (rope->rotated_columns == 0 || rope->rotated_columns % 2 != 0 ||
        rope->rotated_columns > rope->head_columns) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: %u rotated columns of heads of %u; wanted is an even part",
                               op->name,
                               rope->rotated_columns,
                               rope->head_columns);
    }
    if (!(rope->base > 0.0f) || (unsigned)rope->pairing > ROPE_HALVES) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: base %g or pairing %u is out of range",
                               op->name,
                               (double)rope->base,
                               (unsigned)rope->pairing);
    }
    if (rope->factors != TENSOR_NONE) {
        REALM_TRY(check_vector(plan, op, rope->factors, rope->rotated_columns / 2, error));
    }
    *result = (struct op_result){.columns = 0};
    return REALM_OK;
}

static realm_status check_attention(const struct plan *plan,
                                    const struct op *op,
                                    struct op_result *result,
                                    struct realm_error *error)
{
    const struct attention_attributes *const a = &op->attributes.attention;
    REALM_TRY(check_head(op, a->head_columns, error));
    if (a->n_kv_heads == 0 || a->n_heads % a->n_kv_heads != 0 || a->n_heads == 0) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: %u heads are no multiple of %u KV heads",
                               op->name,
                               a->n_heads,
                               a->n_kv_heads);
    }
    if (a->layer >= MAX_LAYERS) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: layer %u; at most %u layers",
                               op->name,
                               a->layer,
                               MAX_LAYERS);
    }
    static const char *const roles[3] = {"q", "k", "v"};
    for (uint32_t i = 0; i < 3; i++) {
        const struct plan_tensor *const x = activation(plan, op->inputs[i]);
        const uint64_t heads = i == 0 ? a->n_heads : a->n_kv_heads;
        if (x->columns != heads * a->head_columns || x->span != SPAN_TOKENS) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "%s: %s has %u columns%s; wanted are %llu heads of %u",
                                   op->name,
                                   roles[i],
                                   x->columns,
                                   x->span == SPAN_LOGITS ? " of logits rows" : "",
                                   (unsigned long long)heads,
                                   a->head_columns);
        }
    }
    *result = (struct op_result){.columns = a->n_heads * a->head_columns, .span = SPAN_TOKENS};
    return REALM_OK;
}

static realm_status check_binary(const struct plan *plan,
                                 const struct op *op,
                                 struct op_result *result,
                                 struct realm_error *error)
{
    const struct plan_tensor *const x = activation(plan, op->inputs[0]);
    const struct plan_tensor *const y = activation(plan, op->inputs[1]);
    if (x->columns != y->columns || x->span != y->span) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: %u columns of %s and %u of %s do not fit each other",
                               op->name,
                               x->columns,
                               x->name,
                               y->columns,
                               y->name);
    }
    *result = (struct op_result){.columns = x->columns, .span = x->span};
    return REALM_OK;
}

static realm_status check_span(const struct plan *plan,
                               const struct op *op,
                               struct op_result *result,
                               struct realm_error *error)
{
    const struct plan_tensor *const x = activation(plan, op->inputs[0]);
    const enum tensor_span wanted = op->kind == OP_SELECT ? SPAN_TOKENS : SPAN_LOGITS;
    if (x->span != wanted) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s: %s has the rows of %s; wanted are those of %s",
                               op->name,
                               x->name,
                               x->span == SPAN_TOKENS ? "the tokens" : "the logits",
                               wanted == SPAN_TOKENS ? "the tokens" : "the logits");
    }
    const uint32_t columns = op->kind == OP_SELECT ? x->columns : 0;
    *result = (struct op_result){.columns = columns, .span = SPAN_LOGITS};
    return REALM_OK;
}

typedef realm_status (*op_rule)(const struct plan *plan,
                                const struct op *op,
                                struct op_result *result,
                                struct realm_error *error);

static const op_rule rules[OP_N_KINDS] = {
    [OP_EMBED] = check_embed,
    [OP_RMS_NORM] = check_rms_norm,
    [OP_MATMUL] = check_matmul,
    [OP_ROPE] = check_rope,
    [OP_ATTENTION] = check_attention,
    [OP_SILU_MUL] = check_binary,
    [OP_GELU_MUL] = check_binary,
    [OP_ADD] = check_binary,
    [OP_SELECT] = check_span,
    [OP_LOGITS] = check_span,
};

realm_status op_check(const struct plan *plan,
                      const struct op *op,
                      struct op_result *result,
                      struct realm_error *error)
{
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        if (activation(plan, op->inputs[i]) == NULL) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "%s: input %u (id %u) is no activation made before it",
                                   op->name,
                                   i,
                                   op->inputs[i]);
        }
    }
    return rules[op->kind](plan, op, result, error);
}

/* One KV storage serves all layers, so all must have its shape, and each layer writes it once. */
static realm_status check_layers(struct plan *plan, struct realm_error *error)
{
    uint32_t next_layer = 0;
    for (uint32_t i = 0; i < plan->n_ops; i++) {
        const struct op *const op = &plan->ops[i];
        if (op->kind != OP_ATTENTION) {
            continue;
        }
        const struct attention_attributes *const a = &op->attributes.attention;
        if (a->layer != next_layer) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "%s: layer %u where layer %u is due",
                                   op->name,
                                   a->layer,
                                   next_layer);
        }
        if (next_layer == 0) {
            plan->kv.n_kv_heads = a->n_kv_heads;
            plan->kv.head_columns = a->head_columns;
        }
        if (a->n_kv_heads != plan->kv.n_kv_heads || a->head_columns != plan->kv.head_columns) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "%s: %u KV heads of %u columns; layer 0 has %u of %u",
                                   op->name,
                                   a->n_kv_heads,
                                   a->head_columns,
                                   plan->kv.n_kv_heads,
                                   plan->kv.head_columns);
        }
        next_layer++;
    }
    plan->kv.n_layers = next_layer;
    return REALM_OK;
}

static realm_status check_logits(struct plan *plan, struct realm_error *error)
{
    uint32_t n_logits = 0;
    for (uint32_t i = 0; i < plan->n_ops; i++) {
        n_logits += plan->ops[i].kind == OP_LOGITS;
    }
    if (n_logits != 1 || plan->ops[plan->n_ops - 1].kind != OP_LOGITS) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "a plan ends with its one logits operation; this one of %u "
                               "operations has %u",
                               plan->n_ops,
                               n_logits);
    }
    const tensor_id logits = plan->ops[plan->n_ops - 1].inputs[0];
    if (plan->tensors[logits].kind == TENSOR_VIEW) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "logits: %s is a view; wanted is a whole activation",
                               plan->tensors[logits].name);
    }
    plan->vocabulary = plan->tensors[logits].columns;
    return REALM_OK;
}

static void use(struct plan *plan, tensor_id id, uint32_t op_index)
{
    if (id == TENSOR_NONE) {
        return;
    }
    plan->last_uses[id] = op_index;
    plan->last_uses[plan_root(plan, id)] = op_index;
}

static realm_status find_last_uses(struct plan *plan, struct realm_error *error)
{
    plan->last_uses = alloc_zeroed(ALLOC_MODEL, plan->n_tensors, sizeof *plan->last_uses);
    if (plan->last_uses == NULL) {
        return realm_error_out_of_memory(error, plan->n_tensors * sizeof(uint32_t), "a plan");
    }
    for (uint32_t i = 0; i < plan->n_ops; i++) {
        const struct op *const op = &plan->ops[i];
        for (uint32_t k = 0; k < op->n_inputs; k++) {
            use(plan, op->inputs[k], i);
        }
        for (uint32_t k = 0; k < op->n_weights; k++) {
            use(plan, op->weights[k], i);
            use(plan, op->biases[k], i);
        }
        if (op->kind == OP_ROPE) {
            use(plan, op->attributes.rope.factors, i);
        }
        use(plan, op->output, i);
    }
    return REALM_OK;
}

realm_status plan_check(struct plan *plan, struct realm_error *error)
{
    if (plan->first_error.status != REALM_OK) {
        return realm_error_set(error, plan->first_error.status, "%s", plan->first_error.message);
    }
    if (plan->checked) {
        return REALM_OK;
    }
    if (plan->n_ops == 0) {
        return realm_error_set(error, REALM_INVALID_FORMAT, "the plan has no operations");
    }
    REALM_TRY(check_logits(plan, error));
    REALM_TRY(check_layers(plan, error));
    REALM_TRY(find_last_uses(plan, error));
    plan->checked = true;
    return REALM_OK;
}
