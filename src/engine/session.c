/* Sessions on the caller's thread: every call makes an operation with all it needs and sends it. */
#include "engine/session.h"

#include "base/alloc.h"
#include "engine/account_state.h"
#include "engine/adapter_state.h"
#include "engine/engine_model.h"
#include "engine/saved.h"
#include "engine/session_state.h"

#define DEFAULT_MAX_SEQUENCES  8u
#define DEFAULT_MAX_OPERATIONS 64u
/* What the ring holds: the longest events of a part of the sequences, which are short ones of all,
 * and some more.  A step whose events it cannot take is made in several. */
#define SEQUENCES_A_RECORD 4u
#define MORE_RECORDS       16u
/* A number is serial and slot. */
#define SLOT_BITS 10u

_Static_assert(SESSION_MAX_SEQUENCES == 1u << SLOT_BITS, "a slot has SLOT_BITS bits");

/* --- life ---------------------------------------------------------------------------------------
 */

static void session_free(struct session *session)
{
    struct operation *operation;
    while ((operation = operation_list_take_first(&session->inbox)) != NULL) {
        if (operation->kind == OPERATION_DROP) {
            held_destroy(operation->held);
        }
        operation_destroy(operation);
    }
    while ((operation = operation_list_take_first(&session->ended)) != NULL) {
        operation_destroy(operation);
    }
    for (uint32_t i = 0; session->slots != NULL && i < session->max_sequences; i++) {
        held_destroy(session->slots[i].held);
    }
    if (session->generation != NULL) {
        generation_drop(session->generation);
    }
    account_release(session->account);
    alloc_free(session->slots);
    event_ring_deinit(&session->ring);
    condition_deinit(&session->readable);
    mutex_deinit(&session->mutex);
    alloc_free(session);
}

void session_drop_part(struct session *session)
{
    if (atomic_fetch_sub_explicit(&session->owners, 1, memory_order_acq_rel) == 1) {
        session_free(session);
    }
}

const struct prefix_digest *session_chain(const struct session *session)
{
    return session->engine->has_prefix_cache ? &session->chain : NULL;
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static realm_status
check_limit(const char *name, uint32_t value, uint32_t most, struct realm_error *error)
{
    return value <= most ? REALM_OK
                         : realm_error_set(error,
                                           REALM_INVALID_ARGUMENT,
                                           "%s is %u and may be at most %u",
                                           name,
                                           value,
                                           most);
}

static realm_status check_options(const struct session_options *options, struct realm_error *error)
{
    REALM_TRY(check_limit("max_sequences", options->max_sequences, SESSION_MAX_SEQUENCES, error));
    REALM_TRY(
        check_limit("max_operations", options->max_operations, SESSION_MAX_OPERATIONS, error));
    return check_limit("max_top", options->max_top, SESSION_MAX_TOP, error);
}

static realm_status
take_parts(struct session *session, struct engine_adapter *adapter, struct realm_error *error)
{
    const struct request request = {
        .model = session->model, .account = session->account, .adapter = adapter};
    const uint32_t n_top =
        session->max_top > SAMPLER_MAX_TOP_LOGPROBS ? session->max_top : SAMPLER_MAX_TOP_LOGPROBS;
    REALM_TRY(generation_create_bare(&request, &session->generation, error));
    session->generation->started = true;
    session->generation->entered = true;
    session->slots = alloc_zeroed(ALLOC_REQUEST, session->max_sequences, sizeof *session->slots);
    if (session->slots == NULL) {
        return realm_error_out_of_memory(
            error, session->max_sequences * sizeof *session->slots, "session");
    }
    return event_ring_init(&session->ring,
                           session->no_text ? 0
                                            : text_stream_max_bytes_of(session->model->tokenizer),
                           n_top,
                           session->max_sequences / SEQUENCES_A_RECORD + MORE_RECORDS,
                           error);
}

/* Counts it among the engine's and lets it know. */
static realm_status enter(struct session *session, struct realm_error *error)
{
    struct engine *const engine = session->engine;
    const uint32_t n_before = atomic_fetch_add(&engine->n_sessions, 1);
    session->announced = true;
    if (n_before >= SESSION_MAX_SESSIONS || !queue_try_push(engine->arrivals, session)) {
        atomic_fetch_sub(&engine->n_sessions, 1);
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "%u sessions are there, the most there can be",
                               n_before);
    }
    return REALM_OK;
}

