/* Tenants and keys on disk.  Behind this header stands SQLite today (store_sqlite.c); another
 * database can stand there when several servers share one state.
 *
 * A change is on disk when the call that made it returns.  Several processes may have the same
 * store open, such as a server and a command.  Any thread: one at a time is let in. */
#ifndef REALM_TENANT_STORE_H
#define REALM_TENANT_STORE_H

#include "base/status.h"
#include "engine/account.h"
#include "tenant/key.h"
#include "tenant/limits.h"

#define TENANT_NAME_BYTES 64u
#define KEY_NAME_BYTES    64u

struct tenant_record {
    int64_t id;
    char name[TENANT_NAME_BYTES];
    uint8_t domain[ACCOUNT_DOMAIN_BYTES];
    int64_t created_s; /* wall time */
    bool disabled;
    struct limits limits;
};

struct key_record {
    char id[KEY_ID_LENGTH + 1];
    int64_t tenant;
    char tenant_name[TENANT_NAME_BYTES]; /* of what was read; not written */
    char name[KEY_NAME_BYTES];
    uint8_t hash[KEY_HASH_BYTES];
    uint32_t scopes;
    int64_t created_s;
    int64_t expires_s; /* 0: never */
    bool disabled;
    struct limits limits; /* beside the tenant's; those that keys can have */
};

#define PRICE_MODEL_BYTES    128u
#define PRICE_CURRENCY_BYTES 8u
#define PRICE_MOST           UINT64_C(10000000000)

/* Of a model: micro-units (10^-6) of the currency for a million tokens, at most PRICE_MOST. */
struct price_record {
    char model[PRICE_MODEL_BYTES];
    char currency[PRICE_CURRENCY_BYTES]; /* "USD" */
    uint64_t input;
    uint64_t cached; /* of prompts, found in the prefix cache */
    uint64_t output;
};

struct store;

/* Makes the file, readable by the owner only, if it is not there; brings an older schema forward.
 * UNSUPPORTED: a newer Realm wrote it.  INVALID_FORMAT: no such database. */
REALM_MUST_CHECK realm_status store_open(const char *path,
                                         struct store **out,
                                         struct realm_error *error);
void store_close(struct store *store);

/* A number that is another one after any change, by whatever process. */
REALM_MUST_CHECK realm_status store_revision(struct store *store,
                                             uint64_t *out,
                                             struct realm_error *error);

/* Every change names who makes it ("cli:root", "key:1f0c88aa"), for the audit log, which is written
 * in the same transaction. */

/* Sets record->id.  ALREADY_EXISTS: the name is taken. */
REALM_MUST_CHECK realm_status store_add_tenant(struct store *store,
                                               const char *actor,
                                               struct tenant_record *record,
                                               struct realm_error *error);
/* Writes the limits and `disabled` of the record's id.  NOT_FOUND. */
REALM_MUST_CHECK realm_status store_set_tenant(struct store *store,
                                               const char *actor,
                                               const struct tenant_record *record,
                                               struct realm_error *error);
/* The one of the record's id; its keys go too.  NOT_FOUND. */
REALM_MUST_CHECK realm_status store_remove_tenant(struct store *store,
                                                  const char *actor,
                                                  const struct tenant_record *record,
                                                  struct realm_error *error);
REALM_MUST_CHECK realm_status store_find_tenant(struct store *store,
                                                const char *name,
                                                struct tenant_record *out,
                                                struct realm_error *error);
/* ALREADY_EXISTS: a key with this id or hash. */
REALM_MUST_CHECK realm_status store_add_key(struct store *store,
                                            const char *actor,
                                            const struct key_record *record,
                                            struct realm_error *error);
/* Writes name, expiry, limits and `disabled` of the record's id.  NOT_FOUND. */
REALM_MUST_CHECK realm_status store_set_key(struct store *store,
                                            const char *actor,
                                            const struct key_record *record,
                                            struct realm_error *error);
REALM_MUST_CHECK realm_status store_remove_key(struct store *store,
                                               const char *actor,
                                               const char *id,
                                               struct realm_error *error);
/* Writes `old` and adds `fresh`: both or neither. */
REALM_MUST_CHECK realm_status store_replace_key(struct store *store,
                                                const char *actor,
                                                const struct key_record *old,
                                                const struct key_record *fresh,
                                                struct realm_error *error);
REALM_MUST_CHECK realm_status store_find_key(struct store *store,
                                             const char *id,
                                             struct key_record *out,
                                             struct realm_error *error);

/* In order of their making.  A status other than OK of the callback ends the walk and is returned.
 * The callback must not call the store. */
typedef realm_status (*store_tenant_visit)(void *context,
                                           const struct tenant_record *record,
                                           struct realm_error *error);
typedef realm_status (*store_price_visit)(void *context,
                                          const struct price_record *record,
                                          struct realm_error *error);
typedef realm_status (*store_key_visit)(void *context,
                                        const struct key_record *record,
                                        struct realm_error *error);
REALM_MUST_CHECK realm_status store_each_tenant(struct store *store,
                                                store_tenant_visit visit,
                                                void *context,
                                                struct realm_error *error);
/* In order of the models' names. */
REALM_MUST_CHECK realm_status store_each_price(struct store *store,
                                               store_price_visit visit,
                                               void *context,
                                               struct realm_error *error);
/* In place of the model's price.  INVALID_ARGUMENT: over PRICE_MOST. */
REALM_MUST_CHECK realm_status store_set_price(struct store *store,
                                              const char *actor,
                                              const struct price_record *record,
                                              struct realm_error *error);
REALM_MUST_CHECK realm_status store_remove_price(struct store *store,
                                                 const char *actor,
                                                 const char *model,
                                                 struct realm_error *error);
REALM_MUST_CHECK realm_status store_each_key(struct store *store,
                                             store_key_visit visit,
                                             void *context,
                                             struct realm_error *error);

#define AUDIT_PICTURE_BYTES 3072u

/* What was changed, when and by whom; without secrets. */
struct audit_record {
    int64_t id; /* grows */
    int64_t time_ms;
    char actor[64];
    char act[32];                     /* "tenant.set" */
    char subject[128];                /* "tenant acme" */
    char before[AUDIT_PICTURE_BYTES]; /* JSON of the thing; "": it was not there */
    char after[AUDIT_PICTURE_BYTES];
};

typedef realm_status (*store_audit_visit)(void *context,
                                          const struct audit_record *record,
                                          struct realm_error *error);
/* The newest first: at most n_most with an id below before_id (0: from the newest on). */
REALM_MUST_CHECK realm_status store_each_audit(struct store *store,
                                               int64_t before_id,
                                               uint32_t n_most,
                                               store_audit_visit visit,
                                               void *context,
                                               struct realm_error *error);

#endif
