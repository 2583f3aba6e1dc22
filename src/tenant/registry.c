#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "tenant/tenant.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define MAX_PATH_BYTES 4096u
#define DEFAULT_TENANT "default"

struct tenant {
    struct tenant_record record;
    struct account *account;
    struct quota *quota;
    bool seen; /* in the store, at the last look */
    struct tenant *next;
};

struct tenant_key {
    struct key_record record;
    struct tenant *tenant;
    struct account *account; /* the tenant's, or a part of it */
    struct quota *quota;
};

struct tenant_registry {
    struct store *store;
    struct quota_book *book;
    struct usage *usage;
    struct ledger *ledger;
    uint64_t revision;
    struct tenant *tenants;  /* in order of their making */
    struct map *keys;        /* hash -> struct tenant_key */
    struct map *keys_before; /* while the store is read: what quotas are taken over from */
    bool has_extra_key;
    uint8_t extra_hash[KEY_HASH_BYTES];
};

/* --- a picture of the store ---------------------------------------------------------------------
 */

static struct tenant *find_tenant(const struct tenant_registry *registry, int64_t id)
{
    struct tenant *tenant = registry->tenants;
    while (tenant != NULL && tenant->record.id != id) {
        tenant = tenant->next;
    }
    return tenant;
}

static struct account_options account_limits_of(const struct limits *limits)
{
    return (struct account_options){.weight = (uint32_t)limits->weight,
                                    .priority = limits->priority,
                                    .max_running = (uint32_t)limits->max_running,
                                    .max_waiting = (uint32_t)limits->max_waiting,
                                    .max_pages = (uint32_t)limits->max_pages};
}

static struct account_options account_options_of(const struct tenant_record *record)
{
    struct account_options options = account_limits_of(&record->limits);
    (void)snprintf(options.label, sizeof options.label, "%s", record->name);
    memcpy(options.domain, record->domain, sizeof options.domain);
    return options;
}

static struct quota_limits quota_limits_of(const struct limits *limits)
{
    return (struct quota_limits){.requests_per_minute = (uint32_t)limits->requests_per_minute,
                                 .tokens_per_minute = (uint32_t)limits->tokens_per_minute,
                                 .max_concurrent = (uint32_t)limits->max_concurrent,
                                 .tokens_per_day = limits->tokens_per_day,
                                 .tokens_per_month = limits->tokens_per_month};
}

static realm_status make_tenant(struct tenant_registry *registry,
                                const struct tenant_record *record,
                                struct tenant **out,
                                struct realm_error *error)
{
    const struct account_options options = account_options_of(record);
    const struct quota_limits limits = quota_limits_of(&record->limits);
    struct tenant *const tenant = alloc_zeroed(ALLOC_SERVER, 1, sizeof *tenant);
    if (tenant == NULL) {
        return realm_error_out_of_memory(error, sizeof *tenant, "tenant");
    }
    struct quota_used used;
    realm_status status = account_create(&options, &tenant->account, error);
    if (status == REALM_OK) {
        status = usage_of_tenant(registry->usage, record->name, &used, error);
    }
    if (status == REALM_OK) {
        status = quota_create(registry->book, &limits, &used, &tenant->quota, error);
    }
    if (status != REALM_OK) {
        account_release(tenant->account);
        alloc_free(tenant);
        return status;
    }
    *out = tenant;
    return REALM_OK;
}

static realm_status
take_tenant(void *context, const struct tenant_record *record, struct realm_error *error)
{
    struct tenant_registry *const registry = context;
    const struct account_options options = account_options_of(record);
    struct tenant *tenant = find_tenant(registry, record->id);
    if (tenant != NULL) {
        const struct quota_limits limits = quota_limits_of(&record->limits);
        account_configure(tenant->account, &options);
        quota_configure(tenant->quota, &limits);
    } else {
        REALM_TRY(make_tenant(registry, record, &tenant, error));
        struct tenant **end = &registry->tenants;
        while (*end != NULL) {
            end = &(*end)->next;
        }
        *end = tenant;
    }
    tenant->record = *record;
    tenant->seen = true;
    return REALM_OK;
}

static void free_key(struct tenant_key *key)
{
    if (key != NULL) {
        account_release(key->account);
        quota_release(key->quota);
        alloc_free(key);
    }
}

/* The key as it was when the store was last read; NULL: it is new. */
static const struct tenant_key *key_before(const struct tenant_registry *registry,
                                           const struct tenant_key *key)
{
    return registry->keys_before != NULL
               ? map_get(registry->keys_before, key->record.hash, sizeof key->record.hash)
               : NULL;
}

