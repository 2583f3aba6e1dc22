/* Attention stages.  Work is one KV head of one block of query rows of one sequence; the rows of a
 * block and the query heads of the group go through the pages together. */
#include "backend/cpu/exp_inline.h"
#include "backend/cpu/model.h"

#include <string.h>

/* One block on its way. */
struct block {
    const struct cpu_model *model;
    const struct stage *stage;
    const struct attention_attributes *attributes;
    const struct member_memory *memory;
    const struct batch_sequence *sequence;
    uint32_t kv_head;
    uint32_t first_row; /* in the batch */
    uint32_t n_rows;
    uint32_t first_head; /* query heads of this call */
    uint32_t n_heads;
};

static uint32_t row_position(const struct block *block, uint32_t row)
{
    return block->sequence->first_position + (row - block->sequence->first_row);
}

/* First position that a row at `position` sees. */
static uint32_t window_begin(const struct attention_attributes *a, uint32_t position)
{
    return a->window > 0 && position >= a->window ? position - a->window + 1 : 0;
}

/* Where the parts of a block's queries go: by slot, slot = row of the block x heads + head. */
struct parts {
    float *values; /* [slots][value columns] */
    float *max;
    float *sum;
};

#define LANES 16u /* value columns are a multiple */

/* a = a * keep + b * take.  Compilers make vectors of loops whose length they know. */
static void mix(float *restrict a, const float *restrict b, uint32_t n, float keep, float take)
{
    for (uint32_t c = 0; c < n; c += LANES) {
        for (uint32_t i = 0; i < LANES; i++) {
            a[c + i] = a[c + i] * keep + b[c + i] * take;
        }
    }
}

static void scale(float *restrict a, uint32_t n, float factor)
{
    for (uint32_t c = 0; c < n; c += LANES) {
        for (uint32_t i = 0; i < LANES; i++) {
            a[c + i] *= factor;
        }
    }
}

/* The softmax's parts over two neighbouring stretches of positions become those over both. */
static void merge(const struct parts *running, const struct parts *next, uint32_t slot, uint32_t n)
{
    float *const values = running->values + (size_t)slot * n;
    const float *const more = next->values + (size_t)slot * n;
    const float max = running->max[slot];
    const float next_max = next->max[slot];
    const float top = next_max > max ? next_max : max;
    const float keep = exp_scalar(max - top);
    const float take = exp_scalar(next_max - top);
    mix(values, more, n, keep, take);
    running->sum[slot] = running->sum[slot] * keep + next->sum[slot] * take;
    running->max[slot] = top;
}

/* All queries of the block that see something of the segment, through it.  Those that begin in it
 * leave their parts in `first`, the others in `rest`. */
static void run_segment(const struct block *block,
                        uint32_t first_position,
                        const struct parts *first,
                        const struct parts *rest)
{
    const struct attention_attributes *const a = block->attributes;
    const struct kv_store *const store = &block->model->kv;
    const struct place *const q_place = &block->model->program.places[block->stage->op->inputs[0]];
    const uint32_t value_columns = kv_value_columns(a->head_columns);
    const uint32_t segment_end = first_position + ATTENTION_SEGMENT_TOKENS;
    struct attention_query *const queries = block->memory->queries;
    const struct parts *targets[ATTENTION_MAX_QUERIES];
    uint32_t slots[ATTENTION_MAX_QUERIES];
    uint32_t n = 0;
    for (uint32_t r = 0; r < block->n_rows; r++) {
        const uint32_t row = block->first_row + r;
        const uint32_t position = row_position(block, row);
        const uint32_t window = window_begin(a, position);
        const uint32_t begin = window > first_position ? window : first_position;
        const uint32_t end = position + 1 < segment_end ? position + 1 : segment_end;
        if (begin >= end) {
            continue;
        }
        const float *const q = q_place->base + row * q_place->stride;
        for (uint32_t h = 0; h < block->n_heads; h++) {
            targets[n] = window >= first_position ? first : rest;
            slots[n] = r * block->n_heads + h;
            queries[n] = (struct attention_query){
                .q = q + (size_t)(block->first_head + h) * a->head_columns,
                .begin = begin,
                .end = end,
                .values = targets[n]->values + (size_t)slots[n] * value_columns,
            };
            n++;
        }
    }
    const struct attention_call call = {
        .kv = kv_store_head(store, a->layer, block->kv_head),
        .page_stride = store->page_bytes,
        .values_offset = store->values_offset,
        .pages = block->sequence->pages + first_position / PAGE_TOKENS,
        .first_position = first_position,
        .head_columns = a->head_columns,
        .scale = a->scale,
        .queries = queries,
        .n_queries = n,
    };
    block->model->backend->kernels.attention[store->type](&call);
    for (uint32_t i = 0; i < n; i++) {
        targets[i]->max[slots[i]] = queries[i].max;
        targets[i]->sum[slots[i]] = queries[i].sum;
    }
}

