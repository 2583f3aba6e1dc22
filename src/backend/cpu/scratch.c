/* Where activations lie.  A tensor lives from the first stage that touches it to the last; tensors
 * whose lives do not meet share memory (largest first, each at the lowest address that is free
 * during its whole life).  What one rows stage makes and uses up never leaves the member's own row.
 */
#include "backend/cpu/program.h"
#include "base/alloc.h"
#include "base/checked.h"

#include <stdlib.h>

#define ALIGNMENT 64u

/* Something that wants shared memory: an activation, or a quantised buffer. */
struct item {
    size_t n_bytes;
    size_t offset;
    uint32_t first;
    uint32_t last;
    uint32_t index;
    bool quantised;
};

struct life {
    uint32_t first;
    uint32_t last;
    bool touched;
    bool outside_rows; /* a matmul or attention stage touches it */
};

struct layout {
    struct program *program;
    uint32_t max_rows;
    uint32_t max_logits;
    struct life *lives; /* by tensor */
    struct item *items;
    uint32_t n_items;
};

static tensor_id storage_of(const struct program *program, tensor_id id)
{
    const struct plan_tensor *const t = plan_tensor(program->plan, id);
    return program->aliases[t->kind == TENSOR_VIEW ? t->parent : id];
}

static void touch(struct layout *layout, tensor_id id, uint32_t stage, bool outside_rows)
{
    if (id == TENSOR_NONE) {
        return;
    }
    struct life *const life = &layout->lives[storage_of(layout->program, id)];
    life->first = life->touched ? life->first : stage;
    life->last = stage;
    life->touched = true;
    life->outside_rows = life->outside_rows || outside_rows;
}

static bool reads_floats(const struct plan *plan, const struct op *op)
{
    for (uint32_t i = 0; i < op->n_weights; i++) {
        if (!type_is_integer(plan_tensor(plan, op->weights[i])->type)) {
            return true;
        }
    }
    return false;
}

static void touch_stage(struct layout *layout, uint32_t index)
{
    const struct program *const program = layout->program;
    const struct stage *const stage = &program->stages[index];
    switch (stage->kind) {
    case STAGE_ROWS:
        for (uint32_t i = 0; i < stage->n_row_ops; i++) {
            const struct row_op *const row_op = &program->row_ops[stage->first_row_op + i];
            touch(layout, row_op->a, index, false);
            touch(layout, row_op->b, index, false);
            touch(layout, row_op->out, index, false);
        }
        break;
    case STAGE_MATMUL:
        if (reads_floats(program->plan, stage->op)) {
            touch(layout, stage->op->inputs[0], index, true);
        }
        touch(layout, stage->residual, index, true);
        if (stage->gated == QUANTISED_NONE) {
            touch(layout, stage->out, index, true);
        }
        break;
    case STAGE_ATTENTION:
        touch(layout, stage->op->inputs[0], index, true);
        if (stage->quantised == QUANTISED_NONE) {
            touch(layout, stage->out, index, true);
        }
        break;
    }
}

static bool leaves_nothing(const struct layout *layout, const struct row_op *row_op)
{
    switch (row_op->kind) {
    case ROW_NORM:
    case ROW_SILU_MUL:
    case ROW_GELU_MUL:
    case ROW_ADD: {
        const struct life *const life = &layout->lives[storage_of(layout->program, row_op->out)];
        return life->first == life->last && !life->outside_rows;
    }
    default:
        return false;
    }
}

static bool
reads_storage(const struct program *program, const struct row_op *row_op, tensor_id storage)
{
    return (row_op->a != TENSOR_NONE && storage_of(program, row_op->a) == storage) ||
           (row_op->b != TENSOR_NONE && storage_of(program, row_op->b) == storage);
}

/* See stage.alone.  What such a stage reads lives on through the matmul, which other members may
 * have begun to write. */
static void mark_alone(struct layout *layout, uint32_t index)
{
    const struct program *const program = layout->program;
    struct stage *const stage = &program->stages[index];
    const struct row_op *const ops = program->row_ops + stage->first_row_op;
    /* What can be cut by columns is shared out even with one row. */
    if (stage->kind != STAGE_ROWS || stage->by_columns || index + 1 == program->n_stages) {
        return;
    }
    const struct row_op *const last = &ops[stage->n_row_ops - 1];
    const struct stage *const next = stage + 1;
    if (last->kind != ROW_QUANTISE || next->kind != STAGE_MATMUL || next->span != stage->span ||
        next->quantised != last->index || program->quantised[last->index].last_stage != index + 1) {
        return;
    }
    const tensor_id written = storage_of(program, next->out);
    for (uint32_t i = 0; i < stage->n_row_ops; i++) {
        const bool overwrites = reads_storage(program, &ops[i], written);
        if (overwrites || (i + 1 < stage->n_row_ops && !leaves_nothing(layout, &ops[i]))) {
            return;
        }
    }
    stage->alone = true;
    for (uint32_t i = 0; i < stage->n_row_ops; i++) {
        const tensor_id read[2] = {ops[i].a, ops[i].b};
        for (uint32_t k = 0; k < 2; k++) {
            struct life *const life =
                read[k] == TENSOR_NONE ? NULL : &layout->lives[storage_of(program, read[k])];
            const bool local = life == NULL || (life->first == life->last && !life->outside_rows);
            if (!local && life->last < index + 1) {
                life->last = index + 1;
            }
        }
    }
}

