/* The engine over a tiny model: answers that do not depend on company, pages that always come back.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "engine/engine.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <string.h>

#define MAX_TOKENS  128u
#define WAIT_MS     20000u
#define MAX_CHOICES 8u

struct answer {
    token_id tokens[MAX_CHOICES][MAX_TOKENS];
    uint32_t n_tokens[MAX_CHOICES];
    char text[MAX_CHOICES][4096];
    realm_finish finish[MAX_CHOICES];
    realm_status status;
    char message[256];
    uint32_t n_completion;
};

static struct engine *engine;
static struct engine_model *model;

static void load(uint64_t kv_memory_bytes, uint32_t max_rows)
{
    char path[1024];
    struct realm_error error = {.status = REALM_OK};
    const struct engine_options options = {.n_threads = 2};
    const struct engine_model_options model_options = {
        .context_length = 128, .kv_memory_bytes = kv_memory_bytes, .max_rows = max_rows};
    (void)snprintf(path, sizeof path, "%s/golden/models/llama_tied.gguf", REALM_TEST_DATA);
    assert_int_equal(engine_create(&options, &engine, &error), REALM_OK);
    if (engine_load_model(engine, "tiny", path, &model_options, &model, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
}

static void unload(void)
{
    struct engine_stats stats;
    const uint64_t deadline_ns = clock_monotonic_ns() + 5000000000u;
    do { /* the last answers' pages are given back by the engine thread */
        engine_stats(engine, &stats);
    } while (stats.pages_used + stats.running > 0 && clock_monotonic_ns() < deadline_ns);
    assert_int_equal(stats.pages_used, 0);
    assert_int_equal(stats.running, 0);
    engine_destroy(engine);
}

static uint32_t make_prompt(uint32_t seed, token_id out[MAX_TOKENS])
{
    const uint32_t n = 1 + seed * 7 % 50;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (seed * 31 + i * 17 + i * i * seed) % 256;
    }
    return n;
}

static struct request greedy_request(const token_id *prompt, uint32_t n_prompt)
{
    return (struct request){.model = model,
                            .prompt = prompt,
                            .n_prompt = n_prompt,
                            .max_tokens = 40,
                            .ignore_end = true};
}

static void take_event(struct answer *answer, const struct event *event)
{
    const uint32_t c = event->choice;
    if (event->kind == EVENT_TOKEN) {
        assert_true(answer->n_tokens[c] < MAX_TOKENS);
        answer->tokens[c][answer->n_tokens[c]++] = event->token;
    }
    const size_t n = strlen(answer->text[c]);
    assert_true(n + event->text.length < sizeof answer->text[c]);
    memcpy(answer->text[c] + n, event->text.data, event->text.length);
    if (event->kind == EVENT_FINISHED) {
        answer->finish[c] = event->finish;
        if (event->message != NULL) {
            (void)snprintf(answer->message, sizeof answer->message, "%s", event->message);
        }
    }
    if (event->kind == EVENT_DONE) {
        answer->status = event->status;
        answer->n_completion = event->n_completion_tokens;
    }
}

static void read_answer(struct generation *generation, struct answer *answer)
{
    memset(answer, 0, sizeof *answer);
    for (;;) {
        struct event event;
        if (!generation_next(generation, &event)) {
            assert_true(generation_wait(generation, WAIT_MS));
            continue;
        }
        take_event(answer, &event);
        if (event.kind == EVENT_DONE) {
            generation_release(generation);
            return;
        }
    }
}

