/* The chain against llama.cpp's and transformers' samplers: what is kept, and with what
 * probability. */
#include "sample/chain.h"
#include "support/cmocka_all.h"
#include "support/sampler_golden.h"

#include <math.h>
#include <string.h>

#define VOCABULARY SAMPLER_GOLDEN_VOCABULARY
#define TOLERANCE  1e-4f

static const struct sampler_limits no_limits = {.n_banned = 0};

static struct sampler *create(const struct sampler_options *options)
{
    struct sampler *sampler;
    struct realm_error error;
    if (sampler_create(options, VOCABULARY, SAMPLER_GOLDEN_ITEMS, &sampler, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return sampler;
}

/* Makes the sampler draw this token. */
static void force(struct sampler *sampler, token_id token)
{
    uint32_t mask[VOCABULARY / 32] = {0};
    float logits[VOCABULARY] = {0};
    struct sampler_choice choice;
    struct realm_error error;
    mask[token / 32] = UINT32_C(1) << token % 32;
    const struct sampler_limits limits = {.mask = mask};
    assert_int_equal(sampler_next(sampler, logits, NULL, &limits, &choice, &error), REALM_OK);
    assert_int_equal(choice.token, token);
}

/* Logits to probabilities, in place. */
static void distribution(struct sampler *sampler, float logits[VOCABULARY])
{
    token_id best;
    sampler_adjust(sampler, logits, &no_limits);
    const float max = logits_max(logits, VOCABULARY, &best);
    const double sum = sampler_weights(sampler, logits, max);
    for (uint32_t i = 0; i < VOCABULARY; i++) {
        logits[i] = (float)((double)logits[i] / sum);
    }
}

/* A removed token stands as 0 on both sides; one that underflowed counts as kept on neither. */
static void compare(const struct sampler_golden_case *wanted, const float *got)
{
    const float *const p = wanted->probabilities;
    for (uint32_t i = 0; i < VOCABULARY; i++) {
        if ((p[i] > 1e-30f) != (got[i] > 1e-30f) || !(fabsf(p[i] - got[i]) < TOLERANCE)) {
            fail_msg(
                "token %u has %g and not %g in: %s", i, (double)got[i], (double)p[i], wanted->line);
        }
    }
}

static void distributions_are_those_of_the_oracles(void **state)
{
    (void)state;
    struct sampler_golden *const golden = sampler_golden_open();
    struct sampler_golden_case wanted;
    uint32_t n_compared = 0;
    while (sampler_golden_next(golden, false, &wanted)) {
        if (wanted.options.dry_multiplier > 0) {
            continue; /* its breakers are texts: test_engine_dry_breakers */
        }
        struct sampler *const sampler = create(&wanted.options);
        sampler_observe(sampler, wanted.history, wanted.n_prompt);
        for (uint32_t i = wanted.n_prompt; i < wanted.n_history; i++) {
            force(sampler, wanted.history[i]);
        }
        distribution(sampler, wanted.logits);
        compare(&wanted, wanted.logits);
        sampler_destroy(sampler);
        n_compared++;
    }
    sampler_golden_close(golden);
    assert_true(n_compared >= 80);
}

/* The oracle's draws steer our cut as they steered its own. */
static void mirostat_cuts_where_the_oracle_cuts(void **state)
{
    (void)state;
    struct sampler_golden *const golden = sampler_golden_open();
    struct sampler_golden_case wanted;
    struct sampler *sampler = NULL;
    uint32_t n_compared = 0;
    while (sampler_golden_next(golden, true, &wanted)) {
        if (wanted.begins) {
            sampler_destroy(sampler);
            sampler = create(&wanted.options);
        }
        distribution(sampler, wanted.logits);
        compare(&wanted, wanted.logits);
        mirostat_learn(sampler, (double)wanted.logits[wanted.drawn]);
        n_compared++;
    }
    sampler_destroy(sampler);
    sampler_golden_close(golden);
    assert_true(n_compared >= 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distributions_are_those_of_the_oracles),
        cmocka_unit_test(mirostat_cuts_where_the_oracle_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
