/* Sequences that a caller holds: whatever way they came to their tokens, what comes next is what a
 * request with the same tokens would say. */
#include "support/tiny_session.h"

#define CONTEXT 128u

static struct tiny_engine tiny;
static struct tiny_session held;

static const struct sampler_options warm = {
    .temperature = 1, .top_k = 50, .repetition_penalty = 1.1f, .presence_penalty = 0.5f, .seed = 7};

static void open_with(const struct session_options *options)
{
    tiny_engine_open(&tiny,
                     &(struct engine_options){.n_threads = 2},
                     &(struct engine_model_options){.context_length = CONTEXT});
    tiny_session_open(&held, &tiny, options);
}

static int set_up(void **state)
{
    (void)state;
    open_with(&(struct session_options){.max_saved_pages = 16});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tiny_session_close(&held);
    tiny_engine_close(&tiny);
    return 0;
}

static void generating_is_what_a_request_says(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    token_id prompt[CONTEXT];
    for (uint32_t seed = 0; seed < 8; seed++) {
        const struct sampler_options *const sampling = seed % 2 == 0 ? NULL : &warm;
        const uint32_t n_prompt = 1 + seed * 9;
        tiny_prompt(seed, n_prompt, prompt);
        tiny_reference(&tiny, prompt, n_prompt, 40, sampling, &answer);
        const session_sequence sequence = tiny_sequence(&held);
        tiny_append(&held, sequence, prompt, n_prompt);
        const struct tiny_told *const told =
            tiny_await(&held, tiny_generate(&held, sequence, 40, sampling));
        assert_told(told, &answer);
        assert_int_equal(told->end.finish, REALM_FINISH_LENGTH);
        assert_int_equal(told->end.n_completion_tokens, 40);
        assert_int_equal(told->end.n_tokens, n_prompt + 40);
        assert_int_equal(told->end.sequence, sequence);
        tiny_drop(&held, sequence);
    }
}

static void pieces_are_one(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    token_id prompt[CONTEXT];
    tiny_prompt(3, 60, prompt);
    tiny_reference(&tiny, prompt, 60, 30, NULL, &answer);
    const session_sequence sequence = tiny_sequence(&held);
    session_ticket last = 0;
    for (uint32_t i = 0, n; i < 60; i += n) {
        n = i + 1 + i % 5 < 60 ? 1 + i % 5 : 60 - i;
        last = tiny_append(&held, sequence, prompt + i, n);
        if (i % 2 == 0) {
            assert_int_equal(tiny_await(&held, last)->end.n_tokens, i + n);
        }
    }
    assert_int_equal(tiny_await(&held, last)->end.n_tokens, 60);
    assert_told(tiny_await(&held, tiny_generate(&held, sequence, 30, NULL)), &answer);
}

/* After a generation, more tokens and another generation: as if all had been a prompt. */
static void a_sequence_goes_on_after_a_generation(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    token_id text[CONTEXT];
    uint32_t n = 20;
    tiny_prompt(4, n, text);
    const session_sequence sequence = tiny_sequence(&held);
    tiny_append(&held, sequence, text, n);
    for (uint32_t turn = 0; turn < 4; turn++) {
        const struct tiny_told *const told =
            tiny_await(&held, tiny_generate(&held, sequence, 11, NULL));
        tiny_reference(&tiny, text, n, 11, NULL, &answer);
        assert_told(told, &answer);
        memcpy(text + n, told->tokens, 11 * sizeof *text);
        n += 11;
        tiny_prompt(90 + turn, 9, text + n);
        tiny_append(&held, sequence, text + n, 9);
        n += 9;
    }
}

