#include "engine/held.h"

#include "base/alloc.h"
#include "engine/account_state.h"
#include "engine/draw.h"
#include "engine/fairness.h"
#include "engine/saved.h"
#include "engine/scheduler.h"
#include "engine/session_state.h"
#include "sample/logprobs.h"

realm_status held_create(struct session *session,
                         uint32_t max_tokens,
                         struct held **out,
                         struct realm_error *error)
{
    *out = NULL;
    struct held *held = alloc_zeroed(ALLOC_REQUEST, 1, sizeof *held);
    if (held == NULL) {
        return realm_error_out_of_memory(error, sizeof *held, "sequence");
    }
    realm_status status = operation_create(OPERATION_DROP, held, &held->drop, error);
    if (status == REALM_OK) {
        status = sequence_create_empty(
            max_tokens, session_chain(session), session->model->pool, &held->sequence, error);
    }
    if (status != REALM_OK) {
        held_destroy(held);
        return status;
    }
    held->session = session;
    held->max_tokens = max_tokens;
    held->sequence->held = held;
    held->sequence->generation = session->generation;
    held->sequence->quiet = true;
    *out = held;
    return REALM_OK;
}

void held_destroy(struct held *held)
{
    if (held == NULL) {
        return;
    }
    operation_destroy(held->drop);
    ahead_forget(&held->ahead);
    sequence_destroy(held->sequence);
    alloc_free(held);
}

/* --- how much it may hold -----------------------------------------------------------------------
 */

static uint32_t pages_for(uint32_t n_tokens)
{
    return n_tokens / PAGE_TOKENS + (n_tokens % PAGE_TOKENS != 0);
}

static void count_pages(struct held *held)
{
    const uint32_t n_pages = pages_for(held->sequence->n_tokens);
    held->session->n_pages = held->session->n_pages - held->n_pages + n_pages;
    held->n_pages = n_pages;
}

static bool session_holds(const struct held *held, uint32_t n_tokens)
{
    const struct session *const session = held->session;
    return (uint64_t)session->n_pages - held->n_pages + pages_for(n_tokens) <= session->max_pages;
}

static realm_status
check_length(const struct held *held, uint64_t n_tokens, struct realm_error *error)
{
    if (n_tokens > held->max_tokens) {
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "the sequence would have %llu tokens and may have %u",
                               (unsigned long long)n_tokens,
                               held->max_tokens);
    }
    if (!session_holds(held, (uint32_t)n_tokens)) {
        return realm_error_set(
            error,
            REALM_RESOURCE_EXHAUSTED,
            "with %llu tokens in this sequence all together would fill more than "
            "%u KV pages, the most there may be; drop some",
            (unsigned long long)n_tokens,
            held->session->max_pages);
    }
    return REALM_OK;
}

/* --- running and resting ------------------------------------------------------------------------
 */

/* Whether an operation waits for steps. */
static bool is_asked(const struct held *held)
{
    return held->queue.first != NULL && held->queue.first->started;
}

bool held_speaks(const struct held *held)
{
    return is_asked(held) || held->ahead.state == AHEAD_RUNNING;
}

static void activate(struct held *held)
{
    struct sequence *const s = held->sequence;
    struct engine_model *const model = held->session->model;
    fairness_arrive(model->fairness, held->session->account);
    if (scheduler_may_go_on(model, s)) {
        s->state = SEQUENCE_PREFILL;
        sequence_list_append(&model->running, s);
    } else {
        s->state = SEQUENCE_WAITING;
        sequence_list_append(&model->waiting, s);
    }
}

static void deactivate(struct held *held)
{
    struct sequence *const s = held->sequence;
    struct engine_model *const model = held->session->model;
    if (s->state == SEQUENCE_IDLE) {
        return;
    }
    sequence_list_remove(s->state == SEQUENCE_WAITING ? &model->waiting : &model->running, s);
    s->state = SEQUENCE_IDLE;
    fairness_depart(model->fairness, held->session->account);
}

/* The last token's row is only run for its logits: it is left for the operation that wants them, or
 * run again. */
static void settle(struct held *held)
{
    struct sequence *const s = held->sequence;
    const bool speaks = held_speaks(held);
    if (speaks && s->n_computed == s->n_tokens) {
        sequence_rewind(s, s->n_tokens - 1);
    }
    s->quiet = !speaks;
    const bool runs = speaks || (!held->resting && s->n_tokens > s->n_computed + 1);
    if (!runs) {
        deactivate(held);
        scheduler_park(held->session->model, s);
        return;
    }
    if (s->state == SEQUENCE_IDLE) {
        activate(held);
    }
    if (s->state != SEQUENCE_WAITING) {
        const bool decodes = speaks && s->n_computed + 1 == s->n_tokens;
        s->state = decodes ? SEQUENCE_DECODE : SEQUENCE_PREFILL;
    }
}

