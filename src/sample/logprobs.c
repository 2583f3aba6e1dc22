#include "sample/logprobs.h"

#include "sample/chain.h"

#include <math.h>

/* log of the sum of exp over the raw logits. */
static double log_sum(const float *logits, uint32_t n, float max)
{
    return (double)max + log(logits_sum(logits, n, max));
}

/* The n_most greatest logits as log-probabilities; returns how many there are. */
static uint32_t take_top(const float *logits,
                         uint32_t vocabulary,
                         double normaliser,
                         struct sampler_logprob *top,
                         uint32_t n_most)
{
    uint32_t n_top = 0;
    for (uint32_t i = 0; i < vocabulary && n_most > 0; i++) {
        if (isnan(logits[i]) || (n_top == n_most && logits[i] <= top[n_most - 1].logprob)) {
            continue;
        }
        uint32_t at = n_top < n_most ? n_top++ : n_most - 1;
        for (; at > 0 && top[at - 1].logprob < logits[i]; at--) {
            top[at] = top[at - 1];
        }
        top[at] = (struct sampler_logprob){.token = i, .logprob = logits[i]};
    }
    for (uint32_t i = 0; i < n_top; i++) {
        top[i].logprob = (float)((double)top[i].logprob - normaliser);
    }
    return n_top;
}

void logprobs_fill(const float *logits,
                   uint32_t vocabulary,
                   float max,
                   uint32_t n_top,
                   struct sampler_choice *choice)
{
    const double normaliser = log_sum(logits, vocabulary, max);
    choice->logprob = (float)((double)logits[choice->token] - normaliser);
    choice->n_top = take_top(logits, vocabulary, normaliser, choice->top, n_top);
}

realm_status logprobs_top(const float *logits,
                          uint32_t vocabulary,
                          struct sampler_logprob *top,
                          uint32_t *n_top,
                          float *log_sum_out,
                          struct realm_error *error)
{
    token_id best;
    const float max = logits_max(logits, vocabulary, &best);
    if (!isfinite(max)) {
        return realm_error_set(
            error, REALM_INTERNAL, "the model's logits hold NaN or infinity; its file is broken");
    }
    const double normaliser = log_sum(logits, vocabulary, max);
    *n_top = take_top(logits, vocabulary, normaliser, top, *n_top);
    *log_sum_out = (float)normaliser;
    return REALM_OK;
}
