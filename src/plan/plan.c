#include "plan/plan_internal.h"

#include <string.h>

/* Far above any model; a plan that grows past it is a builder gone wrong. */
#define PLAN_MAX_ITEMS      (1u << 20)
#define PLAN_MAX_NAME_BYTES ((size_t)64 << 20)

realm_status plan_create(struct plan **out, struct realm_error *error)
{
    *out = NULL;
    struct plan *const plan = alloc_zeroed(ALLOC_MODEL, 1, sizeof *plan);
    if (plan == NULL) {
        return realm_error_out_of_memory(error, sizeof *plan, "a plan");
    }
    arena_init(&plan->names, ALLOC_MODEL, PLAN_MAX_NAME_BYTES);
    plan->prefix = "";
    *out = plan;
    return REALM_OK;
}

void plan_destroy(struct plan *plan)
{
    if (plan == NULL) {
        return;
    }
    arena_deinit(&plan->names);
    alloc_free(plan->tensors);
    alloc_free(plan->ops);
    alloc_free(plan->last_uses);
    alloc_free(plan);
}

static bool failed(const struct plan *plan)
{
    return plan->first_error.status != REALM_OK;
}

/* The first error is the one that is told: those after it are its consequences. */
static tensor_id fail(struct plan *plan, const struct realm_error *error)
{
    if (!failed(plan)) {
        plan->first_error = *error;
    }
    return TENSOR_NONE;
}

static tensor_id fail_memory(struct plan *plan, size_t n_bytes)
{
    struct realm_error error;
    realm_error_out_of_memory(&error, n_bytes, "a plan");
    return fail(plan, &error);
}

/* Room for one more item in an array that doubles. */
static bool reserve(void **items, uint32_t n, uint32_t *capacity, size_t item_bytes)
{
    if (n < *capacity) {
        return true;
    }
    const uint32_t wanted = *capacity == 0 ? 64 : *capacity * 2;
    if (wanted > PLAN_MAX_ITEMS) {
        return false;
    }
    void *const grown = alloc_resize(ALLOC_MODEL, *items, wanted * item_bytes);
    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *capacity = wanted;
    return true;
}

static const char *prefixed_name(struct plan *plan, const char *name)
{
    const size_t prefix_bytes = strlen(plan->prefix);
    const size_t name_bytes = strlen(name);
    char *const text = arena_alloc(&plan->names, prefix_bytes + name_bytes + 1);
    if (text == NULL) {
        return NULL;
    }
    memcpy(text, plan->prefix, prefix_bytes);
    memcpy(text + prefix_bytes, name, name_bytes + 1);
    return text;
}

static tensor_id add_tensor(struct plan *plan, const struct plan_tensor *tensor)
{
    void *items = plan->tensors;
    if (tensor->name == NULL ||
        !reserve(&items, plan->n_tensors, &plan->tensors_capacity, sizeof *tensor)) {
        return fail_memory(plan, sizeof *tensor);
    }
    plan->tensors = items;
    plan->tensors[plan->n_tensors] = *tensor;
    return plan->n_tensors++;
}

/* Editing a plan after plan_check would make its derived figures lie. */
static bool may_edit(struct plan *plan)
{
    if (failed(plan)) {
        return false;
    }
    if (plan->checked) {
        struct realm_error error;
        realm_error_set(&error, REALM_INVALID_ARGUMENT, "a plan was changed after its check");
        fail(plan, &error);
        return false;
    }
    return true;
}

tensor_id plan_weight(struct plan *plan,
                      const char *name,
                      enum tensor_type type,
                      uint32_t rows,
                      uint32_t columns,
                      const void *source)
{
    if (!may_edit(plan)) {
        return TENSOR_NONE;
    }
    uint64_t row_bytes;
    if (rows == 0 || columns == 0 || !tensor_type_row_bytes(type, columns, &row_bytes)) {
        const char *const type_name = tensor_type_name(type);
        struct realm_error error;
        realm_error_set(&error,
                        REALM_INVALID_FORMAT,
                        "tensor %s: %u rows of %u columns cannot be %s",
                        name,
                        rows,
                        columns,
                        type_name == NULL ? "of an unknown type" : type_name);
        return fail(plan, &error);
    }
    const struct plan_tensor tensor = {
        .name = arena_string(&plan->names, name, strlen(name)),
        .kind = TENSOR_WEIGHT,
        .type = type,
        .rows = rows,
        .columns = columns,
        .parent = TENSOR_NONE,
        .source = source,
    };
    return add_tensor(plan, &tensor);
}

