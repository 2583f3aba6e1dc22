/* What a row of logits says, before any sampler has changed it. */
#ifndef REALM_SAMPLE_LOGPROBS_H
#define REALM_SAMPLE_LOGPROBS_H

#include "sample/sampler.h"

/* The *n_top likeliest tokens, falling (equal ones by rising id), into `top`; *n_top: how many
 * there are.  *log_sum: of the exponentials of all logits, so that logit = logprob + log_sum.
 * INTERNAL: a logit is NaN or +infinity (a broken model). */
REALM_MUST_CHECK realm_status logprobs_top(const float *logits,
                                           uint32_t vocabulary,
                                           struct sampler_logprob *top,
                                           uint32_t *n_top,
                                           float *log_sum,
                                           struct realm_error *error);

#endif
