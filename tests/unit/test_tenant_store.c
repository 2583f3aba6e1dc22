/* Tenants and keys on disk, and the registry's picture of them. */
#include "base/clock.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"
#include "tenant/tenant.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct temp_folder folder;
static char path[TEST_PATH_BYTES];

static int make_folder(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "realm.db", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_folder_remove(&folder);
    return 0;
}

static struct store *open_store(void)
{
    struct store *store;
    struct realm_error error;
    if (store_open(path, &store, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return store;
}

static struct tenant_record add_tenant(struct store *store, const char *name)
{
    struct tenant_record record = {.limits = {.weight = 3, .priority = -1, .max_pages = 9}};
    (void)snprintf(record.name, sizeof record.name, "%s", name);
    assert_int_equal(tenant_make(store, "test", &record, NULL), REALM_OK);
    return record;
}

static struct key_record
add_key(struct store *store, int64_t tenant, uint32_t scopes, char text[KEY_TEXT_LENGTH + 1])
{
    struct key_record record = {.tenant = tenant, .name = "k", .scopes = scopes};
    assert_int_equal(tenant_make_key(store, "test", &record, text, NULL), REALM_OK);
    return record;
}

static void assert_same_tenant(const struct tenant_record *a, const struct tenant_record *b)
{
    assert_int_equal(a->id, b->id);
    assert_string_equal(a->name, b->name);
    assert_memory_equal(a->domain, b->domain, sizeof a->domain);
    assert_int_equal(a->created_s, b->created_s);
    assert_int_equal(a->disabled, b->disabled);
    assert_int_equal(a->limits.weight, b->limits.weight);
    assert_int_equal(a->limits.priority, b->limits.priority);
    assert_int_equal(a->limits.max_pages, b->limits.max_pages);
}

static void assert_same_key(const struct key_record *a, const struct key_record *b)
{
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->tenant, b->tenant);
    assert_string_equal(a->name, b->name);
    assert_memory_equal(a->hash, b->hash, sizeof a->hash);
    assert_int_equal(a->scopes, b->scopes);
    assert_int_equal(a->created_s, b->created_s);
    assert_int_equal(a->expires_s, b->expires_s);
    assert_int_equal(a->disabled, b->disabled);
}

static void what_was_written_is_there_after_opening_again(void **state)
{
    (void)state;
    char text[KEY_TEXT_LENGTH + 1];
    struct tenant_record tenant;
    struct key_record key;
    struct store *store = open_store();
    const struct tenant_record made = add_tenant(store, "acme");
    const struct key_record made_key = add_key(store, made.id, SCOPE_METRICS, text);
    store_close(store);
    store = open_store();
    assert_int_equal(store_find_tenant(store, "acme", &tenant, NULL), REALM_OK);
    assert_same_tenant(&tenant, &made);
    assert_int_equal(store_find_key(store, made_key.id, &key, NULL), REALM_OK);
    assert_same_key(&key, &made_key);
    tenant.limits.weight = 5;
    tenant.disabled = true;
    assert_int_equal(store_set_tenant(store, "test", &tenant, NULL), REALM_OK);
    assert_int_equal(store_find_tenant(store, "acme", &tenant, NULL), REALM_OK);
    assert_true(tenant.disabled && tenant.limits.weight == 5);
    assert_int_equal(store_remove_tenant(store, "test", &tenant, NULL), REALM_OK);
    assert_int_equal(store_find_key(store, made_key.id, &key, NULL), REALM_NOT_FOUND);
    store_close(store);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 077, 0);
}

