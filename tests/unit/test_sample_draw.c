/* What is drawn: how often, from which numbers, and what happens at the edges. */
#include "base/alloc.h"
#include "sample/sampler.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define MAX_VOCABULARY 4096u

static const struct sampler_limits no_limits = {.n_banned = 0};

static struct sampler *create(const struct sampler_options *options, uint32_t vocabulary)
{
    struct sampler *sampler;
    struct realm_error error;
    if (sampler_create(options, vocabulary, 4096, &sampler, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return sampler;
}

static token_id draw_limited(struct sampler *sampler,
                             const float *logits,
                             uint32_t n,
                             const struct sampler_limits *limits)
{
    float copy[MAX_VOCABULARY];
    float raw[MAX_VOCABULARY];
    struct sampler_choice choice;
    struct realm_error error;
    memcpy(copy, logits, n * sizeof *copy);
    if (sampler_next(sampler, copy, raw, limits, &choice, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return choice.token;
}

static token_id draw(struct sampler *sampler, const float *logits, uint32_t n)
{
    return draw_limited(sampler, logits, n, &no_limits);
}

/* One draw of a fresh sampler. */
static token_id draw_once(struct sampler_options options, const float *logits, uint32_t n)
{
    struct sampler *const sampler = create(&options, n);
    const token_id token = draw(sampler, logits, n);
    sampler_destroy(sampler);
    return token;
}

static realm_status
refusal(struct sampler_options options, const float *logits, uint32_t n, struct realm_error *error)
{
    float copy[MAX_VOCABULARY];
    float raw[MAX_VOCABULARY];
    struct sampler_choice choice;
    struct sampler *const sampler = create(&options, n);
    memcpy(copy, logits, n * sizeof *copy);
    const realm_status status = sampler_next(sampler, copy, raw, &no_limits, &choice, error);
    sampler_destroy(sampler);
    return status;
}

static void random_logits(struct test_random *random, float *logits, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        logits[i] = (float)test_random_below(random, 100000) * 1e-4f - 5.0f;
    }
}

/* Pearson's test; the seed is fixed, so it passes always or never. */
static void frequencies_are_the_probabilities(void **state)
{
    (void)state;
    enum { N = 12, DRAWS = 60000 };
    static const float logits[N] = {
        1.0f, 0.0f, -0.5f, 2.0f, 0.3f, -2.0f, 1.5f, 0.9f, -1.0f, -INFINITY, 0.1f, 0.2f};
    const float temperature = 0.8f;
    const struct sampler_options options = {.temperature = temperature, .seed = 1234};
    struct sampler *const sampler = create(&options, N);
    uint32_t counts[N] = {0};
    double sum = 0;
    double chi_squared = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        counts[draw(sampler, logits, N)]++;
    }
    for (uint32_t i = 0; i < N; i++) {
        sum += exp((double)(logits[i] / temperature));
    }
    for (uint32_t i = 0; i < N; i++) {
        const double wanted = (double)DRAWS * exp((double)(logits[i] / temperature)) / sum;
        if (wanted > 0) {
            chi_squared += (counts[i] - wanted) * (counts[i] - wanted) / wanted;
        }
    }
    sampler_destroy(sampler);
    assert_int_equal(counts[9], 0);
    assert_true(chi_squared < 29.59); /* 10 degrees of freedom, 0.1 % */
}

static void a_seed_and_a_stream_give_the_same_tokens_whoever_draws_between(void **state)
{
    (void)state;
    enum { N = 1000, LENGTH = 200 };
    float logits[N];
    struct test_random random = {.state = 5};
    random_logits(&random, logits, N);
    const struct sampler_options options = {.temperature = 1, .seed = 42, .stream = 3};
    struct sampler_options stranger = options;
    stranger.stream = 4;
    struct sampler *const alone = create(&options, N);
    struct sampler *const in_company = create(&options, N);
    struct sampler *const other = create(&stranger, N);
    struct sampler_options reseeded = options;
    reseeded.seed = 43;
    struct sampler *const third = create(&reseeded, N);
    token_id first[LENGTH];
    uint32_t n_stream_differs = 0;
    uint32_t n_seed_differs = 0;
    for (uint32_t i = 0; i < LENGTH; i++) {
        first[i] = draw(alone, logits, N);
    }
    for (uint32_t i = 0; i < LENGTH; i++) {
        n_stream_differs += draw(other, logits, N) != first[i];
        assert_int_equal(draw(in_company, logits, N), first[i]);
        n_seed_differs += draw(third, logits, N) != first[i];
    }
    assert_true(n_stream_differs > LENGTH * 9 / 10);
    assert_true(n_seed_differs > LENGTH * 9 / 10);
    sampler_destroy(alone);
    sampler_destroy(in_company);
    sampler_destroy(other);
    sampler_destroy(third);
}

static void greedy_takes_the_greatest_and_of_equals_the_lowest(void **state)
{
    (void)state;
    float logits[300];
    for (uint32_t i = 0; i < 300; i++) {
        logits[i] = -1;
    }
    logits[70] = logits[150] = logits[299] = 3.5f;
    assert_int_equal(draw_once((struct sampler_options){.temperature = 0}, logits, 300), 70);
    logits[299] = 3.6f;
    assert_int_equal(draw_once((struct sampler_options){.temperature = 0}, logits, 300), 299);
    /* So do temperatures that no float could divide by. */
    assert_int_equal(draw_once((struct sampler_options){.temperature = 1e-44f}, logits, 300), 299);
    assert_int_equal(draw_once((struct sampler_options){.temperature = 2e-5f}, logits, 300), 299);
}

static void any_step_finds_the_only_token_left(void **state)
{
    (void)state;
    float logits[500];
    for (uint32_t i = 0; i < 500; i++) {
        logits[i] = -INFINITY;
    }
    logits[321] = -77.0f;
    const struct sampler_options all[] = {
        {.temperature = 0},
        {.temperature = 1},
        {.temperature = 100},
        {.temperature = 1, .top_k = 5},
        {.temperature = 0.5f, .top_p = 0.3f},
        {.temperature = 0.5f, .min_p = 1},
        {.temperature = 2, .typical_p = 0.5f},
        {.temperature = 1, .mirostat = 1},
        {.temperature = 1, .mirostat = 2},
        {.temperature = 1, .logprobs = true, .n_top_logprobs = 3},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_int_equal(draw_once(all[i], logits, 500), 321);
    }
}

static void a_vocabulary_of_one_works(void **state)
{
    (void)state;
    const float logit = 0.25f;
    const struct sampler_options options = {
        .temperature = 1, .top_k = 3, .top_p = 0.5f, .min_p = 0.1f, .typical_p = 0.5f};
    assert_int_equal(draw_once(options, &logit, 1), 0);
    const struct sampler_options mirostat = {.temperature = 1, .mirostat = 1};
    assert_int_equal(draw_once(mirostat, &logit, 1), 0);
}

static void broken_logits_are_refused_with_words(void **state)
{
    (void)state;
    float logits[100] = {0};
    struct realm_error error;
    const struct sampler_options ways[] = {{.temperature = 0}, {.temperature = 1, .top_k = 4}};
    for (size_t i = 0; i < 2; i++) {
        logits[99] = NAN;
        assert_int_equal(refusal(ways[i], logits, 100, &error), REALM_INTERNAL);
        assert_non_null(strstr(error.message, "NaN"));
        logits[99] = INFINITY;
        assert_int_equal(refusal(ways[i], logits, 100, &error), REALM_INTERNAL);
        assert_non_null(strstr(error.message, "infinity"));
        logits[99] = 0;
    }
    for (uint32_t i = 0; i < 100; i++) {
        logits[i] = -INFINITY;
    }
    assert_int_equal(refusal(ways[0], logits, 100, &error), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "no token"));
}

/* The k greatest, however k lies to the vocabulary; k = 0 and k > n keep all. */
static void top_k_keeps_exactly_k(void **state)
{
    (void)state;
    enum { N = 200, DRAWS = 4000 };
    float logits[N];
    for (uint32_t i = 0; i < N; i++) {
        logits[i] = (float)((i * 73) % N) * 1e-3f; /* every rank once, all nearly as likely */
    }
    const uint32_t ks[] = {0, 1, 2, 17, 199, 200, 201, UINT32_MAX};
    for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++) {
        const uint32_t kept = ks[i] == 0 || ks[i] > N ? N : ks[i];
        const struct sampler_options options = {.temperature = 1, .top_k = ks[i], .seed = i};
        struct sampler *const sampler = create(&options, N);
        bool drawn[N] = {false};
        uint32_t n_distinct = 0;
        for (uint32_t d = 0; d < DRAWS; d++) {
            const token_id token = draw(sampler, logits, N);
            assert_true((token * 73) % N >= N - kept);
            n_distinct += !drawn[token];
            drawn[token] = true;
        }
        assert_int_equal(n_distinct, kept);
        sampler_destroy(sampler);
    }
}

