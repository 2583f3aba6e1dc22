/* Sessions under pressure: company, few pages, slow readers, callers that go; and random operations
 * against what they should come to. */
#include "base/alloc.h"
#include "support/test_support.h"
#include "support/tiny_session.h"

#define CONTEXT 128u
/* 12 pages of the tiny model: little more than one context. */
#define FEW_PAGES_BYTES (12u * 16 * 2 * 2 * 2 * 16 * 2)

static struct tiny_engine tiny;

static void load(uint64_t kv_memory_bytes, uint32_t max_rows)
{
    tiny_engine_open(&tiny,
                     &(struct engine_options){.n_threads = 2},
                     &(struct engine_model_options){.context_length = CONTEXT,
                                                    .kv_memory_bytes = kv_memory_bytes,
                                                    .max_rows = max_rows});
}

/* In debug builds the engine looks its pages through when it stops. */
static void unload(void)
{
    tiny_engine_close(&tiny);
}

#define N_MIXED 12u

/* Requests, generations, steps and drafts of two sessions in the same batches. */
static void check_mix(uint64_t kv_memory_bytes, uint32_t max_rows)
{
    static struct tiny_answer alone[N_MIXED];
    static struct tiny_answer answer;
    struct tiny_session sessions[2];
    struct generation *requests[N_MIXED];
    session_ticket tickets[N_MIXED];
    session_ticket drafts[N_MIXED];
    session_sequence sequences[N_MIXED];
    token_id prompts[N_MIXED][CONTEXT];
    struct realm_error error;
    load(kv_memory_bytes, max_rows);
    for (uint32_t i = 0; i < N_MIXED; i++) {
        tiny_prompt(i, 5 + i * 5, prompts[i]);
        tiny_reference(&tiny, prompts[i], 5 + i * 5, 40, NULL, &alone[i]);
    }
    for (uint32_t i = 0; i < 2; i++) {
        tiny_session_open(&sessions[i], &tiny, &(struct session_options){.max_sequences = 32});
    }
    for (uint32_t i = 0; i < N_MIXED; i++) {
        struct tiny_session *const session = &sessions[i % 2];
        requests[i] = tiny_submit(&tiny,
                                  &(struct request){.model = tiny.model,
                                                    .prompt = prompts[i],
                                                    .n_prompt = 5 + i * 5,
                                                    .max_tokens = 40,
                                                    .ignore_end = true});
        sequences[i] = tiny_sequence(session);
        tiny_append(session, sequences[i], prompts[i], 5 + i * 5);
        const struct session_sampling greedy = {.n_drawn = 0};
        const session_sequence fork = tiny_fork(session, sequences[i]);
        assert_ok(session_verify(
                      session->session, fork, alone[i].tokens, 20, &greedy, &drafts[i], &error),
                  &error);
        tickets[i] = tiny_generate(session, sequences[i], 40, NULL);
    }
    for (uint32_t i = 0; i < N_MIXED; i++) {
        struct tiny_session *const session = &sessions[i % 2];
        assert_told(tiny_await(session, tickets[i]), &alone[i]);
        const struct tiny_told *const draft = tiny_await(session, drafts[i]);
        assert_int_equal(draft->end.n_accepted, 20);
        assert_int_equal(draft->end.token, alone[i].tokens[20]);
        tiny_read(requests[i], &answer);
        assert_same_answer(&answer, &alone[i]);
    }
    tiny_session_close(&sessions[0]);
    tiny_session_close(&sessions[1]);
    unload();
}

static void answers_do_not_depend_on_the_company(void **state)
{
    (void)state;
    check_mix(0, 0);
}

static void nor_on_the_rows_of_a_step(void **state)
{
    (void)state;
    check_mix(0, 7);
}

static void nor_on_pages_being_short(void **state)
{
    (void)state;
    check_mix(FEW_PAGES_BYTES, 0);
}

