#include "backend/cpu/model.h"

static realm_status
check_limits(const struct cpu_model *model, const struct batch *batch, struct realm_error *error)
{
    if (batch->n_rows == 0 || batch->n_rows > model->max_rows) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "a step of %u rows; wanted are 1 to %u",
                               batch->n_rows,
                               model->max_rows);
    }
    if (batch->n_logits > model->max_logits) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "a step of %u logits rows; at most %u",
                               batch->n_logits,
                               model->max_logits);
    }
    if (batch->n_sequences == 0 || batch->n_sequences > batch->n_rows) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "a step of %u sequences with %u rows",
                               batch->n_sequences,
                               batch->n_rows);
    }
    return REALM_OK;
}

static realm_status check_pages(const struct cpu_model *model,
                                const struct batch_sequence *sequence,
                                uint32_t index,
                                struct realm_error *error)
{
    const uint64_t n_tokens = (uint64_t)sequence->first_position + sequence->n_rows;
    const uint64_t n_pages = (n_tokens + PAGE_TOKENS - 1) / PAGE_TOKENS;
    /* The last position and one more must be numbers. */
    if (n_tokens >= UINT32_MAX - ATTENTION_SEGMENT_TOKENS || n_pages > sequence->n_pages) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "sequence %u: %u pages do not hold %llu tokens",
                               index,
                               sequence->n_pages,
                               (unsigned long long)n_tokens);
    }
    for (uint32_t i = 0; i < n_pages; i++) {
        if (sequence->pages[i] >= model->kv.n_pages) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "sequence %u: page %u of %u",
                                   index,
                                   sequence->pages[i],
                                   model->kv.n_pages);
        }
    }
    return REALM_OK;
}

static bool has_adapter(const struct cpu_model *model, uint32_t adapter)
{
    return adapter < BACKEND_MAX_ADAPTERS && atomic_load(&model->adapters[adapter]) != NULL;
}

/* The sequences' rows are the batch's, in order, without gaps. */
static realm_status
check_sequences(struct cpu_model *model, const struct batch *batch, struct realm_error *error)
{
    uint32_t next_row = 0;
    for (uint32_t i = 0; i < batch->n_sequences; i++) {
        const struct batch_sequence *const sequence = &batch->sequences[i];
        if (sequence->first_row != next_row || sequence->n_rows == 0 ||
            sequence->n_rows > batch->n_rows - next_row) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "sequence %u: rows %u + %u of %u do not follow row %u",
                                   i,
                                   sequence->first_row,
                                   sequence->n_rows,
                                   batch->n_rows,
                                   next_row);
        }
        if (sequence->adapter != ADAPTER_NONE && !has_adapter(model, sequence->adapter)) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "sequence %u: adapter %u; the model has none of that number",
                                   i,
                                   sequence->adapter);
        }
        REALM_TRY(check_pages(model, sequence, i, error));
        for (uint32_t r = 0; r < sequence->n_rows; r++) {
            model->step.rows[next_row + r] =
                (struct row_info){.sequence = i, .position = sequence->first_position + r};
        }
        next_row += sequence->n_rows;
    }
    if (next_row != batch->n_rows) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the sequences have %u rows, the step %u",
                               next_row,
                               batch->n_rows);
    }
    return REALM_OK;
}

static realm_status
check_lists(const struct cpu_model *model, const struct batch *batch, struct realm_error *error)
{
    for (uint32_t i = 0; i < batch->n_rows; i++) {
        if (batch->tokens[i] >= model->n_tokens) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "row %u: token %u is not below %u",
                                   i,
                                   batch->tokens[i],
                                   model->n_tokens);
        }
    }
    for (uint32_t i = 0; i < batch->n_logits; i++) {
        const uint32_t row = batch->logits_rows[i];
        if (row >= batch->n_rows || (i > 0 && row <= batch->logits_rows[i - 1])) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "logits row %u (%u) is not ascending below %u",
                                   i,
                                   row,
                                   batch->n_rows);
        }
    }
    for (uint32_t i = 0; i < batch->n_copies; i++) {
        const struct page_copy *const copy = &batch->copies[i];
        if (copy->from >= model->kv.n_pages || copy->to >= model->kv.n_pages) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "copy of page %u to %u of %u",
                                   copy->from,
                                   copy->to,
                                   model->kv.n_pages);
        }
    }
    return REALM_OK;
}

realm_status
cpu_batch_check(struct cpu_model *model, const struct batch *batch, struct realm_error *error)
{
    REALM_TRY(check_limits(model, batch, error));
    REALM_TRY(check_sequences(model, batch, error));
    return check_lists(model, batch, error);
}