tensor_id plan_view(struct plan *plan, tensor_id x, uint32_t first_column, uint32_t n_columns)
{
    if (!may_edit(plan)) {
        return TENSOR_NONE;
    }
    struct realm_error error;
    if (x >= plan->n_tensors || plan->tensors[x].kind == TENSOR_WEIGHT) {
        realm_error_set(&error, REALM_INVALID_FORMAT, "a view of %u, which is no activation", x);
        return fail(plan, &error);
    }
    const struct plan_tensor parent = plan->tensors[x];
    if (n_columns == 0 || first_column > parent.columns ||
        n_columns > parent.columns - first_column) {
        realm_error_set(&error,
                        REALM_INVALID_FORMAT,
                        "a view of columns %u to %u of %s, which has %u",
                        first_column,
                        first_column + n_columns,
                        parent.name,
                        parent.columns);
        return fail(plan, &error);
    }
    /* A view of a view names the activation itself, so that storage is one step away. */
    const struct plan_tensor tensor = {
        .name = parent.name,
        .kind = TENSOR_VIEW,
        .type = TENSOR_F32,
        .rows = 1,
        .columns = n_columns,
        .span = parent.span,
        .parent = parent.kind == TENSOR_VIEW ? parent.parent : x,
        .first_column = parent.first_column + first_column,
    };
    return add_tensor(plan, &tensor);
}

void plan_name_prefix(struct plan *plan, const char *prefix)
{
    if (!may_edit(plan)) {
        return;
    }
    plan->prefix = arena_string(&plan->names, prefix, strlen(prefix));
    if (plan->prefix == NULL) {
        plan->prefix = "";
        fail_memory(plan, strlen(prefix));
    }
}

/* Checks and keeps the operation; gives its result an id, unless it works in place. */
static tensor_id append(struct plan *plan, const char *name, struct op *op)
{
    if (!may_edit(plan)) {
        return TENSOR_NONE;
    }
    op->name = prefixed_name(plan, name);
    void *items = plan->ops;
    if (op->name == NULL || !reserve(&items, plan->n_ops, &plan->ops_capacity, sizeof *op)) {
        return fail_memory(plan, sizeof *op);
    }
    plan->ops = items;
    struct realm_error error;
    struct op_result result;
    if (op_check(plan, op, &result, &error) != REALM_OK) {
        return fail(plan, &error);
    }
    op->output = op->inputs[0];
    if (result.columns > 0) {
        const struct plan_tensor tensor = {
            .name = op->name,
            .kind = TENSOR_ACTIVATION,
            .type = TENSOR_F32,
            .rows = 1,
            .columns = result.columns,
            .span = result.span,
            .parent = TENSOR_NONE,
        };
        op->output = add_tensor(plan, &tensor);
        if (op->output == TENSOR_NONE) {
            return TENSOR_NONE;
        }
    }
    plan->ops[plan->n_ops++] = *op;
    return op->output;
}

static struct op
make_op(enum op_kind kind, uint32_t n_inputs, tensor_id a, tensor_id b, tensor_id c)
{
    return (struct op){
        .kind = kind,
        .inputs = {a, b, c},
        .n_inputs = n_inputs,
        .weights = {TENSOR_NONE, TENSOR_NONE, TENSOR_NONE},
        .biases = {TENSOR_NONE, TENSOR_NONE, TENSOR_NONE},
        .output = TENSOR_NONE,
    };
}

