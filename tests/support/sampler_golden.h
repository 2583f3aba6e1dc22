/* Reads tests/golden/sample/sample.txt: what others' samplers leave of given logits. */
#ifndef REALM_TEST_SUPPORT_SAMPLER_GOLDEN_H
#define REALM_TEST_SUPPORT_SAMPLER_GOLDEN_H

#include "sample/sampler.h"

#define SAMPLER_GOLDEN_VOCABULARY 320u
#define SAMPLER_GOLDEN_ITEMS      128u

struct sampler_golden;

/* One line with its result. */
struct sampler_golden_case {
    char line[160]; /* its beginning, for messages */
    float logits[SAMPLER_GOLDEN_VOCABULARY];
    struct sampler_options options; /* without DRY's breakers; biases lie here */
    struct sampler_bias biases[8];
    token_id history[SAMPLER_GOLDEN_ITEMS];
    uint32_t n_history;
    uint32_t n_prompt; /* of the history; the rest was drawn */
    char breakers[8][32];
    uint32_t n_breakers;
    float probabilities[SAMPLER_GOLDEN_VOCABULARY]; /* 0: removed */
    bool begins;    /* mirostat: the first step of a series with these options */
    token_id drawn; /* mirostat: the token that the next step knows of */
};

struct sampler_golden *sampler_golden_open(void);
/* Cases without mirostat, or its steps in order; false: there are no more. */
bool sampler_golden_next(struct sampler_golden *golden,
                         bool mirostat,
                         struct sampler_golden_case *out);
void sampler_golden_close(struct sampler_golden *golden);

#endif
