/* From a plan's operations to stages.  Operations are taken in order, so what a stage reads is made
 * by a stage (or a row operation) before it; the only one that moves is an ADD right behind the
 * MATMUL it is folded into. */
#include "backend/cpu/program.h"
#include "base/alloc.h"

#include <string.h>

struct fuser {
    struct program *program;
    const struct plan *plan;
    uint32_t *quantised_by_tensor; /* index of the valid quantised form, or QUANTISED_NONE */
    bool rows_open;                /* the last stage is ROWS and may take more */
};

static const enum row_op_kind row_op_kinds[OP_N_KINDS] = {
    [OP_EMBED] = ROW_EMBED,
    [OP_RMS_NORM] = ROW_NORM,
    [OP_ROPE] = ROW_ROPE,
    [OP_SILU_MUL] = ROW_SILU_MUL,
    [OP_GELU_MUL] = ROW_GELU_MUL,
    [OP_ADD] = ROW_ADD,
    [OP_SELECT] = ROW_SELECT,
};

static tensor_id root_of(const struct plan *plan, tensor_id id)
{
    const struct plan_tensor *const t = plan_tensor(plan, id);
    return t->kind == TENSOR_VIEW ? t->parent : id;
}

static bool is_whole(const struct plan *plan, tensor_id id)
{
    return plan_tensor(plan, id)->kind == TENSOR_ACTIVATION;
}

static tensor_id storage_of(const struct program *program, tensor_id id)
{
    return program->aliases[root_of(program->plan, id)];
}

/* True: nothing reads the storage of x after operation `index`, so a result may take it over.
 * Storage that was taken over once ends with its newest owner. */
static bool dies_at(const struct fuser *fuser, tensor_id x, uint32_t index)
{
    return is_whole(fuser->plan, x) && plan_last_use(fuser->plan, x) <= index;
}

static struct stage *add_stage(struct fuser *fuser, enum stage_kind kind, uint32_t op_index)
{
    struct program *const program = fuser->program;
    const struct op *const op = plan_op(fuser->plan, op_index);
    struct stage *const stage = &program->stages[program->n_stages++];
    *stage = (struct stage){
        .kind = kind,
        .span = plan_tensor(fuser->plan, op->output)->span,
        .op = kind == STAGE_ROWS ? NULL : op,
        .profile_op = op_index,
        .first_row_op = program->n_row_ops,
        .quantised = QUANTISED_NONE,
        .out = op->output,
        .residual = TENSOR_NONE,
        .gated = QUANTISED_NONE,
    };
    fuser->rows_open = kind == STAGE_ROWS;
    return stage;
}

/* Appends to the open rows stage when it has the same rows. */
static void
add_row_op(struct fuser *fuser, const struct row_op *row_op, enum tensor_span span, uint32_t index)
{
    struct program *const program = fuser->program;
    if (!fuser->rows_open || program->stages[program->n_stages - 1].span != span) {
        add_stage(fuser, STAGE_ROWS, index)->span = span;
    }
    program->row_ops[program->n_row_ops++] = *row_op;
    program->stages[program->n_stages - 1].n_row_ops++;
}

/* Gives x's quantised form an id; `writer` is the stage that makes it. */
static uint32_t add_quantised(struct fuser *fuser, tensor_id x, uint32_t writer)
{
    struct program *const program = fuser->program;
    const struct plan_tensor *const tensor = plan_tensor(fuser->plan, x);
    program->quantised[program->n_quantised] = (struct quantised_buffer){
        .tensor = x,
        .columns = tensor->columns,
        .span = tensor->span,
        .first_stage = writer,
        .last_stage = writer,
    };
    fuser->quantised_by_tensor[x] = program->n_quantised;
    return program->n_quantised++;
}

/* The quantised form of x, made here if it is not there yet. */
static uint32_t quantised_input(struct fuser *fuser, tensor_id x, uint32_t index)
{
    uint32_t quantised = fuser->quantised_by_tensor[x];
    if (quantised == QUANTISED_NONE) {
        const struct row_op row_op = {
            .kind = ROW_QUANTISE,
            .a = x,
            .b = TENSOR_NONE,
            .out = x,
            .index = fuser->program->n_quantised,
        };
        add_row_op(fuser, &row_op, plan_tensor(fuser->plan, x)->span, index);
        quantised = add_quantised(fuser, x, fuser->program->n_stages - 1);
    }
    fuser->program->quantised[quantised].last_stage = fuser->program->n_stages;
    return quantised;
}