/* Rows start on cache lines, so that two members never write one line. */
static size_t row_stride(uint32_t columns)
{
    return ((size_t)columns + 15u) & ~(size_t)15u;
}

static bool add_item(struct layout *layout, size_t rows, size_t row_bytes, const struct item *item)
{
    struct item *const added = &layout->items[layout->n_items++];
    *added = *item;
    return checked_mul_size(rows, row_bytes, &added->n_bytes) &&
           checked_add_size(added->n_bytes, ALIGNMENT, &added->n_bytes);
}

static uint32_t span_rows(const struct layout *layout, enum tensor_span span)
{
    return span == SPAN_TOKENS ? layout->max_rows : layout->max_logits;
}

/* Values, scales and sums, each from a cache line on. */
static size_t quantised_row_bytes(uint32_t columns)
{
    return (size_t)columns + columns / TILE_COLUMNS * sizeof(float) +
           columns / (TILE_COLUMNS / 2) * sizeof(int32_t);
}

static bool collect_items(struct layout *layout, size_t *local_bytes)
{
    struct program *const program = layout->program;
    bool fits = true;
    for (uint32_t i = 0; i < plan_n_tensors(program->plan); i++) {
        const struct life *const life = &layout->lives[i];
        if (!life->touched || i == program->logits) {
            continue;
        }
        const struct plan_tensor *const tensor = plan_tensor(program->plan, i);
        const size_t stride = row_stride(tensor->columns);
        program->places[i].stride = stride;
        if (life->first == life->last && !life->outside_rows) {
            program->places[i].local = true;
            continue;
        }
        const struct item item = {.first = life->first, .last = life->last, .index = i};
        fits = add_item(layout, span_rows(layout, tensor->span), stride * sizeof(float), &item) &&
               fits;
    }
    for (uint32_t i = 0; i < program->n_quantised; i++) {
        const struct quantised_buffer *const q = &program->quantised[i];
        const struct item item = {
            .first = q->first_stage, .last = q->last_stage, .index = i, .quantised = true};
        const size_t row_bytes = quantised_row_bytes(q->columns);
        fits = add_item(layout, span_rows(layout, q->span), row_bytes, &item) && fits;
        /* Three parts, each aligned and with room to read past its end. */
        layout->items[layout->n_items - 1].n_bytes += (size_t)3 * (ALIGNMENT + PACK_SLACK_BYTES);
    }
    *local_bytes = 0;
    for (uint32_t s = 0; s < program->n_stages; s++) {
        size_t used = 0;
        for (uint32_t i = 0; i < plan_n_tensors(program->plan); i++) {
            struct place *const place = &program->places[i];
            if (place->local && layout->lives[i].first == s) {
                place->local_offset = used;
                used += place->stride;
            }
        }
        *local_bytes = used * sizeof(float) > *local_bytes ? used * sizeof(float) : *local_bytes;
    }
    return fits;
}

static int compare_items(const void *a, const void *b)
{
    const struct item *const x = a;
    const struct item *const y = b;
    if (x->n_bytes != y->n_bytes) {
        return x->n_bytes > y->n_bytes ? -1 : 1;
    }
    return x->first < y->first ? -1 : x->first > y->first;
}

