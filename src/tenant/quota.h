/* What a tenant, or one of its keys, may use: rates by token buckets, requests at once, tokens a
 * day and a month (UTC).
 *
 * A request is admitted by its tenant's quota and its key's together or by neither, with an
 * estimate of its tokens; at its end the ticket is settled with what it really used.  Any thread:
 * a book has one mutex, held for a few additions. */
#ifndef REALM_TENANT_QUOTA_H
#define REALM_TENANT_QUOTA_H

#include "base/status.h"

/* Zero means no limit. */
struct quota_limits {
    uint32_t requests_per_minute;
    uint32_t tokens_per_minute;
    uint32_t max_concurrent;
    uint64_t tokens_per_day;
    uint64_t tokens_per_month;
};

/* Tokens of the day and the month that run now, to go on after a restart. */
struct quota_used {
    uint64_t day_tokens;
    uint64_t month_tokens;
};

/* When the month of a moment began (UTC); both milliseconds since 1970. */
int64_t quota_month_start_ms(int64_t now_ms);

struct quota_book;
struct quota;

REALM_MUST_CHECK realm_status quota_book_create(struct quota_book **out, struct realm_error *error);
/* All quotas are released and all tickets settled before.  NULL is fine. */
void quota_book_destroy(struct quota_book *book);

/* used: NULL: nothing yet.  The book outlives the quota. */
REALM_MUST_CHECK realm_status quota_create(struct quota_book *book,
                                           const struct quota_limits *limits,
                                           const struct quota_used *used,
                                           struct quota **out,
                                           struct realm_error *error);
/* Acts on the next request.  What was used stays used. */
void quota_configure(struct quota *quota, const struct quota_limits *limits);
void quota_retain(struct quota *quota);
/* Tickets keep it alive, too.  NULL is fine. */
void quota_release(struct quota *quota);
struct quota_used quota_used_now(struct quota *quota);

/* What answers tell in x-ratelimit-*: of tenant and key the one that has less left.  limit 0: none,
 * and nothing is to be told. */
struct quota_rate {
    uint32_t limit;
    uint32_t remaining;
    uint64_t reset_ms; /* until all of it is there again */
};
struct quota_standing {
    struct quota_rate requests;
    struct quota_rate tokens;
    uint64_t retry_after_ms; /* of a refusal; 0 otherwise */
};

/* Zeroed: admitted by nobody; settling it does nothing. */
struct quota_ticket {
    struct quota *quotas[2];
    uint64_t estimate;
};

/* tenant or key may be NULL: no limits.  Fills *standing in either case.
 * QUOTA_EXCEEDED names the limit, whose it is and when to come again; nothing was charged then. */
REALM_MUST_CHECK realm_status quota_admit(struct quota_book *book,
                                          struct quota *tenant,
                                          struct quota *key,
                                          uint64_t n_tokens_estimate,
                                          struct quota_ticket *ticket,
                                          struct quota_standing *standing,
                                          struct realm_error *error);
/* What runs has used more than was estimated, and runs on: the estimate becomes n_tokens, and
 * counts against what others ask for from now on.  Does nothing where it is less. */
void quota_raise(struct quota_book *book, struct quota_ticket *ticket, uint64_t n_tokens);
/* Once: replaces the estimate by what was used and empties the ticket. */
void quota_settle(struct quota_book *book, struct quota_ticket *ticket, uint64_t n_tokens);

#endif
