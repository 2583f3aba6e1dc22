/* The n-th allocation fails while a request is admitted: it is refused, nothing of it stays, and
 * the engine answers the next one. */
#include "base/alloc.h"
#include "support/tiny_engine.h"

#define MAX_CALLS 2000u

static uint64_t held(void)
{
    uint64_t n_bytes = 0;
    for (int i = 0; i < ALLOC_N_PURPOSES; i++) {
        n_bytes += alloc_held_bytes((enum alloc_purpose)i);
    }
    return n_bytes;
}

/* Uses everything that takes memory at admission. */
static struct request demanding_request(const struct tiny_engine *tiny, const token_id *prompt)
{
    static const struct bytes stops[] = {{.data = (const uint8_t *)"stop", .length = 4}};
    static const token_id stop_tokens[] = {3, 4};
    static const struct sampler_bias biases[] = {{.token = 5, .bias = 1.0F}};
    return (struct request){.model = tiny->model,
                            .prompt = prompt,
                            .n_prompt = 40,
                            .n_choices = 3,
                            .max_tokens = 20,
                            .ignore_end = true,
                            .stops = stops,
                            .n_stops = 1,
                            .stop_tokens = stop_tokens,
                            .n_stop_tokens = 2,
                            .sampling = {.temperature = 0.8F,
                                         .top_p = 0.9F,
                                         .repetition_penalty = 1.1F,
                                         .dry_multiplier = 0.5F,
                                         .biases = biases,
                                         .n_biases = 1,
                                         .n_top_logprobs = 3,
                                         .logprobs = true}};
}

static void every_failed_allocation_refuses_the_request_alone(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    token_id prompt[40];
    struct tiny_answer answer;
    struct account_stats stats;
    const struct engine_options options = {.n_threads = 1};
    const struct engine_model_options model_options = {.context_length = 128};
    tiny_prompt(1, 40, prompt);
    tiny_engine_open(&tiny, &options, &model_options);
    const struct request request = demanding_request(&tiny, prompt);
    tiny_run(&tiny, &request, &answer); /* what is taken once, at the first request */
    const uint64_t before = held();
    uint64_t n = 0;
    for (realm_status status = REALM_OUT_OF_MEMORY; status != REALM_OK; n++) {
        struct generation *generation = NULL;
        struct realm_error error = {.status = REALM_OK};
        assert_true(n < MAX_CALLS);
        alloc_fail_after(n);
        status = engine_submit(tiny.engine, &request, &generation, &error);
        alloc_fail_after(UINT64_MAX);
        if (status == REALM_OK) {
            tiny_read(generation, &answer);
            assert_int_equal(answer.status, REALM_OK);
        } else {
            assert_int_equal(status, REALM_OUT_OF_MEMORY);
            assert_int_equal(error.status, REALM_OUT_OF_MEMORY);
            assert_null(generation);
            assert_int_equal(held(), before);
            account_stats(engine_default_account(tiny.engine), &stats);
            assert_int_equal(stats.pending, 0);
        }
    }
    assert_true(n > 20); /* sites that take memory */
    tiny_run(&tiny, &request, &answer);
    assert_int_equal(answer.status, REALM_OK);
    tiny_engine_close(&tiny);
    assert_int_equal(held(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_refuses_the_request_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
