/* The n-th allocation fails while an engine is made, a model loaded, or a request submitted: one
 * clean error, nothing leaked, and those who run beside it never notice. */
#include "base/alloc.h"
#include "sample/constraint.h"
#include "support/tiny_engine.h"

#define MAX_CALLS 20000

static uint64_t held(void)
{
    uint64_t n_bytes = 0;
    for (int i = 0; i < ALLOC_N_PURPOSES; i++) {
        n_bytes += alloc_held_bytes((enum alloc_purpose)i);
    }
    return n_bytes;
}

static void an_engine_that_cannot_be_made_leaves_nothing(void **state)
{
    (void)state;
    const struct engine_options options = {.n_threads = 2};
    const uint64_t before = held();
    for (uint64_t n = 0; n < MAX_CALLS; n++) {
        struct realm_error error = {.status = REALM_OK};
        struct engine *engine;
        alloc_fail_after(n);
        const realm_status status = engine_create(&options, &engine, &error);
        alloc_fail_after(UINT64_MAX);
        if (status == REALM_OK) {
            engine_destroy(engine);
            assert_int_equal(held(), before);
            assert_true(n > 5);
            return;
        }
        assert_int_equal(status, REALM_OUT_OF_MEMORY);
        assert_null(engine);
        assert_int_equal(held(), before);
    }
    fail_msg("still failing after %d allocations", MAX_CALLS);
}

static void a_model_that_cannot_be_loaded_leaves_nothing(void **state)
{
    (void)state;
    char path[1024];
    const struct engine_options options = {.n_threads = 2};
    const struct engine_model_options model_options = {.context_length = 128, .max_sequences = 4};
    (void)snprintf(path, sizeof path, "%s/golden/models/llama_tied.gguf", REALM_TEST_DATA);
    const uint64_t before = held();
    for (uint64_t n = 0; n < MAX_CALLS; n++) {
        struct realm_error error = {.status = REALM_OK};
        struct engine *engine;
        struct engine_model *model;
        assert_int_equal(engine_create(&options, &engine, NULL), REALM_OK);
        alloc_fail_after(n);
        const realm_status status =
            engine_load_model(engine, "tiny", path, &model_options, &model, &error);
        alloc_fail_after(UINT64_MAX);
        assert_int_equal(engine_n_models(engine), status == REALM_OK);
        engine_destroy(engine);
        assert_int_equal(held(), before);
        if (status == REALM_OK) {
            assert_true(n > 50);
            return;
        }
        if (status != REALM_OUT_OF_MEMORY) {
            fail_msg("allocation %d: %s", (int)n, error.message);
        }
    }
    fail_msg("still failing after %d allocations", MAX_CALLS);
}

static struct constraint *digits(const struct tiny_engine *tiny)
{
    static const char text[] = "[0-9]{30}";
    struct constraint *constraint;
    const struct constraint_rule rule = {CONSTRAINT_REGEX,
                                         {(const uint8_t *)text, sizeof text - 1}};
    assert_int_equal(engine_model_constrain(tiny->model, &rule, &constraint, NULL), REALM_OK);
    return constraint;
}

static void a_request_that_cannot_be_admitted_harms_nobody(void **state)
{
    (void)state;
    const uint64_t at_first = held();
    struct tiny_engine tiny;
    static struct tiny_answer alone;
    static struct tiny_answer answer;
    token_id prompts[2][40];
    const struct engine_options options = {.n_threads = 2};
    const struct engine_model_options model_options = {.context_length = 256};
    tiny_engine_open(&tiny, &options, &model_options);
    for (uint32_t i = 0; i < 2; i++) {
        tiny_prompt(i, 40, prompts[i]);
    }
    const struct request beside = {.model = tiny.model,
                                   .prompt = prompts[0],
                                   .n_prompt = 40,
                                   .max_tokens = 200,
                                   .ignore_end = true};
    tiny_run(&tiny, &beside, &alone);

    const struct bytes stop = {.data = (const uint8_t *)"stop", .length = 4};
    const struct bytes breaker = {.data = (const uint8_t *)"\n", .length = 1};
    const struct sampler_bias bias = {.token = 5, .bias = 1};
    const token_id stop_token = 7;
    struct constraint *const constraint = digits(&tiny);
    struct account *const account = tiny_account(1, &(struct account_options){.label = "tenant"});
    const struct request everything = {.model = tiny.model,
                                       .account = account,
                                       .prompt = prompts[1],
                                       .n_prompt = 40,
                                       .n_choices = 3,
                                       .max_tokens = 10,
                                       .stops = &stop,
                                       .n_stops = 1,
                                       .stop_tokens = &stop_token,
                                       .n_stop_tokens = 1,
                                       .sampling = {.temperature = 1,
                                                    .repetition_penalty = 1.2F,
                                                    .dry_multiplier = 0.5F,
                                                    .biases = &bias,
                                                    .n_biases = 1,
                                                    .logprobs = true,
                                                    .n_top_logprobs = 3},
                                       .dry_breakers = &breaker,
                                       .n_dry_breakers = 1,
                                       .constraint = constraint};
    struct generation *const running = tiny_submit(&tiny, &beside);
    struct generation *admitted = NULL;
    uint64_t n = 0;
    for (; n < MAX_CALLS && admitted == NULL; n++) {
        struct realm_error error = {.status = REALM_OK};
        const uint64_t before = held();
        alloc_fail_after(n);
        const realm_status status = engine_submit(tiny.engine, &everything, &admitted, &error);
        alloc_fail_after(UINT64_MAX);
        if (status != REALM_OK) {
            assert_int_equal(status, REALM_OUT_OF_MEMORY);
            assert_null(admitted);
            assert_true(held() <= before); /* less: what runs beside it gave something back */
        }
    }
    assert_true(n > 40 && admitted != NULL);
    tiny_read(running, &answer);
    assert_int_equal(answer.status, REALM_OK);
    assert_same_answer(&answer, &alone);
    tiny_read(admitted, &answer);
    assert_int_equal(answer.status, REALM_OK);
    struct account_stats stats;
    account_stats(account, &stats);
    assert_int_equal(stats.pending, 0);
    constraint_destroy(constraint);
    tiny_engine_close(&tiny);
    account_release(account);
    assert_int_equal(held(), at_first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_that_cannot_be_made_leaves_nothing),
        cmocka_unit_test(a_model_that_cannot_be_loaded_leaves_nothing),
        cmocka_unit_test(a_request_that_cannot_be_admitted_harms_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
