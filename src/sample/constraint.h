/* What a completion must satisfy: a JSON schema, a regular expression or a Lark grammar, matched
 * token by token over llguidance (https://github.com/guidance-ai/llguidance, whose documents give
 * the syntax of each).  A constraint_vocabulary is made once a model; a constraint is one
 * sequence's running state. */
#ifndef REALM_SAMPLE_CONSTRAINT_H
#define REALM_SAMPLE_CONSTRAINT_H

#include "base/bytes.h"
#include "base/status.h"

typedef uint32_t token_id;

#define CONSTRAINT_MAX_BYTES ((size_t)256 << 10)

enum constraint_kind {
    CONSTRAINT_NONE,
    CONSTRAINT_JSON_OBJECT, /* any JSON object; text is not looked at */
    CONSTRAINT_JSON_SCHEMA,
    CONSTRAINT_REGEX, /* of the whole completion */
    CONSTRAINT_LARK,  /* begins at the rule "start" */
};

struct constraint_rule {
    enum constraint_kind kind;
    struct bytes text; /* UTF-8, at most CONSTRAINT_MAX_BYTES */
};

/* --- the model's tokens */

struct constraint_vocabulary;

struct constraint_tokens {
    uint32_t n_tokens;
    /* The token's bytes in text; special tokens give their name. They live until the end of
     * constraint_vocabulary_create. */
    struct bytes (*text)(const void *context, token_id token, bool *special);
    const void *context;
    const token_id *ends; /* tokens that end a completion; at least one */
    uint32_t n_ends;
};

/* Takes tens of milliseconds and about the text's size of memory.  Immutable then: constraints may
 * be made of it on any thread at the same time.  UNSUPPORTED: no end token. */
REALM_MUST_CHECK realm_status constraint_vocabulary_create(const struct constraint_tokens *tokens,
                                                           struct constraint_vocabulary **out,
                                                           struct realm_error *error);
/* NULL is fine.  No constraint may be left. */
void constraint_vocabulary_destroy(struct constraint_vocabulary *vocabulary);

/* --- one sequence's state; one thread at a time */

struct constraint;

/* INVALID_ARGUMENT: not valid, too large or too costly; the message is llguidance's reason. */
REALM_MUST_CHECK realm_status constraint_create(const struct constraint_vocabulary *vocabulary,
                                                const struct constraint_rule *rule,
                                                struct constraint **out,
                                                struct realm_error *error);
/* The same state again, independent from here on. */
REALM_MUST_CHECK realm_status constraint_fork(const struct constraint *constraint,
                                              struct constraint **out,
                                              struct realm_error *error);
void constraint_destroy(struct constraint *constraint);

/* What may come next, as sampler_limits.mask wants it; end tokens where the completion may end.
 * Valid until the next call for this constraint.  About 50 us.  INVALID_ARGUMENT: the grammar is
 * too ambiguous to follow; the constraint is of no use any more. */
REALM_MUST_CHECK realm_status constraint_mask(struct constraint *constraint,
                                              const uint32_t **mask,
                                              struct realm_error *error);
/* Moves on by a token that the mask allowed.  INVALID_ARGUMENT: it did not. */
REALM_MUST_CHECK realm_status constraint_accept(struct constraint *constraint,
                                                token_id token,
                                                struct realm_error *error);
/* Takes the last n_tokens back.  INVALID_ARGUMENT: fewer were accepted. */
REALM_MUST_CHECK realm_status constraint_rollback(struct constraint *constraint,
                                                  uint32_t n_tokens,
                                                  struct realm_error *error);
/* The completion satisfies the rule as it stands. */
bool constraint_is_satisfied(struct constraint *constraint);
/* It does, and nothing can follow. */
bool constraint_is_complete(const struct constraint *constraint);

#endif