static bool reads_quantised(const struct plan *plan, const struct op *op)
{
    for (uint32_t i = 0; i < op->n_weights; i++) {
        if (type_is_integer(plan_tensor(plan, op->weights[i])->type)) {
            return true;
        }
    }
    return false;
}

/* The ADD right behind this MATMUL, when it alone reads the product; *residual is its other input.
 */
static const struct op *foldable_add(const struct fuser *fuser, uint32_t index, tensor_id *residual)
{
    if (index + 1 >= plan_n_ops(fuser->plan)) {
        return NULL;
    }
    const struct op *const matmul = plan_op(fuser->plan, index);
    const struct op *const add = plan_op(fuser->plan, index + 1);
    if (add->kind != OP_ADD || plan_last_use(fuser->plan, matmul->output) != index + 1) {
        return NULL;
    }
    const bool first = add->inputs[0] == matmul->output;
    const bool second = add->inputs[1] == matmul->output;
    if (first == second) {
        return NULL;
    }
    *residual = add->inputs[first ? 1 : 0];
    /* A view of the product is the product. */
    return root_of(fuser->plan, *residual) == matmul->output ? NULL : add;
}

/* The next operation that reads this result is a MATMUL that wants it quantised, before anything
 * changes it: only MATMULs read it at all. */
static bool only_quantised(const struct fuser *fuser, tensor_id x, uint32_t index)
{
    const uint32_t last = plan_last_use(fuser->plan, x);
    bool any = false;
    for (uint32_t i = index + 1; i <= last; i++) {
        const struct op *const op = plan_op(fuser->plan, i);
        for (uint32_t k = 0; k < op->n_inputs; k++) {
            if (root_of(fuser->plan, op->inputs[k]) != x) {
                continue;
            }
            if (op->kind != OP_MATMUL || op->inputs[k] != x || !reads_quantised(fuser->plan, op)) {
                return false;
            }
            any = true;
        }
    }
    return any;
}

/* A view of n columns of x from `first` on. */
static bool is_part(const struct plan *plan, tensor_id id, tensor_id x, uint32_t first, uint32_t n)
{
    const struct plan_tensor *const view = plan_tensor(plan, id);
    return view->kind == TENSOR_VIEW && view->parent == x && view->first_column == first &&
           view->columns == n;
}

/* The product of gate and up right behind this MATMUL, when nothing else reads these and only
 * matmuls that want it quantised read the product. */
static const struct op *gating_product(const struct fuser *fuser, uint32_t index)
{
    const struct plan *const plan = fuser->plan;
    if (index + 1 >= plan_n_ops(plan)) {
        return NULL;
    }
    const struct op *const matmul = plan_op(plan, index);
    const struct op *const product = plan_op(plan, index + 1);
    if ((product->kind != OP_SILU_MUL && product->kind != OP_GELU_MUL) ||
        plan_last_use(plan, matmul->output) != index + 1) {
        return NULL;
    }
    const uint32_t n = plan_tensor(plan, product->output)->columns;
    const bool halves = is_part(plan, product->inputs[0], matmul->output, 0, n) &&
                        is_part(plan, product->inputs[1], matmul->output, n, n);
    const uint32_t first_rows = plan_tensor(plan, matmul->weights[0])->rows;
    const bool by_weights = matmul->n_weights == 2 ? first_rows == n : matmul->n_weights == 1;
    return halves && by_weights && n % TILE_COLUMNS == 0 &&
                   only_quantised(fuser, product->output, index + 1)
               ? product
               : NULL;
}

/* Returns how many operations were taken. */
static uint32_t fuse_matmul(struct fuser *fuser, uint32_t index)
{
    struct program *const program = fuser->program;
    const struct op *const op = plan_op(fuser->plan, index);
    uint32_t quantised = QUANTISED_NONE;
    if (reads_quantised(fuser->plan, op)) {
        quantised = quantised_input(fuser, op->inputs[0], index);
    }
    struct stage *const stage = add_stage(fuser, STAGE_MATMUL, index);
    stage->quantised = quantised;
    const struct op *const product = gating_product(fuser, index);
    if (product != NULL) {
        stage->gate = row_op_kinds[product->kind];
        stage->gated = add_quantised(fuser, product->output, program->n_stages - 1);
        return 2;
    }
    tensor_id residual;
    const struct op *const add = foldable_add(fuser, index, &residual);
    if (add == NULL) {
        return 1;
    }
    stage->out = add->output;
    stage->residual = residual;
    /* Tiles of one row are written while others still read the input: never over the input. */
    if (dies_at(fuser, residual, index + 1) &&
        storage_of(program, residual) != storage_of(program, op->inputs[0])) {
        program->aliases[add->output] = storage_of(program, residual);
    }
    return 2;
}