static void names_are_taken_once_and_unknown_ones_are_named(void **state)
{
    (void)state;
    struct realm_error error;
    struct store *const store = open_store();
    (void)add_tenant(store, "acme");
    struct tenant_record record = {.name = "acme"};
    assert_int_equal(tenant_make(store, "test", &record, &error), REALM_ALREADY_EXISTS);
    assert_non_null(strstr(error.message, "acme"));
    assert_int_equal(store_find_tenant(store, "other", &record, &error), REALM_NOT_FOUND);
    assert_non_null(strstr(error.message, "other"));
    record = (struct tenant_record){.name = "no spaces"};
    assert_int_equal(tenant_make(store, "test", &record, &error), REALM_INVALID_ARGUMENT);
    assert_int_equal(store_remove_tenant(
                         store, "test", &(struct tenant_record){.id = 999, .name = "none"}, &error),
                     REALM_NOT_FOUND);
    assert_int_equal(store_remove_key(store, "test", "00000000", &error), REALM_NOT_FOUND);
    store_close(store);
}

static void the_revision_tells_of_others_changes_and_of_ones_own(void **state)
{
    (void)state;
    uint64_t a = 0;
    uint64_t b = 0;
    struct store *const first = open_store();
    struct store *const second = open_store();
    assert_int_equal(store_revision(first, &a, NULL), REALM_OK);
    assert_int_equal(store_revision(first, &b, NULL), REALM_OK);
    assert_int_equal(a, b);
    (void)add_tenant(second, "acme");
    assert_int_equal(store_revision(first, &b, NULL), REALM_OK);
    assert_int_not_equal(a, b);
    (void)add_tenant(first, "other");
    assert_int_equal(store_revision(first, &a, NULL), REALM_OK);
    assert_int_not_equal(a, b);
    store_close(first);
    store_close(second);
}

/* A database as the first version of the schema had it. */
static void an_older_schema_is_brought_forward(void **state)
{
    (void)state;
    static const char first_version[] =
        "CREATE TABLE tenants (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
        " domain BLOB NOT NULL, created_s INTEGER NOT NULL, disabled INTEGER NOT NULL DEFAULT 0,"
        " weight INTEGER NOT NULL DEFAULT 0, priority INTEGER NOT NULL DEFAULT 0,"
        " max_running INTEGER NOT NULL DEFAULT 0, max_waiting INTEGER NOT NULL DEFAULT 0,"
        " max_pages INTEGER NOT NULL DEFAULT 0) STRICT;"
        "CREATE TABLE keys (id TEXT PRIMARY KEY, tenant INTEGER NOT NULL REFERENCES tenants(id) ON"
        " DELETE CASCADE, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, scopes INTEGER NOT NULL,"
        " created_s INTEGER NOT NULL, expires_s INTEGER NOT NULL DEFAULT 0,"
        " disabled INTEGER NOT NULL DEFAULT 0) STRICT;"
        "INSERT INTO tenants (name, domain, created_s, weight, priority, max_pages)"
        " VALUES ('old', zeroblob(32), 5, 7, -1, 9);"
        "INSERT INTO keys (id, tenant, name, hash, scopes, created_s)"
        " VALUES ('0123abcd', 1, 'k', zeroblob(32), 3, 6);"
        "PRAGMA user_version = 1;";
    struct tenant_record tenant;
    struct key_record key;
    sqlite3 *raw;
    (void)unlink(path);
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, first_version, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
    struct store *const store = open_store();
    assert_int_equal(store_find_tenant(store, "old", &tenant, NULL), REALM_OK);
    assert_int_equal(tenant.limits.weight, 7);
    assert_int_equal(tenant.limits.priority, -1);
    assert_int_equal(tenant.limits.max_pages, 9);
    assert_int_equal(tenant.limits.tokens_per_day, 0);
    assert_string_equal(tenant.limits.models, "");
    tenant.limits.tokens_per_day = 11;
    assert_int_equal(store_set_tenant(store, "test", &tenant, NULL), REALM_OK);
    assert_int_equal(store_find_key(store, "0123abcd", &key, NULL), REALM_OK);
    assert_int_equal(key.scopes, 3);
    assert_int_equal(key.limits.requests_per_minute, 0);
    store_close(store);
    (void)unlink(path);
}

