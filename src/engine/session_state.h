/* What a session consists of, and its part on the engine's thread; only the engine's own files read
 * this.  Two owners, caller and engine; the last one frees it. */
#ifndef REALM_ENGINE_SESSION_STATE_H
#define REALM_ENGINE_SESSION_STATE_H

#include "engine/arrival.h"
#include "engine/held.h"
#include "engine/loop.h"
#include "engine/operation.h"

struct session_slot {
    struct held *held; /* NULL: free */
    uint32_t serial;
};

struct session {
    struct arrival arrival; /* first */
    /* Constant: */
    struct engine *engine;
    struct engine_model *model;
    struct account *account;       /* one reference */
    struct generation *generation; /* of its sequences while they do not generate */
    struct prefix_digest chain;
    uint32_t max_sequences;
    uint32_t max_operations;
    uint32_t max_pages; /* UINT32_MAX: no limit */
    uint32_t max_saved_pages;
    uint32_t max_top;
    bool no_text;
    /* Both threads: */
    _Atomic uint32_t owners;
    _Atomic bool released;         /* the caller has gone */
    _Atomic bool has_cancels;      /* a sequence's cancelled_through has grown */
    _Atomic uint32_t n_operations; /* queued, or not told yet */
    struct event_ring ring;
    struct mutex mutex; /* of the next five, and of the setting of released */
    struct condition readable;
    void (*wake)(void *context); /* NULL once the caller has gone */
    void *wake_context;
    struct operation_list inbox;
    bool announced; /* on its way to the engine, in the queue of arrivals */
    /* Caller: */
    struct session_slot *slots; /* [max_sequences] */
    session_ticket last_ticket;
    /* Engine thread: */
    bool registered;
    struct session *previous;
    struct session *next;
    struct held *first_held; /* those that were heard of */
    struct held *first_dropped;
    uint32_t n_pages;            /* that their tokens would fill */
    struct operation_list ended; /* not told yet, for want of room in the ring */
    size_t step_room;            /* bytes the ring still takes in this step, */
    size_t reserved_bytes; /* and those it keeps for who is in the step and has not spoken yet */
    bool spoke;            /* since the last wake */
    bool restless;         /* in the engine's list of those that spoke or could not */
    struct session *next_restless;
    bool awaited;         /* its caller was told of a step and mostly asks for the next at once */
    uint32_t n_unawaited; /* so many steps of it are not waited for, since it came late */
};

/* Gives up one owner's part. */
void session_drop_part(struct session *session);

/* What digests of its pages begin with; NULL: no prefix cache. */
const struct prefix_digest *session_chain(const struct session *session);

/* --- engine thread */

/* Takes what the caller has sent. */
void session_arrive(struct session *session);
/* False: no room. */
bool session_push(struct session *session, const struct event *event);
/* It has something for sessions_tell. */
void session_stir(struct session *session);
/* The operation has ended: tells it, now or once there is room, and frees it. */
void session_end_operation(struct session *session, struct operation *operation);
/* Wakes callers that have something to read, tells what found no room before, and destroys what was
 * dropped. */
void sessions_tell(struct engine *engine);
/* Nobody waits any longer for those that have not come. */
void sessions_stop_waiting(struct engine *engine);
/* The engine stops: ends all operations and drops its part of all sessions. */
void sessions_end_all(struct engine *engine);

#endif