static void forks_go_their_own_ways(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    token_id text[CONTEXT];
    tiny_prompt(5, 37, text);
    const session_sequence trunk = tiny_sequence(&held);
    tiny_append(&held, trunk, text, 37);
    session_sequence forks[5];
    session_ticket tickets[5];
    for (uint32_t i = 0; i < 5; i++) {
        forks[i] = i == 4 ? tiny_fork(&held, forks[3]) : tiny_fork(&held, trunk);
        text[37] = 10 + i;
        text[38] = 20 + i;
        tiny_append(&held, forks[i], text + 37, i < 4 ? 2 : 0);
        tickets[i] = tiny_generate(&held, forks[i], 30, NULL);
    }
    const session_ticket last = tiny_generate(&held, trunk, 30, NULL);
    for (uint32_t i = 0; i < 4; i++) {
        text[37] = 10 + i;
        text[38] = 20 + i;
        tiny_reference(&tiny, text, 39, 30, NULL, &answer);
        assert_told(tiny_await(&held, tickets[i]), &answer);
    }
    /* Forked after its source had generated. */
    memcpy(text + 39, held.told[tickets[3]].tokens, 30 * sizeof *text);
    tiny_reference(&tiny, text, 69, 30, NULL, &answer);
    assert_told(tiny_await(&held, tickets[4]), &answer);
    tiny_reference(&tiny, text, 37, 30, NULL, &answer);
    assert_told(tiny_await(&held, last), &answer);
}

static void a_cut_sequence_is_a_shorter_one(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    token_id text[CONTEXT];
    struct realm_error error;
    tiny_prompt(6, 50, text);
    const session_sequence sequence = tiny_sequence(&held);
    tiny_append(&held, sequence, text, 50);
    tiny_await(&held, tiny_generate(&held, sequence, 20, NULL));
    const uint32_t cuts[] = {55, 50, 49, 48, 33, 32, 31, 1};
    for (uint32_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        session_ticket ticket;
        assert_ok(session_truncate(held.session, sequence, cuts[i], &ticket, &error), &error);
        assert_int_equal(tiny_await(&held, ticket)->end.n_tokens, cuts[i]);
        if (cuts[i] > 50) {
            continue;
        }
        tiny_reference(&tiny, text, cuts[i], 25, i % 2 == 0 ? &warm : NULL, &answer);
        const session_ticket generated =
            tiny_generate(&held, sequence, 25, i % 2 == 0 ? &warm : NULL);
        assert_told(tiny_await(&held, generated), &answer);
    }
    session_ticket ticket;
    assert_ok(session_truncate(held.session, sequence, 0, &ticket, &error), &error);
    tiny_append(&held, sequence, text, 50);
    tiny_reference(&tiny, text, 50, 10, NULL, &answer);
    assert_told(tiny_await(&held, tiny_generate(&held, sequence, 10, NULL)), &answer);
    assert_ok(session_truncate(held.session, sequence, 61, &ticket, &error), &error);
    assert_int_equal(tiny_await(&held, ticket)->end.status, REALM_INVALID_ARGUMENT);
    assert_int_equal(held.told[ticket].end.n_tokens, 60);
}

static session_ticket step_one(session_sequence sequence,
                               uint32_t n_top,
                               const struct sampler_options *sampling,
                               uint32_t n_drawn)
{
    session_ticket ticket;
    struct realm_error error;
    struct session_step step = {.sequence = sequence, .n_top = n_top, .draw = sampling != NULL};
    if (sampling != NULL) {
        step.sampling = (struct session_sampling){.options = *sampling, .n_drawn = n_drawn};
    }
    assert_ok(session_step(held.session, &step, 1, &ticket, &error), &error);
    return ticket;
}

