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
    float max[ATTENTION_MAX_QUERIES];
    float sum[ATTENTION_MAX_QUERIES];
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

/* The softmax's parts over two neighbouring stretches become those over both. */
static void
merge(float *max, float *sum, float *values, const struct attention_query *next, uint32_t n)
{
    const float top = next->max > *max ? next->max : *max;
    const float keep = exp_scalar(*max - top);
    const float take = exp_scalar(next->max - top);
    for (uint32_t c = 0; c < n; c++) {
        values[c] = values[c] * keep + next->values[c] * take;
    }
    *sum = *sum * keep + next->sum * take;
    *max = top;
}

/* All queries of the block that see something of the segment, through it. */
static void run_segment(struct block *block, uint32_t first_position)
{
    const struct attention_attributes *const a = block->attributes;
    const struct kv_store *const store = &block->model->kv;
    const struct place *const q_place = &block->model->program.places[block->stage->op->inputs[0]];
    const uint32_t value_columns = kv_value_columns(a->head_columns);
    const uint32_t segment_end = first_position + ATTENTION_SEGMENT_TOKENS;
    struct attention_query *const queries = block->memory->queries;
    uint32_t slots[ATTENTION_MAX_QUERIES]; /* of the queries in the block */
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
            const uint32_t slot = r * block->n_heads + h;
            float *const memory =
                window >= first_position ? block->memory->running : block->memory->partial;
            slots[n] = slot;
            queries[n++] = (struct attention_query){
                .q = q + (size_t)(block->first_head + h) * a->head_columns,
                .begin = begin,
                .end = end,
                .values = memory + (size_t)slot * value_columns,
            };
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
    block->model->backend->kernels.attention(&call);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t slot = slots[i];
        float *const running = block->memory->running + (size_t)slot * value_columns;
        if (queries[i].values == running) {
            block->max[slot] = queries[i].max;
            block->sum[slot] = queries[i].sum;
        } else {
            merge(&block->max[slot], &block->sum[slot], running, &queries[i], value_columns);
        }
    }
}

/* Divides by the sums and leaves the result as floats or quantised. */
static void finish(const struct block *block)
{
    const struct cpu_model *const model = block->model;
    const uint32_t head_columns = block->attributes->head_columns;
    const uint32_t value_columns = kv_value_columns(head_columns);
    for (uint32_t slot = 0; slot < block->n_rows * block->n_heads; slot++) {
        const uint32_t row = block->first_row + slot / block->n_heads;
        const uint32_t column = (block->first_head + slot % block->n_heads) * head_columns;
        float *const values = block->memory->running + (size_t)slot * value_columns;
        const float factor = 1.0f / block->sum[slot];
        for (uint32_t c = 0; c < head_columns; c++) {
            values[c] *= factor;
        }
        if (block->stage->quantised == QUANTISED_NONE) {
            const struct place *const out = &model->program.places[block->stage->out];
            memcpy(out->base + row * out->stride + column, values, head_columns * sizeof(float));
            continue;
        }
        struct quantised_rows out =
            quantised_at(&model->program.quantised[block->stage->quantised], row);
        out.values += column;
        out.scales += column / TILE_COLUMNS;
        out.sums += column / (TILE_COLUMNS / 2);
        model->backend->kernels.quantise(values, head_columns, &out);
    }
}

static void run_block(struct block *block)
{
    const uint32_t last_position = row_position(block, block->first_row + block->n_rows - 1);
    const uint32_t first = window_begin(block->attributes, row_position(block, block->first_row));
    const uint32_t segment = first / ATTENTION_SEGMENT_TOKENS * ATTENTION_SEGMENT_TOKENS;
    for (uint32_t position = segment; position <= last_position;
         position += ATTENTION_SEGMENT_TOKENS) {
        run_segment(block, position);
    }
    finish(block);
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

uint32_t cpu_attention_block_rows(const struct plan *plan)
{
    uint32_t rows = ATTENTION_MAX_QUERIES;
    for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
        const struct op *const op = plan_op(plan, i);
        if (op->kind != OP_ATTENTION) {
            continue;
        }
        const struct attention_attributes *const a = &op->attributes.attention;
        const uint32_t group = a->n_heads / a->n_kv_heads;
        const uint32_t fit = group >= ATTENTION_MAX_QUERIES ? 1 : ATTENTION_MAX_QUERIES / group;
        rows = fit < rows ? fit : rows;
    }
    return rows;
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

void cpu_run_attention(const struct cpu_model *model,
                       const struct stage *stage,
                       const struct pool_member *member,
                       struct pool_counter *counter)
{
    const struct step *const step = &model->step;
    const struct attention_attributes *const a = &stage->op->attributes.attention;
    const uint32_t n_blocks = step->first_attention_block[step->batch->n_sequences];
    const uint32_t n_items = n_blocks * a->n_kv_heads;
    struct block block = {
        .model = model,
        .stage = stage,
        .attributes = a,
        .memory = &model->members[member->index],
    };
    uint32_t item;
    uint32_t end;
    while (pool_next(counter, n_items, 1, &item, &end)) {
        /* From the last block on: the later ones of a prompt look back further and take longer. */
        const uint32_t index = n_blocks - 1 - item / a->n_kv_heads;
        const uint32_t s = find_sequence(step, index);
        const uint32_t first =
            (index - step->first_attention_block[s]) * model->attention_block_rows;
        block.sequence = &step->batch->sequences[s];
        block.kv_head = item % a->n_kv_heads;
        block.first_row = block.sequence->first_row + first;
        const uint32_t left = block.sequence->n_rows - first;
        block.n_rows = left < model->attention_block_rows ? left : model->attention_block_rows;
        run_heads(&block);
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
    const uint64_t position_bytes = model->kv.page_bytes / PAGE_TOKENS;
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
