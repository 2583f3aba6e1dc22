#include "engine/draw.h"

#include "engine/generation.h"
#include "engine/held.h"

static realm_status draw_answer(const struct sequence *sequence,
                                float *logits,
                                float *raw,
                                struct draw *out,
                                struct realm_error *error)
{
    const struct generation *const generation = sequence->generation;
    const bool early = sequence_n_completion(sequence) < generation->min_tokens;
    struct sampler_limits limits = {
        .banned = generation->banned,
        .n_banned = early ? generation->n_banned : 0,
    };
    if (sequence->constraint != NULL) {
        REALM_TRY(constraint_mask(sequence->constraint, &limits.mask, error));
    }
    return sampler_next(sequence->sampler, logits, raw, &limits, &out->choice, error);
}

static void draw(const struct sequence *sequence, float *logits, float *raw, struct draw *out)
{
    out->error.status = REALM_OK;
    out->n_top = 0;
    struct realm_error error;
    const realm_status status = sequence->held != NULL && sequence->text == NULL
                                    ? held_draw(sequence->held, logits, raw, out, &error)
                                    : draw_answer(sequence, logits, raw, out, &error);
    if (status != REALM_OK) {
        out->error = error;
    }
}

void draw_one(const struct engine_model *model,
              const struct sequence *sequence,
              float *logits,
              struct draw *out)
{
    draw(sequence, logits, model->raw_logits, out);
}

static bool has_own_row(const struct sequence *s)
{
    const struct generation *const generation = s->generation;
    const bool shares = s->held == NULL && !generation->started && generation->n_choices > 1;
    return s->step_n_logits == 1 && s->n_draft == 0 && !shares && generation->embedding == NULL;
}

static void draw_picked(void *context, uint32_t i, uint32_t worker)
{
    const struct engine_model *const model = context;
    const struct sequence *const s = model->picked[i];
    const size_t vocabulary = plan_vocabulary(model_plan(model->model));
    if (s->draw != NULL) {
        draw(s,
             backend_logits(model->backend_model, s->logits_index),
             model->raw_logits + worker * vocabulary,
             s->draw);
    }
}

void draw_rows(struct engine_model *model)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < model->n_picked; i++) {
        struct sequence *const s = model->picked[i];
        s->draw = has_own_row(s) ? &model->draws[i] : NULL;
        n += s->draw != NULL ? 1 : 0;
    }
    if (n > 1) {
        backend_spread(model->backend, model->n_picked, draw_picked, model);
        return;
    }
    for (uint32_t i = 0; i < model->n_picked && n == 1; i++) {
        draw_picked(model, i, 0); /* not worth the others' waking */
    }
}