/* A caller that chooses the likeliest token itself, and one that lets each step draw. */
static void single_steps_are_a_generation(void **state)
{
    (void)state;
    static struct tiny_answer greedy;
    static struct tiny_answer drawn;
    token_id prompt[CONTEXT];
    tiny_prompt(8, 30, prompt);
    tiny_reference(&tiny, prompt, 30, 40, NULL, &greedy);
    tiny_reference(&tiny, prompt, 30, 40, &warm, &drawn);
    const session_sequence by_top = tiny_sequence(&held);
    tiny_append(&held, by_top, prompt, 30);
    const session_sequence by_draw = tiny_fork(&held, by_top);
    for (uint32_t i = 0; i < 40; i++) {
        const struct tiny_told *told = tiny_await(&held, step_one(by_top, 5, NULL, 0));
        assert_int_equal(told->n_logits, 1);
        assert_int_equal(told->logits[0].sequence, by_top);
        assert_int_equal(told->logits[0].n_top, 5);
        assert_int_equal(told->logits[0].token, UINT32_MAX);
        assert_int_equal(told->end.n_tokens, 30 + i);
        assert_int_equal(told->top[0][0].token, greedy.tokens[i]);
        for (uint32_t k = 1; k < 5; k++) {
            assert_true(told->top[0][k].logprob <= told->top[0][k - 1].logprob);
        }
        tiny_append(&held, by_top, &told->top[0][0].token, 1);
        told = tiny_await(&held, step_one(by_draw, 0, &warm, i));
        assert_int_equal(told->logits[0].token, drawn.tokens[i]);
        tiny_append(&held, by_draw, &told->logits[0].token, 1);
    }
}

static void a_step_says_the_same_again(void **state)
{
    (void)state;
    token_id prompt[CONTEXT];
    tiny_prompt(9, 32, prompt);
    const session_sequence sequence = tiny_sequence(&held);
    tiny_append(&held, sequence, prompt, 32);
    const struct tiny_told *const first = tiny_await(&held, step_one(sequence, 20, NULL, 0));
    const session_sequence fork = tiny_fork(&held, sequence);
    for (uint32_t i = 0; i < 3; i++) {
        const struct tiny_told *const again =
            tiny_await(&held, step_one(i == 1 ? fork : sequence, 20, NULL, 0));
        assert_memory_equal(again->top[0], first->top[0], 20 * sizeof first->top[0][0]);
        assert_true(again->logits[0].log_sum == first->logits[0].log_sum);
    }
    double sum = 0;
    for (uint32_t i = 0; i < 20; i++) {
        sum += (double)first->top[0][i].logprob;
    }
    assert_true(sum < 0);
}

static void several_sequences_make_one_step(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    token_id prompt[CONTEXT];
    struct realm_error error;
    struct session_step steps[6];
    for (uint32_t i = 0; i < 6; i++) {
        tiny_prompt(20 + i, 5 + i * 13, prompt);
        steps[i] = (struct session_step){.sequence = tiny_sequence(&held), .n_top = 1};
        tiny_append(&held, steps[i].sequence, prompt, 5 + i * 13);
    }
    session_ticket ticket;
    assert_ok(session_step(held.session, steps, 6, &ticket, &error), &error);
    const struct tiny_told *const told = tiny_await(&held, ticket);
    assert_int_equal(told->end.status, REALM_OK);
    assert_int_equal(told->n_logits, 6);
    for (uint32_t k = 0; k < 6; k++) {
        uint32_t i = 0;
        while (steps[i].sequence != told->logits[k].sequence) {
            i++;
            assert_true(i < 6);
        }
        tiny_prompt(20 + i, 5 + i * 13, prompt);
        tiny_reference(&tiny, prompt, 5 + i * 13, 1, NULL, &answer);
        assert_int_equal(told->top[k][0].token, answer.tokens[0]);
    }
    /* One part fails: the others answer, and DONE says which. */
    const session_sequence empty = tiny_sequence(&held);
    steps[2].sequence = empty;
    assert_ok(session_step(held.session, steps, 6, &ticket, &error), &error);
    const struct tiny_told *const failed = tiny_await(&held, ticket);
    assert_int_equal(failed->n_logits, 5);
    assert_int_equal(failed->end.status, REALM_INVALID_ARGUMENT);
    assert_int_equal(failed->end.sequence, empty);
    steps[3] = steps[4];
    assert_int_equal(session_step(held.session, steps, 6, &ticket, &error), REALM_INVALID_ARGUMENT);
}

