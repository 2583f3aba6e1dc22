/* Mirostat (Basu, Ramachandran, Keskar, Varshney 2021): truncation steered by feedback, so that the
 * mean surprise of what is drawn comes to tau bits.  Version 1 estimates the tail's Zipf exponent
 * and takes a top-k; version 2 cuts at the surprise mu itself. */
#include "sample/chain.h"

#include <math.h>

#define ESTIMATE_TOKENS 100u

/* Least-squares estimate of the Zipf exponent from the ratios of the most probable tokens. */
static double estimate_exponent(const float *top, uint32_t n_top)
{
    double numerator = 0;
    double denominator = 0;
    for (uint32_t i = 0; i + 1 < n_top; i++) {
        const double t = log((double)(i + 2) / (double)(i + 1));
        const double b = log((double)top[i] / (double)top[i + 1]);
        numerator += t * b;
        denominator += t * t;
    }
    return denominator > 0 ? numerator / denominator : 1;
}

/* The greatest weights, falling. */
static uint32_t greatest(const float *weights, uint32_t n, float top[ESTIMATE_TOKENS])
{
    uint32_t n_top = 0;
    for (uint32_t i = 0; i < n; i++) {
        const float weight = weights[i];
        if (weight == 0.0f || (n_top == ESTIMATE_TOKENS && weight <= top[n_top - 1])) {
            continue;
        }
        uint32_t at = n_top < ESTIMATE_TOKENS ? n_top++ : n_top - 1;
        for (; at > 0 && top[at - 1] < weight; at--) {
            top[at] = top[at - 1];
        }
        top[at] = weight;
    }
    return n_top;
}

static double truncate_version_1(const struct sampler *sampler, float *weights, double sum)
{
    float top[ESTIMATE_TOKENS];
    const uint32_t n_top = greatest(weights, sampler->vocabulary, top);
    const double s = estimate_exponent(top, n_top);
    const double epsilon = s - 1;
    const double n = sampler->vocabulary;
    const double k =
        pow(epsilon * exp2((double)sampler->mirostat_mu) / (1 - pow(n, -epsilon)), 1 / s);
    /* NaN and infinity appear for degenerate distributions: then nothing is cut. */
    const uint32_t n_kept = k >= 1 ? (k < n ? (uint32_t)k : sampler->vocabulary) : 1;
    return truncate_top_k(weights, sampler->vocabulary, isnan(k) ? 0 : n_kept, sum);
}

/* The most probable token stays whatever mu is. */
static double truncate_version_2(const struct sampler *sampler, float *weights, double sum)
{
    token_id best;
    (void)logits_max(weights, sampler->vocabulary, &best);
    const double threshold = exp2(-(double)sampler->mirostat_mu) * sum;
    double kept = 0;
    for (uint32_t i = 0; i < sampler->vocabulary; i++) {
        if ((double)weights[i] < threshold && i != best) {
            weights[i] = 0;
        }
        kept += (double)weights[i];
    }
    return kept;
}

double mirostat_truncate(const struct sampler *sampler, float *weights, double sum)
{
    return sampler->options.mirostat == 1 ? truncate_version_1(sampler, weights, sum)
                                          : truncate_version_2(sampler, weights, sum);
}

void mirostat_learn(struct sampler *sampler, double probability)
{
    const double surprise = -log2(probability);
    sampler->mirostat_mu -=
        (float)(sampler->options.mirostat_eta * (surprise - (double)sampler->options.mirostat_tau));
}
