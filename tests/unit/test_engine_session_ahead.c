/* Rows that run before the caller asks for them: they come to what it would have heard, they do
 * run, and whoever does something else finds the sequence as it was. */
#include "base/clock.h"
#include "support/tiny_session.h"

#define CONTEXT  128u
#define N_PROMPT 30u
#define N_STEPS  20u

static struct tiny_engine tiny;
static struct tiny_session held;
static token_id prompt[CONTEXT];

static const struct sampler_options warm = {.temperature = 1, .top_k = 50, .seed = 7};

static int set_up(void **state)
{
    (void)state;
    tiny_engine_open(&tiny,
                     &(struct engine_options){.n_threads = 2},
                     &(struct engine_model_options){.context_length = CONTEXT});
    tiny_session_open(&held, &tiny, &(struct session_options){.max_saved_pages = 16});
    tiny_prompt(1, N_PROMPT, prompt);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tiny_session_close(&held);
    tiny_engine_close(&tiny);
    return 0;
}

static uint64_t rows_ahead(uint64_t *taken)
{
    struct engine_stats stats;
    engine_stats(tiny.engine, &stats);
    if (taken != NULL) {
        *taken = stats.rows_ahead_taken;
    }
    return stats.rows_ahead;
}

static void await_rows_ahead(uint64_t n)
{
    const uint64_t end_ns = clock_monotonic_ns() + UINT64_C(1000000) * TINY_WAIT_MS;
    while (rows_ahead(NULL) < n) {
        assert_true(clock_monotonic_ns() < end_ns);
    }
}

static session_ticket step(session_sequence sequence,
                           const token_id *token,
                           uint32_t n_drawn,
                           const struct sampler_options *options)
{
    session_ticket ticket;
    struct realm_error error;
    const struct session_step one = {
        .sequence = sequence,
        .tokens = token,
        .n_tokens = token != NULL ? 1 : 0,
        .draw = true,
        .sampling = {.options = *options, .n_drawn = n_drawn},
    };
    assert_ok(session_step(held.session, &one, 1, &ticket, &error), &error);
    return ticket;
}

static token_id drawn(session_ticket ticket)
{
    const struct tiny_told *const told = tiny_await(&held, ticket);
    assert_int_equal(told->end.status, REALM_OK);
    assert_int_equal(told->n_logits, 1);
    return told->logits[0].token;
}

/* A sequence with the prompt, after n steps as drawn; the last token is not appended. */
static session_sequence gone_on(uint32_t n, const struct tiny_answer *answer)
{
    const session_sequence sequence = tiny_sequence(&held);
    tiny_append(&held, sequence, prompt, N_PROMPT);
    for (uint32_t i = 0; i < n; i++) {
        const token_id *const token = i > 0 ? &answer->tokens[i - 1] : NULL;
        assert_int_equal(drawn(step(sequence, token, i, &warm)), answer->tokens[i]);
    }
    return sequence;
}

static void the_next_row_runs_while_the_caller_thinks(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    uint64_t n_taken;
    tiny_reference(&tiny, prompt, N_PROMPT, N_STEPS, &warm, &answer);
    const session_sequence sequence = gone_on(2, &answer);
    for (uint32_t i = 2; i < N_STEPS; i++) {
        await_rows_ahead(i - 1);
        assert_int_equal(drawn(step(sequence, &answer.tokens[i - 1], i, &warm)), answer.tokens[i]);
        assert_int_equal(held.told[i + 2].end.n_tokens, N_PROMPT + i);
    }
    await_rows_ahead(N_STEPS - 1);
    (void)rows_ahead(&n_taken);
    assert_int_equal(n_taken, N_STEPS - 2);
}

/* Once is no habit: nothing is run for a caller that was only told a token. */
static void nothing_runs_ahead_of_a_single_step(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    static struct tiny_answer other;
    tiny_reference(&tiny, prompt, N_PROMPT, N_STEPS, &warm, &answer);
    for (uint32_t i = 0; i < 5; i++) {
        tiny_drop(&held, gone_on(1, &answer));
        tiny_reference(
            &tiny, prompt, N_PROMPT, 3, NULL, &other); /* the engine has had its chance */
    }
    assert_int_equal(rows_ahead(NULL), 0);
}

