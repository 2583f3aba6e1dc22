/* Sessions on the engine's thread: what comes from their callers, and what goes back. */
#include "engine/scheduler.h"
#include "engine/session_state.h"

void session_stir(struct session *session)
{
    struct engine *const engine = session->engine;
    if (!session->restless) {
        session->restless = true;
        session->next_restless = engine->restless_sessions;
        engine->restless_sessions = session;
    }
}

bool session_push(struct session *session, const struct event *event)
{
    if (!event_ring_push(&session->ring, event)) {
        return false;
    }
    session->spoke = true;
    session_stir(session);
    return true;
}

/* --- how operations end -------------------------------------------------------------------------
 */

static void destroy_operation(struct session *session, struct operation *operation)
{
    operation_destroy(operation);
    atomic_fetch_sub(&session->n_operations, 1);
    atomic_fetch_sub(&session->engine->n_operations, 1);
}

/* A caller that steers token by token mostly comes again within moments; one that came late is not
 * waited for in its next steps. */
#define STEPS_UNAWAITED 4u

static void begin_waiting(struct session *session)
{
    if (session->n_unawaited > 0) {
        session->n_unawaited--;
    } else if (!session->awaited) {
        session->awaited = true;
        session->engine->n_awaited++;
    }
}

static void end_waiting(struct session *session)
{
    if (session->awaited) {
        session->awaited = false;
        session->engine->n_awaited--;
    }
}

void sessions_stop_waiting(struct engine *engine)
{
    for (struct session *s = engine->sessions; s != NULL && engine->n_awaited > 0; s = s->next) {
        if (s->awaited) {
            end_waiting(s);
            s->n_unawaited = STEPS_UNAWAITED;
        }
    }
}

static bool tell_end(struct session *session, const struct operation *operation)
{
    const bool stepped = operation->kind == OPERATION_STEP && operation->error.status == REALM_OK;
    if (stepped && !operation->goes_on) { /* or its next row is in the next step anyway */
        begin_waiting(session);
    }
    const bool generated = operation->kind == OPERATION_GENERATE;
    const struct event event = {
        .kind = EVENT_DONE,
        .ticket = operation->ticket,
        .sequence = operation->number,
        .status = operation->error.status,
        .message = operation->error.status != REALM_OK ? operation->error.message : NULL,
        .text = operation->end_text,
        .finish = operation->finish,
        .stop_token = generated ? operation->token : TOKEN_NONE,
        .token = generated ? TOKEN_NONE : operation->token,
        .n_completion_tokens = operation->n_completion,
        .n_tokens = operation->n_tokens_after,
        .n_accepted = operation->n_accepted,
    };
    const size_t n_bytes = event.message == NULL ? event_ring_record_bytes(event.text.length, 0)
                                                 : session->ring.max_record_bytes;
    return event_ring_room_bytes(&session->ring) >= session->reserved_bytes + n_bytes &&
           session_push(session, &event);
}

/* A caller that has gone is told nothing. */
static void tell_ended(struct session *session)
{
    const bool released = atomic_load(&session->released);
    while (session->ended.first != NULL && (released || tell_end(session, session->ended.first))) {
        destroy_operation(session, operation_list_take_first(&session->ended));
    }
}

void session_end_operation(struct session *session, struct operation *operation)
{
    struct operation *const leader = operation->leader;
    if (operation != leader) {
        if (operation->error.status != REALM_OK && leader->error.status == REALM_OK) {
            leader->error = operation->error;
            leader->number = operation->number;
        }
        destroy_operation(session, operation);
    }
    leader->n_parts_left--;
    if (leader->n_parts_left == 0) {
        operation_list_append(&session->ended, leader);
        session_stir(session);
        tell_ended(session);
    }
}

/* --- what callers ask ---------------------------------------------------------------------------
 */

