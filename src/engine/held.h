/* A sequence that a session holds, and its operations, which run one after the other.  Made by the
 * caller's thread; from its first operation on the engine thread's.
 *
 *   queue: first operation          sequence
 *   none, nothing to compute        IDLE, parked if it has pages
 *   none, tokens not computed       runs quietly up to its last token, which is left for the
 *                                   operation that wants its logits
 *   GENERATE, STEP, VERIFY          runs to the end, and says what comes next
 *
 * The others are done at once, between steps, also while the sequence runs quietly.  Between the
 * steps of a caller that goes on with what was drawn, the next row runs ahead (ahead.h). */
#ifndef REALM_ENGINE_HELD_H
#define REALM_ENGINE_HELD_H

#include "engine/ahead.h"

#include <stdatomic.h>

struct draw;
struct session;

struct held {
    struct session *session;
    session_sequence number;
    uint32_t max_tokens;
    struct sequence *sequence;
    _Atomic uint64_t cancelled_through; /* operations up to this ticket; the caller's to raise */
    _Atomic uint32_t n_tokens;          /* after the last operation; the engine's to set */
    struct operation *drop;             /* kept ready, so that dropping cannot fail */
    /* Engine thread: */
    struct held *next; /* of its session's */
    struct held *next_dropped;
    bool linked;               /* the session has heard of it */
    bool dropped;              /* off the session's list, to be destroyed between two turns */
    bool blocked;              /* the fork that makes it has not run */
    bool resting;              /* could not be computed: waits for an operation that asks for it */
    struct realm_error failed; /* it was never made: what all its operations end with */
    uint32_t n_pages;          /* counted in the session's */
    struct operation_list queue;
    struct ahead ahead;
};

REALM_MUST_CHECK realm_status held_create(struct session *session,
                                          uint32_t max_tokens,
                                          struct held **out,
                                          struct realm_error *error);
/* NULL is fine.  Its sequence must hold no pages and be on no list. */
void held_destroy(struct held *held);

/* --- engine thread, between steps */

/* Runs what can run now of its queue, and lets the sequence run or rest. */
void held_run(struct held *held);
/* Ends all its operations with CANCELLED and gives its pages back. */
void held_retire(struct held *held);

/* --- engine thread, within a step; held_run follows after it */

/* Begins a step. */
void held_count_ring_room(struct held *held);
/* Whether the ring takes what the sequence may say in this step; reserves it. */
bool held_take_ring_room(struct held *held);
void held_say_token(struct held *held, const struct sampler_choice *choice, struct bytes text);
/* Ends its generation. */
void held_finish(struct held *held, realm_finish finish, token_id stop_token, struct bytes text);
/* Whether what the sequence says is wanted: by an operation, or ahead of one. */
bool held_speaks(const struct held *held);
/* Ends what it does with an error. */
void held_fail(struct held *held, const struct realm_error *error);
/* What its operation, or the row ahead of one, wants of the logits behind the last token that
 * counts; any thread, nothing else changes. */
REALM_MUST_CHECK realm_status held_draw(
    struct held *held, float *logits, float *raw, struct draw *out, struct realm_error *error);
/* Goes on by it. */
void held_take_draw(struct held *held, const struct draw *draw);

#endif