/* Idle sequences that fill the pool lose their pages to a request, and say the same afterwards. */
static void idle_sequences_give_way_and_come_back(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    struct tiny_session session;
    session_sequence sequences[4];
    token_id text[CONTEXT];
    struct engine_stats stats;
    load(FEW_PAGES_BYTES, 0);
    tiny_session_open(&session, &tiny, &(struct session_options){.max_sequences = 8});
    for (uint32_t turn = 0; turn < 3; turn++) {
        for (uint32_t i = 0; i < 4; i++) {
            sequences[i] = tiny_sequence(&session);
            tiny_prompt(30 + i, 60, text);
            tiny_await(&session, tiny_append(&session, sequences[i], text, 60));
        }
        for (uint32_t i = 0; i < 4; i++) {
            tiny_prompt(30 + i, 60, text);
            tiny_reference(&tiny, text, 60, 30, NULL, &answer);
            const session_ticket ticket = tiny_generate(&session, sequences[i], 30, NULL);
            assert_told(tiny_await(&session, ticket), &answer);
            tiny_drop(&session, sequences[i]);
        }
    }
    engine_stats(tiny.engine, &stats);
    assert_int_equal(stats.requests_finished, 12);
    tiny_session_close(&session);
    unload();
}

static void a_cap_of_pages_counts_what_is_held(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    struct tiny_session session;
    token_id text[CONTEXT];
    session_sequence sequences[3];
    load(0, 0);
    struct account *const account = tiny_account(3, &(struct account_options){.max_pages = 6});
    tiny_session_open(&session, &tiny, &(struct session_options){.account = account});
    for (uint32_t i = 0; i < 3; i++) {
        tiny_prompt(40 + i, 50, text);
        sequences[i] = tiny_sequence(&session);
        tiny_await(&session, tiny_append(&session, sequences[i], text, 50));
    }
    for (uint32_t i = 0; i < 3; i++) {
        tiny_prompt(40 + i, 50, text);
        tiny_reference(&tiny, text, 50, 30, NULL, &answer);
        assert_told(tiny_await(&session, tiny_generate(&session, sequences[i], 30, NULL)), &answer);
    }
    /* Alone too long for its account: that operation ends, and a shorter text goes on. */
    struct realm_error error;
    tiny_append(&session, sequences[0], text, 40);
    const session_ticket over = tiny_generate(&session, sequences[0], 5, NULL);
    assert_int_equal(tiny_await(&session, over)->end.status, REALM_RESOURCE_EXHAUSTED);
    assert_ok(session_truncate(session.session, sequences[0], 50, NULL, &error), &error);
    tiny_prompt(40, 50, text);
    tiny_reference(&tiny, text, 50, 5, NULL, &answer);
    assert_told(tiny_await(&session, tiny_generate(&session, sequences[0], 5, NULL)), &answer);
    struct account_stats stats;
    account_stats(account, &stats);
    assert_true(stats.prompt_tokens >= 150);
    assert_true(stats.completion_tokens >= 95);
    tiny_session_close(&session);
    account_release(account);
    unload();
}

/* A caller that does not read parks its own sequences only, and misses nothing later. */
static void a_caller_that_lags_holds_nobody_up(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    struct tiny_session session;
    token_id text[CONTEXT];
    session_ticket tickets[6];
    load(0, 0);
    tiny_session_open(&session, &tiny, &(struct session_options){.max_top = 1});
    tiny_prompt(50, 20, text);
    for (uint32_t i = 0; i < 6; i++) {
        const session_sequence sequence = tiny_sequence(&session);
        tiny_append(&session, sequence, text, 20);
        tickets[i] = tiny_generate(&session, sequence, 100, NULL);
        for (uint32_t k = 0; k < 5; k++) {
            tiny_append(&session, sequence, text, 1);
        }
    }
    for (uint32_t i = 0; i < 5; i++) {
        tiny_reference(&tiny, text, 20, 100, NULL, &answer);
        assert_int_equal(answer.status, REALM_OK);
    }
    for (uint32_t i = 0; i < 6; i++) {
        assert_told(tiny_await(&session, tickets[i]), &answer);
    }
    tiny_session_close(&session);
    unload();
}