/* --- ahead of the caller ------------------------------------------------------------------------
 */

/* The caller is told the token just now: the row behind it is in the next step. */
static void run_ahead(struct held *held)
{
    struct sequence *const s = held->sequence;
    struct realm_error error;
    if (held->ahead.state == AHEAD_EXPECTED &&
        check_length(held, (uint64_t)s->n_tokens + 1, &error) == REALM_OK) {
        s->tokens[s->n_tokens++] = held->ahead.token;
        held->ahead.state = AHEAD_RUNNING;
        count_pages(held);
    }
}

/* The sequence is as its caller knows it again. */
static void stop_ahead(struct held *held)
{
    struct sequence *const s = held->sequence;
    if (held->ahead.state == AHEAD_RUNNING || held->ahead.state == AHEAD_KNOWN) {
        sequence_truncate(s, s->n_tokens - 1);
        count_pages(held);
    }
    ahead_forget(&held->ahead);
}

/* --- operations ---------------------------------------------------------------------------------
 */

static realm_status
append(struct held *held, const struct operation *operation, struct realm_error *error)
{
    struct sequence *const s = held->sequence;
    REALM_TRY(check_length(held, (uint64_t)s->n_tokens + operation->n_tokens, error));
    if (operation->n_tokens > 0) {
        memcpy(s->tokens + s->n_tokens, operation->tokens, operation->n_tokens * sizeof *s->tokens);
    }
    s->n_tokens += operation->n_tokens;
    s->n_prompt = s->n_tokens;
    return REALM_OK;
}

static realm_status
start_generation(struct held *held, struct operation *operation, struct realm_error *error)
{
    struct sequence *const s = held->sequence;
    REALM_TRY(check_length(held, (uint64_t)s->n_tokens + 1, error));
    const uint32_t left = held->max_tokens - s->n_tokens;
    const uint32_t wanted = operation->max_tokens;
    s->max_tokens = s->n_tokens + (wanted == 0 || wanted > left ? left : wanted);
    s->n_prompt = s->n_tokens;
    s->last_token_ns = 0;
    s->generation = operation->generation;
    return REALM_OK;
}

/* What logits are asked for is charged as a completion, so its row not as a prompt. */
static realm_status
start_rows(struct held *held, const struct operation *operation, struct realm_error *error)
{
    struct sequence *const s = held->sequence;
    if (operation->kind == OPERATION_VERIFY) {
        REALM_TRY(check_length(held, (uint64_t)s->n_tokens + operation->n_tokens, error));
        memcpy(s->tokens + s->n_tokens, operation->tokens, operation->n_tokens * sizeof *s->tokens);
        s->n_draft = operation->n_tokens;
    } else {
        REALM_TRY(append(held, operation, error));
    }
    s->n_prompt = s->n_tokens - 1;
    return REALM_OK;
}

static realm_status start(struct held *held, struct operation *operation, struct realm_error *error)
{
    struct sequence *const s = held->sequence;
    const uint64_t n_tokens =
        (uint64_t)s->n_tokens + (operation->kind == OPERATION_STEP ? operation->n_tokens : 0);
    if (n_tokens == 0) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "the sequence has no tokens");
    }
    if (operation->n_drawn > n_tokens) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "n_drawn is %u and the sequence has %llu tokens",
                               operation->n_drawn,
                               (unsigned long long)n_tokens);
    }
    REALM_TRY(operation->kind == OPERATION_GENERATE ? start_generation(held, operation, error)
                                                    : start_rows(held, operation, error));
    if (operation->sampler != NULL && !operation->goes_on) {
        sampler_resume(operation->sampler, s->tokens, s->n_tokens, operation->n_drawn);
    }
    s->sampler = operation->sampler;
    s->text = operation->text;
    s->constraint = operation->constraint;
    operation->started = true;
    held->resting = false;
    return REALM_OK;
}

