#include "engine/batch_build.h"

#include "engine/adapter_state.h"
#include "engine/generation.h"

void batch_build(struct engine_model *model)
{
    uint32_t n_rows = 0;
    uint32_t n_logits = 0;
    for (uint32_t i = 0; i < model->n_picked; i++) {
        struct sequence *const s = model->picked[i];
        memcpy(model->batch_tokens + n_rows,
               s->tokens + s->n_computed,
               s->step_rows * sizeof *s->tokens);
        model->batch_sequences[i] = (struct batch_sequence){
            .first_row = n_rows,
            .n_rows = s->step_rows,
            .first_position = s->n_computed,
            .pages = page_table_pages(s->pages),
            .n_pages = page_table_n_pages(s->pages),
            .adapter = adapter_number(s->generation->adapter),
        };
        n_rows += s->step_rows;
        s->logits_index = n_logits;
        for (uint32_t row = n_rows - s->step_n_logits; row < n_rows; row++) {
            model->batch_logits_rows[n_logits++] = row;
        }
    }
    model->batch = (struct batch){
        .n_rows = n_rows,
        .tokens = model->batch_tokens,
        .n_sequences = model->n_picked,
        .sequences = model->batch_sequences,
        .n_logits = n_logits,
        .logits_rows = model->batch_logits_rows,
        .n_copies = model->copies.n,
        .copies = model->copies.items,
    };
}