static struct generation *submit(const struct request *request)
{
    struct generation *generation;
    struct realm_error error;
    if (engine_submit(engine, request, &generation, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return generation;
}

#define N_MIXED 24u

/* All prompts alone, one after the other, then all at once. */
static void check_mix(uint64_t kv_memory_bytes, uint32_t max_rows, bool expect_preemptions)
{
    static struct answer alone[N_MIXED];
    static struct answer mixed;
    struct generation *generations[N_MIXED];
    token_id prompts[N_MIXED][MAX_TOKENS];
    struct engine_stats stats;
    load(kv_memory_bytes, max_rows);
    for (uint32_t i = 0; i < N_MIXED; i++) {
        const struct request request = greedy_request(prompts[i], make_prompt(i, prompts[i]));
        read_answer(submit(&request), &alone[i]);
        assert_int_equal(alone[i].n_tokens[0], 40);
        assert_int_equal(alone[i].finish[0], REALM_FINISH_LENGTH);
    }
    for (uint32_t i = 0; i < N_MIXED; i++) {
        const struct request request = greedy_request(prompts[i], make_prompt(i, prompts[i]));
        generations[i] = submit(&request);
    }
    for (uint32_t i = 0; i < N_MIXED; i++) {
        read_answer(generations[i], &mixed);
        assert_memory_equal(mixed.tokens[0], alone[i].tokens[0], 40 * sizeof(token_id));
        assert_string_equal(mixed.text[0], alone[i].text[0]);
    }
    engine_stats(engine, &stats);
    assert_int_equal(stats.requests_finished, 2 * N_MIXED);
    if (expect_preemptions) {
        assert_true(stats.preemptions > 0);
    }
    unload();
}

static void a_greedy_answer_does_not_depend_on_its_company(void **state)
{
    (void)state;
    check_mix(0, 0, false);
}

static void nor_on_the_chunks_its_prompt_was_computed_in(void **state)
{
    (void)state;
    check_mix(0, 7, false);
}

/* Pages for little more than one context: sequences are preempted, computed again, and none fails.
 */
static void nor_on_preemption(void **state)
{
    (void)state;
    check_mix(12 * 16 * 2 * 2 * 2 * 16 * 2, 0, true);
}

static void choices_share_their_prompt_and_differ_by_their_stream(void **state)
{
    (void)state;
    static struct answer first;
    static struct answer second;
    token_id prompt[MAX_TOKENS];
    load(0, 0);
    struct request request = greedy_request(prompt, make_prompt(5, prompt));
    request.n_choices = 4;
    request.sampling = (struct sampler_options){.temperature = 1, .seed = 11};
    read_answer(submit(&request), &first);
    read_answer(submit(&request), &second);
    for (uint32_t c = 0; c < 4; c++) {
        assert_int_equal(first.n_tokens[c], 40);
        assert_memory_equal(first.tokens[c], second.tokens[c], 40 * sizeof(token_id));
        for (uint32_t d = 0; d < c; d++) {
            assert_memory_not_equal(first.tokens[c], first.tokens[d], 40 * sizeof(token_id));
        }
    }
    assert_int_equal(first.n_completion, 160);
    /* Who asks choice by choice begins where he says. */
    request.n_choices = 2;
    request.sampling.stream = 2;
    read_answer(submit(&request), &second);
    assert_memory_equal(second.tokens[0], first.tokens[2], 40 * sizeof(token_id));
    assert_memory_equal(second.tokens[1], first.tokens[3], 40 * sizeof(token_id));
    unload();
}

/* n greedy choices are the same answer n times: the fork must copy the page it shares before it
 * writes. */
static void greedy_choices_are_all_the_same(void **state)
{
    (void)state;
    static struct answer one;
    static struct answer many;
    token_id prompt[MAX_TOKENS];
    load(0, 0);
    for (uint32_t seed = 1; seed < 8; seed++) {
        struct request request = greedy_request(prompt, make_prompt(seed, prompt));
        read_answer(submit(&request), &one);
        request.n_choices = 5;
        read_answer(submit(&request), &many);
        for (uint32_t c = 0; c < 5; c++) {
            assert_memory_equal(many.tokens[c], one.tokens[0], 40 * sizeof(token_id));
        }
    }
    unload();
}

static void cancelled_and_abandoned_requests_leave_no_page(void **state)
{
    (void)state;
    static struct answer answer;
    token_id prompt[MAX_TOKENS];
    struct engine_stats stats;
    load(0, 0);
    for (uint32_t i = 0; i < 200; i++) {
        struct request request = greedy_request(prompt, make_prompt(i, prompt));
        request.n_choices = 1 + i % 3;
        struct generation *const generation = submit(&request);
        if (i % 4 == 0) {
            (void)generation_wait(generation, WAIT_MS);
        }
        if (i % 2 == 0) {
            generation_release(generation);
        } else {
            generation_cancel(generation);
            read_answer(generation, &answer);
            assert_true(answer.status == REALM_CANCELLED || answer.status == REALM_OK);
        }
    }
    engine_stats(engine, &stats);
    assert_true(stats.requests_cancelled > 0);
    unload();
}

static void a_passed_deadline_ends_its_request_alone(void **state)
{
    (void)state;
    static struct answer late;
    static struct answer other;
    token_id prompt[MAX_TOKENS];
    load(0, 0);
    struct request request = greedy_request(prompt, make_prompt(3, prompt));
    struct generation *const beside = submit(&request);
    request.deadline_ns = 1;
    read_answer(submit(&request), &late);
    assert_int_equal(late.status, REALM_DEADLINE_EXCEEDED);
    assert_int_equal(late.finish[0], REALM_FINISH_ERROR);
    assert_non_null(strstr(late.message, "deadline"));
    read_answer(beside, &other);
    assert_int_equal(other.status, REALM_OK);
    unload();
}

/* A reader that does not read stops its own sequence only. */
static void a_reader_that_lags_holds_nobody_up(void **state)
{
    (void)state;
    static struct answer slow;
    static struct answer fast;
    token_id prompt[MAX_TOKENS];
    load(0, 0);
    struct request request = greedy_request(prompt, make_prompt(9, prompt));
    request.max_tokens = 100;
    request.n_choices = 6;
    struct generation *const unread = submit(&request);
    request.n_choices = 1;
    for (uint32_t i = 0; i < 5; i++) {
        read_answer(submit(&request), &fast);
        assert_int_equal(fast.status, REALM_OK);
    }
    read_answer(unread, &slow);
    assert_int_equal(slow.status, REALM_OK);
    assert_memory_equal(slow.tokens[5], fast.tokens[0], fast.n_tokens[0] * sizeof(token_id));
    unload();
}

static void steps_allocate_nothing(void **state)
{
    (void)state;
    token_id prompt[MAX_TOKENS];
    struct event event = {.kind = EVENT_STARTED};
    load(0, 0);
    struct request request = greedy_request(prompt, make_prompt(2, prompt));
    request.max_tokens = 110;
    request.sampling = (struct sampler_options){
        .temperature = 1, .top_k = 40, .top_p = 0.9f, .repetition_penalty = 1.1f, .seed = 3};
    struct generation *const generation = submit(&request);
    while (!generation_next(generation, &event) || event.kind != EVENT_TOKEN) {
        (void)generation_wait(generation, WAIT_MS);
    }
    const uint64_t allocated_before = alloc_count();
    uint32_t n_tokens = 1;
    while (event.kind != EVENT_DONE) {
        if (!generation_next(generation, &event)) {
            (void)generation_wait(generation, WAIT_MS);
            continue;
        }
        n_tokens += event.kind == EVENT_TOKEN;
    }
    assert_true(n_tokens > 100);
    assert_int_equal(alloc_count(), allocated_before);
    generation_release(generation);
    unload();
}

static void requests_out_of_range_are_refused_with_the_numbers(void **state)
{
    (void)state;
    token_id prompt[200] = {0};
    struct generation *generation;
    struct realm_error error;
    load(0, 0);
    struct request request = greedy_request(prompt, 200);
    assert_int_equal(engine_submit(engine, &request, &generation, &error), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "200"));
    assert_non_null(strstr(error.message, "128"));
    assert_null(generation);
    request = greedy_request(prompt, 0);
    assert_int_equal(engine_submit(engine, &request, &generation, &error), REALM_INVALID_ARGUMENT);
    request = greedy_request(prompt, 3);
    prompt[1] = 999999;
    assert_int_equal(engine_submit(engine, &request, &generation, &error), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "999999"));
    prompt[1] = 0;
    request.sampling.top_p = 1.5f;
    assert_int_equal(engine_submit(engine, &request, &generation, &error), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "top_p"));
    unload();
}