/* Each limit comes back as itself, of tenants and of keys. */
static void every_limit_is_kept(void **state)
{
    (void)state;
    char text[KEY_TEXT_LENGTH + 1];
    struct store *const store = open_store();
    struct tenant_record tenant = add_tenant(store, "limited");
    struct key_record key = add_key(store, tenant.id, SCOPE_INFERENCE, text);
    struct tenant_record stored;
    struct key_record stored_key;
    for (size_t i = 0; i < N_LIMITS; i++) {
        limits_set(&tenant.limits, i, limits_row(i)->most - i);
        limits_set(&key.limits, i, limits_row(i)->of_keys ? i + 1 : 0);
    }
    assert_int_equal(limits_set_models(&tenant.limits, "a,b", NULL), REALM_OK);
    assert_int_equal(limits_set_models(&key.limits, "b", NULL), REALM_OK);
    assert_int_equal(store_set_tenant(store, "test", &tenant, NULL), REALM_OK);
    assert_int_equal(store_set_key(store, "test", &key, NULL), REALM_OK);
    assert_int_equal(store_find_tenant(store, "limited", &stored, NULL), REALM_OK);
    assert_int_equal(store_find_key(store, key.id, &stored_key, NULL), REALM_OK);
    for (size_t i = 0; i < N_LIMITS; i++) {
        assert_int_equal(limits_get(&stored.limits, i), limits_row(i)->most - i);
        assert_int_equal(limits_get(&stored_key.limits, i), limits_row(i)->of_keys ? i + 1 : 0);
    }
    assert_string_equal(stored.limits.models, "a,b");
    assert_string_equal(stored_key.limits.models, "b");
    store_close(store);
}

static void limits_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct realm_error error;
    struct limits limits = {.weight = 1001};
    char long_list[LIMITS_MODELS_BYTES + 1];
    assert_int_equal(limits_check(&limits, false, &error), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "weight is 1001 and may be at most 1000"));
    limits.weight = 2;
    assert_int_equal(limits_check(&limits, false, NULL), REALM_OK);
    assert_int_equal(limits_check(&limits, true, NULL), REALM_OK);
    limits.program_fuel = 1;
    assert_int_equal(limits_check(&limits, true, &error), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "program_fuel is a limit of tenants"));
    limits.program_fuel = 0;
    limits.priority = 1;
    assert_int_equal(limits_check(&limits, false, NULL), REALM_OK);
    assert_int_equal(limits_check(&limits, true, &error), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "low or normal"));
    static const char *const bad[] = {",a", "a,", "a,,b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(limits_set_models(&limits, bad[i], NULL), REALM_INVALID_ARGUMENT);
    }
    memset(long_list, 'a', sizeof long_list - 1);
    long_list[sizeof long_list - 1] = '\0';
    assert_int_equal(limits_set_models(&limits, long_list, NULL), REALM_INVALID_ARGUMENT);
    assert_int_equal(limits_set_models(&limits, "one,two", NULL), REALM_OK);
    assert_true(limits_allow_model(limits.models, "one") &&
                limits_allow_model(limits.models, "two"));
    assert_false(limits_allow_model(limits.models, "on") ||
                 limits_allow_model(limits.models, "one,two") ||
                 limits_allow_model(limits.models, ""));
    assert_int_equal(limits_set_models(&limits, "all", NULL), REALM_OK);
    assert_true(limits_allow_model(limits.models, "three"));
}

static void a_newer_schema_and_no_database_are_refused(void **state)
{
    (void)state;
    struct store *store = open_store();
    struct realm_error error;
    store_close(store);
    sqlite3 *raw;
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
    assert_int_equal(store_open(path, &store, &error), REALM_UNSUPPORTED);
    assert_null(store);
    assert_non_null(strstr(error.message, "999"));
    char other[TEST_PATH_BYTES];
    (void)temp_folder_path(&folder, "text.db", other);
    FILE *const file = fopen(other, "w");
    assert_non_null(file);
    for (int i = 0; i < 200; i++) {
        (void)fputs("this is no database at all\n", file);
    }
    (void)fclose(file);
    assert_int_equal(store_open(other, &store, &error), REALM_INVALID_FORMAT);
}

