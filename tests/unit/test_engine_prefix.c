/* The prefix cache: found pages change no answer, and nobody finds another's. */
#include "support/tiny_engine.h"

#define PROMPT 70u /* four whole pages and six tokens */

static struct request request_of(const struct tiny_engine *tiny,
                                 struct account *account,
                                 const token_id *prompt,
                                 uint32_t n_prompt)
{
    return (struct request){.model = tiny->model,
                            .account = account,
                            .prompt = prompt,
                            .n_prompt = n_prompt,
                            .max_tokens = 30,
                            .ignore_end = true};
}

static void open_tiny(struct tiny_engine *tiny, bool no_prefix_cache)
{
    const struct engine_options options = {.n_threads = 2, .no_prefix_cache = no_prefix_cache};
    const struct engine_model_options model_options = {.context_length = 128};
    tiny_engine_open(tiny, &options, &model_options);
}

static void a_prompt_seen_before_is_found_and_changes_nothing(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    token_id prompt[PROMPT];
    struct tiny_answer without;
    struct tiny_answer first;
    struct tiny_answer second;
    tiny_prompt(1, PROMPT, prompt);
    open_tiny(&tiny, true);
    const struct request plain = request_of(&tiny, NULL, prompt, PROMPT);
    tiny_run(&tiny, &plain, &without);
    tiny_run(&tiny, &plain, &first);
    assert_int_equal(first.n_cached, 0);
    tiny_engine_close(&tiny);

    open_tiny(&tiny, false);
    const struct request request = request_of(&tiny, NULL, prompt, PROMPT);
    tiny_run(&tiny, &request, &first);
    tiny_run(&tiny, &request, &second);
    assert_int_equal(first.n_cached, 0);
    assert_int_equal(second.n_cached, 64);
    assert_same_answer(&first, &without);
    assert_same_answer(&second, &without);
    tiny_engine_close(&tiny);
}

/* The last token is computed even when the prompt is whole pages that are all known. */
static void a_prompt_of_whole_pages_computes_its_last_one(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    token_id prompt[64];
    struct tiny_answer first;
    struct tiny_answer second;
    tiny_prompt(2, 64, prompt);
    open_tiny(&tiny, false);
    const struct request request = request_of(&tiny, NULL, prompt, 64);
    tiny_run(&tiny, &request, &first);
    tiny_run(&tiny, &request, &second);
    assert_int_equal(second.n_cached, 48);
    assert_same_answer(&first, &second);
    tiny_engine_close(&tiny);
}

/* A chat's next turn finds the answer before it, not only the prompt. */
static void the_next_turn_finds_the_answer(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    token_id prompt[PROMPT + 30 + 5];
    struct tiny_answer first;
    struct tiny_answer next;
    tiny_prompt(3, PROMPT, prompt);
    open_tiny(&tiny, false);
    struct request request = request_of(&tiny, NULL, prompt, PROMPT);
    tiny_run(&tiny, &request, &first);
    memcpy(prompt + PROMPT, first.tokens, first.n_tokens * sizeof *prompt);
    tiny_prompt(4, 5, prompt + PROMPT + first.n_tokens);
    request.n_prompt = PROMPT + first.n_tokens + 5;
    request.max_tokens = 3;
    tiny_run(&tiny, &request, &next);
    /* 70 + 29 tokens have their KV (the last was never run): six whole pages. */
    assert_int_equal(next.n_cached, 96);
    tiny_engine_close(&tiny);
}

static void another_accounts_pages_are_not_found(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    token_id prompt[PROMPT];
    struct tiny_answer answers[3];
    struct account_stats stats;
    const struct account_options like = {.label = "tenant"};
    tiny_prompt(5, PROMPT, prompt);
    open_tiny(&tiny, false);
    struct account *const a = tiny_account(1, &like);
    struct account *const b = tiny_account(2, &like);
    const struct request of_a = request_of(&tiny, a, prompt, PROMPT);
    const struct request of_b = request_of(&tiny, b, prompt, PROMPT);
    tiny_run(&tiny, &of_a, &answers[0]);
    tiny_run(&tiny, &of_b, &answers[1]);
    tiny_run(&tiny, &of_b, &answers[2]);
    assert_int_equal(answers[1].n_cached, 0);
    assert_int_equal(answers[2].n_cached, 64);
    assert_same_answer(&answers[0], &answers[1]);
    assert_same_answer(&answers[0], &answers[2]);
    account_stats(a, &stats);
    assert_int_equal(stats.cached_tokens, 0);
    assert_int_equal(stats.prompt_tokens, PROMPT);
    account_stats(b, &stats);
    assert_int_equal(stats.cached_tokens, 64);
    assert_int_equal(stats.prompt_tokens, 2 * PROMPT);
    tiny_engine_close(&tiny);
    account_release(a);
    account_release(b);
}

static void what_is_published_is_found_by_all(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    token_id prompt[PROMPT];
    struct tiny_answer answer;
    const struct account_options like = {.label = "tenant"};
    tiny_prompt(6, PROMPT, prompt);
    open_tiny(&tiny, false);
    struct account *const a = tiny_account(1, &like);
    struct account *const b = tiny_account(2, &like);
    struct request published = request_of(&tiny, NULL, prompt, 40);
    published.publish = true;
    published.max_tokens = 1;
    tiny_run(&tiny, &published, &answer);
    struct request request = request_of(&tiny, a, prompt, PROMPT);
    tiny_run(&tiny, &request, &answer);
    assert_int_equal(answer.n_cached, 32); /* two whole pages of 40 tokens */
    /* What a tenant adds to it stays its own. */
    request.account = b;
    tiny_run(&tiny, &request, &answer);
    assert_int_equal(answer.n_cached, 32);
    tiny_engine_close(&tiny);
    account_release(a);
    account_release(b);
}