/* Gone at any time, with anything queued and nothing read. */
static void callers_that_go_leave_nothing(void **state)
{
    (void)state;
    struct test_random random;
    token_id text[CONTEXT];
    load(FEW_PAGES_BYTES, 0);
    test_random_init(&random, "callers_that_go_leave_nothing");
    tiny_prompt(60, 64, text);
    for (uint32_t i = 0; i < 300; i++) {
        struct tiny_session session;
        tiny_session_open(&session, &tiny, &(struct session_options){.max_sequences = 8});
        const uint32_t n = (uint32_t)test_random_below(&random, 8);
        session_sequence sequence = 0;
        for (uint32_t k = 0; k < n; k++) {
            sequence = k % 3 == 0 ? tiny_sequence(&session) : tiny_fork(&session, sequence);
            tiny_append(&session, sequence, text, 1 + (uint32_t)test_random_below(&random, 60));
            const session_ticket ticket = tiny_generate(&session, sequence, 40, NULL);
            if (test_random_below(&random, 4) == 0) {
                tiny_await(&session, ticket);
            }
            if (test_random_below(&random, 4) == 0) {
                const session_sequence fork = sequence;
                sequence = tiny_fork(&session, fork);
                tiny_drop(&session, fork);
                k++;
            }
        }
        tiny_session_close(&session);
    }
    unload();
}

/* --- random operations --------------------------------------------------------------------------
 */

#define N_LIVE 6u

/* A sequence and what its text must be. */
struct shadow {
    session_sequence sequence; /* 0: none */
    token_id text[CONTEXT];
    uint32_t n;
    session_ticket ticket; /* of what was asked last; 0: nothing */
    bool generates;
    bool verifies;
    uint32_t n_draft;
};

static struct shadow shadows[N_LIVE];
static struct shadow saved;
static const struct bytes saved_name = {.data = (const uint8_t *)"random", .length = 6};

static void random_tokens(struct test_random *random, token_id *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (token_id)test_random_below(random, 256);
    }
}

static void
ask_append(struct tiny_session *session, struct test_random *random, struct shadow *shadow)
{
    const uint32_t n = (uint32_t)test_random_below(random, CONTEXT - 10 - shadow->n);
    random_tokens(random, shadow->text + shadow->n, n);
    shadow->ticket = tiny_append(session, shadow->sequence, shadow->text + shadow->n, n);
    shadow->n += n;
}

static void
ask_truncate(struct tiny_session *session, struct test_random *random, struct shadow *shadow)
{
    struct realm_error error;
    shadow->n = (uint32_t)test_random_below(random, shadow->n + 1);
    assert_ok(
        session_truncate(session->session, shadow->sequence, shadow->n, &shadow->ticket, &error),
        &error);
}

static void
ask_verify(struct tiny_session *session, struct test_random *random, struct shadow *shadow)
{
    struct realm_error error;
    const struct session_sampling greedy = {.n_drawn = 0};
    shadow->n_draft = 1 + (uint32_t)test_random_below(random, 8);
    random_tokens(random, shadow->text + shadow->n, shadow->n_draft);
    assert_ok(session_verify(session->session,
                             shadow->sequence,
                             shadow->text + shadow->n,
                             shadow->n_draft,
                             &greedy,
                             &shadow->ticket,
                             &error),
              &error);
    shadow->verifies = true;
}

static void ask_saved(struct tiny_session *session, struct shadow *shadow, bool open)
{
    struct realm_error error;
    if (!open) {
        assert_ok(
            session_save(session->session, shadow->sequence, saved_name, &shadow->ticket, &error),
            &error);
        saved = *shadow;
    } else if (saved.sequence != 0) {
        tiny_drop(session, shadow->sequence);
        memcpy(shadow->text, saved.text, sizeof shadow->text);
        shadow->n = saved.n;
        assert_ok(session_open_saved(
                      session->session, saved_name, &shadow->sequence, &shadow->ticket, &error),
                  &error);
    }
}

/* Some steps in which the caller goes on as drawn; then it is somewhere on that way when it asks
 * for something else.  Sometimes it asks one of them twice, or looks at the likeliest tokens. */
