/* A guest's sequences in the engine, for those it steps itself.
 *
 * The guest's list of tokens is what counts; the engine's sequence is brought up to it before a
 * step (what both begin with is kept, the rest is cut and appended), so it is only a cache of
 * computed tokens: it may be given up at any time. */
#ifndef REALM_SANDBOX_STEPS_H
#define REALM_SANDBOX_STEPS_H

#include "sandbox/objects.h"

/* An instance's session of one model with one adapter, or with none. */
struct guest_session {
    struct guest_session *next;
    struct engine_model *model;
    const struct engine_adapter *adapter; /* the session's, which keeps it */
    struct session *session;
};

/* Gives all sessions of an instance back; its sequences must have gone before. */
void steps_end(struct instance *instance);
/* session_step of the guest's sequence; sequence and tokens of the step are filled in here. */
REALM_MUST_CHECK realm_status steps_ask(struct instance *instance,
                                        struct guest_sequence *sequence,
                                        struct session_step *step,
                                        session_ticket *ticket,
                                        struct realm_error *error);

struct steps_draft {
    const token_id *tokens;
    uint32_t n_tokens;
    const struct session_sampling *sampling;
};

/* session_verify of the guest's sequence. */
REALM_MUST_CHECK realm_status steps_verify(struct instance *instance,
                                           struct guest_sequence *sequence,
                                           const struct steps_draft *draft,
                                           session_ticket *ticket,
                                           struct realm_error *error);
/* Shares what the original has computed, where it has; never fails. */
void steps_fork(struct guest_sequence *original, struct guest_sequence *copy);
/* The list was cut. */
void steps_note_cut(struct guest_sequence *sequence);
/* The engine's sequence goes; the list stays. */
void steps_forget(struct guest_sequence *sequence);
/* The next event of any session; those of operations nobody waits for come too. */
bool steps_next(struct instance *instance, struct event *out, struct session **from);

#endif