/* What a key has used goes on to count when the store is read again. */
static realm_status
take_quota(struct tenant_registry *registry, struct tenant_key *key, struct realm_error *error)
{
    const struct quota_limits limits = quota_limits_of(&key->record.limits);
    const struct tenant_key *const before = key_before(registry, key);
    if (before == NULL) {
        struct quota_used used;
        REALM_TRY(usage_of_key(registry->usage, key->record.id, &used, error));
        return quota_create(registry->book, &limits, &used, &key->quota, error);
    }
    quota_configure(before->quota, &limits);
    quota_retain(before->quota);
    key->quota = before->quota;
    return REALM_OK;
}

static bool wants_account(const struct limits *limits)
{
    return limits->weight > 0 || limits->priority < 0 || limits->max_running > 0 ||
           limits->max_waiting > 0 || limits->max_pages > 0;
}

/* A key with a share or caps of its own has a part of the tenant's account.  It keeps that, for its
 * requests run in it. */
static realm_status
take_account(struct tenant_registry *registry, struct tenant_key *key, struct realm_error *error)
{
    const struct account_options options = account_limits_of(&key->record.limits);
    const struct tenant_key *const before = key_before(registry, key);
    if (before != NULL && before->account != before->tenant->account) {
        account_configure(before->account, &options);
        key->account = before->account;
    } else if (wants_account(&key->record.limits)) {
        return account_create_part(key->tenant->account, &options, &key->account, error);
    } else {
        key->account = key->tenant->account;
    }
    account_retain(key->account);
    return REALM_OK;
}

static realm_status put_key(struct tenant_registry *registry,
                            const struct key_record *record,
                            struct tenant *tenant,
                            struct realm_error *error)
{
    struct tenant_key *const key = alloc_zeroed(ALLOC_SERVER, 1, sizeof *key);
    if (key == NULL) {
        return realm_error_out_of_memory(error, sizeof *key, "key");
    }
    key->record = *record;
    key->tenant = tenant;
    realm_status status = take_quota(registry, key, error);
    if (status == REALM_OK) {
        status = take_account(registry, key, error);
    }
    if (status != REALM_OK) {
        free_key(key);
        return status;
    }
    free_key(map_remove(registry->keys, record->hash, sizeof record->hash));
    if (!map_put(registry->keys, record->hash, sizeof record->hash, key)) {
        free_key(key);
        return realm_error_out_of_memory(error, sizeof *key, "key");
    }
    return REALM_OK;
}

static realm_status
take_key(void *context, const struct key_record *record, struct realm_error *error)
{
    struct tenant_registry *const registry = context;
    struct tenant *const tenant = find_tenant(registry, record->tenant);
    return tenant != NULL && tenant->seen ? put_key(registry, record, tenant, error) : REALM_OK;
}

static void drop_keys(struct map *keys)
{
    size_t cursor = 0;
    const void *hash;
    size_t n_bytes;
    void *key;
    while (keys != NULL && map_next(keys, &cursor, &hash, &n_bytes, &key)) {
        free_key(key);
    }
    map_destroy(keys);
}

/* Accounts of tenants that are gone live on as long as their requests. */
static void drop_unseen(struct tenant_registry *registry)
{
    struct tenant **link = &registry->tenants;
    while (*link != NULL) {
        struct tenant *const tenant = *link;
        if (tenant->seen) {
            link = &tenant->next;
            continue;
        }
        *link = tenant->next;
        account_release(tenant->account);
        quota_release(tenant->quota);
        alloc_free(tenant);
    }
}

/* It is the default tenant's; when that is gone, it opens nothing. */
static realm_status put_extra_key(struct tenant_registry *registry, struct realm_error *error)
{
    struct tenant *tenant = registry->tenants;
    while (tenant != NULL && (!tenant->seen || strcmp(tenant->record.name, DEFAULT_TENANT) != 0)) {
        tenant = tenant->next;
    }
    if (!registry->has_extra_key || tenant == NULL) {
        return REALM_OK;
    }
    struct key_record record = {.name = "from the environment", .scopes = SCOPE_ALL};
    memcpy(record.hash, registry->extra_hash, sizeof record.hash);
    key_id(record.hash, record.id);
    return put_key(registry, &record, tenant, error);
}

static realm_status read_keys(struct tenant_registry *registry, struct realm_error *error)
{
    registry->keys = NULL;
    REALM_TRY(map_create(ALLOC_SERVER, &registry->keys, error));
    REALM_TRY(store_each_key(registry->store, take_key, registry, error));
    return put_extra_key(registry, error);
}