static void equal_logits_are_cut_by_id(void **state)
{
    (void)state;
    enum { N = 64 };
    const float logits[N] = {0};
    const struct sampler_options ways[] = {
        {.temperature = 1, .top_k = 3, .seed = 7},
        {.temperature = 1, .top_p = 3.0f / 64, .seed = 7},
        {.temperature = 1, .typical_p = 3.0f / 64, .seed = 7},
    };
    for (size_t way = 0; way < 3; way++) {
        struct sampler *const sampler = create(&ways[way], N);
        for (uint32_t i = 0; i < 200; i++) {
            assert_in_range(draw(sampler, logits, N), 0, 2);
        }
        sampler_destroy(sampler);
    }
}

static void huge_logits_and_biases_stay_finite(void **state)
{
    (void)state;
    float logits[64];
    for (uint32_t i = 0; i < 64; i++) {
        logits[i] = i % 2 == 0 ? -FLT_MAX : FLT_MAX / 4;
    }
    logits[33] = FLT_MAX / 2;
    assert_int_equal(draw_once((struct sampler_options){.temperature = 1}, logits, 64), 33);
    assert_int_equal(
        draw_once((struct sampler_options){.temperature = 1, .mirostat = 2}, logits, 64), 33);
    const float flat[64] = {0};
    const struct sampler_bias biases[] = {{5, 100}, {6, -100}, {7, 99.0f}};
    const struct sampler_options biased = {.temperature = 1, .biases = biases, .n_biases = 3};
    assert_int_equal(draw_once(biased, flat, 64), 5);
}