/* The sequence is its own again. */
static void stop(struct held *held, struct operation *operation)
{
    struct sequence *const s = held->sequence;
    const bool generated = operation->kind == OPERATION_GENERATE;
    operation->n_completion = generated ? s->n_tokens - s->n_prompt : 0;
    if (generated ? operation->n_completion > 0 : operation->error.status == REALM_OK) {
        s->n_charged = s->n_tokens;
    } else if (operation->kind == OPERATION_STEP) {
        sequence_truncate(s, s->n_tokens - operation->n_tokens);
    }
    s->n_prompt = s->n_tokens;
    s->n_draft = 0;
    s->max_tokens = held->max_tokens;
    s->generation = held->session->generation;
    s->sampler = NULL;
    s->text = NULL;
    s->constraint = NULL;
}

/* Ends the first operation; error: NULL: well. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as forks of forks wait for each other */
static void end(struct held *held, const struct realm_error *error)
{
    struct operation *const operation = operation_list_take_first(&held->queue);
    struct held *const fork = operation->fork;
    if (error != NULL && operation->error.status == REALM_OK) {
        operation->error = *error;
    }
    if (operation->started) {
        stop(held, operation);
    }
    if (error != NULL && operation->kind == OPERATION_GENERATE) {
        operation->finish =
            error->status == REALM_CANCELLED ? REALM_FINISH_CANCELLED : REALM_FINISH_ERROR;
    }
    count_pages(held);
    operation->n_tokens_after = held->sequence->n_tokens;
    atomic_store_explicit(&held->n_tokens, held->sequence->n_tokens, memory_order_relaxed);
    session_end_operation(held->session, operation);
    if (fork != NULL) {
        fork->blocked = false;
        if (error != NULL) {
            fork->failed = *error;
        }
        held_run(fork);
    }
}

static realm_status
truncate_to(struct held *held, const struct operation *operation, struct realm_error *error)
{
    struct sequence *const s = held->sequence;
    if (operation->n_tokens > s->n_tokens) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the sequence has %u tokens and cannot be cut to %u",
                               s->n_tokens,
                               operation->n_tokens);
    }
    sequence_truncate(s, operation->n_tokens);
    held->resting = false;
    return REALM_OK;
}

static realm_status copy(struct held *to, const struct sequence *from, struct realm_error *error)
{
    REALM_TRY(check_length(to, from->n_tokens, error));
    sequence_fork(from, to->sequence);
    count_pages(to);
    atomic_store_explicit(&to->n_tokens, from->n_tokens, memory_order_relaxed);
    return REALM_OK;
}

static realm_status
open_saved(struct held *held, const struct operation *operation, struct realm_error *error)
{
    const struct bytes name = {.data = (const uint8_t *)operation->name,
                               .length = operation->n_name_bytes};
    struct engine *const engine = held->session->engine;
    const struct sequence *const saved = saved_find(&engine->saved, held->session, name);
    if (saved == NULL) {
        return realm_error_set(error,
                               REALM_NOT_FOUND,
                               "no sequence is saved as %.*s",
                               (int)operation->n_name_bytes,
                               operation->name);
    }
    return copy(held, saved, error);
}

static realm_status save(struct held *held, struct operation *operation, struct realm_error *error)
{
    struct session *const session = held->session;
    REALM_TRY(saved_keep(&session->engine->saved,
                         operation->saved,
                         held->sequence,
                         session->max_saved_pages,
                         error));
    operation->saved = NULL;
    return REALM_OK;
}

/* What needs no step. */
static realm_status
do_at_once(struct held *held, struct operation *operation, struct realm_error *error)
{
    switch (operation->kind) {
    case OPERATION_APPEND:
        return append(held, operation, error);
    case OPERATION_TRUNCATE:
        return truncate_to(held, operation, error);
    case OPERATION_FORK:
        return copy(operation->fork, held->sequence, error);
    case OPERATION_SAVE:
        return save(held, operation, error);
    case OPERATION_OPEN: {
        const realm_status status = open_saved(held, operation, error);
        held->failed = status != REALM_OK ? *error : held->failed;
        return status;
    }
    default:
        return realm_error_set(error, REALM_INTERNAL, "operation %d", (int)operation->kind);
    }
}

/* What a step takes of the ring: its answer and its end. */
static size_t step_bytes(const struct operation *operation)
{
    return event_ring_record_bytes(0, operation->n_top) + event_ring_record_bytes(0, 0);
}

/* An answer of a step that is to be told. */
static void tell_step(struct held *held, struct event *event);