static void remove_saved(struct session *session, struct operation *operation)
{
    const struct bytes name = {.data = (const uint8_t *)operation->name,
                               .length = operation->n_name_bytes};
    if (!saved_remove(&session->engine->saved, session, name)) {
        realm_error_set(&operation->error,
                        REALM_NOT_FOUND,
                        "no sequence is saved as %.*s",
                        (int)operation->n_name_bytes,
                        operation->name);
    }
    session_end_operation(session, operation);
}

static void take_operation(struct session *session, struct operation *operation)
{
    struct held *const held = operation->held;
    if (held == NULL) {
        remove_saved(session, operation);
        return;
    }
    operation_list_append(&held->queue, operation);
    held_run(held);
}

/* Returns whether the caller has gone. */
static bool take_inbox(struct session *session)
{
    mutex_lock(&session->mutex);
    const bool released = atomic_load(&session->released);
    struct operation_list inbox = session->inbox;
    session->inbox = (struct operation_list){.first = NULL};
    session->announced = false;
    mutex_unlock(&session->mutex);
    struct operation *operation;
    while ((operation = operation_list_take_first(&inbox)) != NULL) {
        take_operation(session, operation);
    }
    return released;
}

static void run_all(struct session *session, void (*run)(struct held *held))
{
    for (struct held *held = session->first_held; held != NULL; held = held->next) {
        run(held); /* what drops stays readable until sessions_tell */
    }
}

static void destroy_dropped(struct session *session)
{
    struct held *held = session->first_dropped;
    session->first_dropped = NULL;
    while (held != NULL) {
        struct held *const next = held->next_dropped;
        held_destroy(held);
        held = next;
    }
}

static void enter(struct session *session)
{
    struct engine *const engine = session->engine;
    session->registered = true;
    session->next = engine->sessions;
    if (session->next != NULL) {
        session->next->previous = session;
    }
    engine->sessions = session;
}

static void leave(struct session *session)
{
    struct engine *const engine = session->engine;
    end_waiting(session);
    struct session **link = &engine->restless_sessions;
    while (*link != NULL && *link != session) {
        link = &(*link)->next_restless;
    }
    if (*link == session) {
        *link = session->next_restless;
    }
    if (session->previous != NULL) {
        session->previous->next = session->next;
    } else {
        engine->sessions = session->next;
    }
    if (session->next != NULL) {
        session->next->previous = session->previous;
    }
    atomic_fetch_sub(&engine->n_sessions, 1);
}

static void close_session(struct session *session)
{
    run_all(session, held_retire);
    tell_ended(session);
    destroy_dropped(session);
    leave(session);
    session_drop_part(session);
}

void session_arrive(struct session *session)
{
    if (!session->registered) {
        enter(session);
    }
    const bool released = take_inbox(session);
    end_waiting(session);
    if (atomic_exchange(&session->has_cancels, false)) {
        run_all(session, held_run);
    }
    if (released) {
        close_session(session);
    }
}

/* --- between turns ------------------------------------------------------------------------------
 */

static void wake_caller(struct session *session)
{
    session->spoke = false;
    mutex_lock(&session->mutex);
    if (session->wake != NULL) {
        session->wake(session->wake_context);
    }
    condition_signal(&session->readable);
    mutex_unlock(&session->mutex);
}

void sessions_tell(struct engine *engine)
{
    struct session *session = engine->restless_sessions;
    engine->restless_sessions = NULL;
    while (session != NULL) {
        struct session *const next = session->next_restless;
        session->reserved_bytes = 0; /* no step runs */
        tell_ended(session);
        destroy_dropped(session);
        session->restless = false;
        if (session->spoke) {
            wake_caller(session);
        }
        if (session->ended.first != NULL) {
            session_stir(session);
        }
        session = next;
    }
}

void sessions_end_all(struct engine *engine)
{
    while (engine->sessions != NULL) {
        struct session *const session = engine->sessions;
        mutex_lock(&session->mutex);
        session->announced = true; /* for ever: nobody takes arrivals any more */
        mutex_unlock(&session->mutex);
        run_all(session, held_retire);
        tell_ended(session);
        if (session->spoke) {
            wake_caller(session);
        }
        close_session(session);
    }
    saved_remove_all(&engine->saved);
}
