#include "sample/sampler.h"

#include "base/alloc.h"
#include "sample/chain.h"

#include <math.h>
#include <string.h>

#define DEFAULT_DRY_BASE           1.75f
#define DEFAULT_DRY_ALLOWED_LENGTH 2u
#define DEFAULT_MIROSTAT_TAU       5.0f
#define DEFAULT_MIROSTAT_ETA       0.1f
#define BIAS_THAT_BANS             (-100.0f)

static void apply_defaults(struct sampler_options *options)
{
    if (options->repetition_penalty == 1.0f) {
        options->repetition_penalty = 0;
    }
    if (options->dry_base == 0) {
        options->dry_base = DEFAULT_DRY_BASE;
    }
    if (options->dry_allowed_length == 0) {
        options->dry_allowed_length = DEFAULT_DRY_ALLOWED_LENGTH;
    }
    if (options->mirostat_tau == 0) {
        options->mirostat_tau = DEFAULT_MIROSTAT_TAU;
    }
    if (options->mirostat_eta == 0) {
        options->mirostat_eta = DEFAULT_MIROSTAT_ETA;
    }
}

/* Copies what the caller's pointers show. */
static realm_status copy_lists(struct sampler *sampler,
                               const struct sampler_options *options,
                               struct realm_error *error)
{
    sampler->biases = alloc_zeroed(ALLOC_REQUEST, options->n_biases, sizeof *sampler->biases);
    sampler->breakers =
        alloc_zeroed(ALLOC_REQUEST, options->n_dry_breakers, sizeof *sampler->breakers);
    if (sampler->biases == NULL || sampler->breakers == NULL) {
        return realm_error_out_of_memory(error, options->n_biases, "sampler lists");
    }
    if (options->n_biases > 0) {
        memcpy(sampler->biases, options->biases, options->n_biases * sizeof *sampler->biases);
    }
    if (options->n_dry_breakers > 0) {
        memcpy(sampler->breakers,
               options->dry_breakers,
               options->n_dry_breakers * sizeof *sampler->breakers);
    }
    sampler->options.biases = NULL;
    sampler->options.dry_breakers = NULL;
    return REALM_OK;
}

/* Memory for the steps that look back, only when one of them is on. */
static realm_status
take_history(struct sampler *sampler, uint32_t max_tokens, struct realm_error *error)
{
    const struct sampler_options *const o = &sampler->options;
    const bool penalties =
        o->repetition_penalty > 0 || o->presence_penalty != 0 || o->frequency_penalty != 0;
    const bool dry = o->dry_multiplier > 0;
    if (!penalties && !dry) {
        return REALM_OK;
    }
    sampler->history = alloc_zeroed(ALLOC_REQUEST, max_tokens, sizeof(token_id));
    if (sampler->history == NULL) {
        return realm_error_out_of_memory(error, max_tokens * sizeof(token_id), "sampler history");
    }
    sampler->max_history = max_tokens;
    if (penalties) {
        REALM_TRY(token_table_init(&sampler->counts, max_tokens, error));
    }
    if (!dry) {
        return REALM_OK;
    }
    REALM_TRY(token_table_init(&sampler->matches, max_tokens, error));
    sampler->z = alloc_zeroed(ALLOC_REQUEST, max_tokens, sizeof *sampler->z);
    if (sampler->z == NULL) {
        return realm_error_out_of_memory(error, max_tokens * sizeof(uint32_t), "sampler history");
    }
    return REALM_OK;
}

realm_status sampler_create(const struct sampler_options *options,
                            uint32_t vocabulary,
                            uint32_t max_tokens,
                            struct sampler **out,
                            struct realm_error *error)
{
    *out = NULL;
    REALM_TRY(sampler_check(options, vocabulary, error));
    struct sampler *sampler = alloc_zeroed(ALLOC_REQUEST, 1, sizeof *sampler);
    if (sampler == NULL) {
        return realm_error_out_of_memory(error, sizeof *sampler, "sampler");
    }
    sampler->options = *options;
    apply_defaults(&sampler->options);
    sampler->vocabulary = vocabulary;
    /* Streams draw from the same seed far apart: 2^40 numbers each. */
    sampler->philox =
        (struct philox){.seed = options->seed, .counter = (uint64_t)options->stream << 40};
    sampler->mirostat_mu = 2 * sampler->options.mirostat_tau;
    realm_status status = copy_lists(sampler, options, error);
    if (status == REALM_OK) {
        status = take_history(sampler, max_tokens, error);
    }
    if (status == REALM_OK && options->logprobs) {
        sampler->raw_logits = alloc_zeroed(ALLOC_REQUEST, vocabulary, sizeof(float));
        if (sampler->raw_logits == NULL) {
            status = realm_error_out_of_memory(error, vocabulary * sizeof(float), "logprobs");
        }
    }
    if (status != REALM_OK) {
        sampler_destroy(sampler);
        return status;
    }
    *out = sampler;
    return REALM_OK;
}

