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
#define NUMBERS_A_DRAW             2     /* of philox_u32, in philox_double */
#define LEAST_TEMPERATURE          1e-5f /* below, a float cannot hold the logits */

static void apply_defaults(struct sampler_options *options)
{
    if (options->temperature < LEAST_TEMPERATURE) {
        options->temperature = 0;
    }
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

static realm_status copy_biases(struct sampler *sampler,
                                const struct sampler_options *options,
                                struct realm_error *error)
{
    sampler->biases = alloc_zeroed(ALLOC_REQUEST, options->n_biases, sizeof *sampler->biases);
    if (sampler->biases == NULL) {
        return realm_error_out_of_memory(error, options->n_biases, "logit_bias");
    }
    for (uint32_t i = 0; i < options->n_biases; i++) {
        sampler->biases[i] = options->biases[i];
    }
    sampler->options.biases = NULL;
    return REALM_OK;
}

static realm_status copy_breakers(struct sampler *sampler,
                                  const struct sampler_options *options,
                                  struct realm_error *error)
{
    size_t n_tails = 0;
    for (uint32_t i = 0; i < options->n_dry_breakers; i++) {
        n_tails += options->dry_breakers[i].n_tail;
    }
    sampler->breakers =
        alloc_zeroed(ALLOC_REQUEST, options->n_dry_breakers, sizeof *sampler->breakers);
    sampler->breaker_tails = alloc_zeroed(ALLOC_REQUEST, n_tails, sizeof(token_id));
    if (sampler->breakers == NULL || sampler->breaker_tails == NULL) {
        return realm_error_out_of_memory(error, options->n_dry_breakers, "DRY breakers");
    }
    token_id *tail = sampler->breaker_tails;
    for (uint32_t i = 0; i < options->n_dry_breakers; i++) {
        sampler->breakers[i] = options->dry_breakers[i];
        sampler->breakers[i].tail = tail;
        for (uint32_t t = 0; t < options->dry_breakers[i].n_tail; t++) {
            *tail++ = options->dry_breakers[i].tail[t];
        }
    }
    sampler->options.dry_breakers = NULL;
    return REALM_OK;
}

/* Memory for the steps that look back, only when one of them is on. */
static realm_status
take_history(struct sampler *sampler, uint32_t max_tokens, struct realm_error *error)
{
    const struct sampler_options *const o = &sampler->options;
    const bool repetition = o->repetition_penalty > 0;
    const bool counts = o->presence_penalty != 0 || o->frequency_penalty != 0;
    const bool dry = o->dry_multiplier > 0;
    if (!repetition && !counts && !dry) {
        return REALM_OK;
    }
    sampler->history = alloc_zeroed(ALLOC_REQUEST, max_tokens, sizeof(token_id));
    if (sampler->history == NULL) {
        return realm_error_out_of_memory(error, max_tokens * sizeof(token_id), "sampler history");
    }
    sampler->max_history = max_tokens;
    if (repetition) {
        REALM_TRY(token_table_init(&sampler->seen, max_tokens, error));
    }
    if (counts) {
        REALM_TRY(token_table_init(&sampler->drawn, max_tokens, error));
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
    realm_status status = copy_biases(sampler, options, error);
    if (status == REALM_OK) {
        status = copy_breakers(sampler, options, error);
    }
    if (status == REALM_OK) {
        status = take_history(sampler, max_tokens, error);
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
    token_table_deinit(&sampler->seen);
    token_table_deinit(&sampler->drawn);
    token_table_deinit(&sampler->matches);
    alloc_free(sampler->z);
    alloc_free(sampler->history);
    alloc_free(sampler->biases);
    alloc_free(sampler->breakers);
    alloc_free(sampler->breaker_tails);
    alloc_free(sampler);
}

static void observe(struct sampler *sampler, token_id token, bool is_drawn)
{
    if (sampler->n_history < sampler->max_history) {
        penalties_observe(sampler, token, is_drawn);
        sampler->history[sampler->n_history++] = token;
        sampler->n_prompt += is_drawn ? 0 : 1;
    }
}

void sampler_observe(struct sampler *sampler, const token_id *tokens, uint32_t n_tokens)
{
    for (uint32_t i = 0; i < n_tokens; i++) {
        observe(sampler, tokens[i], false);
    }
}

void sampler_resume(struct sampler *sampler,
                    const token_id *tokens,
                    uint32_t n_tokens,
                    uint32_t n_drawn)
{
    for (uint32_t i = 0; i < n_tokens; i++) {
        observe(sampler, tokens[i], i >= n_tokens - n_drawn);
    }
    sampler->philox.counter += (uint64_t)n_drawn * NUMBERS_A_DRAW;
}

bool sampler_can_resume(const struct sampler *sampler)
{
    return sampler->options.mirostat == 0;
}

static bool has_same_biases(const struct sampler *sampler, const struct sampler *other)
{
    const uint32_t n = sampler->options.n_biases;
    bool same = n == other->options.n_biases;
    for (uint32_t i = 0; same && i < n; i++) {
        same = sampler->biases[i].token == other->biases[i].token &&
               sampler->biases[i].bias == other->biases[i].bias;
    }
    return same;
}

static bool has_same_breakers(const struct sampler *sampler, const struct sampler *other)
{
    const uint32_t n = sampler->options.n_dry_breakers;
    bool same = n == other->options.n_dry_breakers;
    for (uint32_t i = 0; same && i < n; i++) {
        const struct sampler_breaker *const a = &sampler->breakers[i];
        const struct sampler_breaker *const b = &other->breakers[i];
        same = a->token == b->token && a->n_tail == b->n_tail &&
               memcmp(a->tail, b->tail, a->n_tail * sizeof *a->tail) == 0;
    }
    return same;
}

bool sampler_is_like(const struct sampler *sampler, const struct sampler *other)
{
    const struct sampler_options *const a = &sampler->options;
    const struct sampler_options *const b = &other->options;
    return a->temperature == b->temperature && a->top_k == b->top_k && a->top_p == b->top_p &&
           a->min_p == b->min_p && a->typical_p == b->typical_p &&
           a->repetition_penalty == b->repetition_penalty &&
           a->presence_penalty == b->presence_penalty &&
           a->frequency_penalty == b->frequency_penalty && a->penalty_window == b->penalty_window &&
           a->dry_multiplier == b->dry_multiplier && a->dry_base == b->dry_base &&
           a->dry_allowed_length == b->dry_allowed_length && a->dry_window == b->dry_window &&
           a->mirostat == b->mirostat && a->mirostat_tau == b->mirostat_tau &&
           a->mirostat_eta == b->mirostat_eta && a->seed == b->seed && a->stream == b->stream &&
           a->logprobs == b->logprobs && a->n_top_logprobs == b->n_top_logprobs &&
           has_same_biases(sampler, other) && has_same_breakers(sampler, other);
}

static void apply_mask(float *logits, uint32_t n, const uint32_t *mask)
{
    for (uint32_t begin = 0; begin < n; begin += 32) {
        const uint32_t allowed = mask[begin / 32];
        const uint32_t end = n - begin < 32 ? n : begin + 32;
        if (allowed == UINT32_MAX) {
            continue;
        }
        for (uint32_t i = begin; i < end; i++) {
            logits[i] = allowed >> (i - begin) & 1 ? logits[i] : -INFINITY;
        }
    }
}

/* Whether sampler_adjust may change anything. */
static bool sampler_adjusts(const struct sampler *sampler, const struct sampler_limits *limits)
{
    return sampler->options.n_biases > 0 || sampler->history != NULL || limits->n_banned > 0 ||
           limits->mask != NULL;
}

void sampler_adjust(struct sampler *sampler, float *logits, const struct sampler_limits *limits)
{
    for (uint32_t i = 0; i < sampler->options.n_biases; i++) {
        const struct sampler_bias bias = sampler->biases[i];
        logits[bias.token] =
            bias.bias <= BIAS_THAT_BANS ? -INFINITY : logits[bias.token] + bias.bias;
    }
    penalties_apply(sampler, logits);
    dry_apply(sampler, logits);
    for (uint32_t i = 0; i < limits->n_banned; i++) {
        if (limits->banned[i] < sampler->vocabulary) {
            logits[limits->banned[i]] = -INFINITY;
        }
    }
    if (limits->mask != NULL) {
        apply_mask(logits, sampler->vocabulary, limits->mask);
    }
}

double sampler_weights(const struct sampler *sampler, float *logits, float max)
{
    const struct sampler_options *const o = &sampler->options;
    const uint32_t n = sampler->vocabulary;
    const bool truncates = (o->top_k > 0 && o->top_k < n) || (o->top_p > 0 && o->top_p < 1) ||
                           (o->typical_p > 0 && o->typical_p < 1) || o->min_p > 0;
    if (o->mirostat > 0 || !truncates) {
        const double sum = weights_from_logits(logits, n, max, 1.0f / o->temperature);
        return o->mirostat > 0 ? mirostat_truncate(sampler, logits, sum) : sum;
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
    return sum;
}

static token_id draw(struct sampler *sampler, float *logits, float max)
{
    const double sum = sampler_weights(sampler, logits, max);
    const token_id token =
        weights_draw(logits, sampler->vocabulary, sum, philox_double(&sampler->philox));
    if (sampler->options.mirostat > 0) {
        mirostat_learn(sampler, (double)logits[token] / sum);
    }
    return token;
}

static realm_status refuse(float max, struct realm_error *error)
{
    if (isnan(max) || max > 0) {
        return realm_error_set(error,
                               REALM_INTERNAL,
                               "the model's logits hold %s; the model file is broken or its type "
                               "cannot hold its numbers",
                               isnan(max) ? "NaN" : "infinity");
    }
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "logit_bias, min_tokens and the constraint together leave no token that "
                           "may be chosen");
}

realm_status sampler_next(struct sampler *sampler,
                          float *logits,
                          float *raw,
                          const struct sampler_limits *limits,
                          struct sampler_choice *out,
                          struct realm_error *error)
{
    const struct sampler_options *const o = &sampler->options;
    const uint32_t n = sampler->vocabulary;
    out->logprob = NAN;
    out->n_top = 0;
    const bool adjusts = sampler_adjusts(sampler, limits);
    if (!adjusts && o->temperature == 0) {
        raw = logits; /* stay as they are */
    } else if (o->logprobs) {
        memcpy(raw, logits, n * sizeof *logits);
    }
    if (adjusts) {
        sampler_adjust(sampler, logits, limits);
    }
    const float max = logits_max(logits, n, &out->token);
    if (!isfinite(max)) {
        return refuse(max, error);
    }
    if (o->temperature > 0) {
        out->token = draw(sampler, logits, max);
    }
    if (o->logprobs) {
        token_id best;
        const float raw_max = adjusts ? logits_max(raw, n, &best) : max;
        logprobs_fill(raw, n, raw_max, o->n_top_logprobs, out);
    }
    observe(sampler, out->token, true);
    return REALM_OK;
}