/* --- the registry */

static realm_status ask(struct tenant_registry *registry,
                        const char *key,
                        enum tenant_scope scope,
                        struct tenant_caller *caller)
{
    struct realm_error error;
    const realm_status status =
        tenant_registry_authenticate(registry, key, strlen(key), scope, caller, &error);
    struct account *const account = caller->account;
    tenant_caller_release(caller); /* the registry has them still */
    caller->account = account;
    return status;
}

static void the_first_start_makes_a_tenant_and_a_key_once(void **state)
{
    (void)state;
    char first[KEY_TEXT_LENGTH + 1];
    char again[KEY_TEXT_LENGTH + 1];
    struct tenant_registry *registry;
    struct tenant_caller caller;
    assert_int_equal(tenant_registry_open(folder.path, NULL, first, &registry, NULL), REALM_OK);
    assert_true(key_well_formed(first, strlen(first)));
    assert_int_equal(ask(registry, first, SCOPE_ADMIN, &caller), REALM_OK);
    assert_string_equal(caller.tenant, "default");
    tenant_registry_close(registry);
    assert_int_equal(tenant_registry_open(folder.path, NULL, again, &registry, NULL), REALM_OK);
    assert_string_equal(again, "");
    assert_int_equal(ask(registry, first, SCOPE_INFERENCE, &caller), REALM_OK);
    tenant_registry_close(registry);
}

static void changes_by_others_act_at_the_next_request(void **state)
{
    (void)state;
    char first[KEY_TEXT_LENGTH + 1];
    char text[KEY_TEXT_LENGTH + 1];
    struct tenant_registry *registry;
    struct tenant_caller caller;
    assert_int_equal(tenant_registry_open(folder.path, NULL, first, &registry, NULL), REALM_OK);
    struct store *const other = open_store();
    struct tenant_record tenant = add_tenant(other, "acme");
    struct key_record key = add_key(other, tenant.id, SCOPE_INFERENCE, text);
    assert_int_equal(ask(registry, text, SCOPE_INFERENCE, &caller), REALM_OK);
    assert_string_equal(caller.tenant, "acme");
    struct account *const account = caller.account;
    assert_int_equal(ask(registry, text, SCOPE_ADMIN, &caller), REALM_PERMISSION_DENIED);
    key.disabled = true;
    assert_int_equal(store_set_key(other, "test", &key, NULL), REALM_OK);
    assert_int_equal(ask(registry, text, SCOPE_INFERENCE, &caller), REALM_UNAUTHENTICATED);
    key.disabled = false;
    key.expires_s = clock_wall_s() - 1;
    assert_int_equal(store_set_key(other, "test", &key, NULL), REALM_OK);
    assert_int_equal(ask(registry, text, SCOPE_INFERENCE, &caller), REALM_UNAUTHENTICATED);
    key.expires_s = clock_wall_s() + 1000;
    assert_int_equal(store_set_key(other, "test", &key, NULL), REALM_OK);
    /* The account is the same one through all of it. */
    assert_int_equal(ask(registry, text, SCOPE_INFERENCE, &caller), REALM_OK);
    assert_ptr_equal(caller.account, account);
    tenant.disabled = true;
    assert_int_equal(store_set_tenant(other, "test", &tenant, NULL), REALM_OK);
    assert_int_equal(ask(registry, text, SCOPE_INFERENCE, &caller), REALM_UNAUTHENTICATED);
    assert_int_equal(store_remove_tenant(other, "test", &tenant, NULL), REALM_OK);
    assert_int_equal(ask(registry, text, SCOPE_INFERENCE, &caller), REALM_UNAUTHENTICATED);
    assert_int_equal(ask(registry, first, SCOPE_INFERENCE, &caller), REALM_OK);
    store_close(other);
    tenant_registry_close(registry);
}

