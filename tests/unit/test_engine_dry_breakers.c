/* DRY with breakers given as texts: penalties as llama.cpp's, for the same texts and vocabulary. */
#include "engine/dry_breakers.h"
#include "sample/chain.h"
#include "support/cmocka_all.h"
#include "support/sampler_golden.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define VOCABULARY SAMPLER_GOLDEN_VOCABULARY

static struct gguf *gguf;
static struct tokenizer *tokenizer;

static int open_tokenizer(void **state)
{
    (void)state;
    char path[1024];
    struct realm_error error;
    (void)snprintf(path, sizeof path, "%s/golden/models/llama_tied.gguf", REALM_TEST_DATA);
    return gguf_open(path, &gguf, &error) != REALM_OK ||
           tokenizer_create(gguf, &tokenizer, &error) != REALM_OK;
}

static int close_tokenizer(void **state)
{
    (void)state;
    tokenizer_destroy(tokenizer);
    gguf_close(gguf);
    return 0;
}

static void find(const struct sampler_golden_case *wanted, struct dry_breakers *out)
{
    struct bytes texts[8];
    struct realm_error error;
    for (uint32_t i = 0; i < wanted->n_breakers; i++) {
        texts[i] =
            (struct bytes){(const uint8_t *)wanted->breakers[i], strlen(wanted->breakers[i])};
    }
    if (dry_breakers_find(tokenizer, texts, wanted->n_breakers, out, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
}

static void compare(struct sampler_golden_case *wanted)
{
    static const struct sampler_limits no_limits = {.n_banned = 0};
    struct dry_breakers breakers;
    struct sampler *sampler;
    token_id best;
    find(wanted, &breakers);
    wanted->options.dry_breakers = breakers.items;
    wanted->options.n_dry_breakers = breakers.n_items;
    assert_int_equal(
        sampler_create(&wanted->options, VOCABULARY, SAMPLER_GOLDEN_ITEMS, &sampler, NULL),
        REALM_OK);
    sampler_observe(sampler, wanted->history, wanted->n_history);
    sampler_adjust(sampler, wanted->logits, &no_limits);
    const double sum =
        sampler_weights(sampler, wanted->logits, logits_max(wanted->logits, VOCABULARY, &best));
    for (uint32_t i = 0; i < VOCABULARY; i++) {
        const float p = (float)((double)wanted->logits[i] / sum);
        if (!(fabsf(p - wanted->probabilities[i]) < 1e-5f)) {
            fail_msg("token %u has %g and not %g in: %s",
                     i,
                     (double)p,
                     (double)wanted->probabilities[i],
                     wanted->line);
        }
    }
    sampler_destroy(sampler);
    dry_breakers_deinit(&breakers);
}

static void penalties_are_llama_cpps_for_the_same_texts(void **state)
{
    (void)state;
    struct sampler_golden *const golden = sampler_golden_open();
    struct sampler_golden_case wanted;
    uint32_t n_compared = 0;
    while (sampler_golden_next(golden, false, &wanted)) {
        if (wanted.options.dry_multiplier > 0) {
            compare(&wanted);
            n_compared++;
        }
    }
    sampler_golden_close(golden);
    assert_int_equal(n_compared, 11);
}

static void the_usual_breakers_are_found_without_texts(void **state)
{
    (void)state;
    struct dry_breakers breakers;
    uint32_t n_found = 0;
    assert_int_equal(dry_breakers_find(tokenizer, NULL, 0, &breakers, NULL), REALM_OK);
    for (uint32_t i = 0; i < breakers.n_items; i++) {
        const struct bytes text = tokenizer_token_bytes(tokenizer, breakers.items[i].token, true);
        assert_int_equal(breakers.items[i].n_tail, 0);
        n_found += text.length == 1 && memchr("\n:\"*", text.data[0], 4) != NULL;
    }
    assert_int_equal(n_found, 4);
    dry_breakers_deinit(&breakers);
}

static void texts_of_wrong_length_are_refused(void **state)
{
    (void)state;
    static const uint8_t long_text[41] = {'x'};
    const struct bytes bad[] = {{long_text, 0}, {long_text, sizeof long_text}};
    for (size_t i = 0; i < 2; i++) {
        struct dry_breakers breakers;
        struct realm_error error;
        assert_int_equal(dry_breakers_find(tokenizer, &bad[i], 1, &breakers, &error),
                         REALM_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, "dry_sequence_breakers[0]"));
        assert_null(breakers.items);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(penalties_are_llama_cpps_for_the_same_texts),
        cmocka_unit_test(the_usual_breakers_are_found_without_texts),
        cmocka_unit_test(texts_of_wrong_length_are_refused),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