/* Nothing changes but limits when it fails half way: tenants go once no key leads to them. */
static realm_status read_store(struct tenant_registry *registry, struct realm_error *error)
{
    for (struct tenant *t = registry->tenants; t != NULL; t = t->next) {
        t->seen = false;
    }
    REALM_TRY(store_each_tenant(registry->store, take_tenant, registry, error));
    struct map *const before = registry->keys;
    registry->keys_before = before;
    const realm_status status = read_keys(registry, error);
    registry->keys_before = NULL;
    if (status != REALM_OK) {
        drop_keys(registry->keys);
        registry->keys = before;
        return status;
    }
    drop_keys(before);
    drop_unseen(registry);
    return REALM_OK;
}

/* Reads the store again when something in it has changed. */
static realm_status refresh(struct tenant_registry *registry, struct realm_error *error)
{
    uint64_t revision;
    REALM_TRY(store_revision(registry->store, &revision, error));
    if (registry->keys != NULL && revision == registry->revision) {
        return REALM_OK;
    }
    REALM_TRY(read_store(registry, error));
    registry->revision = revision;
    return REALM_OK;
}

/* --- the first start ----------------------------------------------------------------------------
 */

static realm_status write_private(const char *path, const char *text, struct realm_error *error)
{
    struct file_writer *writer;
    REALM_TRY(file_writer_open(path, 0600, &writer, error));
    const realm_status status = file_writer_write(writer, text, strlen(text), error);
    if (status != REALM_OK) {
        file_writer_abandon(writer);
        return status;
    }
    return file_writer_commit(writer, error);
}

/* The key is on disk for its owner before it counts: a crash between the two leaves no key that
 * nobody knows. */
static realm_status make_first_key(struct tenant_registry *registry,
                                   const char *data_dir,
                                   int64_t tenant,
                                   char first_key[KEY_TEXT_LENGTH + 1],
                                   struct realm_error *error)
{
    char path[MAX_PATH_BYTES];
    char line[KEY_TEXT_LENGTH + 2];
    struct key_record record = {
        .tenant = tenant, .name = "first", .scopes = SCOPE_ALL, .created_s = clock_wall_s()};
    REALM_TRY(key_generate(first_key, error));
    key_hash(first_key, KEY_TEXT_LENGTH, record.hash);
    key_id(record.hash, record.id);
    (void)snprintf(path, sizeof path, "%s/first_key.txt", data_dir);
    (void)snprintf(line, sizeof line, "%s\n", first_key);
    realm_status status = write_private(path, line, error);
    OPENSSL_cleanse(line, sizeof line);
    if (status == REALM_OK) {
        status = store_add_key(registry->store, "server", &record, error);
    }
    return status;
}

static realm_status first_start(struct tenant_registry *registry,
                                const char *data_dir,
                                char first_key[KEY_TEXT_LENGTH + 1],
                                struct realm_error *error)
{
    REALM_TRY(read_store(registry, error));
    if (registry->tenants == NULL) {
        struct tenant_record record = {.name = DEFAULT_TENANT};
        REALM_TRY(tenant_make(registry->store, "server", &record, error));
        REALM_TRY(read_store(registry, error));
    }
    const size_t n_extra = registry->has_extra_key ? 1 : 0;
    return map_length(registry->keys) > n_extra
               ? REALM_OK
               : make_first_key(registry, data_dir, registry->tenants->record.id, first_key, error);
}

realm_status tenant_registry_open(const char *data_dir,
                                  const char *extra_key,
                                  char first_key[KEY_TEXT_LENGTH + 1],
                                  struct tenant_registry **out,
                                  struct realm_error *error)
{
    *out = NULL;
    first_key[0] = '\0';
    struct tenant_registry *registry = alloc_zeroed(ALLOC_SERVER, 1, sizeof *registry);
    if (registry == NULL) {
        return realm_error_out_of_memory(error, sizeof *registry, "tenants");
    }
    if (extra_key != NULL) {
        registry->has_extra_key = true;
        key_hash(extra_key, strlen(extra_key), registry->extra_hash);
    }
    realm_status status = quota_book_create(&registry->book, error);
    if (status == REALM_OK) {
        status = tenant_store_open(data_dir, &registry->store, error);
    }
    if (status == REALM_OK) {
        status = usage_open(data_dir, &registry->usage, error);
    }
    if (status == REALM_OK) {
        status = ledger_open(registry->usage, registry->store, &registry->ledger, error);
    }
    if (status == REALM_OK) {
        status = first_start(registry, data_dir, first_key, error);
    }
    if (status == REALM_OK) {
        status = read_store(registry, error);
    }
    if (status != REALM_OK) {
        tenant_registry_close(registry);
        return status;
    }
    *out = registry;
    return REALM_OK;
}

