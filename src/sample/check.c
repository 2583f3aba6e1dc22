#include "sample/sampler.h"

#include <math.h>

static realm_status
check_range(const char *field, float value, float low, float high, struct realm_error *error)
{
    if (value >= low && value <= high) { /* false for NaN */
        return REALM_OK;
    }
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "%s is %g and must lie between %g and %g",
                           field,
                           (double)value,
                           (double)low,
                           (double)high);
}

static realm_status
check_biases(const struct sampler_options *options, uint32_t vocabulary, struct realm_error *error)
{
    for (uint32_t i = 0; i < options->n_biases; i++) {
        if (options->biases[i].token >= vocabulary) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "logit_bias names token %u and the vocabulary has %u tokens",
                                   options->biases[i].token,
                                   vocabulary);
        }
        REALM_TRY(check_range("logit_bias", options->biases[i].bias, -100, 100, error));
    }
    return REALM_OK;
}

static realm_status check_breakers(const struct sampler_options *options, struct realm_error *error)
{
    for (uint32_t i = 1; i < options->n_dry_breakers; i++) {
        if (options->dry_breakers[i].token < options->dry_breakers[i - 1].token) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "dry_breakers[%u] is token %u and must not come after token %u",
                                   i,
                                   options->dry_breakers[i].token,
                                   options->dry_breakers[i - 1].token);
        }
    }
    return REALM_OK;
}

realm_status
sampler_check(const struct sampler_options *options, uint32_t vocabulary, struct realm_error *error)
{
    const struct sampler_options *const o = options;
    const struct {
        const char *field;
        float value;
        float low;
        float high;
    } ranges[] = {
        {"temperature", o->temperature, 0, 100},
        {"top_p", o->top_p, 0, 1},
        {"min_p", o->min_p, 0, 1},
        {"typical_p", o->typical_p, 0, 1},
        {"repetition_penalty", o->repetition_penalty, 0, 100},
        {"presence_penalty", o->presence_penalty, -2, 2},
        {"frequency_penalty", o->frequency_penalty, -2, 2},
        {"dry_multiplier", o->dry_multiplier, 0, 100},
        {"dry_base", o->dry_base, 0, 100},
        {"mirostat", (float)o->mirostat, 0, 2},
        {"mirostat_tau", o->mirostat_tau, 0, 100},
        {"mirostat_eta", o->mirostat_eta, 0, 1},
        {"top_logprobs", (float)o->n_top_logprobs, 0, SAMPLER_MAX_TOP_LOGPROBS},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        REALM_TRY(
            check_range(ranges[i].field, ranges[i].value, ranges[i].low, ranges[i].high, error));
    }
    REALM_TRY(check_biases(options, vocabulary, error));
    return check_breakers(options, error);
}
