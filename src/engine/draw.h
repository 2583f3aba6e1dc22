/* What comes next in a sequence, by its row of logits: a token, and what is to be told of others.
 *
 * A vocabulary is long, and rows know nothing of each other: those of a step are drawn by all
 * threads at once.  What is done with a token comes after that, one sequence at a time (step.c,
 * held.c). */
#ifndef REALM_ENGINE_DRAW_H
#define REALM_ENGINE_DRAW_H

#include "engine/engine_model.h"
#include "engine/session.h"

struct draw {
    struct realm_error error;     /* status OK: it went well */
    struct sampler_choice choice; /* token TOKEN_NONE: none was wanted */
    uint32_t n_top;               /* of a session's step */
    float log_sum;                /* with n_top > 0 */
    struct sampler_logprob top[SESSION_MAX_TOP];
};

/* After the rows of a step: draws for all that were picked and have one row to draw from, and sets
 * their `draw`.  Not for drafts, where a row counts only if the one before agrees, nor for prompts
 * whose logits further choices draw from too. */
void draw_rows(struct engine_model *model);
/* One draw, on the engine's thread; logits are overwritten. */
void draw_one(const struct engine_model *model,
              const struct sequence *sequence,
              float *logits,
              struct draw *out);

#endif