/* Drafts right up to a place: exactly that much is accepted, and what follows is what would. */
static void check_drafts(const struct sampler_options *sampling)
{
    static struct tiny_answer answer;
    token_id text[CONTEXT];
    struct realm_error error;
    const uint32_t n_prompt = 27;
    const struct sampler_options greedy = {.temperature = 0};
    tiny_prompt(11, n_prompt, text);
    tiny_reference(&tiny, text, n_prompt, 60, sampling, &answer);
    const session_sequence trunk = tiny_sequence(&held);
    tiny_append(&held, trunk, text, n_prompt);
    for (uint32_t right = 0; right <= SESSION_MAX_DRAFT; right += 1 + right / 4) {
        for (uint32_t wrong = right == 0; right + wrong <= SESSION_MAX_DRAFT && wrong < 6;
             wrong += 3) {
            const session_sequence fork = tiny_fork(&held, trunk);
            token_id draft[SESSION_MAX_DRAFT];
            memcpy(draft, answer.tokens, sizeof draft);
            if (wrong > 0) {
                draft[right] = (draft[right] + 1) % 256;
            }
            session_ticket ticket;
            const struct session_sampling asked = {.options =
                                                       sampling != NULL ? *sampling : greedy};
            assert_ok(
                session_verify(held.session, fork, draft, right + wrong, &asked, &ticket, &error),
                &error);
            struct session_generation rest = {
                .sampling = asked, .max_tokens = 60 - right - 1, .ignore_end = true};
            const struct tiny_told *const told = tiny_await(&held, ticket);
            assert_int_equal(told->end.status, REALM_OK);
            assert_int_equal(told->end.n_accepted, right);
            assert_int_equal(told->end.n_tokens, n_prompt + right);
            assert_int_equal(told->end.token, answer.tokens[right]);
            tiny_append(&held, fork, &told->end.token, 1);
            rest.sampling.n_drawn = right + 1;
            assert_ok(session_generate(held.session, fork, &rest, &ticket, &error), &error);
            const struct tiny_told *const after = tiny_await(&held, ticket);
            assert_int_equal(after->n_tokens, 60 - right - 1);
            assert_memory_equal(
                after->tokens, answer.tokens + right + 1, after->n_tokens * sizeof *text);
            tiny_drop(&held, fork);
        }
    }
}

static void drafts_are_accepted_as_far_as_they_are_right(void **state)
{
    (void)state;
    check_drafts(NULL);
    check_drafts(&warm);
}

static void saved_sequences_outlive_their_session(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    static const struct bytes name = {.data = (const uint8_t *)"chat/1", .length = 6};
    token_id text[CONTEXT];
    struct realm_error error;
    session_ticket ticket;
    session_sequence opened;
    tiny_prompt(12, 45, text);
    const session_sequence sequence = tiny_sequence(&held);
    tiny_append(&held, sequence, text, 45);
    assert_ok(session_save(held.session, sequence, name, &ticket, &error), &error);
    assert_int_equal(tiny_await(&held, ticket)->end.status, REALM_OK);
    tiny_session_close(&held);
    tiny_session_open(&held, &tiny, &(struct session_options){.max_saved_pages = 4});
    assert_ok(session_open_saved(held.session, name, &opened, &ticket, &error), &error);
    const session_ticket generated = tiny_generate(&held, opened, 20, NULL);
    tiny_reference(&tiny, text, 45, 20, NULL, &answer);
    assert_told(tiny_await(&held, generated), &answer);
    assert_int_equal(held.told[ticket].end.n_tokens, 45);
    /* Replaced by a longer one, within the quota; a second one passes it. */
    assert_ok(session_truncate(held.session, opened, 64, &ticket, &error), &error);
    assert_ok(session_save(held.session, opened, name, &ticket, &error), &error);
    assert_int_equal(tiny_await(&held, ticket)->end.status, REALM_OK);
    const struct bytes other = {.data = (const uint8_t *)"other", .length = 5};
    assert_ok(session_save(held.session, opened, other, &ticket, &error), &error);
    assert_int_equal(tiny_await(&held, ticket)->end.status, REALM_QUOTA_EXCEEDED);
    /* What is not there cannot be opened, and what is queued for it ends the same way. */
    assert_ok(session_open_saved(held.session, other, &opened, &ticket, &error), &error);
    const session_ticket in_vain = tiny_generate(&held, opened, 20, NULL);
    assert_int_equal(tiny_await(&held, ticket)->end.status, REALM_NOT_FOUND);
    assert_int_equal(tiny_await(&held, in_vain)->end.status, REALM_NOT_FOUND);
    assert_ok(session_remove_saved(held.session, name, &ticket, &error), &error);
    assert_int_equal(tiny_await(&held, ticket)->end.status, REALM_OK);
    assert_ok(session_remove_saved(held.session, name, &ticket, &error), &error);
    assert_int_equal(tiny_await(&held, ticket)->end.status, REALM_NOT_FOUND);
}