static void a_bias_of_minus_100_bans_however_great_the_logit(void **state)
{
    (void)state;
    const float logits[3] = {0, 1e6f, 0};
    const struct sampler_bias bias = {1, -100};
    struct sampler_options options = {.temperature = 0, .biases = &bias, .n_biases = 1};
    assert_int_equal(draw_once(options, logits, 3), 0);
    options.temperature = 1;
    for (options.seed = 0; options.seed < 50; options.seed++) {
        assert_int_not_equal(draw_once(options, logits, 3), 1);
    }
}

static void banned_and_masked_tokens_are_never_drawn(void **state)
{
    (void)state;
    enum { N = 101 };
    float logits[N];
    uint32_t mask[(N + 31) / 32];
    const token_id banned[] = {4, 64, 100, 5000};
    struct test_random random;
    test_random_init(&random, "banned_and_masked");
    const struct sampler_options options = {.temperature = 3, .top_k = 90, .min_p = 1e-6f};
    struct sampler *const sampler = create(&options, N);
    for (uint32_t round = 0; round < 500; round++) {
        random_logits(&random, logits, N);
        for (uint32_t i = 0; i < sizeof mask / sizeof mask[0]; i++) {
            mask[i] = (uint32_t)test_random_u64(&random) & (uint32_t)test_random_u64(&random);
        }
        mask[1] |= 2; /* token 33 is always there */
        const struct sampler_limits limits = {.banned = banned, .n_banned = 4, .mask = mask};
        const token_id token = draw_limited(sampler, logits, N, &limits);
        assert_true(mask[token / 32] >> token % 32 & 1);
        assert_true(token != 4 && token != 64 && token != 100);
    }
    sampler_destroy(sampler);
}

static void logprobs_are_of_the_raw_logits_in_falling_order(void **state)
{
    (void)state;
    enum { N = 700 };
    float logits[N];
    double sum = 0;
    struct test_random random = {.state = 77};
    random_logits(&random, logits, N);
    for (uint32_t i = 0; i < N; i++) {
        sum += exp((double)logits[i]);
    }
    const struct sampler_bias bias = {9, 50};
    const struct sampler_options options = {.temperature = 0.3f,
                                            .top_k = 4,
                                            .biases = &bias,
                                            .n_biases = 1,
                                            .logprobs = true,
                                            .n_top_logprobs = 20};
    struct sampler *const sampler = create(&options, N);
    float copy[N];
    float raw[N];
    struct sampler_choice choice;
    struct realm_error error;
    memcpy(copy, logits, sizeof copy);
    assert_int_equal(sampler_next(sampler, copy, raw, &no_limits, &choice, &error), REALM_OK);
    sampler_destroy(sampler);
    assert_int_equal(choice.token, 9);
    assert_true(fabs((double)choice.logprob - ((double)logits[9] - log(sum))) < 1e-4);
    assert_int_equal(choice.n_top, 20);
    for (uint32_t i = 0; i < 20; i++) {
        uint32_t n_greater = 0;
        for (uint32_t t = 0; t < N; t++) {
            n_greater += logits[t] > logits[choice.top[i].token];
        }
        assert_in_range(n_greater, 0, i); /* fewer only among equals */
        assert_true(fabs((double)choice.top[i].logprob -
                         ((double)logits[choice.top[i].token] - log(sum))) < 1e-4);
    }
}