void sampler_destroy(struct sampler *sampler)
{
    if (sampler == NULL) {
        return;
    }
    token_table_deinit(&sampler->counts);
    token_table_deinit(&sampler->matches);
    alloc_free(sampler->z);
    alloc_free(sampler->raw_logits);
    alloc_free(sampler->history);
    alloc_free(sampler->biases);
    alloc_free(sampler->breakers);
    alloc_free(sampler);
}

static void observe(struct sampler *sampler, token_id token)
{
    if (sampler->n_history < sampler->max_history) {
        penalties_observe(sampler, token);
        sampler->history[sampler->n_history++] = token;
    }
}

void sampler_observe(struct sampler *sampler, const token_id *tokens, uint32_t n_tokens)
{
    for (uint32_t i = 0; i < n_tokens; i++) {
        observe(sampler, tokens[i]);
    }
}

static void
adjust(struct sampler *sampler, float *logits, const token_id *banned, uint32_t n_banned)
{
    for (uint32_t i = 0; i < sampler->options.n_biases; i++) {
        const struct sampler_bias bias = sampler->biases[i];
        logits[bias.token] =
            bias.bias <= BIAS_THAT_BANS ? -INFINITY : logits[bias.token] + bias.bias;
    }
    penalties_apply(sampler, logits);
    dry_apply(sampler, logits);
    for (uint32_t i = 0; i < n_banned; i++) {
        if (banned[i] < sampler->vocabulary) {
            logits[banned[i]] = -INFINITY;
        }
    }
}

static token_id draw(struct sampler *sampler, float *logits, float max)
{
    const struct sampler_options *const o = &sampler->options;
    const uint32_t n = sampler->vocabulary;
    const bool truncates = (o->top_k > 0 && o->top_k < n) || (o->top_p > 0 && o->top_p < 1) ||
                           (o->typical_p > 0 && o->typical_p < 1) || o->min_p > 0;
    if (o->mirostat > 0 || !truncates) {
        const double sum = weights_from_logits(logits, n, max, 1.0f / o->temperature);
        return o->mirostat > 0 ? mirostat_next(sampler, logits, sum)
                               : weights_draw(logits, n, sum, philox_double(&sampler->philox));
    }
    double sum = weights_from_logits(logits, n, max, 1.0f);
    sum = truncate_top_k(logits, n, o->top_k, sum);
    sum = truncate_typical(logits, n, (double)o->typical_p, sum);
    sum = truncate_top_p(logits, n, (double)o->top_p, sum);
    if (o->min_p > 0) {
        sum = truncate_min_p(logits, n, o->min_p);
    }
    if (o->temperature != 1.0f) {
        sum = weights_temper(logits, n, o->temperature);
    }
    return weights_draw(logits, n, sum, philox_double(&sampler->philox));
}

realm_status sampler_next(struct sampler *sampler,
                          float *logits,
                          const token_id *banned,
                          uint32_t n_banned,
                          struct sampler_choice *out,
                          struct realm_error *error)
{
    out->logprob = NAN;
    out->n_top = 0;
    if (sampler->raw_logits != NULL) {
        memcpy(sampler->raw_logits, logits, sampler->vocabulary * sizeof *logits);
    }
    adjust(sampler, logits, banned, n_banned);
    const float max = logits_max(logits, sampler->vocabulary, &out->token);
    if (!isfinite(max)) {
        return realm_error_set(error,
                               REALM_INTERNAL,
                               "no finite logit among %u is left to choose from",
                               sampler->vocabulary);
    }
    if (sampler->options.temperature > 0) {
        out->token = draw(sampler, logits, max);
    }
    if (sampler->raw_logits != NULL) {
        logprobs_fill(sampler, out);
    }
    observe(sampler, out->token);
    return REALM_OK;
}