/* Takes the segment's parts into the running ones.  A query that begins in the segment has its
 * parts there already, unless they were made apart. */
static void take_segment(struct block *block,
                         uint32_t first_position,
                         const struct parts *running,
                         const struct parts *parts,
                         bool apart)
{
    const uint32_t value_columns = kv_value_columns(block->attributes->head_columns);
    for (uint32_t slot = 0; slot < block->n_rows * block->n_heads; slot++) {
        const uint32_t position = row_position(block, block->first_row + slot / block->n_heads);
        const uint32_t window = window_begin(block->attributes, position);
        const size_t offset = (size_t)slot * value_columns;
        if (position < first_position || window >= first_position + ATTENTION_SEGMENT_TOKENS) {
            continue;
        }
        if (window < first_position) {
            merge(running, parts, slot, value_columns);
        } else if (apart) {
            memcpy(running->values + offset, parts->values + offset, value_columns * sizeof(float));
            running->max[slot] = parts->max[slot];
            running->sum[slot] = parts->sum[slot];
        }
    }
}

/* Divides by the sums and leaves the result as floats or quantised. */
static void finish(const struct block *block, const struct parts *running)
{
    const struct cpu_model *const model = block->model;
    const uint32_t head_columns = block->attributes->head_columns;
    const uint32_t value_columns = kv_value_columns(head_columns);
    for (uint32_t slot = 0; slot < block->n_rows * block->n_heads; slot++) {
        const uint32_t row = block->first_row + slot / block->n_heads;
        const uint32_t column = (block->first_head + slot % block->n_heads) * head_columns;
        float *const values = running->values + (size_t)slot * value_columns;
        scale(values, value_columns, 1.0f / running->sum[slot]);
        if (block->stage->quantised == QUANTISED_NONE) {
            const struct place *const out = &model->program.places[block->stage->out];
            memcpy(out->base + row * out->stride + column, values, head_columns * sizeof(float));
            continue;
        }
        const struct quantised_buffer *const buffer =
            &model->program.quantised[block->stage->quantised];
        struct quantised_rows out = quantised_from(&buffer->rows, buffer->columns, row);
        out.values += column;
        out.scales += column / TILE_COLUMNS;
        out.sums += column / (TILE_COLUMNS / 2);
        model->backend->kernels.quantise(values, head_columns, &out);
    }
}

/* Segments that some row of the block sees: the first one, and how many. */
static uint32_t block_segments(const struct block *block, uint32_t *first)
{
    const uint32_t begin = window_begin(block->attributes, row_position(block, block->first_row));
    const uint32_t last = row_position(block, block->first_row + block->n_rows - 1);
    *first = begin / ATTENTION_SEGMENT_TOKENS;
    return last / ATTENTION_SEGMENT_TOKENS - *first + 1;
}

static void run_block(struct block *block)
{
    float numbers[4][ATTENTION_MAX_QUERIES] = {{0}};
    const struct parts running = {block->memory->running, numbers[0], numbers[1]};
    const struct parts partial = {block->memory->partial, numbers[2], numbers[3]};
    uint32_t first;
    const uint32_t n_segments = block_segments(block, &first);
    for (uint32_t i = 0; i < n_segments; i++) {
        const uint32_t position = (first + i) * ATTENTION_SEGMENT_TOKENS;
        run_segment(block, position, &running, &partial);
        take_segment(block, position, &running, &partial, false);
    }
    finish(block, &running);
}