tensor_id plan_append_embed(struct plan *plan, tensor_id weight, float scale)
{
    struct op op = make_op(OP_EMBED, 0, TENSOR_NONE, TENSOR_NONE, TENSOR_NONE);
    op.weights[0] = weight;
    op.n_weights = 1;
    op.attributes.embed.scale = scale;
    return append(plan, "embed", &op);
}

tensor_id plan_append_rms_norm(struct plan *plan,
                               const char *name,
                               tensor_id x,
                               tensor_id weight,
                               float epsilon,
                               uint32_t group)
{
    struct op op = make_op(OP_RMS_NORM, 1, x, TENSOR_NONE, TENSOR_NONE);
    op.weights[0] = weight;
    op.n_weights = 1;
    op.attributes.norm.epsilon = epsilon;
    op.attributes.norm.group = group;
    if (group == 0 && x < plan->n_tensors) {
        op.attributes.norm.group = plan->tensors[x].columns;
    }
    return append(plan, name, &op);
}

tensor_id plan_append_matmul(struct plan *plan,
                             const char *name,
                             tensor_id x,
                             const tensor_id *weights,
                             const tensor_id *biases,
                             uint32_t n_weights)
{
    struct op op = make_op(OP_MATMUL, 1, x, TENSOR_NONE, TENSOR_NONE);
    op.n_weights = n_weights;
    for (uint32_t i = 0; i < n_weights && i < OP_MAX_WEIGHTS; i++) {
        op.weights[i] = weights[i];
        op.biases[i] = biases == NULL ? TENSOR_NONE : biases[i];
    }
    return append(plan, name, &op);
}

void plan_append_rope(struct plan *plan,
                      const char *name,
                      tensor_id x,
                      const struct rope_attributes *attributes)
{
    struct op op = make_op(OP_ROPE, 1, x, TENSOR_NONE, TENSOR_NONE);
    op.attributes.rope = *attributes;
    append(plan, name, &op);
}

tensor_id plan_append_attention(struct plan *plan,
                                const char *name,
                                tensor_id q,
                                tensor_id k,
                                tensor_id v,
                                const struct attention_attributes *attributes)
{
    struct op op = make_op(OP_ATTENTION, 3, q, k, v);
    op.attributes.attention = *attributes;
    return append(plan, name, &op);
}

tensor_id plan_append_silu_mul(struct plan *plan, const char *name, tensor_id gate, tensor_id up)
{
    struct op op = make_op(OP_SILU_MUL, 2, gate, up, TENSOR_NONE);
    return append(plan, name, &op);
}

tensor_id plan_append_gelu_mul(struct plan *plan, const char *name, tensor_id gate, tensor_id up)
{
    struct op op = make_op(OP_GELU_MUL, 2, gate, up, TENSOR_NONE);
    return append(plan, name, &op);
}

tensor_id plan_append_add(struct plan *plan, const char *name, tensor_id x, tensor_id y)
{
    struct op op = make_op(OP_ADD, 2, x, y, TENSOR_NONE);
    return append(plan, name, &op);
}

tensor_id plan_append_select(struct plan *plan, tensor_id x)
{
    struct op op = make_op(OP_SELECT, 1, x, TENSOR_NONE, TENSOR_NONE);
    return append(plan, "select", &op);
}

void plan_append_logits(struct plan *plan, tensor_id x)
{
    struct op op = make_op(OP_LOGITS, 1, x, TENSOR_NONE, TENSOR_NONE);
    append(plan, "logits", &op);
}

uint32_t plan_n_ops(const struct plan *plan)
{
    return plan->n_ops;
}

const struct op *plan_op(const struct plan *plan, uint32_t index)
{
    return &plan->ops[index];
}

uint32_t plan_n_tensors(const struct plan *plan)
{
    return plan->n_tensors;
}

const struct plan_tensor *plan_tensor(const struct plan *plan, tensor_id id)
{
    return &plan->tensors[id];
}

struct plan_kv plan_kv(const struct plan *plan)
{
    return plan->kv;
}

uint32_t plan_vocabulary(const struct plan *plan)
{
    return plan->vocabulary;
}

uint32_t plan_last_use(const struct plan *plan, tensor_id id)
{
    return plan->last_uses[id];
}