static void fuse_attention(struct fuser *fuser, uint32_t index)
{
    const struct op *const op = plan_op(fuser->plan, index);
    const struct row_op write = {
        .kind = ROW_KV_WRITE,
        .op = op,
        .a = op->inputs[1],
        .b = op->inputs[2],
        .out = op->inputs[1],
    };
    add_row_op(fuser, &write, SPAN_TOKENS, index);
    struct stage *const stage = add_stage(fuser, STAGE_ATTENTION, index);
    if (op->attributes.attention.head_columns % TILE_COLUMNS == 0 &&
        only_quantised(fuser, op->output, index)) {
        stage->quantised = add_quantised(fuser, op->output, fuser->program->n_stages - 1);
    }
}

static uint32_t rope_table(struct fuser *fuser, const struct rope_attributes *attributes)
{
    struct program *const program = fuser->program;
    for (uint32_t i = 0; i < program->n_ropes; i++) {
        const struct rope_attributes *const a = &program->ropes[i].attributes;
        if (a->rotated_columns == attributes->rotated_columns && a->base == attributes->base &&
            a->position_scale == attributes->position_scale &&
            a->magnitude == attributes->magnitude && a->yarn_mix == attributes->yarn_mix &&
            a->yarn_ramp_low == attributes->yarn_ramp_low &&
            a->yarn_ramp_high == attributes->yarn_ramp_high && a->factors == attributes->factors) {
            return i;
        }
    }
    program->ropes[program->n_ropes] = (struct rope_table){
        .attributes = *attributes,
        .n_pairs = attributes->rotated_columns / 2,
    };
    return program->n_ropes++;
}

/* What a rope changes is no longer what was quantised. */
static void forget_quantised(struct fuser *fuser, tensor_id x)
{
    const tensor_id root = root_of(fuser->plan, x);
    for (uint32_t i = 0; i < plan_n_tensors(fuser->plan); i++) {
        if (plan_tensor(fuser->plan, i)->kind != TENSOR_WEIGHT && root_of(fuser->plan, i) == root) {
            fuser->quantised_by_tensor[i] = QUANTISED_NONE;
        }
    }
}

/* An operation that needs its own row alone; it works in place where its input ends with it. */
static void fuse_row_op(struct fuser *fuser, uint32_t index)
{
    struct program *const program = fuser->program;
    const struct op *const op = plan_op(fuser->plan, index);
    struct row_op row_op = {
        .kind = row_op_kinds[op->kind],
        .op = op,
        .a = op->n_inputs > 0 ? op->inputs[0] : TENSOR_NONE,
        .b = op->n_inputs > 1 ? op->inputs[1] : TENSOR_NONE,
        .out = op->output,
    };
    if (op->kind == OP_ROPE) {
        row_op.index = rope_table(fuser, &op->attributes.rope);
        forget_quantised(fuser, op->inputs[0]);
    } else if (op->kind != OP_SELECT) {
        for (uint32_t k = 0; k < op->n_inputs; k++) {
            if (dies_at(fuser, op->inputs[k], index)) {
                program->aliases[op->output] = storage_of(program, op->inputs[k]);
                break;
            }
        }
    }
    /* A SELECT reads rows that other members made. */
    if (op->kind == OP_SELECT && fuser->rows_open &&
        program->stages[program->n_stages - 1].span == SPAN_TOKENS) {
        fuser->rows_open = false;
    }
    add_row_op(fuser, &row_op, plan_tensor(fuser->plan, op->output)->span, index);
}

static bool
row_op_by_columns(const struct plan *plan, const struct row_op *row_op, uint32_t columns)
{
    switch (row_op->kind) {
    case ROW_SILU_MUL:
    case ROW_GELU_MUL:
    case ROW_ADD:
    case ROW_QUANTISE:
        return plan_tensor(plan, row_op->out)->columns == columns;
    default:
        return false;
    }
}

/* Rows stages that may be cut by columns too: what a decode step of one row needs to use all cores.
 */
static void mark_by_columns(struct program *program)
{
    for (uint32_t i = 0; i < program->n_stages; i++) {
        struct stage *const stage = &program->stages[i];
        if (stage->kind != STAGE_ROWS) {
            continue;
        }
        const struct row_op *const row_ops = program->row_ops + stage->first_row_op;
        if (row_ops[0].out == TENSOR_NONE) {
            continue;
        }
        const uint32_t columns = plan_tensor(program->plan, row_ops[0].out)->columns;
        stage->by_columns = true;
        for (uint32_t k = 0; k < stage->n_row_ops; k++) {
            stage->by_columns =
                stage->by_columns && row_op_by_columns(program->plan, &row_ops[k], columns);
        }
    }
}