/* Groups of more heads than a call takes go in turns. */
static void run_heads(struct block *block)
{
    const struct attention_attributes *const a = block->attributes;
    const uint32_t group = a->n_heads / a->n_kv_heads;
    for (uint32_t done = 0; done < group; done += block->n_heads) {
        block->first_head = block->kv_head * group + done;
        block->n_heads =
            group - done < ATTENTION_MAX_QUERIES ? group - done : ATTENTION_MAX_QUERIES;
        run_block(block);
    }
}

/* --- segments shared out ------------------------------------------------------------------------
 *
 * A decode step of few sequences has fewer blocks than there are threads.  Its long contexts are
 * then shared out by segments: each leaves its parts in memory of its own, and whoever ends a
 * block's last segment merges them all, in the same order as run_block does, so the bits are the
 * same. */

/* Parts of one segment of a block of the step. */
static struct parts shared_parts(const struct cpu_model *model, uint32_t index)
{
    const struct attention_split *const split = &model->step.split;
    const size_t n_queries = split->n_queries;
    const size_t n_values = n_queries * kv_value_columns(model->kv.head_columns);
    float *const memory = model->split_memory + index * (n_values + 2 * n_queries);
    return (struct parts){memory, memory + n_values, memory + n_values + n_queries};
}

/* Segment `which` of the block that is number `item` of its stage. */
static void run_shared_segment(struct block *block, uint32_t item, uint32_t which)
{
    const struct attention_split *const split = &block->model->step.split;
    uint32_t first;
    const uint32_t n_segments = block_segments(block, &first);
    if (which >= n_segments) {
        return;
    }
    const uint32_t begin = item * split->n_segments;
    const struct parts parts = shared_parts(block->model, begin + which);
    run_segment(block, (first + which) * ATTENTION_SEGMENT_TOKENS, &parts, &parts);
    /* Releases these parts, and acquires the others' when all are there. */
    struct pool_counter *const done = &block->model->split_done[item];
    if (atomic_fetch_add_explicit(&done->next, 1, memory_order_acq_rel) + 1 < n_segments) {
        return;
    }
    atomic_store_explicit(&done->next, 0, memory_order_relaxed);
    float numbers[2][ATTENTION_MAX_QUERIES] = {{0}};
    const struct parts running = {block->memory->running, numbers[0], numbers[1]};
    for (uint32_t i = 0; i < n_segments; i++) {
        const struct parts others = shared_parts(block->model, begin + i);
        take_segment(block, (first + i) * ATTENTION_SEGMENT_TOKENS, &running, &others, true);
    }
    finish(block, &running);
}

/* Decides whether the step's attention is shared out by segments. */
static void plan_split(struct cpu_model *model, const struct batch *batch, uint32_t n_blocks)
{
    struct attention_split *const split = &model->step.split;
    const uint64_t n_items = (uint64_t)n_blocks * model->kv.n_kv_heads;
    uint32_t n_rows = 1;
    *split = (struct attention_split){.n_segments = 1};
    for (uint32_t i = 0; i < batch->n_sequences; i++) {
        const struct batch_sequence *const s = &batch->sequences[i];
        const uint32_t last = s->first_position + s->n_rows - 1;
        const uint32_t n_segments = last / ATTENTION_SEGMENT_TOKENS + 1;
        split->n_segments = n_segments > split->n_segments ? n_segments : split->n_segments;
        n_rows = s->n_rows > n_rows ? s->n_rows : n_rows;
    }
    n_rows = n_rows < model->attention_block_rows ? n_rows : model->attention_block_rows;
    split->n_queries = n_rows * model->attention_group;
    const uint64_t n_floats = n_items * split->n_segments * split->n_queries *
                              (kv_value_columns(model->kv.head_columns) + 2);
    split->on = split->n_segments > 1 && n_items <= model->max_split_items &&
                split->n_queries <= ATTENTION_MAX_QUERIES && n_floats <= model->split_floats;
}

