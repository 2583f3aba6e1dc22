/* What requests have used, on disk: DATA/usage.db, one row a request, no word of what was asked or
 * answered.  Any thread; several processes may have it open. */
#ifndef REALM_TENANT_USAGE_H
#define REALM_TENANT_USAGE_H

#include "base/status.h"
#include "tenant/key.h"
#include "tenant/quota.h"
#include "tenant/store.h"

#define USAGE_ID_BYTES    40u
#define USAGE_MODEL_BYTES PRICE_MODEL_BYTES
#define USAGE_GROUP_BYTES 128u

/* One request that was admitted. */
struct usage_entry {
    char id[USAGE_ID_BYTES]; /* of the request; a second row with it is not written */
    int64_t time_ms;         /* of its end, wall time */
    char tenant[TENANT_NAME_BYTES];
    char key[KEY_ID_LENGTH + 1];
    char model[USAGE_MODEL_BYTES];
    uint32_t status; /* HTTP's; 499: the client went away */
    uint64_t prompt_tokens;
    uint64_t cached_tokens; /* of the prompt's */
    uint64_t completion_tokens;
    uint64_t duration_ms;
    int64_t cost; /* pico-units (10^-12) of the currency; by the price of the time */
    char currency[PRICE_CURRENCY_BYTES];
};

struct usage;

REALM_MUST_CHECK realm_status usage_open(const char *data_dir,
                                         struct usage **out,
                                         struct realm_error *error);
/* NULL is fine. */
void usage_close(struct usage *usage);

/* All or none. */
REALM_MUST_CHECK realm_status usage_add(struct usage *usage,
                                        const struct usage_entry *entries,
                                        size_t n_entries,
                                        struct realm_error *error);

/* Tokens of today and this month (UTC). */
REALM_MUST_CHECK realm_status usage_of_tenant(struct usage *usage,
                                              const char *tenant,
                                              struct quota_used *out,
                                              struct realm_error *error);
REALM_MUST_CHECK realm_status usage_of_key(struct usage *usage,
                                           const char *key,
                                           struct quota_used *out,
                                           struct realm_error *error);

enum usage_by { USAGE_BY_TENANT, USAGE_BY_MODEL, USAGE_BY_KEY, USAGE_BY_DAY };

struct usage_question {
    const char *tenant; /* NULL: all */
    int64_t since_ms;   /* wall time; rows from it on, before until_ms */
    int64_t until_ms;
    enum usage_by by;
};

/* Sums of a group; rows of different currencies are different groups. */
struct usage_sum {
    char group[USAGE_GROUP_BYTES]; /* a tenant's name, a model, a key's id, a day as 2026-01-31 */
    char currency[PRICE_CURRENCY_BYTES];
    uint64_t n_requests;
    uint64_t prompt_tokens;
    uint64_t cached_tokens;
    uint64_t completion_tokens;
    int64_t cost_micro; /* 10^-6 of the currency; what is below is cut off */
};

typedef realm_status (*usage_visit)(void *context,
                                    const struct usage_sum *sum,
                                    struct realm_error *error);
REALM_MUST_CHECK realm_status usage_each(struct usage *usage,
                                         const struct usage_question *question,
                                         usage_visit visit,
                                         void *context,
                                         struct realm_error *error);

#endif