static void fuse(struct fuser *fuser)
{
    const uint32_t n_ops = plan_n_ops(fuser->plan);
    for (uint32_t i = 0; i < n_ops;) {
        switch (plan_op(fuser->plan, i)->kind) {
        case OP_MATMUL:
            i += fuse_matmul(fuser, i);
            break;
        case OP_ATTENTION:
            fuse_attention(fuser, i);
            i++;
            break;
        case OP_LOGITS: /* its input has the answer's storage already */
            i++;
            break;
        default:
            fuse_row_op(fuser, i);
            i++;
            break;
        }
    }
}

static bool has_rope(const struct plan *plan)
{
    for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
        if (plan_op(plan, i)->kind == OP_ROPE) {
            return true;
        }
    }
    return false;
}

/* Room for the most that an operation can turn into. */
static realm_status take_memory(struct program *program, struct realm_error *error)
{
    const size_t n_ops = plan_n_ops(program->plan);
    const size_t n_tensors = plan_n_tensors(program->plan);
    program->stages = alloc_zeroed(ALLOC_MODEL, 3 * n_ops, sizeof *program->stages);
    program->row_ops = alloc_zeroed(ALLOC_MODEL, 2 * n_ops + 1, sizeof *program->row_ops);
    program->quantised = alloc_zeroed(ALLOC_MODEL, 2 * n_ops, sizeof *program->quantised);
    program->ropes = alloc_zeroed(ALLOC_MODEL, n_ops, sizeof *program->ropes);
    program->aliases = alloc_zeroed(ALLOC_MODEL, n_tensors, sizeof *program->aliases);
    program->places = alloc_zeroed(ALLOC_MODEL, n_tensors, sizeof *program->places);
    if (program->stages == NULL || program->row_ops == NULL || program->quantised == NULL ||
        program->ropes == NULL || program->aliases == NULL || program->places == NULL) {
        return realm_error_out_of_memory(error, n_ops * sizeof(struct stage), "the stages");
    }
    return REALM_OK;
}

/* The last hidden state: what the matmul behind the logits reads. */
static tensor_id input_of_logits(const struct plan *plan)
{
    const uint32_t n = plan_n_ops(plan);
    const struct op *const matmul = n > 1 ? plan_op(plan, n - 2) : NULL;
    const bool found = matmul != NULL && matmul->kind == OP_MATMUL &&
                       matmul->output == plan_op(plan, n - 1)->inputs[0];
    return found ? matmul->inputs[0] : TENSOR_NONE;
}

realm_status
program_build(struct program *program, const struct plan *plan, struct realm_error *error)
{
    *program = (struct program){.plan = plan};
    REALM_TRY(take_memory(program, error));
    const uint32_t n_tensors = plan_n_tensors(plan);
    struct fuser fuser = {.program = program, .plan = plan};
    fuser.quantised_by_tensor = alloc_zeroed(ALLOC_MODEL, n_tensors, sizeof(uint32_t));
    if (fuser.quantised_by_tensor == NULL) {
        return realm_error_out_of_memory(error, n_tensors * sizeof(uint32_t), "the stages");
    }
    for (uint32_t i = 0; i < n_tensors; i++) {
        fuser.quantised_by_tensor[i] = QUANTISED_NONE;
        program->aliases[i] = i;
    }
    if (has_rope(plan)) {
        const struct row_op angles = {
            .kind = ROW_ROPE_ANGLES, .a = TENSOR_NONE, .b = TENSOR_NONE, .out = TENSOR_NONE};
        add_row_op(&fuser, &angles, SPAN_TOKENS, 0);
    }
    fuse(&fuser);
    mark_by_columns(program);
    const struct op *const last = plan_op(plan, plan_n_ops(plan) - 1);
    program->logits = storage_of(program, last->inputs[0]);
    program->hidden = input_of_logits(plan);
    alloc_free(fuser.quantised_by_tensor);
    return REALM_OK;
}

void program_deinit(struct program *program)
{
    if (program->ropes != NULL) {
        for (uint32_t i = 0; i < program->n_ropes; i++) {
            alloc_free(program->ropes[i].radians);
            alloc_free(program->ropes[i].cosines);
            alloc_free(program->ropes[i].sines);
        }
    }
    alloc_free(program->stages);
    alloc_free(program->row_ops);
    alloc_free(program->quantised);
    alloc_free(program->ropes);
    alloc_free(program->aliases);
    alloc_free(program->places);
    *program = (struct program){.plan = NULL};
}