static void another_accounts_names_are_not_known(void **state)
{
    (void)state;
    static const struct bytes name = {.data = (const uint8_t *)"mine", .length = 4};
    token_id text[CONTEXT];
    struct realm_error error;
    session_ticket ticket;
    session_sequence opened;
    struct tiny_session other;
    struct account *const account = tiny_account(9, &(struct account_options){.weight = 1});
    tiny_prompt(13, 20, text);
    const session_sequence sequence = tiny_sequence(&held);
    tiny_append(&held, sequence, text, 20);
    assert_ok(session_save(held.session, sequence, name, &ticket, &error), &error);
    tiny_await(&held, ticket);
    tiny_session_open(&other, &tiny, &(struct session_options){.account = account});
    assert_ok(session_open_saved(other.session, name, &opened, &ticket, &error), &error);
    assert_int_equal(tiny_await(&other, ticket)->end.status, REALM_NOT_FOUND);
    assert_ok(session_remove_saved(other.session, name, &ticket, &error), &error);
    assert_int_equal(tiny_await(&other, ticket)->end.status, REALM_NOT_FOUND);
    tiny_session_close(&other);
    account_release(account);
    assert_ok(session_remove_saved(held.session, name, &ticket, &error), &error);
    assert_int_equal(tiny_await(&held, ticket)->end.status, REALM_OK);
}

static void numbers_that_are_none_are_refused(void **state)
{
    (void)state;
    token_id token = 1;
    struct realm_error error;
    session_sequence fork;
    uint32_t n_tokens;
    const session_sequence sequence = tiny_sequence(&held);
    tiny_drop(&held, sequence);
    const session_sequence again = tiny_sequence(&held);
    assert_int_not_equal(again, sequence);
    const session_sequence wrong[] = {0, sequence, again + 1, again ^ (1u << 31), 7, UINT32_MAX};
    for (uint32_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const struct session_generation generation = {.max_tokens = 1};
        const struct session_step step = {.sequence = wrong[i]};
        const struct session_sampling sampling = {.n_drawn = 0};
        const struct bytes name = {.data = (const uint8_t *)"x", .length = 1};
        struct session *const s = held.session;
        assert_int_equal(session_append(s, wrong[i], &token, 1, NULL, &error), REALM_NOT_FOUND);
        assert_int_equal(session_fork(s, wrong[i], &fork, NULL, &error), REALM_NOT_FOUND);
        assert_int_equal(session_truncate(s, wrong[i], 0, NULL, &error), REALM_NOT_FOUND);
        assert_int_equal(session_generate(s, wrong[i], &generation, NULL, &error), REALM_NOT_FOUND);
        assert_int_equal(session_step(s, &step, 1, NULL, &error), REALM_NOT_FOUND);
        assert_int_equal(session_verify(s, wrong[i], &token, 1, &sampling, NULL, &error),
                         REALM_NOT_FOUND);
        assert_int_equal(session_save(s, wrong[i], name, NULL, &error), REALM_NOT_FOUND);
        assert_int_equal(session_drop(s, wrong[i], &error), REALM_NOT_FOUND);
        assert_int_equal(session_cancel(s, wrong[i], &error), REALM_NOT_FOUND);
        assert_int_equal(session_length(s, wrong[i], &n_tokens, &error), REALM_NOT_FOUND);
    }
}