static void walk(struct tiny_session *session, struct test_random *random, struct shadow *shadow)
{
    static const struct sampler_options ways[] = {
        {.temperature = 0},
        {.temperature = 1, .seed = 5},
        {.temperature = 1, .top_k = 40, .repetition_penalty = 1.1f, .presence_penalty = 0.5f},
    };
    static struct tiny_answer answer;
    struct realm_error error;
    const struct sampler_options *const way = &ways[test_random_below(random, 3)];
    const uint32_t n_steps = 1 + (uint32_t)test_random_below(random, 8);
    bool appended = true;
    tiny_reference(&tiny, shadow->text, shadow->n, n_steps, way, &answer);
    for (uint32_t i = 0; i < n_steps;) {
        const bool looks = test_random_below(random, 8) == 0;
        const struct session_step step = {
            .sequence = shadow->sequence,
            .tokens = answer.tokens + i - (appended ? 0 : 1),
            .n_tokens = appended ? 0 : 1,
            .n_top = looks ? 3 : 0,
            .draw = true,
            .sampling = {.options = *way, .n_drawn = i},
        };
        shadow->n += appended ? 0 : 1;
        appended = true;
        assert_ok(session_step(session->session, &step, 1, &shadow->ticket, &error), &error);
        const struct tiny_told *const told = tiny_await(session, shadow->ticket);
        assert_int_equal(told->n_logits, 1);
        assert_int_equal(told->logits[0].n_top, looks ? 3 : 0);
        assert_int_equal(told->logits[0].token, answer.tokens[i]);
        assert_int_equal(told->end.n_tokens, shadow->n);
        if (i + 1 == n_steps || test_random_below(random, 8) > 0) {
            shadow->text[shadow->n] = answer.tokens[i];
            appended = false;
            i++;
        }
    }
}

static void ask(struct tiny_session *session, struct test_random *random, struct shadow *shadow)
{
    struct shadow *const other = &shadows[test_random_below(random, N_LIVE)];
    const uint64_t choice = shadow->sequence == 0 ? 99 : test_random_below(random, 15);
    const bool room = shadow->n > 0 && shadow->n + 10 < CONTEXT;
    if (shadow->sequence == 0) {
        shadow->sequence = tiny_sequence(session);
        shadow->n = 0;
    } else if (choice < 4 && shadow->n + 10 < CONTEXT) {
        ask_append(session, random, shadow);
    } else if (choice < 7 && room) {
        shadow->ticket = tiny_generate(session, shadow->sequence, 8, NULL);
        shadow->generates = true;
    } else if (choice == 7 && room) {
        ask_verify(session, random, shadow);
    } else if (choice == 8 && other->sequence == 0) {
        *other = *shadow;
        other->sequence = tiny_fork(session, shadow->sequence);
    } else if (choice == 9) {
        ask_truncate(session, random, shadow);
    } else if (choice == 10) {
        ask_saved(session, shadow, test_random_below(random, 2) == 0);
    } else if (choice == 11) {
        tiny_drop(session, shadow->sequence);
        *shadow = (struct shadow){.sequence = 0};
    } else if (choice > 11 && room) {
        walk(session, random, shadow);
    }
}

/* What was asked has come: the shadow learns what the model added. */
static void learn(struct tiny_session *session, struct shadow *shadow)
{
    static struct tiny_answer answer;
    if (shadow->ticket == 0) {
        return;
    }
    const struct tiny_told *const told = tiny_await(session, shadow->ticket);
    if (told->end.status != REALM_OK) {
        fail_msg("%s", told->message);
    }
    if (shadow->generates || shadow->verifies) {
        tiny_reference(&tiny, shadow->text, shadow->n, 8, NULL, &answer);
    }
    if (shadow->generates) {
        assert_told(told, &answer);
        memcpy(shadow->text + shadow->n, told->tokens, 8 * sizeof *told->tokens);
        shadow->n += 8;
    } else if (shadow->verifies) {
        const uint32_t n_accepted = told->end.n_accepted;
        assert_memory_equal(shadow->text + shadow->n, answer.tokens, n_accepted * sizeof(token_id));
        assert_true(n_accepted >= 8 || told->end.token == answer.tokens[n_accepted]);
        assert_true(n_accepted == shadow->n_draft ||
                    shadow->text[shadow->n + n_accepted] != told->end.token);
        shadow->n += n_accepted;
    }
    assert_int_equal(told->end.n_tokens, shadow->n);
    shadow->ticket = 0;
    shadow->generates = false;
    shadow->verifies = false;
}

