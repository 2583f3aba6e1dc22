/* Which sequences run in the next step of a model, and with how many rows.
 *
 * Decoding sequences come first (one row each), then prompts in chunks, in the order of fairness.h,
 * as many rows as keep the step within the inter-token target.  Prompts of accounts of which
 * nothing decodes yet go before the decoding of accounts that were served more, which get what the
 * target leaves: so a first token waits for few steps of the usual length, not for many small
 * chunks. Who stands back for them is in the next step before anybody else: no gap is longer than
 * two steps.
 *
 * Before each chunk a sequence takes the pages that the index knows by then; of several with one
 * beginning in one step, one computes it.  Where pages are short, the youngest sequence of the
 * account furthest ahead is preempted: its pages go (full ones stay known while nobody needs the
 * room), its tokens stay, and it is computed again later with the same answer.  An account that
 * waits with nothing running gets a place in this way even when all are taken.  Before any that
 * runs, those give their pages up that a session or a name holds and nobody uses now.
 * Engine thread only. */
#ifndef REALM_ENGINE_SCHEDULER_H
#define REALM_ENGINE_SCHEDULER_H

#include "engine/engine_model.h"

/* Fills model->picked with sequences whose step_rows, pages and step_n_logits are set, and
 * model->copies; sequences that pass their account's cap of pages alone are marked.  Returns how
 * many were preempted.  n_picked 0: nothing can run now. */
uint32_t scheduler_pick(struct engine_model *model);

/* Gives all pages of a running sequence back and puts it first among the waiting. */
void scheduler_preempt(struct engine_model *model, struct sequence *sequence);

/* An IDLE sequence's pages may be taken when they are short; it is forgotten where it has none. */
void scheduler_park(struct engine_model *model, struct sequence *sequence);
/* They may not any more.  Fine when it is not parked. */
void scheduler_unpark(struct engine_model *model, struct sequence *sequence);
/* Whether an IDLE sequence may run with the pages that it has, without waiting. */
bool scheduler_may_go_on(const struct engine_model *model, const struct sequence *sequence);

#endif
