/* The sampler's inside, shared by the families of steps.
 *
 * After the logits are adjusted, the chain works on *weights*: unnormalised probabilities exp(logit
 * - max) in the logits' own storage; a removed token has weight 0.  Truncation never sorts: it
 * finds the threshold by radix selection over the bits of the keys (non-negative floats order as
 * their bits do). */
#ifndef REALM_SAMPLE_CHAIN_H
#define REALM_SAMPLE_CHAIN_H

#include "base/random.h"
#include "sample/sampler.h"
#include "sample/token_table.h"

/* Loops over the whole vocabulary: compiled for AVX2 too, which is taken where the CPU has it, with
 * the same result.  Not by clang, whose sanitizers do not survive the choice at load. */
#if defined(__x86_64__) && !defined(__clang__)
#define SAMPLE_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define SAMPLE_WIDE
#endif

struct sampler {
    struct sampler_options options; /* pointers are NULL: copied below */
    uint32_t vocabulary;
    struct philox philox;
    struct sampler_bias *biases;
    struct sampler_breaker *breakers; /* by rising token */
    token_id *breaker_tails;
    token_id *history; /* [max_tokens]; only when something looks back */
    uint32_t n_history;
    uint32_t n_prompt; /* of the history: observed, not drawn */
    uint32_t max_history;
    struct token_table seen;    /* tokens of the penalty window, with repetition_penalty */
    struct token_table drawn;   /* those of the completion, with presence or frequency penalty */
    struct token_table matches; /* DRY: longest match by token */
    uint32_t *z;                /* DRY: [max_tokens] */
    float mirostat_mu;
};

/* --- adjusting logits */
/* Counts a token that is about to be appended to the history. */
void penalties_observe(struct sampler *sampler, token_id token, bool is_drawn);
void penalties_apply(const struct sampler *sampler, float *logits);
void dry_apply(struct sampler *sampler, float *logits);

/* --- weights */

/* Greatest logit; *token: the lowest id that has it.  NaN: one of them is NaN.  -INFINITY: none is
 * finite. */
float logits_max(const float *logits, uint32_t n, token_id *token);
/* Sum of exp(logits[i] - max); NaN counts as -infinity. */
double logits_sum(const float *logits, uint32_t n, float max);
/* weights[i] = exp((logits[i] - max) * scale), in place; returns their sum. */
double weights_from_logits(float *logits, uint32_t n, float max, float scale);
double weights_sum(const float *weights, uint32_t n);

/* Each keeps at least one token and returns the sum of what is kept. */
double truncate_top_k(float *weights, uint32_t n, uint32_t k, double sum);
double truncate_top_p(float *weights, uint32_t n, double part, double sum);
double truncate_typical(float *weights, uint32_t n, double part, double sum);
double truncate_min_p(float *weights, uint32_t n, float part);
/* weights^(1 / temperature). */
double weights_temper(float *weights, uint32_t n, float temperature);
/* The token at `part` (in [0,1)) of the running sum. */
token_id weights_draw(const float *weights, uint32_t n, double sum, double part);

/* --- mirostat (Basu et al. 2021) */
/* Returns the sum of what is kept. */
double mirostat_truncate(const struct sampler *sampler, float *weights, double sum);
/* What was drawn with this probability steers the next cut. */
void mirostat_learn(struct sampler *sampler, double probability);

/* --- all of it */
/* Everything that changes logits. */
void sampler_adjust(struct sampler *sampler, float *logits, const struct sampler_limits *limits);
/* Logits, adjusted, to what is drawn from; returns the sum.  max: the greatest logit, finite. */
double sampler_weights(const struct sampler *sampler, float *logits, float max);

/* --- log-probabilities of raw logits */
/* Of the token chosen, and of the n_top best.  max: the greatest logit, finite. */
void logprobs_fill(const float *logits,
                   uint32_t vocabulary,
                   float max,
                   uint32_t n_top,
                   struct sampler_choice *choice);

#endif