static void values_out_of_range_are_refused(void **state)
{
    (void)state;
    struct realm_error error;
    token_id tokens[CONTEXT + 1] = {0};
    struct session *const s = held.session;
    const session_sequence sequence = tiny_sequence(&held);
    struct session_sampling sampling = {.n_drawn = 0};
    tokens[3] = 100000;
    assert_int_equal(session_append(s, sequence, tokens, 4, NULL, &error), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "100000"));
    assert_int_equal(session_verify(s, sequence, tokens, 0, &sampling, NULL, &error),
                     REALM_INVALID_ARGUMENT);
    assert_int_equal(
        session_verify(s, sequence, tokens, SESSION_MAX_DRAFT + 1, &sampling, NULL, &error),
        REALM_INVALID_ARGUMENT);
    const struct session_step step = {.sequence = sequence, .n_top = SESSION_MAX_TOP};
    assert_int_equal(session_step(s, &step, 1, NULL, &error), REALM_INVALID_ARGUMENT);
    assert_int_equal(session_step(s, &step, 0, NULL, &error), REALM_INVALID_ARGUMENT);
    const struct session_generation generation = {.sampling.options.top_p = 2};
    assert_int_equal(session_generate(s, sequence, &generation, NULL, &error),
                     REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "top_p"));
    assert_int_equal(session_save(s, sequence, (struct bytes){.length = 0}, NULL, &error),
                     REALM_INVALID_ARGUMENT);
    /* Those that only the engine's thread can know. */
    tokens[3] = 0;
    assert_int_equal(tiny_await(&held, tiny_generate(&held, sequence, 4, NULL))->end.status,
                     REALM_INVALID_ARGUMENT);
    const session_ticket too_long = tiny_append(&held, sequence, tokens, CONTEXT + 1);
    assert_int_equal(tiny_await(&held, too_long)->end.status, REALM_RESOURCE_EXHAUSTED);
    tiny_append(&held, sequence, tokens, CONTEXT);
    const session_ticket full = tiny_generate(&held, sequence, 4, NULL);
    assert_int_equal(tiny_await(&held, full)->end.status, REALM_RESOURCE_EXHAUSTED);
    assert_int_equal(tiny_await(&held, step_one(sequence, 1, NULL, 0))->end.status, REALM_OK);
    uint32_t n_tokens = 0;
    assert_ok(session_length(s, sequence, &n_tokens, &error), &error);
    assert_int_equal(n_tokens, CONTEXT);
}

