/* Sequences that a caller holds and steers: those of a tenant's program, of one account and one
 * model.  Their tokens are computed in the same batches as everybody's, their answers do not depend
 * on the company either, and the account is charged as for requests.
 *
 * Every operation is only queued by its call, which never waits; it gets a ticket, and ends with
 * exactly one EVENT_DONE that bears the ticket and the sequence, in the session's ring:
 *
 *     status, message     how it ended; the sequence is as before the operation where it failed,
 *                         but for tokens a generation had drawn
 *     n_tokens            of the sequence, after it
 *
 * Operations of one sequence run in the order of their calls; those of several sequences run side
 * by side.  A call that refuses (with the statuses told below) has queued nothing.
 *
 * A sequence that is idle keeps its pages as long as nobody runs short; then the one idle for
 * longest loses them, before any that runs, and is computed again at its next use, with the same
 * answer.  A full ring parks what would speak; what was asked for stays queued.
 *
 * One thread at a time calls a session's functions (which one may change).  `wake` is called on the
 * engine's thread. */
#ifndef REALM_ENGINE_SESSION_H
#define REALM_ENGINE_SESSION_H

#include "engine/engine.h"

#define SESSION_MAX_SESSIONS   8192u
#define SESSION_MAX_SEQUENCES  1024u
#define SESSION_MAX_OPERATIONS 4096u
#define SESSION_MAX_TOP        256u
#define SESSION_MAX_DRAFT      32u
#define SESSION_MAX_NAME_BYTES 128u

struct session;

/* Number of a sequence in its session.  Never 0; that of a dropped sequence stays unknown for four
 * million sequences more. */
typedef uint32_t session_sequence;
/* Counts a session's operations from 1. */
typedef uint64_t session_ticket;

/* Zero means the number in brackets. */
struct session_options {
    struct engine_model *model;
    struct account *account;        /* one more reference is taken; NULL: the engine's own */
    struct engine_adapter *adapter; /* of all its sequences, see request.h; NULL: none */
    uint32_t max_sequences;         /* [8] at once, at most SESSION_MAX_SEQUENCES */
    uint32_t max_operations;  /* [64] queued or not told yet, at most SESSION_MAX_OPERATIONS */
    uint32_t max_pages;       /* [no limit] that the tokens of all its sequences would fill; pages
                                 that forks share count for each */
    uint32_t max_saved_pages; /* [none may be saved] of all that the account has saved */
    uint32_t max_top; /* [20] of session_step and log-probabilities, at most SESSION_MAX_TOP;
                         the ring is made for it */
    bool no_text;     /* session_generate is refused, and the ring needs no room for texts */
    /* Called when events are there and none were before; must only wake somebody.  May be NULL. */
    void (*wake)(void *context);
    void *wake_context;
};

/* INVALID_ARGUMENT: an option over its limit, an adapter of another model or account; UNAVAILABLE:
 * the engine drains; RESOURCE_EXHAUSTED: as many sessions as the engine may have are there. */
REALM_MUST_CHECK realm_status session_create(struct engine *engine,
                                             const struct session_options *options,
                                             struct session **out,
                                             struct realm_error *error);
/* Ends all operations and drops all sequences; what was saved stays.  Once the engine is gone, what
 * it has told can still be read, and nothing but this may follow.  NULL is fine. */
void session_release(struct session *session);

/* --- events ------------------------------------------------------------------------------------
 */

/* As generation_next, generation_readable and generation_wait. */
bool session_next(struct session *session, struct event *out);
bool session_readable(const struct session *session);
bool session_wait(struct session *session, uint32_t timeout_ms);

/* --- sequences ---------------------------------------------------------------------------------
 * All give NOT_FOUND for a number that is none (any more), and RESOURCE_EXHAUSTED when
 * max_operations are queued.  ticket: where it goes; may be NULL. */

/* An empty sequence, at once and without a ticket.  max_tokens: the longest it may get; 0, or more
 * than the context length: the context length.  RESOURCE_EXHAUSTED: max_sequences are there. */
REALM_MUST_CHECK realm_status session_sequence_create(struct session *session,
                                                      uint32_t max_tokens,
                                                      session_sequence *out,
                                                      struct realm_error *error);
/* After what was queued for it (see session_cancel).  No ticket, no event; the number is void at
 * once.  NOT_FOUND is its only status. */
REALM_MUST_CHECK realm_status session_drop(struct session *session,
                                           session_sequence sequence,
                                           struct realm_error *error);
/* What was queued for the sequence until now, its forks too, ends soon with CANCELLED; the
 * sequence stays.  A generation keeps the tokens it has drawn.  NOT_FOUND is its only status. */
REALM_MUST_CHECK realm_status session_cancel(struct session *session,
                                             session_sequence sequence,
                                             struct realm_error *error);
/* Its tokens as of the last operation that ended. */
REALM_MUST_CHECK realm_status session_length(const struct session *session,
                                             session_sequence sequence,
                                             uint32_t *n_tokens,
                                             struct realm_error *error);

/* DONE comes when the tokens stand in the sequence; they are computed from then on.
 * INVALID_ARGUMENT: a token outside the vocabulary.  DONE with RESOURCE_EXHAUSTED: longer than the
 * sequence or the session may be. */
REALM_MUST_CHECK realm_status session_append(struct session *session,
                                             session_sequence sequence,
                                             const token_id *tokens,
                                             uint32_t n_tokens,
                                             session_ticket *ticket,
                                             struct realm_error *error);
