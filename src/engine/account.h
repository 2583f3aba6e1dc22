/* A tenant as the engine sees it: a weight, a priority, caps, and the secret under which its
 * prefixes are found.  The engine knows no names and no keys.
 *
 * A tenant's account may have parts, such as one of its keys: what a part asks for is the tenant's,
 * counted to it and bounded by its caps, and by the part's own; among the tenant's requests the
 * parts take turns by their weights.
 *
 * Counted: the creator holds one reference, and each generation one more, so it may be released
 * while requests run.  All functions are for any thread. */
#ifndef REALM_ENGINE_ACCOUNT_H
#define REALM_ENGINE_ACCOUNT_H

#include "base/status.h"

#define ACCOUNT_LABEL_BYTES  64u
#define ACCOUNT_DOMAIN_BYTES 32u

struct account;

/* Zero means no cap. */
struct account_options {
    char label[ACCOUNT_LABEL_BYTES];      /* of metrics; terminated */
    uint8_t domain[ACCOUNT_DOMAIN_BYTES]; /* secret: who has the same one shares prefix pages */
    uint32_t weight;                      /* share of the machine when it is short; 0: 1 */
    int32_t priority;                     /* higher goes first, whatever was served */
    uint32_t max_running;                 /* sequences at once, of one model */
    uint32_t max_waiting;                 /* requests beyond those that may run */
    uint32_t max_pages;                   /* KV pages held at once, of one model */
};

REALM_MUST_CHECK realm_status account_create(const struct account_options *options,
                                             struct account **out,
                                             struct realm_error *error);
/* A part of an account that is no part itself, with its label and domain; options: weight (among
 * the parts), priority (below zero: at most this; otherwise the whole's) and caps.  Keeps the whole
 * alive. */
REALM_MUST_CHECK realm_status account_create_part(struct account *whole,
                                                  const struct account_options *options,
                                                  struct account **out,
                                                  struct realm_error *error);
/* Takes weight, priority and caps from options; acts from the next step on. */
void account_configure(struct account *account, const struct account_options *options);
void account_retain(struct account *account);
/* NULL is fine. */
void account_release(struct account *account);
const char *account_label(const struct account *account);

struct account_stats {
    uint64_t prompt_tokens; /* of prompts that were computed or found */
    uint64_t cached_tokens; /* of these, found in the prefix cache */
    uint64_t completion_tokens;
    uint64_t preemptions;
    uint64_t rejected; /* requests over max_waiting */
    uint32_t pending;  /* requests submitted and not done */
};

/* Of a part: only what it was refused, and what is pending; the rest is the whole's. */
void account_stats(const struct account *account, struct account_stats *out);

#endif