static void limits_are_kept(void **state)
{
    (void)state;
    struct realm_error error;
    session_sequence sequences[3];
    session_ticket ticket;
    token_id tokens[CONTEXT] = {0};
    tiny_session_close(&held);
    tiny_session_open(
        &held,
        &tiny,
        &(struct session_options){.max_sequences = 2, .max_operations = 3, .max_pages = 4});
    sequences[0] = tiny_sequence(&held);
    sequences[1] = tiny_sequence(&held);
    assert_int_equal(session_sequence_create(held.session, 0, &sequences[2], &error),
                     REALM_RESOURCE_EXHAUSTED);
    assert_int_equal(sequences[2], 0);
    tiny_await(&held, tiny_append(&held, sequences[0], tokens, 33));
    const session_ticket over = tiny_append(&held, sequences[1], tokens, 17);
    assert_int_equal(tiny_await(&held, over)->end.status, REALM_RESOURCE_EXHAUSTED);
    tiny_await(&held, tiny_append(&held, sequences[1], tokens, 10));
    /* The page is filled up, and then it is the end. */
    const struct tiny_told *const told =
        tiny_await(&held, tiny_generate(&held, sequences[1], 0, NULL));
    assert_int_equal(told->end.finish, REALM_FINISH_LENGTH);
    assert_int_equal(told->end.n_tokens, 16);
    for (uint32_t i = 0; i < 4; i++) {
        const realm_status status =
            session_append(held.session, sequences[0], tokens, 1, &ticket, &error);
        assert_true(status == REALM_OK || (i == 3 && status == REALM_RESOURCE_EXHAUSTED));
    }
    assert_int_equal(session_sequence_create(held.session, 0, &sequences[2], &error),
                     REALM_RESOURCE_EXHAUSTED);
    tiny_drop(&held, sequences[1]);
    assert_ok(session_sequence_create(held.session, 0, &sequences[2], &error), &error);
    struct session *none;
    const struct session_options too_many = {.model = tiny.model, .max_sequences = 5000};
    assert_int_equal(session_create(tiny.engine, &too_many, &none, &error), REALM_INVALID_ARGUMENT);
    assert_null(none);
}

static void what_is_cancelled_ends_and_the_sequence_stays(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    token_id text[CONTEXT];
    struct realm_error error;
    struct event event;
    tiny_prompt(14, 20, text);
    const session_sequence sequence = tiny_sequence(&held);
    tiny_append(&held, sequence, text, 20);
    const session_ticket first = tiny_generate(&held, sequence, 100, NULL);
    const session_ticket second = tiny_generate(&held, sequence, 5, NULL);
    const session_sequence fork = tiny_fork(&held, sequence);
    const session_ticket forked = tiny_generate(&held, fork, 5, NULL);
    while (held.told[first].n_tokens == 0) {
        assert_true(session_readable(held.session) || session_wait(held.session, TINY_WAIT_MS));
        assert_true(session_next(held.session, &event));
        tiny_keep(&held, &event);
    }
    assert_ok(session_cancel(held.session, sequence, &error), &error);
    const session_ticket after = tiny_append(&held, sequence, text, 1);
    const struct tiny_told *const told = tiny_await(&held, first);
    if (told->end.status == REALM_CANCELLED) { /* else it was faster */
        assert_int_equal(told->end.finish, REALM_FINISH_CANCELLED);
        assert_int_equal(told->end.n_tokens, 20 + told->n_tokens);
        assert_int_equal(tiny_await(&held, second)->end.status, REALM_CANCELLED);
        assert_int_equal(tiny_await(&held, forked)->end.status, REALM_CANCELLED);
        memcpy(text + 20, told->tokens, told->n_tokens * sizeof *text);
        const uint32_t n = 20 + told->n_tokens;
        assert_int_equal(tiny_await(&held, after)->end.n_tokens, n + 1);
        text[n] = text[0];
        tiny_reference(&tiny, text, n + 1, 5, NULL, &answer);
        assert_told(tiny_await(&held, tiny_generate(&held, sequence, 5, NULL)), &answer);
    }
}