realm_status session_create(struct engine *engine,
                            const struct session_options *options,
                            struct session **out,
                            struct realm_error *error)
{
    *out = NULL;
    REALM_TRY(check_options(options, error));
    const struct account *const account =
        options->account != NULL ? options->account : engine->default_account;
    REALM_TRY(adapter_check(options->adapter, options->model, account, error));
    if (atomic_load(&engine->draining)) {
        return realm_error_set(error, REALM_UNAVAILABLE, "the server is shutting down");
    }
    struct session *session = alloc_zeroed(ALLOC_REQUEST, 1, sizeof *session);
    if (session == NULL) {
        return realm_error_out_of_memory(error, sizeof *session, "session");
    }
    session->arrival.kind = ARRIVAL_SESSION;
    session->engine = engine;
    session->model = options->model;
    session->account = options->account != NULL ? options->account : engine->default_account;
    account_retain(session->account);
    struct engine_adapter *const adapter = options->adapter;
    session->chain =
        prefix_digest_start(session->account->domain, session->model->id, adapter_id(adapter));
    session->max_sequences = or_default(options->max_sequences, DEFAULT_MAX_SEQUENCES);
    session->max_operations = or_default(options->max_operations, DEFAULT_MAX_OPERATIONS);
    session->max_pages = or_default(options->max_pages, UINT32_MAX);
    session->max_saved_pages = options->max_saved_pages;
    session->max_top = or_default(options->max_top, SAMPLER_MAX_TOP_LOGPROBS);
    session->no_text = options->no_text;
    session->wake = options->wake;
    session->wake_context = options->wake_context;
    mutex_init(&session->mutex);
    condition_init(&session->readable);
    atomic_init(&session->owners, 2);
    realm_status status = take_parts(session, adapter, error);
    if (status == REALM_OK) {
        status = enter(session, error);
    }
    if (status != REALM_OK) {
        session_free(session);
        return status;
    }
    *out = session;
    return REALM_OK;
}

/* Adds operations (maybe none) to the inbox and lets the engine know.  Where the caller goes, that
 * is told under the same lock: the engine drops its part as soon as it knows, and must not find the
 * session among its arrivals once more. */
static void send(struct session *session, struct operation_list *operations, bool goes)
{
    struct operation *operation;
    mutex_lock(&session->mutex);
    if (goes) {
        session->wake = NULL;
        atomic_store(&session->released, true);
    }
    while ((operation = operation_list_take_first(operations)) != NULL) {
        operation_list_append(&session->inbox, operation);
    }
    const bool announced = session->announced;
    session->announced = true;
    mutex_unlock(&session->mutex);
    if (!announced) {
        /* There is a place for every session; only an engine that stops refuses, and that one has
         * ended the session. */
        (void)queue_try_push(session->engine->arrivals, session);
    }
}

void session_release(struct session *session)
{
    if (session == NULL) {
        return;
    }
    send(session, &(struct operation_list){.first = NULL}, true);
    session_drop_part(session);
}

/* --- events -------------------------------------------------------------------------------------
 */

bool session_next(struct session *session, struct event *out)
{
    return event_ring_next(&session->ring, out);
}

bool session_readable(const struct session *session)
{
    return !event_ring_empty(&session->ring);
}

bool session_wait(struct session *session, uint32_t timeout_ms)
{
    bool in_time = true;
    mutex_lock(&session->mutex);
    while (in_time && event_ring_empty(&session->ring)) {
        in_time = condition_wait_ms(&session->readable, &session->mutex, timeout_ms);
    }
    const bool readable = !event_ring_empty(&session->ring);
    mutex_unlock(&session->mutex);
    return readable;
}

/* --- numbers ------------------------------------------------------------------------------------
 */