#define N_TOGETHER 8u

/* Of several that begin alike and come together, one computes the beginning, whatever the chunks.
 */
static void who_comes_together_computes_a_beginning_once(void **state)
{
    (void)state;
    static struct tiny_answer answers[N_TOGETHER];
    struct tiny_answer alone;
    const uint32_t max_rows[] = {512, 64, 48, 37, 17};
    for (size_t k = 0; k < sizeof max_rows / sizeof max_rows[0]; k++) {
        struct tiny_engine tiny;
        struct generation *generations[N_TOGETHER];
        token_id prompts[N_TOGETHER][PROMPT];
        uint32_t n_cached = 0;
        const struct engine_options options = {.n_threads = 2};
        const struct engine_model_options model_options = {.context_length = 128,
                                                           .max_rows = max_rows[k]};
        tiny_engine_open(&tiny, &options, &model_options);
        for (uint32_t i = 0; i < N_TOGETHER; i++) {
            tiny_prompt(20, PROMPT, prompts[i]);
            prompts[i][PROMPT - 1] = i;
            const struct request request = request_of(&tiny, NULL, prompts[i], PROMPT);
            generations[i] = tiny_submit(&tiny, &request);
        }
        for (uint32_t i = 0; i < N_TOGETHER; i++) {
            tiny_read(generations[i], &answers[i]);
            n_cached += answers[i].n_cached;
        }
        assert_int_equal(n_cached, (N_TOGETHER - 1) * 64);
        tiny_engine_close(&tiny);
        open_tiny(&tiny, true);
        for (uint32_t i = 0; i < N_TOGETHER; i++) {
            const struct request request = request_of(&tiny, NULL, prompts[i], PROMPT);
            tiny_run(&tiny, &request, &alone);
            assert_same_answer(&answers[i], &alone);
        }
        tiny_engine_close(&tiny);
    }
}

/* Gemma 3's tiny model looks back 16 tokens in most layers; the prompt is longer by far. */
static void sliding_windows_see_found_pages_as_their_own(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    token_id prompt[PROMPT];
    struct tiny_answer without;
    struct tiny_answer first;
    struct tiny_answer second;
    const struct engine_model_options model_options = {.context_length = 128};
    tiny_prompt(21, PROMPT, prompt);
    open_tiny(&tiny, true);
    struct request request = request_of(&tiny, NULL, prompt, PROMPT);
    request.model = tiny_load(&tiny, "gemma3", &model_options);
    tiny_run(&tiny, &request, &without);
    tiny_engine_close(&tiny);

    open_tiny(&tiny, false);
    request.model = tiny_load(&tiny, "gemma3", &model_options);
    tiny_run(&tiny, &request, &first);
    tiny_run(&tiny, &request, &second);
    assert_int_equal(second.n_cached, 64);
    assert_same_answer(&first, &without);
    assert_same_answer(&second, &without);
    /* The other model knows nothing of it. */
    request.model = tiny.model;
    tiny_run(&tiny, &request, &first);
    assert_int_equal(first.n_cached, 0);
    tiny_engine_close(&tiny);
}

/* With room for few sequences, pages of past prompts give way, and preempted sequences find their
 * own again. */
static void a_full_pool_gives_up_what_nobody_holds(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    struct generation *generations[12];
    struct tiny_answer alone[12];
    struct tiny_answer mixed;
    token_id prompts[12][PROMPT];
    struct engine_stats stats;
    const struct engine_options options = {.n_threads = 2};
    open_tiny(&tiny, true);
    for (uint32_t i = 0; i < 12; i++) {
        tiny_prompt(10 + i % 3, PROMPT, prompts[i]);
        const struct request request = request_of(&tiny, NULL, prompts[i], PROMPT);
        tiny_run(&tiny, &request, &alone[i]);
    }
    engine_stats(tiny.engine, &stats);
    const uint64_t page_bytes = (engine_model_memory_bytes(tiny.model) / stats.pages_total) + 1;
    tiny_engine_close(&tiny);

    const struct engine_model_options few = {.context_length = 128,
                                             .kv_memory_bytes = 20 * page_bytes};
    tiny_engine_open(&tiny, &options, &few);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 12; i++) {
            const struct request request = request_of(&tiny, NULL, prompts[i], PROMPT);
            generations[i] = tiny_submit(&tiny, &request);
        }
        for (uint32_t i = 0; i < 12; i++) {
            tiny_read(generations[i], &mixed);
            assert_same_answer(&mixed, &alone[i]);
        }
    }
    engine_stats(tiny.engine, &stats);
    assert_true(stats.cached_tokens > 0);
    tiny_engine_close(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_seen_before_is_found_and_changes_nothing),
        cmocka_unit_test(a_prompt_of_whole_pages_computes_its_last_one),
        cmocka_unit_test(the_next_turn_finds_the_answer),
        cmocka_unit_test(another_accounts_pages_are_not_found),
        cmocka_unit_test(what_is_published_is_found_by_all),
        cmocka_unit_test(who_comes_together_computes_a_beginning_once),
        cmocka_unit_test(sliding_windows_see_found_pages_as_their_own),
        cmocka_unit_test(a_full_pool_gives_up_what_nobody_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