static void a_draining_engine_refuses_and_finishes(void **state)
{
    (void)state;
    static struct answer answer;
    token_id prompt[MAX_TOKENS];
    struct generation *refused;
    struct realm_error error;
    load(0, 0);
    const struct request request = greedy_request(prompt, make_prompt(4, prompt));
    struct generation *const running = submit(&request);
    (void)engine_drain(engine);
    assert_int_equal(engine_submit(engine, &request, &refused, &error), REALM_UNAVAILABLE);
    read_answer(running, &answer);
    assert_int_equal(answer.status, REALM_OK);
    const uint64_t deadline_ns = clock_monotonic_ns() + 5000000000u;
    while (!engine_drain(engine)) {
        assert_true(clock_monotonic_ns() < deadline_ns);
    }
    unload();
}

/* Tokens the model wants most can be stopped at, or banned until min_tokens. */
static void stop_tokens_and_min_tokens_are_honoured(void **state)
{
    (void)state;
    static struct answer whole;
    static struct answer stopped;
    token_id prompt[MAX_TOKENS];
    load(0, 0);
    struct request request = greedy_request(prompt, make_prompt(6, prompt));
    read_answer(submit(&request), &whole);
    const token_id stop = whole.tokens[0][10];
    uint32_t first = 0;
    while (whole.tokens[0][first] != stop) {
        first++;
    }
    request.stop_tokens = &stop;
    request.n_stop_tokens = 1;
    read_answer(submit(&request), &stopped);
    assert_int_equal(stopped.finish[0], REALM_FINISH_STOP);
    assert_int_equal(stopped.n_tokens[0], first);
    assert_memory_equal(stopped.tokens[0], whole.tokens[0], first * sizeof(token_id));
    request.min_tokens = first + 1;
    read_answer(submit(&request), &stopped);
    assert_true(stopped.n_tokens[0] > first);
    assert_int_not_equal(stopped.tokens[0][first], stop);
    unload();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_greedy_answer_does_not_depend_on_its_company),
        cmocka_unit_test(nor_on_the_chunks_its_prompt_was_computed_in),
        cmocka_unit_test(nor_on_preemption),
        cmocka_unit_test(choices_share_their_prompt_and_differ_by_their_stream),
        cmocka_unit_test(greedy_choices_are_all_the_same),
        cmocka_unit_test(cancelled_and_abandoned_requests_leave_no_page),
        cmocka_unit_test(a_passed_deadline_ends_its_request_alone),
        cmocka_unit_test(a_reader_that_lags_holds_nobody_up),
        cmocka_unit_test(steps_allocate_nothing),
        cmocka_unit_test(requests_out_of_range_are_refused_with_the_numbers),
        cmocka_unit_test(a_draining_engine_refuses_and_finishes),
        cmocka_unit_test(stop_tokens_and_min_tokens_are_honoured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