/* The step that was expected: true: it could be told at once. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as forks of forks wait for each other */
static bool take_over(struct held *held, struct operation *operation)
{
    struct ahead *const ahead = &held->ahead;
    struct session *const session = held->session;
    if (ahead->state != AHEAD_KNOWN) {
        held->sequence->n_tokens -= ahead->state == AHEAD_RUNNING ? 1 : 0;
        ahead_hand_over(ahead, operation);
        return false;
    }
    const size_t needs = step_bytes(operation);
    if (session->ended.first != NULL ||
        event_ring_room_bytes(&session->ring) < session->reserved_bytes + needs) {
        stop_ahead(held); /* runs again once the caller reads */
        return false;
    }
    session->reserved_bytes += needs;
    struct event event = {
        .kind = EVENT_LOGITS, .token = ahead->next, .logprob = ahead->next_logprob};
    ahead_hand_over(ahead, operation);
    operation->started = true;
    stats_add(&session->model->stats.rows_ahead_taken, 1);
    tell_step(held, &event);
    return true;
}

/* Goes on with the first operation; false: it waits for steps. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as forks of forks wait for each other */
static bool proceed(struct held *held)
{
    struct operation *const operation = held->queue.first;
    struct realm_error error = {.status = REALM_OK};
    if (!operation->started && !ahead_is_asked(&held->ahead, operation)) {
        stop_ahead(held);
    }
    if (operation->ticket <= atomic_load(&held->cancelled_through)) {
        realm_error_set(&error, REALM_CANCELLED, "the operation was cancelled");
    } else if (held->failed.status != REALM_OK) {
        error = held->failed;
    } else if (operation->started) { /* NOLINT(bugprone-branch-clone): by precedence */
        return false;
    } else if (!operation_wants_logits(operation)) {
        (void)do_at_once(held, operation, &error);
    } else if (held->ahead.state != AHEAD_NONE && take_over(held, operation)) {
        return true;
    } else if (start(held, operation, &error) == REALM_OK) {
        return false;
    }
    stop_ahead(held);
    end(held, error.status != REALM_OK ? &error : NULL);
    return true;
}

