/* From a row of logits to a token: the chain of steps with its state and seed, one sampler a
 * sequence. Order: logit bias, penalties (repetition, presence, frequency), DRY, banned tokens,
 * mask of a constraint, greedy when the temperature is 0; else top-k, typical-p, top-p, min-p,
 * temperature, draw; mirostat replaces all truncation.  docs/sampling.md has the formulas.
 * Takes all memory at creation: sampler_next allocates nothing.  Owned by one thread. */
#ifndef REALM_SAMPLE_SAMPLER_H
#define REALM_SAMPLE_SAMPLER_H

#include "base/status.h"

typedef uint32_t token_id;

#define SAMPLER_MAX_TOP_LOGPROBS 20u

struct sampler_bias {
    token_id token;
    float bias; /* added to the logit; -100 or less bans */
};

/* Ends a repetition for DRY: this token, followed by the tail. */
struct sampler_breaker {
    token_id token;
    uint32_t n_tail;
    const token_id *tail; /* in the order of the sequence */
};

/* Zero means "off" in every field. */
struct sampler_options {
    float temperature; /* 0, or below 1e-5: greedy */
    uint32_t top_k;
    float top_p; /* 0 or 1: off */
    float min_p;
    float typical_p;          /* 0 or 1: off */
    float repetition_penalty; /* of prompt and completion; 0 or 1: off */
    float presence_penalty;   /* of the completion alone, as OpenAI's API has it */
    float frequency_penalty;
    uint32_t penalty_window;                    /* last tokens looked at; 0: all of the sequence */
    float dry_multiplier;                       /* 0: off */
    float dry_base;                             /* 0: 1.75 */
    uint32_t dry_allowed_length;                /* 0: 2 */
    uint32_t dry_window;                        /* 0: all */
    const struct sampler_breaker *dry_breakers; /* by rising token; copied */
    uint32_t n_dry_breakers;
    uint32_t mirostat;  /* 0: off, 1, 2 */
    float mirostat_tau; /* 0: 5 */
    float mirostat_eta; /* 0: 0.1 */
    uint64_t seed;
    uint32_t stream;                   /* of the first choice: other numbers from the same seed */
    const struct sampler_bias *biases; /* copied */
    uint32_t n_biases;
    uint32_t n_top_logprobs; /* 0..SAMPLER_MAX_TOP_LOGPROBS */
    bool logprobs;           /* fill in logprob (and the top ones) */
};

/* Log-probabilities are of the model's own distribution: after a softmax over the raw logits
 * (temperature 1, no bias or truncation), as OpenAI's API has them. */
struct sampler_logprob {
    token_id token;
    float logprob;
};

struct sampler_choice {
    token_id token;
    float logprob; /* NaN unless asked for */
    uint32_t n_top;
    struct sampler_logprob top[SAMPLER_MAX_TOP_LOGPROBS]; /* falling */
};

struct sampler;

/* Says whether options are in range; INVALID_ARGUMENT names the field as in the API ("top_p"), its
 * value and the range. */
REALM_MUST_CHECK realm_status sampler_check(const struct sampler_options *options,
                                            uint32_t vocabulary,
                                            struct realm_error *error);
/* max_tokens: most tokens of the sequence, prompt included (history is kept for penalties). */
REALM_MUST_CHECK realm_status sampler_create(const struct sampler_options *options,
                                             uint32_t vocabulary,
                                             uint32_t max_tokens,
                                             struct sampler **out,
                                             struct realm_error *error);
void sampler_destroy(struct sampler *sampler);

/* Tokens that stand in the sequence already: the prompt.  Before the first sampler_next. */
void sampler_observe(struct sampler *sampler, const token_id *tokens, uint32_t n_tokens);

/* Instead of sampler_observe: the sequence's tokens, of which the last n_drawn (at most n_tokens) a
 * sampler with the same options drew before.  This one goes on where that stood, but for mirostat,
 * which begins anew. */
void sampler_resume(struct sampler *sampler,
                    const token_id *tokens,
                    uint32_t n_tokens,
                    uint32_t n_drawn);

/* Whether a sampler that resumes draws as this one would go on: not by mirostat. */
bool sampler_can_resume(const struct sampler *sampler);
/* Whether both were made with the same options. */
bool sampler_is_like(const struct sampler *sampler, const struct sampler *other);

/* What may be chosen now; zero: every token. */
struct sampler_limits {
    const token_id
        *banned; /* end tokens before min_tokens; ids beyond the vocabulary are ignored */
    uint32_t n_banned;
    const uint32_t *mask; /* of a constraint: bit t % 32 of word t / 32 allows token t; NULL: all */
};

/* Chooses the next token and observes it.  logits: vocabulary wide, overwritten.  raw: room for as
 * many, for those with logprobs; others take NULL.
 * INTERNAL: a logit is NaN or +infinity (a broken model).  INVALID_ARGUMENT: bias, banned tokens
 * and mask leave no token.  Nothing was drawn then. */
REALM_MUST_CHECK realm_status sampler_next(struct sampler *sampler,
                                           float *logits,
                                           float *raw,
                                           const struct sampler_limits *limits,
                                           struct sampler_choice *out,
                                           struct realm_error *error);

#endif
