/* Events of a generation, pushed to its ring and signalled once a step.  Engine thread only. */
#ifndef REALM_ENGINE_EMIT_H
#define REALM_ENGINE_EMIT_H

#include "engine/engine_model.h"
#include "engine/generation.h"

/* Generations that have something new, linked by next_touched. */
struct touched {
    struct generation *first;
};

void emit_started(struct touched *touched, struct generation *generation);
void emit_token(struct touched *touched,
                struct sequence *sequence,
                const struct sampler_choice *choice,
                struct bytes text);
/* Ends a choice: releases its pages, takes it off its list, tells the reader; DONE follows the last
 * one. error: of REALM_FINISH_ERROR, else NULL. */
void emit_finished(struct engine_model *model,
                   struct touched *touched,
                   struct sequence *sequence,
                   realm_finish finish,
                   token_id stop_token,
                   struct bytes text,
                   const struct realm_error *error);
/* Wakes the readers and gives up the engine's part of generations that are done. */
void emit_signal(struct touched *touched);

#endif