static bool live_together(const struct item *a, const struct item *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset at which the n-th item meets none of those before it. */
static bool place_item(struct layout *layout, uint32_t n)
{
    struct item *const item = &layout->items[n];
    bool moved = true;
    item->offset = 0;
    while (moved) {
        moved = false;
        for (uint32_t i = 0; i < n; i++) {
            const struct item *const other = &layout->items[i];
            const bool apart = other->offset + other->n_bytes <= item->offset ||
                               item->offset + item->n_bytes <= other->offset;
            if (!apart && live_together(item, other)) {
                item->offset = other->offset + other->n_bytes;
                moved = true;
            }
        }
        size_t end;
        if (!checked_add_size(item->offset, item->n_bytes, &end)) {
            return false;
        }
    }
    return true;
}

/* Offsets stand in for addresses until program_bind. */
static void keep_offset(struct layout *layout, const struct item *item)
{
    struct program *const program = layout->program;
    if (!item->quantised) {
        program->places[item->index].local_offset = item->offset;
        return;
    }
    struct quantised_buffer *const q = &program->quantised[item->index];
    q->rows.columns = q->columns;
    q->offset = item->offset;
    q->n_rows = span_rows(layout, q->span);
}

static bool place_all(struct layout *layout, size_t *shared_bytes)
{
    qsort(layout->items, layout->n_items, sizeof *layout->items, compare_items);
    *shared_bytes = 0;
    for (uint32_t i = 0; i < layout->n_items; i++) {
        struct item *const item = &layout->items[i];
        item->n_bytes = (item->n_bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
        if (!place_item(layout, i)) {
            return false;
        }
        const size_t end = item->offset + item->n_bytes;
        *shared_bytes = end > *shared_bytes ? end : *shared_bytes;
        keep_offset(layout, item);
    }
    return true;
}

static realm_status
lay_out(struct layout *layout, struct program_memory *memory, struct realm_error *error)
{
    const struct program *const program = layout->program;
    const size_t n_tensors = plan_n_tensors(program->plan);
    layout->lives = alloc_zeroed(ALLOC_MODEL, n_tensors, sizeof *layout->lives);
    layout->items =
        alloc_zeroed(ALLOC_MODEL, n_tensors + program->n_quantised, sizeof *layout->items);
    if (layout->lives == NULL || layout->items == NULL) {
        return realm_error_out_of_memory(error, n_tensors * sizeof(struct item), "the layout");
    }
    for (uint32_t i = 0; i < program->n_stages; i++) {
        touch_stage(layout, i);
    }
    touch(layout, program->hidden, program->n_stages - 1, true);
    for (uint32_t i = 0; i < program->n_stages; i++) {
        mark_alone(layout, i);
    }
    if (!collect_items(layout, &memory->local_bytes) || !place_all(layout, &memory->shared_bytes)) {
        return realm_error_set(error,
                               REALM_OUT_OF_MEMORY,
                               "activations of %u rows are more than memory can hold",
                               layout->max_rows);
    }
    return REALM_OK;
}

realm_status program_lay_out(struct program *program,
                             uint32_t max_rows,
                             uint32_t max_logits,
                             struct program_memory *memory,
                             struct realm_error *error)
{
    struct layout layout = {.program = program, .max_rows = max_rows, .max_logits = max_logits};
    const realm_status status = lay_out(&layout, memory, error);
    alloc_free(layout.lives);
    alloc_free(layout.items);
    return status;
}

static size_t align(size_t n)
{
    return (n + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static void bind_quantised(struct quantised_buffer *q, uint8_t *shared)
{
    const size_t n_rows = q->n_rows;
    const size_t values = align(n_rows * q->columns + PACK_SLACK_BYTES);
    const size_t scales =
        align(n_rows * (q->columns / TILE_COLUMNS) * sizeof(float) + PACK_SLACK_BYTES);
    uint8_t *const base = shared + q->offset;
    q->rows.values = (int8_t *)base;
    q->rows.scales = (void *)(base + values);
    q->rows.sums = (void *)(base + values + scales);
}

static void bind_own(struct program *program, tensor_id id, uint8_t *shared, float *logits)
{
    struct place *const place = &program->places[id];
    if (id == program->logits) {
        place->base = logits;
        place->stride = plan_vocabulary(program->plan);
    } else if (!place->local && place->stride > 0) {
        place->base = (void *)(shared + place->local_offset);
    }
}

void program_bind(struct program *program, uint8_t *shared, float *logits)
{
    const uint32_t n_tensors = plan_n_tensors(program->plan);
    for (uint32_t i = 0; i < n_tensors; i++) {
        if (program->aliases[i] == i && plan_tensor(program->plan, i)->kind == TENSOR_ACTIVATION) {
            bind_own(program, i, shared, logits);
        }
    }
    for (uint32_t i = 0; i < n_tensors; i++) {
        const struct plan_tensor *const t = plan_tensor(program->plan, i);
        if (t->kind == TENSOR_WEIGHT) {
            continue;
        }
        struct place place = program->places[storage_of(program, i)];
        if (t->kind == TENSOR_VIEW) {
            place.local_offset += t->first_column;
            place.base = place.base == NULL ? NULL : place.base + t->first_column;
        }
        program->places[i] = place;
    }
    for (uint32_t i = 0; i < program->n_quantised; i++) {
        bind_quantised(&program->quantised[i], shared);
    }
}