static void drop(struct held *held)
{
    struct session *const session = held->session;
    held->drop = operation_list_take_first(&held->queue);
    stop_ahead(held);
    deactivate(held);
    sequence_truncate(held->sequence, 0);
    count_pages(held);
    struct held **link = &session->first_held;
    while (*link != held) {
        link = &(*link)->next;
    }
    *link = held->next;
    held->dropped = true;
    held->next_dropped = session->first_dropped;
    session->first_dropped = held;
    session_stir(session);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as forks of forks wait for each other */
void held_run(struct held *held)
{
    struct session *const session = held->session;
    if (held->dropped) {
        return;
    }
    if (!held->linked) {
        held->linked = true;
        held->next = session->first_held;
        session->first_held = held;
    }
    scheduler_unpark(session->model, held->sequence);
    while (!held->blocked && held->queue.first != NULL) {
        if (held->queue.first->kind == OPERATION_DROP) {
            drop(held);
            return;
        }
        if (!proceed(held)) {
            break;
        }
    }
    settle(held);
}

void held_retire(struct held *held)
{
    atomic_store(&held->cancelled_through, UINT64_MAX);
    held->resting = true;
    stop_ahead(held);
    held_run(held);
    if (!held->dropped) {
        scheduler_unpark(held->session->model, held->sequence);
        sequence_truncate(held->sequence, 0);
    }
}

/* --- in a step ----------------------------------------------------------------------------------
 */

/* What one event of an operation may take of the ring. */
static size_t event_bytes(const struct held *held, const struct operation *operation)
{
    return operation->kind == OPERATION_STEP ? step_bytes(operation)
                                             : held->session->ring.max_record_bytes;
}

/* What the first operation may say in one step; the end of a draft's check finds its own room. */
static size_t needed_bytes(const struct held *held)
{
    if (!is_asked(held) || held->queue.first->kind == OPERATION_VERIFY) {
        return 0;
    }
    return (1 + (size_t)held->sequence->n_draft) * event_bytes(held, held->queue.first);
}

void held_count_ring_room(struct held *held)
{
    struct session *const session = held->session;
    session->step_room = session->ended.first == NULL ? event_ring_room_bytes(&session->ring) : 0;
    session->reserved_bytes = 0;
}

bool held_take_ring_room(struct held *held)
{
    struct session *const session = held->session;
    const size_t needs = needed_bytes(held);
    if (session->step_room < needs) {
        return false;
    }
    session->step_room -= needs;
    session->reserved_bytes += needs;
    return true;
}

/* The ring has room: it was reserved. */
static void say(struct held *held, struct event *event)
{
    struct session *const session = held->session;
    const size_t n_bytes = event_bytes(held, held->queue.first);
    event->ticket = held->queue.first->ticket;
    event->sequence = held->number;
    session->reserved_bytes -=
        n_bytes < session->reserved_bytes ? n_bytes : session->reserved_bytes;
    (void)REALM_INVARIANT(session_push(session, event));
}

void held_say_token(struct held *held, const struct sampler_choice *choice, struct bytes text)
{
    struct sequence *const s = held->sequence;
    const bool logprobs = s->generation->logprobs;
    say(held,
        &(struct event){
            .kind = EVENT_TOKEN,
            .token = choice->token,
            .text = text,
            .logprob = choice->logprob,
            .n_top = logprobs ? choice->n_top : 0,
            .top = choice->top,
        });
    count_pages(held);
    if (!session_holds(held, s->n_tokens + 1)) {
        s->max_tokens = s->n_tokens;
    }
}

void held_finish(struct held *held, realm_finish finish, token_id stop_token, struct bytes text)
{
    struct operation *const operation = held->queue.first;
    operation->finish = finish;
    operation->token = stop_token;
    operation->end_text = text;
    end(held, NULL);
}

void held_fail(struct held *held, const struct realm_error *error)
{
    held->sequence->page_cap_passed = false;
    held->resting = true;
    stop_ahead(held);
    if (is_asked(held)) {
        end(held, error);
    }
}

/* Whose row has run. */
static void charge(struct held *held)
{
    fairness_charge_completion(held->session->model->fairness, held->session->account, 1);
}

/* Who was told a token. */
static void count_token(struct held *held)
{
    stats_add(&held->session->model->stats.completion_tokens, 1);
    stats_add(&account_whole(held->session->account)->completion_tokens, 1);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as forks of forks wait for each other */
static void tell_step(struct held *held, struct event *event)
{
    struct operation *const operation = held->queue.first;
    const bool goes_on = operation->goes_on;
    count_token(held);
    say(held, event);
    ahead_expect(&held->ahead, operation, event->token);
    end(held, NULL);
    if (goes_on) {
        run_ahead(held);
    }
}

realm_status
held_draw(struct held *held, float *logits, float *raw, struct draw *out, struct realm_error *error)
{
    const struct operation *const operation = is_asked(held) ? held->queue.first : NULL;
    struct sampler *const sampler = operation != NULL ? operation->sampler : held->ahead.sampler;
    const uint32_t vocabulary = tokenizer_vocabulary(held->session->model->tokenizer);
    const struct sampler_limits limits = {.n_banned = 0};
    out->choice.token = TOKEN_NONE;
    out->choice.logprob = 0;
    if (operation != NULL && operation->n_top > 0) {
        out->n_top = operation->n_top;
        REALM_TRY(logprobs_top(logits, vocabulary, out->top, &out->n_top, &out->log_sum, error));
    }
    return sampler != NULL ? sampler_next(sampler, logits, raw, &limits, &out->choice, error)
                           : REALM_OK;
}

static void take_step(struct held *held, const struct draw *draw)
{
    charge(held);
    tell_step(held,
              &(struct event){
                  .kind = EVENT_LOGITS,
                  .token = draw->choice.token,
                  .logprob = draw->choice.logprob,
                  .n_top = draw->n_top,
                  .top = draw->top,
                  .log_sum = draw->n_top > 0 ? draw->log_sum : 0,
              });
}

/* Keeps what comes next for the step that is expected. */
static void take_ahead(struct held *held, const struct draw *draw)
{
    charge(held);
    stats_add(&held->session->model->stats.rows_ahead, 1);
    held->ahead.next = draw->choice.token;
    held->ahead.next_logprob = draw->choice.logprob;
    held->ahead.state = AHEAD_KNOWN;
}

static void take_draft(struct held *held, const struct draw *draw)
{
    struct sequence *const s = held->sequence;
    struct operation *const operation = held->queue.first;
    charge(held);
    count_token(held);
    if (s->n_draft > 0 && s->tokens[s->n_tokens] == draw->choice.token) {
        s->n_tokens++;
        operation->n_accepted++;
        return;
    }
    operation->token = draw->choice.token;
    end(held, NULL);
}

void held_take_draw(struct held *held, const struct draw *draw)
{
    const bool asked = is_asked(held);
    if (draw->error.status != REALM_OK) {
        stop_ahead(held); /* the step that asks for it is told why */
        if (asked) {
            end(held, &draw->error);
        }
    } else if (!asked) {
        take_ahead(held, draw);
    } else if (held->queue.first->kind == OPERATION_STEP) {
        take_step(held, draw);
    } else {
        take_draft(held, draw);
    }
}