static session_sequence number_of(const struct session *session, uint32_t slot)
{
    return (session->slots[slot].serial + 1) << SLOT_BITS | slot;
}

/* *slot: where it is. */
static realm_status find(const struct session *session,
                         session_sequence sequence,
                         uint32_t *slot,
                         struct realm_error *error)
{
    *slot = sequence % SESSION_MAX_SEQUENCES;
    if (*slot >= session->max_sequences || session->slots[*slot].held == NULL ||
        number_of(session, *slot) != sequence) {
        return realm_error_set(
            error, REALM_NOT_FOUND, "there is no sequence %u, or it was dropped", sequence);
    }
    return REALM_OK;
}

static realm_status find_held(const struct session *session,
                              session_sequence sequence,
                              struct held **out,
                              struct realm_error *error)
{
    uint32_t slot;
    REALM_TRY(find(session, sequence, &slot, error));
    *out = session->slots[slot].held;
    return REALM_OK;
}

/* Makes an empty sequence in a free slot. */
static realm_status take_slot(struct session *session,
                              uint32_t max_tokens,
                              session_sequence *out,
                              struct held **held,
                              struct realm_error *error)
{
    uint32_t slot = 0;
    while (slot < session->max_sequences && session->slots[slot].held != NULL) {
        slot++;
    }
    if (slot == session->max_sequences) {
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "%u sequences are there, the most there may be; drop some",
                               slot);
    }
    REALM_TRY(held_create(session, max_tokens, held, error));
    session->slots[slot].held = *held;
    (*held)->number = number_of(session, slot);
    *out = (*held)->number;
    return REALM_OK;
}

static void free_slot(struct session *session, session_sequence sequence)
{
    struct session_slot *const slot = &session->slots[sequence % SESSION_MAX_SEQUENCES];
    slot->held = NULL;
    slot->serial = (slot->serial + 1) % (UINT32_MAX >> SLOT_BITS);
}

realm_status session_sequence_create(struct session *session,
                                     uint32_t max_tokens,
                                     session_sequence *out,
                                     struct realm_error *error)
{
    const uint32_t context = session->model->context_length;
    struct held *held;
    *out = 0;
    return take_slot(
        session, max_tokens == 0 || max_tokens > context ? context : max_tokens, out, &held, error);
}

realm_status
session_drop(struct session *session, session_sequence sequence, struct realm_error *error)
{
    struct held *held;
    REALM_TRY(find_held(session, sequence, &held, error));
    free_slot(session, sequence);
    struct operation_list list = {.first = NULL};
    operation_list_append(&list, held->drop);
    held->drop = NULL;
    send(session, &list, false);
    return REALM_OK;
}

realm_status
session_cancel(struct session *session, session_sequence sequence, struct realm_error *error)
{
    struct held *held;
    REALM_TRY(find_held(session, sequence, &held, error));
    atomic_store(&held->cancelled_through, session->last_ticket);
    atomic_store(&session->has_cancels, true);
    send(session, &(struct operation_list){.first = NULL}, false);
    return REALM_OK;
}

realm_status session_length(const struct session *session,
                            session_sequence sequence,
                            uint32_t *n_tokens,
                            struct realm_error *error)
{
    struct held *held;
    REALM_TRY(find_held(session, sequence, &held, error));
    *n_tokens = atomic_load_explicit(&held->n_tokens, memory_order_relaxed);
    return REALM_OK;
}

/* --- operations ---------------------------------------------------------------------------------
 */

/* held: NULL: of the session. */
static realm_status begin(struct session *session,
                          enum operation_kind kind,
                          struct held *held,
                          struct operation **out,
                          struct realm_error *error)
{
    *out = NULL;
    if (atomic_load(&session->n_operations) >= session->max_operations) {
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "%u operations are queued or not read yet, the most there may be",
                               session->max_operations);
    }
    REALM_TRY(operation_create(kind, held, out, error));
    (*out)->number = held != NULL ? held->number : 0;
    return REALM_OK;
}

