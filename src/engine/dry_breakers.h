/* Texts that end a repetition for DRY, as the tokens that spell them: those that contain a text,
 * and those that begin one, with the tokens that must follow.  Made for one request on its
 * submitter's thread; samplers copy what they keep. */
#ifndef REALM_ENGINE_DRY_BREAKERS_H
#define REALM_ENGINE_DRY_BREAKERS_H

#include "sample/sampler.h"
#include "tokenizer/tokenizer.h"

struct dry_breakers {
    struct sampler_breaker *items; /* by rising token */
    uint32_t n_items;
    uint32_t capacity;
    struct token_list tails; /* which the items point into */
};

/* texts: NULL gives the usual four: newline, colon, quotation mark, asterisk.  Each 1..40 bytes, at
 * most 64.  INVALID_ARGUMENT names the index.  On error `out` is empty.  Time: one pass over the
 * vocabulary. */
REALM_MUST_CHECK realm_status dry_breakers_find(const struct tokenizer *tokenizer,
                                                const struct bytes *texts,
                                                uint32_t n_texts,
                                                struct dry_breakers *out,
                                                struct realm_error *error);
void dry_breakers_deinit(struct dry_breakers *breakers);

#endif