void cpu_attention_shape(const struct plan *plan, uint32_t *block_rows, uint32_t *group)
{
    *group = 1;
    for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
        const struct op *const op = plan_op(plan, i);
        if (op->kind == OP_ATTENTION) {
            const struct attention_attributes *const a = &op->attributes.attention;
            *group = a->n_heads / a->n_kv_heads > *group ? a->n_heads / a->n_kv_heads : *group;
        }
    }
    *block_rows = *group >= ATTENTION_MAX_QUERIES ? 1 : ATTENTION_MAX_QUERIES / *group;
}

void cpu_plan_attention(struct cpu_model *model, const struct batch *batch)
{
    const uint32_t rows = model->attention_block_rows;
    uint32_t n_blocks = 0;
    for (uint32_t i = 0; i < batch->n_sequences; i++) {
        model->step.first_attention_block[i] = n_blocks;
        n_blocks += (batch->sequences[i].n_rows + rows - 1) / rows;
    }
    model->step.first_attention_block[batch->n_sequences] = n_blocks;
    plan_split(model, batch, n_blocks);
}

/* The sequence that has query block `index`: the last one that starts at or before it. */
static uint32_t find_sequence(const struct step *step, uint32_t index)
{
    uint32_t low = 0;
    uint32_t high = step->batch->n_sequences;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (step->first_attention_block[middle] <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Block `index` of the step. */
static void find_block(struct block *block, uint32_t index)
{
    const struct cpu_model *const model = block->model;
    const uint32_t s = find_sequence(&model->step, index);
    const uint32_t first =
        (index - model->step.first_attention_block[s]) * model->attention_block_rows;
    block->sequence = &model->step.batch->sequences[s];
    block->first_row = block->sequence->first_row + first;
    const uint32_t left = block->sequence->n_rows - first;
    block->n_rows = left < model->attention_block_rows ? left : model->attention_block_rows;
}

void cpu_run_attention(const struct cpu_model *model,
                       const struct stage *stage,
                       const struct pool_member *member,
                       struct pool_counter *counter)
{
    const struct step *const step = &model->step;
    const struct attention_attributes *const a = &stage->op->attributes.attention;
    const uint32_t n_blocks = step->first_attention_block[step->batch->n_sequences];
    const uint32_t n_parts = step->split.on ? step->split.n_segments : 1;
    struct block block = {
        .model = model,
        .stage = stage,
        .attributes = a,
        .memory = &model->members[member->index],
    };
    uint32_t drawn;
    uint32_t end;
    while (pool_next(counter, n_blocks * a->n_kv_heads * n_parts, 1, &drawn, &end)) {
        /* From the last block on: the later ones of a prompt look back further and take longer. */
        const uint32_t item = drawn / n_parts;
        find_block(&block, n_blocks - 1 - item / a->n_kv_heads);
        block.kv_head = item % a->n_kv_heads;
        if (step->split.on) {
            block.first_head = block.kv_head * (a->n_heads / a->n_kv_heads);
            block.n_heads = a->n_heads / a->n_kv_heads;
            run_shared_segment(&block, item, drawn % n_parts);
        } else {
            run_heads(&block);
        }
    }
}

/* Positions that the row at `position` sees. */
static uint64_t n_seen(const struct attention_attributes *a, uint32_t position)
{
    return (uint64_t)position + 1 - window_begin(a, position);
}

void cpu_count_attention(const struct cpu_model *model,
                         const struct stage *stage,
                         struct backend_profile *profile)
{
    const struct batch *const batch = model->step.batch;
    const struct attention_attributes *const a = &stage->op->attributes.attention;
    const uint64_t position_bytes = model->kv.layer_bytes / PAGE_TOKENS;
    for (uint32_t i = 0; i < batch->n_sequences; i++) {
        const struct batch_sequence *const sequence = &batch->sequences[i];
        for (uint32_t r = 0; r < sequence->n_rows; r++) {
            const uint64_t seen = n_seen(a, sequence->first_position + r);
            profile->multiply_adds += seen * a->n_heads * a->head_columns * 2;
            /* A block's rows read the pages together: its last row sees the most. */
            if ((r + 1) % model->attention_block_rows == 0 || r + 1 == sequence->n_rows) {
                profile->kv_bytes += seen * position_bytes;
            }
        }
    }
}
