/* The n-th allocation fails while a caller works with a session: each call says so and has queued
 * nothing, those before it come to their end, and nothing leaks. */
#include "support/test_support.h"
#include "support/tiny_session.h"

#define MAX_CALLS 2000

static uint64_t held(void)
{
    uint64_t n_bytes = 0;
    for (int i = 0; i < ALLOC_N_PURPOSES; i++) {
        n_bytes += alloc_held_bytes((enum alloc_purpose)i);
    }
    return n_bytes;
}

/* The engine frees its part soon after the caller's. */
static bool is_back(void *context)
{
    return held() == *(const uint64_t *)context;
}

struct calls {
    struct session *session;
    session_sequence sequence;
    session_sequence fork;
    session_sequence opened;
    session_ticket last;   /* of what was queued */
    session_ticket n_done; /* of it, read */
};

/* Every operation that was queued ends, and well. */
static void await_all(struct calls *calls)
{
    struct event event;
    while (calls->n_done < calls->last) {
        if (!session_next(calls->session, &event)) {
            assert_true(session_wait(calls->session, TINY_WAIT_MS));
        } else if (event.kind == EVENT_DONE) {
            assert_int_equal(event.status, REALM_OK);
            calls->n_done++;
        }
    }
}

static realm_status ask(struct calls *calls, struct realm_error *error)
{
    static const token_id tokens[] = {1, 2, 3, 4, 5};
    static const struct bytes name = {.data = (const uint8_t *)"kept", .length = 4};
    static const token_id stop = 7;
    const struct bytes stops = {.data = (const uint8_t *)"stop", .length = 4};
    const struct session_generation generation = {.sampling.options = {.temperature = 1,
                                                                       .repetition_penalty = 1.1f,
                                                                       .dry_multiplier = 1,
                                                                       .logprobs = true},
                                                  .stops = &stops,
                                                  .n_stops = 1,
                                                  .stop_tokens = &stop,
                                                  .n_stop_tokens = 1,
                                                  .max_tokens = 5};
    struct session *const session = calls->session;
    REALM_TRY(session_sequence_create(session, 0, &calls->sequence, error));
    REALM_TRY(session_append(session, calls->sequence, tokens, 5, &calls->last, error));
    REALM_TRY(session_fork(session, calls->sequence, &calls->fork, &calls->last, error));
    REALM_TRY(session_generate(session, calls->sequence, &generation, &calls->last, error));
    const struct session_step steps[] = {
        {.sequence = calls->sequence, .n_top = 3},
        {.sequence = calls->fork, .tokens = tokens, .n_tokens = 2, .draw = true}};
    REALM_TRY(session_step(session, steps, 2, &calls->last, error));
    const struct session_sampling greedy = {.n_drawn = 0};
    REALM_TRY(session_verify(session, calls->fork, tokens, 5, &greedy, &calls->last, error));
    REALM_TRY(session_save(session, calls->fork, name, &calls->last, error));
    await_all(calls); /* a name is known once it was saved */
    REALM_TRY(session_open_saved(session, name, &calls->opened, &calls->last, error));
    REALM_TRY(session_truncate(session, calls->opened, 2, &calls->last, error));
    return session_remove_saved(session, name, &calls->last, error);
}

static void calls_that_find_no_memory_leave_nothing(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    tiny_engine_open(&tiny,
                     &(struct engine_options){.n_threads = 2},
                     &(struct engine_model_options){.context_length = 128});
    uint64_t before = held();
    for (uint64_t n = 0; n < MAX_CALLS; n++) {
        struct realm_error error = {.status = REALM_OK};
        struct calls calls = {.session = NULL};
        const struct session_options options = {.model = tiny.model, .max_saved_pages = 4};
        alloc_fail_after(n);
        realm_status status = session_create(tiny.engine, &options, &calls.session, &error);
        if (status == REALM_OK) {
            status = ask(&calls, &error);
        }
        alloc_fail_after(UINT64_MAX);
        assert_int_equal(error.status, status);
        if (calls.session != NULL) {
            await_all(&calls);
        }
        const bool may_be_saved = calls.last >= 6 && calls.last <= 8;
        if (may_be_saved) { /* it outlives the session */
            struct tiny_session other;
            session_ticket ticket;
            tiny_session_open(&other, &tiny, &(struct session_options){.max_sequences = 1});
            const struct bytes name = {.data = (const uint8_t *)"kept", .length = 4};
            assert_ok(session_remove_saved(other.session, name, &ticket, &error), &error);
            tiny_await(&other, ticket);
            tiny_session_close(&other);
        }
        session_release(calls.session);
        if (!test_poll(is_back, &before, 3000)) {
            fail_msg("allocation %d: %lld bytes more (last ticket %d: %s)",
                     (int)n,
                     (long long)(held() - before),
                     (int)calls.last,
                     error.message);
        }
        if (status == REALM_OK) {
            assert_true(n > 30);
            tiny_engine_close(&tiny);
            return;
        }
        assert_int_equal(status, REALM_OUT_OF_MEMORY);
    }
    fail_msg("still failing after %d allocations", MAX_CALLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_that_find_no_memory_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