/* Each of these draws otherwise than what ran ahead. */
static void another_sampling_is_drawn_anew(void **state)
{
    (void)state;
    static const struct sampler_bias bias = {.token = 9, .bias = 50};
    const struct sampler_options ways[] = {
        {.temperature = 0},
        {.temperature = 1, .top_k = 50, .seed = 8},
        {.temperature = 1, .top_k = 1, .seed = 7},
        {.temperature = 1, .top_k = 50, .seed = 7, .stream = 1},
        {.temperature = 3, .top_k = 50, .seed = 7},
        {.temperature = 1, .top_k = 50, .seed = 7, .top_p = 0.01f},
        {.temperature = 1, .top_k = 50, .seed = 7, .min_p = 0.99f},
        {.temperature = 1, .top_k = 50, .seed = 7, .biases = &bias, .n_biases = 1},
        {.temperature = 1, .top_k = 50, .seed = 7, .repetition_penalty = 10},
        {.temperature = 1, .top_k = 50, .seed = 7, .presence_penalty = -2},
    };
    static struct tiny_answer answer;
    tiny_reference(&tiny, prompt, N_PROMPT, 4, &warm, &answer);
    for (uint32_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        const uint64_t n_before = rows_ahead(NULL);
        uint64_t n_taken;
        uint64_t n_taken_now;
        const session_sequence sequence = gone_on(3, &answer);
        const session_sequence fresh = tiny_sequence(&held);
        await_rows_ahead(n_before + 1);
        (void)rows_ahead(&n_taken);
        tiny_append(&held, fresh, prompt, N_PROMPT);
        tiny_append(&held, fresh, answer.tokens, 3);
        assert_int_equal(drawn(step(sequence, &answer.tokens[2], 3, &ways[i])),
                         drawn(step(fresh, NULL, 3, &ways[i])));
        (void)rows_ahead(&n_taken_now);
        assert_int_equal(n_taken_now, n_taken);
        tiny_drop(&held, sequence);
        tiny_drop(&held, fresh);
    }
}

/* What ran ahead is not seen by any other operation. */
static void whoever_turns_off_finds_the_sequence_as_it_was(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    static struct tiny_answer cut;
    struct realm_error error;
    session_ticket ticket;
    uint32_t n_tokens;
    token_id text[CONTEXT];
    tiny_reference(&tiny, prompt, N_PROMPT, 6, &warm, &answer);
    memcpy(text, prompt, N_PROMPT * sizeof *text);
    memcpy(text + N_PROMPT, answer.tokens, 2 * sizeof *text);
    for (uint32_t i = 0; i < 4; i++) {
        const uint64_t n_before = rows_ahead(NULL);
        session_sequence sequence = gone_on(3, &answer);
        await_rows_ahead(n_before + 1);
        assert_ok(session_length(held.session, sequence, &n_tokens, &error), &error);
        assert_int_equal(n_tokens, N_PROMPT + 2);
        if (i == 1) {
            const session_sequence fork = tiny_fork(&held, sequence);
            tiny_drop(&held, sequence);
            sequence = fork;
        } else if (i == 2) {
            assert_ok(session_cancel(held.session, sequence, &error), &error);
        } else if (i == 3) {
            assert_ok(session_truncate(held.session, sequence, N_PROMPT + 3, &ticket, &error),
                      &error);
            assert_int_equal(tiny_await(&held, ticket)->end.status, REALM_INVALID_ARGUMENT);
        }
        tiny_reference(&tiny, text, N_PROMPT + 2, 5, NULL, &cut);
        assert_told(tiny_await(&held, tiny_generate(&held, sequence, 5, NULL)), &cut);
        tiny_drop(&held, sequence);
    }
}

static void a_full_sequence_is_refused_where_it_is_full(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    struct realm_error error;
    session_sequence sequence;
    tiny_reference(&tiny, prompt, N_PROMPT, 6, &warm, &answer);
    assert_ok(session_sequence_create(held.session, N_PROMPT + 4, &sequence, &error), &error);
    tiny_append(&held, sequence, prompt, N_PROMPT);
    for (uint32_t i = 0; i < 5; i++) {
        const token_id *const token = i > 0 ? &answer.tokens[i - 1] : NULL;
        assert_int_equal(drawn(step(sequence, token, i, &warm)), answer.tokens[i]);
    }
    const struct tiny_told *const over =
        tiny_await(&held, step(sequence, &answer.tokens[4], 5, &warm));
    assert_int_equal(over->end.status, REALM_RESOURCE_EXHAUSTED);
    assert_int_equal(over->end.n_tokens, N_PROMPT + 4);
    assert_int_equal(drawn(step(sequence, NULL, 4, &warm)), answer.tokens[4]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_next_row_runs_while_the_caller_thinks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_runs_ahead_of_a_single_step, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_sampling_is_drawn_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            whoever_turns_off_finds_the_sequence_as_it_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_full_sequence_is_refused_where_it_is_full, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