/* Sends the operation, or destroys it when its making has failed. */
static realm_status finish(struct session *session,
                           struct operation *operation,
                           realm_status status,
                           session_ticket *ticket)
{
    if (status != REALM_OK) {
        operation_destroy(operation);
        return status;
    }
    operation->ticket = ++session->last_ticket;
    if (ticket != NULL) {
        *ticket = operation->ticket;
    }
    struct operation_list list = {.first = NULL};
    operation_list_append(&list, operation);
    atomic_fetch_add(&session->n_operations, 1);
    atomic_fetch_add(&session->engine->n_operations, 1);
    send(session, &list, false);
    return REALM_OK;
}

realm_status session_append(struct session *session,
                            session_sequence sequence,
                            const token_id *tokens,
                            uint32_t n_tokens,
                            session_ticket *ticket,
                            struct realm_error *error)
{
    struct held *held;
    struct operation *operation;
    REALM_TRY(find_held(session, sequence, &held, error));
    REALM_TRY(begin(session, OPERATION_APPEND, held, &operation, error));
    const realm_status status =
        operation_set_tokens(operation, session->model, tokens, n_tokens, error);
    return finish(session, operation, status, ticket);
}

realm_status session_truncate(struct session *session,
                              session_sequence sequence,
                              uint32_t n_tokens,
                              session_ticket *ticket,
                              struct realm_error *error)
{
    struct held *held;
    struct operation *operation;
    REALM_TRY(find_held(session, sequence, &held, error));
    REALM_TRY(begin(session, OPERATION_TRUNCATE, held, &operation, error));
    operation->n_tokens = n_tokens;
    return finish(session, operation, REALM_OK, ticket);
}

realm_status session_fork(struct session *session,
                          session_sequence sequence,
                          session_sequence *out,
                          session_ticket *ticket,
                          struct realm_error *error)
{
    struct held *held;
    struct operation *operation;
    *out = 0;
    REALM_TRY(find_held(session, sequence, &held, error));
    REALM_TRY(begin(session, OPERATION_FORK, held, &operation, error));
    const realm_status status = take_slot(session, held->max_tokens, out, &operation->fork, error);
    if (status == REALM_OK) {
        operation->fork->blocked = true;
    }
    return finish(session, operation, status, ticket);
}

realm_status session_generate(struct session *session,
                              session_sequence sequence,
                              const struct session_generation *generation,
                              session_ticket *ticket,
                              struct realm_error *error)
{
    struct held *held;
    struct operation *operation;
    if (session->no_text) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the session has no_text, so that none of its sequences generates");
    }
    REALM_TRY(find_held(session, sequence, &held, error));
    REALM_TRY(begin(session, OPERATION_GENERATE, held, &operation, error));
    realm_status status = operation_set_sampling(operation,
                                                 session->model,
                                                 &generation->sampling,
                                                 generation->dry_breakers,
                                                 generation->n_dry_breakers,
                                                 held->max_tokens,
                                                 error);
    if (status == REALM_OK) {
        status = operation_set_generation(operation, session->generation, generation, error);
    }
    return finish(session, operation, status, ticket);
}

/* One part of a step, in `list` then. */
static realm_status add_part(struct session *session,
                             const struct session_step *step,
                             struct operation_list *list,
                             struct realm_error *error)
{
    struct held *held;
    struct operation *operation;
    REALM_TRY(find_held(session, step->sequence, &held, error));
    REALM_TRY(check_limit("n_top", step->n_top, session->max_top, error));
    for (const struct operation *o = list->first; o != NULL; o = o->next) {
        if (o->held == held) {
            return realm_error_set(
                error, REALM_INVALID_ARGUMENT, "sequence %u is twice in one step", step->sequence);
        }
    }
    REALM_TRY(begin(session, OPERATION_STEP, held, &operation, error));
    operation_list_append(list, operation);
    operation->leader = list->first;
    operation->n_top = step->n_top;
    if (step->n_tokens > 0) {
        REALM_TRY(
            operation_set_tokens(operation, session->model, step->tokens, step->n_tokens, error));
    }
    return !step->draw
               ? REALM_OK
               : operation_set_sampling(
                     operation, session->model, &step->sampling, NULL, 0, held->max_tokens, error);
}