/* A copy that shares the pages until one of them writes.  *out may be used at once: what is queued
 * for it runs after the fork.  When the fork fails (or its source was never opened), everything
 * queued for *out ends with the same status, and it can only be dropped.
 * RESOURCE_EXHAUSTED: max_sequences are there. */
REALM_MUST_CHECK realm_status session_fork(struct session *session,
                                           session_sequence sequence,
                                           session_sequence *out,
                                           session_ticket *ticket,
                                           struct realm_error *error);
/* Keeps the first n_tokens.  DONE with INVALID_ARGUMENT: it has fewer. */
REALM_MUST_CHECK realm_status session_truncate(struct session *session,
                                               session_sequence sequence,
                                               uint32_t n_tokens,
                                               session_ticket *ticket,
                                               struct realm_error *error);

/* --- what the model says -----------------------------------------------------------------------
 */

/* How a token is drawn; zero: greedy. */
struct session_sampling {
    struct sampler_options options; /* without DRY's breakers; biases are copied */
    /* The last n_drawn tokens of the sequence were drawn with these options before: the sampler
     * goes on where it stood then, so that single steps draw what one generation would.  Mirostat
     * begins anew. */
    uint32_t n_drawn;
};

struct session_generation {
    struct session_sampling sampling;
    const struct bytes *stops; /* stop strings */
    uint32_t n_stops;
    const token_id *stop_tokens;
    uint32_t n_stop_tokens;
    uint32_t max_tokens; /* to draw; 0: what the sequence leaves */
    uint32_t min_tokens;
    bool ignore_end;
    bool echo_special;
    const struct bytes *dry_breakers;
    uint32_t n_dry_breakers;
    /* Of engine_model_constrain, at its beginning; what is drawn now must satisfy it.  NULL: none.
     */
    const struct constraint *constraint;
};

/* Draws and appends until something ends it: EVENT_TOKEN for each token as a request has them (with
 * text), then DONE with finish, stop_token, text, n_completion_tokens.  All drawn tokens stay in
 * the sequence, a stop token too.  LENGTH also tells that the sequence or max_pages is at its end.
 * INVALID_ARGUMENT: an option out of range, by name, or the session has no_text.  DONE with
 * INVALID_ARGUMENT: the sequence has no tokens; RESOURCE_EXHAUSTED: it is full. */
REALM_MUST_CHECK realm_status session_generate(struct session *session,
                                               session_sequence sequence,
                                               const struct session_generation *generation,
                                               session_ticket *ticket,
                                               struct realm_error *error);

struct session_step {
    session_sequence sequence;
    const token_id *tokens; /* appended first, [n_tokens] */
    uint32_t n_tokens;
    uint32_t n_top; /* likeliest tokens to tell */
    bool draw;      /* and a token drawn with: */
    struct session_sampling sampling;
};

/* What would come next in each of n_steps different sequences, computed in one batch where rows
 * allow: one EVENT_LOGITS a sequence in any order (top, log_sum; token and logprob when drawn), and
 * one DONE after the last, with the first failure's status and sequence.  What comes next is not
 * appended.  Who appends just the token that was drawn, and draws on with one more in n_drawn,
 * finds its row run already (ahead.h). INVALID_ARGUMENT: no steps, a sequence twice, n_top over
 * max_top, a token outside the vocabulary, sampling out of range.  DONE with RESOURCE_EXHAUSTED:
 * longer than the sequence or the session may be. */
REALM_MUST_CHECK realm_status session_step(struct session *session,
                                           const struct session_step *steps,
                                           uint32_t n_steps,
                                           session_ticket *ticket,
                                           struct realm_error *error);

/* Compares a draft with what would have been drawn, token by token, in one batch: those that agree
 * are appended, the rest is forgotten.  DONE: n_accepted, and as token what is drawn after them,
 * which is not appended.  Exact: draft or not, the same tokens come out.  sampling->n_drawn counts
 * as of the call.  INVALID_ARGUMENT: n_draft is 0 or over SESSION_MAX_DRAFT, a token outside the
 * vocabulary; DONE with RESOURCE_EXHAUSTED: longer than the sequence or the session may be. */
REALM_MUST_CHECK realm_status session_verify(struct session *session,
                                             session_sequence sequence,
                                             const token_id *draft,
                                             uint32_t n_draft,
                                             const struct session_sampling *sampling,
                                             session_ticket *ticket,
                                             struct realm_error *error);

/* --- saved sequences ---------------------------------------------------------------------------
 * Kept in the engine under a name, for all sessions of accounts with the same domain and of the
 * same model and adapter, from the save's DONE until they are removed or the engine ends.  A name
 * has 1..SESSION_MAX_NAME_BYTES bytes (INVALID_ARGUMENT). */

/* A fork of the sequence under the name, in place of an older one.  DONE with QUOTA_EXCEEDED: over
 * max_saved_pages. */
REALM_MUST_CHECK realm_status session_save(struct session *session,
                                           session_sequence sequence,
                                           struct bytes name,
                                           session_ticket *ticket,
                                           struct realm_error *error);
/* A fork of what was saved; as session_fork.  DONE with NOT_FOUND: nothing has the name. */
REALM_MUST_CHECK realm_status session_open_saved(struct session *session,
                                                 struct bytes name,
                                                 session_sequence *out,
                                                 session_ticket *ticket,
                                                 struct realm_error *error);
/* DONE (of sequence 0) with NOT_FOUND: nothing has the name. */
REALM_MUST_CHECK realm_status session_remove_saved(struct session *session,
                                                   struct bytes name,
                                                   session_ticket *ticket,
                                                   struct realm_error *error);

#endif