static void check_random(uint64_t kv_memory_bytes, uint32_t n_rounds, const char *name)
{
    struct test_random random;
    struct tiny_session session;
    load(kv_memory_bytes, 0);
    test_random_init(&random, name);
    memset(shadows, 0, sizeof shadows);
    memset(&saved, 0, sizeof saved);
    const struct session_options options = {.max_sequences = 16, .max_saved_pages = 8};
    tiny_session_open(&session, &tiny, &options);
    for (uint32_t round = 0; round < n_rounds; round++) {
        const uint32_t n_asked = 1 + (uint32_t)test_random_below(&random, 4);
        for (uint32_t i = 0; i < n_asked; i++) {
            struct shadow *const shadow = &shadows[test_random_below(&random, N_LIVE)];
            if (shadow->ticket == 0) {
                ask(&session, &random, shadow);
            }
        }
        for (uint32_t i = 0; i < N_LIVE; i++) {
            learn(&session, &shadows[i]);
        }
        if (round % 150 == 149) { /* with what it holds; what is saved stays */
            tiny_session_close(&session);
            tiny_session_open(&session, &tiny, &options);
            memset(shadows, 0, sizeof shadows);
        }
    }
    session_ticket ticket;
    struct realm_error error;
    assert_ok(session_remove_saved(session.session, saved_name, &ticket, &error), &error);
    tiny_await(&session, ticket);
    tiny_session_close(&session);
    unload();
}

static void random_operations_come_to_what_they_should(void **state)
{
    (void)state;
    check_random(0, 3000, "random_operations_come_to_what_they_should");
}

static void also_where_pages_are_short(void **state)
{
    (void)state;
    check_random(FEW_PAGES_BYTES, 2000, "also_where_pages_are_short");
}

static void the_engine_allocates_nothing_for_sessions(void **state)
{
    (void)state;
    struct tiny_session session;
    token_id text[CONTEXT];
    load(0, 0);
    tiny_session_open(&session, &tiny, &(struct session_options){.max_top = 5});
    tiny_prompt(70, 20, text);
    const session_sequence sequence = tiny_sequence(&session);
    tiny_append(&session, sequence, text, 20);
    const session_ticket ticket = tiny_generate(&session, sequence, 100, NULL);
    const uint64_t n_before = alloc_count();
    tiny_await(&session, ticket);
    assert_int_equal(alloc_count(), n_before);
    tiny_session_close(&session);
    unload();
}

/* The engine goes first: everything ends, and the session can still be read and released. */
static void a_stopping_engine_ends_all_operations(void **state)
{
    (void)state;
    struct tiny_session session;
    token_id text[CONTEXT];
    struct realm_error error;
    load(0, 0);
    tiny_session_open(&session, &tiny, &(struct session_options){.max_saved_pages = 9});
    tiny_prompt(80, 20, text);
    const session_sequence sequence = tiny_sequence(&session);
    tiny_append(&session, sequence, text, 20);
    const struct bytes name = {.data = (const uint8_t *)"left", .length = 4};
    assert_ok(session_save(session.session, sequence, name, NULL, &error), &error);
    const session_ticket ticket = tiny_generate(&session, sequence, 100, NULL);
    engine_destroy(tiny.engine);
    const struct tiny_told *const told = tiny_await(&session, ticket);
    assert_true(told->end.status == REALM_CANCELLED || told->end.status == REALM_OK);
    tiny_session_close(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_do_not_depend_on_the_company),
        cmocka_unit_test(nor_on_the_rows_of_a_step),
        cmocka_unit_test(nor_on_pages_being_short),
        cmocka_unit_test(idle_sequences_give_way_and_come_back),
        cmocka_unit_test(a_cap_of_pages_counts_what_is_held),
        cmocka_unit_test(a_caller_that_lags_holds_nobody_up),
        cmocka_unit_test(callers_that_go_leave_nothing),
        cmocka_unit_test(random_operations_come_to_what_they_should),
        cmocka_unit_test(also_where_pages_are_short),
        cmocka_unit_test(the_engine_allocates_nothing_for_sessions),
        cmocka_unit_test(a_stopping_engine_ends_all_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
