/* The row behind the token that a step has told, run before its caller asks for it.
 *
 * Who steers a sequence step by step mostly appends what was drawn and asks for the next step with
 * the same sampling.  From the second time on that step's row runs at once, in the batch it would
 * have missed while the caller was told and made up its mind:
 *
 *   NONE --a step drew a token--> EXPECTED --its caller goes on so--> RUNNING --> KNOWN
 *
 *   EXPECTED  the sequence is as its caller knows it
 *   RUNNING   the token stands behind the caller's, uncomputed
 *   KNOWN     it is computed, and what comes next is drawn
 *
 * The step that asks for just this takes it over in any state, and hears what it would have heard
 * otherwise; any other operation ends it, and the sequence is as before.  So only time can tell. */
#ifndef REALM_ENGINE_AHEAD_H
#define REALM_ENGINE_AHEAD_H

#include "engine/operation.h"

enum ahead_state { AHEAD_NONE, AHEAD_EXPECTED, AHEAD_RUNNING, AHEAD_KNOWN };

struct ahead {
    enum ahead_state state;
    token_id token;          /* that was told last */
    uint32_t n_drawn;        /* of the step that goes on */
    struct sampler *sampler; /* stands where it goes on; KNOWN: one token further */
    token_id next;           /* KNOWN: what comes after the token */
    float next_logprob;
};

/* The step has drawn the token: its sampler is kept for the next one.  Nothing is expected where
 * the next step would have to draw otherwise (mirostat), or to tell more than one token. */
void ahead_expect(struct ahead *ahead, struct operation *step, token_id token);
/* Whether the operation, which has not started, is the step that is expected. */
bool ahead_is_asked(const struct ahead *ahead, const struct operation *operation);
/* Gives the sampler to the step that was expected; state NONE then. */
void ahead_hand_over(struct ahead *ahead, struct operation *step);
/* State NONE. */
void ahead_forget(struct ahead *ahead);

#endif