realm_status session_step(struct session *session,
                          const struct session_step *steps,
                          uint32_t n_steps,
                          session_ticket *ticket,
                          struct realm_error *error)
{
    struct operation_list list = {.first = NULL};
    realm_status status =
        n_steps > 0 ? REALM_OK
                    : realm_error_set(error, REALM_INVALID_ARGUMENT, "the step has no sequences");
    for (uint32_t i = 0; status == REALM_OK && i < n_steps; i++) {
        status = add_part(session, &steps[i], &list, error);
    }
    if (status == REALM_OK &&
        atomic_load(&session->n_operations) + n_steps > session->max_operations) {
        status = realm_error_set(error,
                                 REALM_RESOURCE_EXHAUSTED,
                                 "a step of %u sequences and what is queued are more than %u "
                                 "operations, the most there may be",
                                 n_steps,
                                 session->max_operations);
    }
    if (status != REALM_OK) {
        struct operation *operation;
        while ((operation = operation_list_take_first(&list)) != NULL) {
            operation_destroy(operation);
        }
        return status;
    }
    session->last_ticket++;
    for (struct operation *o = list.first; o != NULL; o = o->next) {
        o->ticket = session->last_ticket;
    }
    if (ticket != NULL) {
        *ticket = session->last_ticket;
    }
    if (list.first != NULL) {
        list.first->n_parts_left = n_steps;
    }
    atomic_fetch_add(&session->n_operations, n_steps);
    atomic_fetch_add(&session->engine->n_operations, n_steps);
    send(session, &list, false);
    return REALM_OK;
}

realm_status session_verify(struct session *session,
                            session_sequence sequence,
                            const token_id *draft,
                            uint32_t n_draft,
                            const struct session_sampling *sampling,
                            session_ticket *ticket,
                            struct realm_error *error)
{
    struct held *held;
    struct operation *operation;
    REALM_TRY(find_held(session, sequence, &held, error));
    if (n_draft == 0 || n_draft > SESSION_MAX_DRAFT) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the draft has %u tokens; 1 to %u are allowed",
                               n_draft,
                               SESSION_MAX_DRAFT);
    }
    REALM_TRY(begin(session, OPERATION_VERIFY, held, &operation, error));
    realm_status status = operation_set_tokens(operation, session->model, draft, n_draft, error);
    if (status == REALM_OK) {
        status = operation_set_sampling(
            operation, session->model, sampling, NULL, 0, held->max_tokens, error);
    }
    return finish(session, operation, status, ticket);
}

/* --- saved sequences ----------------------------------------------------------------------------
 */

realm_status session_save(struct session *session,
                          session_sequence sequence,
                          struct bytes name,
                          session_ticket *ticket,
                          struct realm_error *error)
{
    struct held *held;
    struct operation *operation;
    REALM_TRY(find_held(session, sequence, &held, error));
    REALM_TRY(begin(session, OPERATION_SAVE, held, &operation, error));
    realm_status status = operation_set_name(operation, name, error);
    if (status == REALM_OK) {
        status = saved_create(session, name, held->max_tokens, &operation->saved, error);
    }
    return finish(session, operation, status, ticket);
}

realm_status session_open_saved(struct session *session,
                                struct bytes name,
                                session_sequence *out,
                                session_ticket *ticket,
                                struct realm_error *error)
{
    struct operation *operation;
    *out = 0;
    REALM_TRY(begin(session, OPERATION_OPEN, NULL, &operation, error));
    realm_status status = operation_set_name(operation, name, error);
    if (status == REALM_OK) {
        status = take_slot(session, session->model->context_length, out, &operation->held, error);
    }
    operation->number = *out;
    return finish(session, operation, status, ticket);
}

realm_status session_remove_saved(struct session *session,
                                  struct bytes name,
                                  session_ticket *ticket,
                                  struct realm_error *error)
{
    struct operation *operation;
    REALM_TRY(begin(session, OPERATION_REMOVE_SAVED, NULL, &operation, error));
    const realm_status status = operation_set_name(operation, name, error);
    return finish(session, operation, status, ticket);
}
