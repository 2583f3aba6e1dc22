/* Who may use the server: tenants and their keys, as they stand in DATA/realm.db.
 *
 * The registry belongs to the I/O thread; it looks for changes each time somebody shows a key, so
 * what a command or the admin API changes acts at once.  The first start makes the tenant "default"
 * and its first key, which is shown once and kept in DATA/first_key.txt, readable by the owner
 * only.
 */
#ifndef REALM_TENANT_TENANT_H
#define REALM_TENANT_TENANT_H

#include "tenant/key.h"
#include "tenant/ledger.h"
#include "tenant/quota.h"
#include "tenant/store.h"

struct tenant_registry;

/* What a key may be used for; bits. */
enum tenant_scope {
    SCOPE_INFERENCE = 1,
    SCOPE_PROGRAMS = 2,
    SCOPE_ADMIN = 4,
    SCOPE_METRICS = 8,
};
#define SCOPE_ALL 15u

/* "inference,metrics" or "all" to bits.  INVALID_ARGUMENT names what is not known. */
REALM_MUST_CHECK realm_status tenant_scopes_parse(const char *text,
                                                  uint32_t *out,
                                                  struct realm_error *error);
#define SCOPES_TEXT_BYTES 48u
void tenant_scopes_write(uint32_t scopes, char out[SCOPES_TEXT_BYTES]);

/* 1-63 letters, digits, '-', '_' or '.'; begins with a letter or digit. */
REALM_MUST_CHECK realm_status tenant_name_check(const char *name, struct realm_error *error);

/* The database in a data folder, which is made if it is not there. */
REALM_MUST_CHECK realm_status tenant_store_open(const char *data_dir,
                                                struct store **out,
                                                struct realm_error *error);
/* Makes a tenant with a secret of its own; record->name and limits are given, the rest is filled.
 */
REALM_MUST_CHECK realm_status tenant_make(struct store *store,
                                          const char *actor,
                                          struct tenant_record *record,
                                          struct realm_error *error);
/* Makes a key: tenant, name, scopes and expiry are given; text gets the key, which is stored
 * nowhere. */
REALM_MUST_CHECK realm_status tenant_make_key(struct store *store,
                                              const char *actor,
                                              struct key_record *record,
                                              char text[KEY_TEXT_LENGTH + 1],
                                              struct realm_error *error);

/* Makes a successor of a key with the same rights; the old one ends after the grace at the latest.
 */
REALM_MUST_CHECK realm_status tenant_rotate_key(struct store *store,
                                                const char *actor,
                                                const char *id,
                                                uint32_t grace_s,
                                                struct key_record *fresh,
                                                char text[KEY_TEXT_LENGTH + 1],
                                                struct realm_error *error);

/* extra_key: accepted as well for the tenant "default", stored nowhere; NULL: none.
 * *first_key (terminated, "" when none was made): the key that was made now, for the person who
 * started the server.  Errors are those of store_open. */
REALM_MUST_CHECK realm_status tenant_registry_open(const char *data_dir,
                                                   const char *extra_key,
                                                   char first_key[KEY_TEXT_LENGTH + 1],
                                                   struct tenant_registry **out,
                                                   struct realm_error *error);
void tenant_registry_close(struct tenant_registry *registry);

/* What the requests of a caller may use; as it stood when the key was shown. */
struct tenant_grant {
    struct quota_book *book; /* these two live as long as the registry */
    struct ledger *ledger;
    struct quota *quotas[2];             /* of the tenant, of the key; NULL: without limits */
    uint64_t max_context;                /* 0: no limit */
    struct program_limits programs;      /* of the tenant */
    char models[2][LIMITS_MODELS_BYTES]; /* that tenant and key allow; "": all */
};

/* Who shows a key; ends with tenant_caller_release. */
struct tenant_caller {
    struct account *account;
    struct tenant_grant grant;
    char key_id[KEY_ID_LENGTH + 1]; /* what logs may show, also of an unknown key */
    char tenant[TENANT_NAME_BYTES]; /* "" if nobody */
    int64_t tenant_id;              /* never another tenant's, also after this one is removed */
    uint32_t scopes;                /* of the key */
};

/* UNAUTHENTICATED: no such key, or it has expired or is disabled, or its tenant is (the message
 * says which only to who has a key of ours).  PERMISSION_DENIED: the key has none of the
 * scopes. */
REALM_MUST_CHECK realm_status tenant_registry_authenticate(struct tenant_registry *registry,
                                                           const char *key,
                                                           size_t n_bytes,
                                                           uint32_t scopes,
                                                           struct tenant_caller *out,
                                                           struct realm_error *error);
/* Releases what a caller has; for one that was refused, too. */
void tenant_grant_release(struct tenant_grant *grant);
void tenant_caller_release(struct tenant_caller *caller);

/* What a request asks for. */
struct tenant_demand {
    const char *model;
    uint64_t n_context; /* tokens of its longest prompt, with the answer to it */
    uint64_t n_tokens;  /* all it may take: of all prompts and answers */
};

/* What was admitted, until it is settled. */
struct tenant_ticket {
    bool admitted;
    struct quota_ticket quota;
};

/* Charges the estimate to tenant and key, reserves room in the ledger, and fills *standing.  Each
 * ticket is settled, before the registry closes.  Any thread.
 * PERMISSION_DENIED: the model is not allowed, or the context is too long (both numbers are named).
 * QUOTA_EXCEEDED: see quota_admit.  UNAVAILABLE: the ledger cannot keep up. */
REALM_MUST_CHECK realm_status tenant_admit(const struct tenant_grant *grant,
                                           const struct tenant_demand *demand,
                                           struct tenant_ticket *ticket,
                                           struct quota_standing *standing,
                                           struct realm_error *error);
/* What was used so far is more than was admitted: see quota_raise.  Any thread. */
void tenant_raise(const struct tenant_grant *grant,
                  struct tenant_ticket *ticket,
                  uint64_t n_tokens);
/* Replaces the estimate by what was used, and records it.  Does nothing where nothing was admitted.
 * Any thread. */
void tenant_settle(const struct tenant_grant *grant,
                   struct tenant_ticket *ticket,
                   const struct usage_entry *used);

/* What stands behind it; both take any thread. */
struct store *tenant_registry_store(const struct tenant_registry *registry);
struct usage *tenant_registry_usage(const struct tenant_registry *registry);

/* Account of the index-th tenant, for metrics; NULL behind the last. */
const struct account *tenant_registry_account_at(const struct tenant_registry *registry,
                                                 uint32_t index);

#endif