/* Text, a stop string, stop tokens: as a request has them. */
static void stops_end_a_generation(void **state)
{
    (void)state;
    static struct tiny_answer answer;
    token_id text[CONTEXT];
    struct realm_error error;
    session_ticket ticket;
    tiny_prompt(6, 30, text);
    tiny_reference(&tiny, text, 30, 40, NULL, &answer);
    token_id stop = answer.tokens[10];
    uint32_t first = 0;
    while (answer.tokens[first] != stop) {
        first++;
    }
    const session_sequence sequence = tiny_sequence(&held);
    tiny_append(&held, sequence, text, 30);
    struct session_generation generation = {
        .max_tokens = 40, .ignore_end = true, .stop_tokens = &stop, .n_stop_tokens = 1};
    assert_ok(session_generate(held.session, sequence, &generation, &ticket, &error), &error);
    const struct tiny_told *told = tiny_await(&held, ticket);
    assert_int_equal(told->end.finish, REALM_FINISH_STOP);
    assert_int_equal(told->end.stop_token, stop);
    assert_int_equal(told->n_tokens, first);
    assert_int_equal(told->end.n_tokens, 30 + first + 1);
    const session_sequence other = tiny_sequence(&held);
    tiny_append(&held, other, text, 30);
    const struct tiny_told *const whole = tiny_await(&held, tiny_generate(&held, other, 40, NULL));
    const size_t n_text = strlen(whole->text);
    assert_true(n_text > 8);
    const struct bytes stops = {.data = (const uint8_t *)whole->text + n_text / 2, .length = 4};
    assert_ok(session_truncate(held.session, other, 30, NULL, &error), &error);
    generation = (struct session_generation){
        .max_tokens = 40, .ignore_end = true, .stops = &stops, .n_stops = 1};
    assert_ok(session_generate(held.session, other, &generation, &ticket, &error), &error);
    told = tiny_await(&held, ticket);
    assert_int_equal(told->end.finish, REALM_FINISH_STOP);
    assert_null(strstr(told->text,
                       (const char[]){(char)stops.data[0],
                                      (char)stops.data[1],
                                      (char)stops.data[2],
                                      (char)stops.data[3],
                                      0}));
    assert_memory_equal(told->text, whole->text, strlen(told->text));
}

/* The ring takes the answers of about two thirds of them at once; the others wait for room. */
static void steps_that_say_more_than_the_ring_holds_are_all_told(void **state)
{
    (void)state;
    session_sequence sequences[128];
    session_ticket tickets[128];
    open_with(
        &(struct session_options){.max_sequences = 128, .max_operations = 1024, .no_text = true});
    for (uint32_t i = 0; i < 128; i++) {
        sequences[i] = tiny_sequence(&held);
        tiny_append(&held, sequences[i], (token_id[]){5 + i, 9}, 2);
    }
    for (uint32_t round = 0; round < 4; round++) {
        for (uint32_t i = 0; i < 128; i++) {
            tickets[i] = step_one(sequences[i], TINY_MAX_TOP, &warm, 0);
        }
        for (uint32_t i = 0; i < 128; i++) {
            const struct tiny_told *const told = tiny_await(&held, tickets[i]);
            assert_int_equal(told->end.status, REALM_OK);
            assert_int_equal(told->n_logits, 1);
            assert_int_equal(told->logits[0].n_top, TINY_MAX_TOP);
            assert_int_equal(told->end.sequence, sequences[i]);
        }
    }
    struct realm_error error;
    assert_int_equal(
        session_generate(held.session, sequences[0], &(struct session_generation){0}, NULL, &error),
        REALM_INVALID_ARGUMENT);
    tear_down(NULL);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(generating_is_what_a_request_says),
        FRESH(pieces_are_one),
        FRESH(a_sequence_goes_on_after_a_generation),
        FRESH(forks_go_their_own_ways),
        FRESH(a_cut_sequence_is_a_shorter_one),
        FRESH(single_steps_are_a_generation),
        FRESH(a_step_says_the_same_again),
        FRESH(several_sequences_make_one_step),
        FRESH(drafts_are_accepted_as_far_as_they_are_right),
        FRESH(saved_sequences_outlive_their_session),
        FRESH(another_accounts_names_are_not_known),
        FRESH(numbers_that_are_none_are_refused),
        FRESH(values_out_of_range_are_refused),
        FRESH(limits_are_kept),
        FRESH(what_is_cancelled_ends_and_the_sequence_stays),
        FRESH(stops_end_a_generation),
        cmocka_unit_test(steps_that_say_more_than_the_ring_holds_are_all_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
