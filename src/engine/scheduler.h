/* Which sequences run in the next step of a model, and with how many rows.
 * Decoding sequences come first (one row each), then prefill in chunks up to the step's rows,
 * oldest first. Where pages are short the youngest running sequence is preempted: its pages go, its
 * tokens stay, and it is computed again later with the same answer.  Engine thread only. */
#ifndef REALM_ENGINE_SCHEDULER_H
#define REALM_ENGINE_SCHEDULER_H

#include "engine/engine_model.h"

/* Fills model->picked with sequences whose step_rows, pages and step_wants_logits are set, and
 * model->copies.  Returns how many sequences were preempted.  n_picked 0: nothing can run now. */
uint32_t scheduler_pick(struct engine_model *model);

/* Gives all pages of a running sequence back and puts it first among the waiting. */
void scheduler_preempt(struct engine_model *model, struct sequence *sequence);

#endif