static void a_key_from_outside_is_taken_and_never_stored(void **state)
{
    (void)state;
    char first[KEY_TEXT_LENGTH + 1];
    struct tenant_registry *registry;
    struct tenant_caller caller;
    assert_int_equal(tenant_registry_open(folder.path, "mine", first, &registry, NULL), REALM_OK);
    assert_int_equal(ask(registry, "mine", SCOPE_ADMIN, &caller), REALM_OK);
    assert_string_equal(caller.tenant, "default");
    assert_int_equal(ask(registry, "mine2", SCOPE_ADMIN, &caller), REALM_UNAUTHENTICATED);
    assert_int_equal(ask(registry, "", SCOPE_ADMIN, &caller), REALM_UNAUTHENTICATED);
    tenant_registry_close(registry);
    assert_int_equal(tenant_registry_open(folder.path, NULL, first, &registry, NULL), REALM_OK);
    assert_int_equal(ask(registry, "mine", SCOPE_ADMIN, &caller), REALM_UNAUTHENTICATED);
    tenant_registry_close(registry);
}

static void a_key_from_outside_goes_with_the_default_tenant(void **state)
{
    (void)state;
    char first[KEY_TEXT_LENGTH + 1];
    struct tenant_registry *registry;
    struct tenant_caller caller;
    struct tenant_record record;
    assert_int_equal(tenant_registry_open(folder.path, "mine", first, &registry, NULL), REALM_OK);
    struct store *const other = open_store();
    (void)add_tenant(other, "acme");
    assert_int_equal(ask(registry, "mine", SCOPE_ADMIN, &caller), REALM_OK);
    assert_int_equal(store_find_tenant(other, "default", &record, NULL), REALM_OK);
    assert_int_equal(store_remove_tenant(other, "test", &record, NULL), REALM_OK);
    assert_int_equal(ask(registry, "mine", SCOPE_ADMIN, &caller), REALM_UNAUTHENTICATED);
    store_close(other);
    tenant_registry_close(registry);
}

static void scopes_are_read_and_written(void **state)
{
    (void)state;
    uint32_t scopes;
    char text[SCOPES_TEXT_BYTES];
    struct realm_error error;
    assert_int_equal(tenant_scopes_parse("metrics,inference", &scopes, NULL), REALM_OK);
    assert_int_equal(scopes, SCOPE_METRICS | SCOPE_INFERENCE);
    tenant_scopes_write(scopes, text);
    assert_string_equal(text, "inference,metrics");
    tenant_scopes_write(SCOPE_ALL, text);
    assert_string_equal(text, "inference,programs,admin,metrics");
    assert_int_equal(tenant_scopes_parse("all", &scopes, NULL), REALM_OK);
    assert_int_equal(scopes, SCOPE_ALL);
    static const char *const bad[] = {"", "root", ",", "inference,root", "Metrics"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(tenant_scopes_parse(bad[i], &scopes, &error), REALM_INVALID_ARGUMENT);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_there_after_opening_again),
        TEST(names_are_taken_once_and_unknown_ones_are_named),
        TEST(the_revision_tells_of_others_changes_and_of_ones_own),
        TEST(an_older_schema_is_brought_forward),
        TEST(every_limit_is_kept),
        TEST(limits_that_cannot_be_are_refused),
        TEST(a_newer_schema_and_no_database_are_refused),
        TEST(the_first_start_makes_a_tenant_and_a_key_once),
        TEST(changes_by_others_act_at_the_next_request),
        TEST(a_key_from_outside_is_taken_and_never_stored),
        TEST(a_key_from_outside_goes_with_the_default_tenant),
        TEST(scopes_are_read_and_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
