#include "sample/chain.h"

#include <math.h>

/* log of the sum of exp over the raw logits. */
static double log_sum(const float *logits, uint32_t n, float max)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (logits[i] > max - 40.0f) {
            sum += exp((double)(logits[i] - max));
        }
    }
    return (double)max + log(sum);
}

void logprobs_fill(const struct sampler *sampler, struct sampler_choice *choice)
{
    const float *const logits = sampler->raw_logits;
    const uint32_t n_top = sampler->options.n_top_logprobs;
    token_id best;
    const float max = logits_max(logits, sampler->vocabulary, &best);
    const double normaliser = log_sum(logits, sampler->vocabulary, max);
    choice->logprob = (float)((double)logits[choice->token] - normaliser);
    choice->n_top = 0;
    for (uint32_t i = 0; i < sampler->vocabulary && n_top > 0; i++) {
        if (isnan(logits[i]) ||
            (choice->n_top == n_top && logits[i] <= choice->top[n_top - 1].logprob)) {
            continue;
        }
        uint32_t at = choice->n_top < n_top ? choice->n_top++ : n_top - 1;
        for (; at > 0 && choice->top[at - 1].logprob < logits[i]; at--) {
            choice->top[at] = choice->top[at - 1];
        }
        choice->top[at] = (struct sampler_logprob){.token = i, .logprob = logits[i]};
    }
    for (uint32_t i = 0; i < choice->n_top; i++) {
        choice->top[i].logprob = (float)((double)choice->top[i].logprob - normaliser);
    }
}