static void a_draw_allocates_nothing(void **state)
{
    (void)state;
    enum { N = 300 };
    float logits[N];
    struct test_random random = {.state = 3};
    random_logits(&random, logits, N);
    const struct sampler_options options = {.temperature = 1,
                                            .top_k = 40,
                                            .top_p = 0.9f,
                                            .typical_p = 0.9f,
                                            .min_p = 0.01f,
                                            .repetition_penalty = 1.1f,
                                            .presence_penalty = 0.5f,
                                            .dry_multiplier = 0.8f,
                                            .logprobs = true,
                                            .n_top_logprobs = 5};
    struct sampler *const sampler = create(&options, N);
    const uint64_t before = alloc_count();
    for (uint32_t i = 0; i < 200; i++) {
        (void)draw(sampler, logits, N);
    }
    assert_int_equal(alloc_count(), before);
    sampler_destroy(sampler);
}

static void options_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    const struct sampler_bias outside = {10, 1};
    const struct sampler_bias huge = {1, 101};
    const struct sampler_breaker unordered[] = {{.token = 5}, {.token = 4}};
    const struct {
        const char *field;
        struct sampler_options options;
    } bad[] = {
        {"temperature", {.temperature = -1}},
        {"temperature", {.temperature = NAN}},
        {"temperature", {.temperature = INFINITY}},
        {"top_p", {.top_p = 1.01f}},
        {"min_p", {.min_p = -0.1f}},
        {"typical_p", {.typical_p = 2}},
        {"repetition_penalty", {.repetition_penalty = -1}},
        {"presence_penalty", {.presence_penalty = 2.5f}},
        {"frequency_penalty", {.frequency_penalty = -3}},
        {"dry_multiplier", {.dry_multiplier = -1}},
        {"dry_base", {.dry_base = NAN}},
        {"mirostat", {.mirostat = 3}},
        {"mirostat_tau", {.mirostat_tau = -1}},
        {"mirostat_eta", {.mirostat_eta = 2}},
        {"top_logprobs", {.n_top_logprobs = SAMPLER_MAX_TOP_LOGPROBS + 1}},
        {"logit_bias", {.biases = &outside, .n_biases = 1}},
        {"logit_bias", {.biases = &huge, .n_biases = 1}},
        {"dry_breakers", {.dry_breakers = unordered, .n_dry_breakers = 2}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct realm_error error;
        struct sampler *sampler;
        assert_int_equal(sampler_create(&bad[i].options, 10, 10, &sampler, &error),
                         REALM_INVALID_ARGUMENT);
        assert_null(sampler);
        assert_memory_equal(error.message, bad[i].field, strlen(bad[i].field));
    }
}

/* The prompt counts for the repetition penalty alone. */
static void presence_and_frequency_count_the_completion(void **state)
{
    (void)state;
    const float logits[4] = {1.0f, 0.9f, 0, 0};
    const token_id prompt[] = {0, 0, 0};
    const struct sampler_options presence = {.presence_penalty = 2, .frequency_penalty = 2};
    struct sampler *sampler = create(&presence, 4);
    sampler_observe(sampler, prompt, 3);
    assert_int_equal(draw(sampler, logits, 4), 0);
    assert_int_equal(draw(sampler, logits, 4), 1);
    sampler_destroy(sampler);
    const struct sampler_options repetition = {.repetition_penalty = 2};
    sampler = create(&repetition, 4);
    sampler_observe(sampler, prompt, 3);
    assert_int_equal(draw(sampler, logits, 4), 1);
    sampler_destroy(sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_are_the_probabilities),
        cmocka_unit_test(a_seed_and_a_stream_give_the_same_tokens_whoever_draws_between),
        cmocka_unit_test(greedy_takes_the_greatest_and_of_equals_the_lowest),
        cmocka_unit_test(any_step_finds_the_only_token_left),
        cmocka_unit_test(a_vocabulary_of_one_works),
        cmocka_unit_test(broken_logits_are_refused_with_words),
        cmocka_unit_test(top_k_keeps_exactly_k),
        cmocka_unit_test(equal_logits_are_cut_by_id),
        cmocka_unit_test(huge_logits_and_biases_stay_finite),
        cmocka_unit_test(a_bias_of_minus_100_bans_however_great_the_logit),
        cmocka_unit_test(banned_and_masked_tokens_are_never_drawn),
        cmocka_unit_test(logprobs_are_of_the_raw_logits_in_falling_order),
        cmocka_unit_test(a_draw_allocates_nothing),
        cmocka_unit_test(options_out_of_range_are_refused_by_name),
        cmocka_unit_test(presence_and_frequency_count_the_completion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