void tenant_registry_close(struct tenant_registry *registry)
{
    if (registry == NULL) {
        return;
    }
    for (struct tenant *t = registry->tenants; t != NULL; t = t->next) {
        t->seen = false;
    }
    drop_unseen(registry);
    drop_keys(registry->keys);
    ledger_close(registry->ledger);
    usage_close(registry->usage);
    store_close(registry->store);
    quota_book_destroy(registry->book);
    alloc_free(registry);
}

/* --- who is it ----------------------------------------------------------------------------------
 */

/* What is wrong with a key that is ours; NULL: nothing. */
static const char *refusal(const struct tenant_key *key)
{
    if (key->record.disabled) {
        return "the API key is disabled";
    }
    if (key->record.expires_s != 0 && clock_wall_s() >= key->record.expires_s) {
        return "the API key has expired";
    }
    return key->tenant->record.disabled ? "the tenant of the API key is disabled" : NULL;
}

static uint64_t lesser_limit(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static struct tenant_grant grant_of(const struct tenant_registry *registry,
                                    const struct tenant_key *key)
{
    const struct tenant *const tenant = key->tenant;
    const struct limits *const limits[2] = {&tenant->record.limits, &key->record.limits};
    struct tenant_grant grant = {
        .book = registry->book,
        .ledger = registry->ledger,
        .quotas = {tenant->quota, key->quota},
        .max_context = lesser_limit(limits[0]->max_context, limits[1]->max_context),
        .programs = limits_of_programs(limits[0]),
    };
    for (int i = 0; i < 2; i++) {
        quota_retain(grant.quotas[i]);
        memcpy(grant.models[i], limits[i]->models, sizeof grant.models[i]);
    }
    return grant;
}

static realm_status check_key(const struct tenant_registry *registry,
                              const struct tenant_key *key,
                              uint32_t scopes,
                              struct tenant_caller *out,
                              struct realm_error *error)
{
    const char *const why = refusal(key);
    if (why != NULL) {
        return realm_error_set(error, REALM_UNAUTHENTICATED, "%s", why);
    }
    if ((key->record.scopes & scopes) == 0) {
        char wanted[SCOPES_TEXT_BYTES];
        char given[SCOPES_TEXT_BYTES];
        tenant_scopes_write(scopes, wanted);
        tenant_scopes_write(key->record.scopes, given);
        return realm_error_set(error,
                               REALM_PERMISSION_DENIED,
                               "the API key is for %s; this needs one for %s",
                               given,
                               wanted);
    }
    out->account = key->account;
    account_retain(out->account);
    out->grant = grant_of(registry, key);
    out->scopes = key->record.scopes;
    out->tenant_id = key->tenant->record.id;
    (void)snprintf(out->tenant, sizeof out->tenant, "%s", key->tenant->record.name);
    return REALM_OK;
}

realm_status tenant_registry_authenticate(struct tenant_registry *registry,
                                          const char *key,
                                          size_t n_bytes,
                                          uint32_t scopes,
                                          struct tenant_caller *out,
                                          struct realm_error *error)
{
    uint8_t hash[KEY_HASH_BYTES];
    *out = (struct tenant_caller){.account = NULL};
    key_hash(key, n_bytes, hash);
    key_id(hash, out->key_id);
    struct realm_error trouble;
    if (refresh(registry, &trouble) != REALM_OK) {
        /* What is known goes on to hold. */
        log_error("tenants_unreadable", LOG_TEXT("error", trouble.message));
    }
    const struct tenant_key *const found =
        registry->keys != NULL ? map_get(registry->keys, hash, sizeof hash) : NULL;
    if (found == NULL || !key_hash_equal(found->record.hash, hash)) {
        return realm_error_set(error,
                               REALM_UNAUTHENTICATED,
                               "%s",
                               key_well_formed(key, n_bytes)
                                   ? "the API key is not known"
                                   : "the API key is not known; keys of this server have the form "
                                     "rlm_ and 49 letters and digits, the last 6 of which check "
                                     "the others");
    }
    return check_key(registry, found, scopes, out, error);
}

const struct account *tenant_registry_account_at(const struct tenant_registry *registry,
                                                 uint32_t index)
{
    const struct tenant *tenant = registry->tenants;
    for (uint32_t i = 0; i < index && tenant != NULL; i++) {
        tenant = tenant->next;
    }
    return tenant != NULL ? tenant->account : NULL;
}

struct store *tenant_registry_store(const struct tenant_registry *registry)
{
    return registry->store;
}

struct usage *tenant_registry_usage(const struct tenant_registry *registry)
{
    return registry->usage;
}
