/* DRY and the token table against simple twins, on random sequences. */
#include "sample/chain.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <math.h>
#include <string.h>

#define VOCABULARY  12u
#define MAX_TOKENS  80u
#define N_BREAKERS  3u
#define N_SEQUENCES 3000u

static const token_id tails[] = {3, 4, 3};
static const struct sampler_breaker breakers[N_BREAKERS] = {
    {.token = 2, .n_tail = 2, .tail = tails},
    {.token = 2, .n_tail = 1, .tail = tails + 2},
    {.token = 7},
};

/* How many tokens stand behind the last breaker, by its definition: the head nearest to the end
 * whose tail follows; the longest tail counts. */
static uint32_t twin_unbroken(const token_id *tokens, uint32_t n)
{
    for (uint32_t head = n; head-- > 0;) {
        uint32_t end = 0;
        for (uint32_t b = 0; b < N_BREAKERS; b++) {
            const struct sampler_breaker breaker = breakers[b];
            bool follows = tokens[head] == breaker.token && head + breaker.n_tail < n;
            for (uint32_t t = 0; follows && t < breaker.n_tail; t++) {
                follows = tokens[head + 1 + t] == breaker.tail[t];
            }
            if (follows && head + 1 + breaker.n_tail > end) {
                end = head + 1 + breaker.n_tail;
            }
        }
        if (end > 0) {
            return n - end;
        }
    }
    return n;
}

/* Every earlier place, every length. */
static void twin(const struct sampler_options *o, const token_id *tokens, uint32_t n, float *logits)
{
    uint32_t longest[VOCABULARY] = {0};
    if (o->dry_window > 0 && o->dry_window < n) {
        tokens += n - o->dry_window;
        n = o->dry_window;
    }
    const uint32_t unbroken = twin_unbroken(tokens, n);
    for (uint32_t at = 0; at < n; at++) {
        uint32_t length = 0;
        while (length < at && length < unbroken &&
               tokens[at - 1 - length] == tokens[n - 1 - length]) {
            length++;
        }
        longest[tokens[at]] = length > longest[tokens[at]] ? length : longest[tokens[at]];
    }
    for (uint32_t token = 0; token < VOCABULARY; token++) {
        if (longest[token] >= o->dry_allowed_length && token != 7) {
            logits[token] -= o->dry_multiplier *
                             powf(o->dry_base, (float)(longest[token] - o->dry_allowed_length));
        }
    }
}

static void dry_is_its_simple_twin(void **state)
{
    (void)state;
    struct test_random random;
    test_random_init(&random, "dry_is_its_simple_twin");
    for (uint32_t sequence = 0; sequence < N_SEQUENCES; sequence++) {
        const uint32_t n = (uint32_t)test_random_below(&random, MAX_TOKENS);
        const uint32_t alphabet = 2 + (uint32_t)test_random_below(&random, VOCABULARY - 2);
        const struct sampler_options options = {
            .dry_multiplier = 0.7f,
            .dry_base = 1.3f,
            .dry_allowed_length = 1 + (uint32_t)test_random_below(&random, 4),
            .dry_window = (uint32_t)test_random_below(&random, 2) * (n / 2),
            .dry_breakers = breakers,
            .n_dry_breakers = N_BREAKERS};
        token_id tokens[MAX_TOKENS];
        float wanted[VOCABULARY] = {0};
        float got[VOCABULARY] = {0};
        struct sampler *sampler;
        for (uint32_t i = 0; i < n; i++) {
            tokens[i] = (token_id)test_random_below(&random, alphabet);
        }
        assert_int_equal(sampler_create(&options, VOCABULARY, MAX_TOKENS, &sampler, NULL),
                         REALM_OK);
        sampler_observe(sampler, tokens, n);
        dry_apply(sampler, got);
        twin(&options, tokens, n, wanted);
        for (uint32_t i = 0; i < VOCABULARY; i++) {
            assert_true(fabsf(got[i] - wanted[i]) <= 1e-4f * (1 + fabsf(wanted[i])));
        }
        sampler_destroy(sampler);
    }
}

/* A million repetitions do not overflow. */
static void a_long_repetition_is_banned_and_finite(void **state)
{
    (void)state;
    enum { N = 4000 };
    static token_id tokens[N];
    float logits[VOCABULARY] = {0};
    struct sampler *sampler;
    const struct sampler_options options = {.dry_multiplier = 100, .dry_base = 100};
    for (uint32_t i = 0; i < N; i++) {
        tokens[i] = 1 + i % 2;
    }
    assert_int_equal(sampler_create(&options, VOCABULARY, N, &sampler, NULL), REALM_OK);
    sampler_observe(sampler, tokens, N);
    dry_apply(sampler, logits);
    assert_true(isfinite(logits[1]) && logits[1] < -1000);
    assert_true(logits[2] == 0); /* the last token: it does not follow itself */
    sampler_destroy(sampler);
}

static void the_token_table_counts_as_an_array_does(void **state)
{
    (void)state;
    enum { TOKENS = 500, ROUNDS = 20000 };
    uint32_t counts[TOKENS] = {0};
    struct token_table table;
    struct test_random random;
    test_random_init(&random, "the_token_table");
    assert_int_equal(token_table_init(&table, TOKENS, NULL), REALM_OK);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const token_id token = (token_id)test_random_below(&random, TOKENS);
        if (test_random_below(&random, 3) == 0 && counts[token] > 0) {
            token_table_remove(&table, token * 64);
            counts[token] = 0;
        } else {
            token_table_find(&table, token * 64)->value++;
            counts[token]++;
        }
        const token_id asked = (token_id)test_random_below(&random, TOKENS);
        assert_int_equal(token_table_find(&table, asked * 64)->value, counts[asked]);
    }
    token_table_clear(&table);
    assert_int_equal(token_table_find(&table, 64)->value, 0);
    token_table_deinit(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dry_is_its_simple_twin),
        cmocka_unit_test(a_long_repetition_is_banned_and_finite),
        cmocka_unit_test(the_token_table_counts_as_an_array_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
