#include "base/alloc.h"
#include "base/clock.h"
#include "tenant/database.h"
#include "tenant/store.h"

#include <stdio.h>
#include <string.h>

struct store {
    struct database *database;
};

/* Each brings the schema one version forward; user_version counts those that have run. */
static const char *const migrations[] = {
    "CREATE TABLE tenants ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, domain BLOB NOT NULL,"
    " created_s INTEGER NOT NULL, disabled INTEGER NOT NULL DEFAULT 0,"
    " weight INTEGER NOT NULL DEFAULT 0, priority INTEGER NOT NULL DEFAULT 0,"
    " max_running INTEGER NOT NULL DEFAULT 0, max_waiting INTEGER NOT NULL DEFAULT 0,"
    " max_pages INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE TABLE keys ("
    " id TEXT PRIMARY KEY, tenant INTEGER NOT NULL REFERENCES tenants(id) ON DELETE CASCADE,"
    " name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, scopes INTEGER NOT NULL,"
    " created_s INTEGER NOT NULL, expires_s INTEGER NOT NULL DEFAULT 0,"
    " disabled INTEGER NOT NULL DEFAULT 0) STRICT;",

    "ALTER TABLE tenants ADD COLUMN max_concurrent INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN max_context INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN requests_per_minute INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN tokens_per_minute INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN tokens_per_day INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN tokens_per_month INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN models TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE keys ADD COLUMN weight INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN max_running INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN max_waiting INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN max_pages INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN max_concurrent INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN max_context INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN requests_per_minute INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN tokens_per_minute INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN tokens_per_day INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN tokens_per_month INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN models TEXT NOT NULL DEFAULT '';",

    "CREATE TABLE prices ("
    " model TEXT PRIMARY KEY, currency TEXT NOT NULL, input INTEGER NOT NULL,"
    " cached INTEGER NOT NULL, output INTEGER NOT NULL) STRICT;",

    "CREATE TABLE audit ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, actor TEXT NOT NULL,"
    " act TEXT NOT NULL, subject TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL)"
    " STRICT;",

    "ALTER TABLE tenants ADD COLUMN program_cpu_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN program_fuel INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN program_memory_bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN program_instances INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN program_sequence_tokens INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN program_output_bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN program_stored_bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN program_module_bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN program_compile_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN max_programs INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_cpu_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_fuel INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_memory_bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_instances INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_sequence_tokens INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_output_bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_stored_bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_module_bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_compile_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN max_programs INTEGER NOT NULL DEFAULT 0;",

    "ALTER TABLE tenants ADD COLUMN program_table_elements INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN program_handles INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN program_host_calls INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN program_sequences INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_table_elements INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_handles INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_host_calls INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN program_sequences INTEGER NOT NULL DEFAULT 0;",
};

#define N_MIGRATIONS (int)(sizeof migrations / sizeof migrations[0])

#define TENANT_COLUMNS   "id, name, domain, created_s, disabled"
#define N_TENANT_COLUMNS 5
#define KEY_COLUMNS      "id, tenant, name, hash, scopes, created_s, expires_s, disabled"
#define N_KEY_COLUMNS    8
#define KEY_READ_COLUMNS                                                                           \
    KEY_COLUMNS "{, #}, (SELECT t.name FROM tenants AS t WHERE t.id = keys.tenant)"
/* Columns of struct limits, which tenants and keys have alike: priority, models and those of
 * limits.def. */
#define N_LIMIT_COLUMNS (2 + N_LIMITS)
#define SQL_BYTES       4096u

/* --- statements ---------------------------------------------------------------------------------
 */

/* Appends one text for each limit's column; %s in it is the column's name. */
static void add_limits(const char *format, char sql[SQL_BYTES])
{
    for (size_t i = 0; i < N_LIMIT_COLUMNS; i++) {
        const char *const name = i == 0 ? "priority" : i == 1 ? "models" : limits_row(i - 2)->name;
        for (const char *at = format; *at != '\0'; at++) {
            const size_t n = strlen(sql);
            (void)snprintf(
                sql + n, SQL_BYTES - n, "%.*s", *at == '#' ? 64 : 1, *at == '#' ? name : at);
        }
    }
}

/* Makes a statement of a template, in which {, #} stands for ", name" of every limit's column, {,
 * ?} for as many places, {, # = ?} for assignments. */
static const char *expand(const char *template, char sql[SQL_BYTES])
{
    sql[0] = '\0';
    for (const char *at = template; *at != '\0'; at++) {
        const size_t n = strlen(sql);
        if (*at != '{') {
            (void)snprintf(sql + n, SQL_BYTES - n, "%.1s", at);
            continue;
        }
        char inner[32];
        const size_t n_inner = strcspn(at + 1, "}");
        (void)snprintf(inner, sizeof inner, "%.*s", (int)n_inner, at + 1);
        add_limits(inner, sql);
        at += n_inner + 1;
    }
    return sql;
}

/* The values of those columns, in their order. */
static void put_limits(const struct limits *limits, struct database_value values[N_LIMIT_COLUMNS])
{
    values[0] = database_number(limits->priority);
    values[1] = database_text(limits->models);
    for (size_t i = 2; i < N_LIMIT_COLUMNS; i++) {
        values[i] = database_number((int64_t)limits_get(limits, i - 2));
    }
}

/* --- changes, with a record of who made them ----------------------------------------------------
 */

/* One change and what the audit log tells of it. */
struct act {
    const char *actor;
    const char *name;    /* "tenant.set" */
    const char *subject; /* its name, for people */
    /* A query for one column, the thing as JSON without its secrets, found by `value`. */
    const char *picture;
    struct database_value value;
    const char *sql; /* a template */
    const struct database_value *values;
    size_t n_values;
};

#define TENANT_PICTURE                                                                             \
    "SELECT json_object('name', name, 'disabled', disabled{, '#', #}) FROM tenants"
#define KEY_PICTURE                                                                                \
    "SELECT json_object('id', id, 'name', name, 'tenant', (SELECT t.name FROM tenants AS t WHERE"  \
    " t.id = tenant), 'scopes', scopes, 'expires', expires_s, 'disabled', disabled{, '#', #})"     \
    " FROM keys WHERE id = ?"
#define PRICE_PICTURE                                                                              \
    "SELECT json_object('model', model, 'currency', currency, 'input', input, 'cached', cached,"   \
    " 'output', output) FROM prices WHERE model = ?"

static realm_status take_picture(void *context, struct database_row *row, struct realm_error *error)
{
    (void)error;
    database_row_text(row, 0, AUDIT_PICTURE_BYTES, context);
    return REALM_OK;
}

/* "" where there is nothing. */
static realm_status look(struct store *store,
                         const struct act *act,
                         char out[AUDIT_PICTURE_BYTES],
                         struct realm_error *error)
{
    char sql[SQL_BYTES];
    out[0] = '\0';
    return database_query(
        store->database, expand(act->picture, sql), &act->value, 1, take_picture, out, error);
}

/* Inside a transaction. */
static realm_status perform(struct store *store, const struct act *act, struct realm_error *error)
{
    char sql[SQL_BYTES];
    char before[AUDIT_PICTURE_BYTES];
    char after[AUDIT_PICTURE_BYTES];
    REALM_TRY(look(store, act, before, error));
    REALM_TRY(database_change(
        store->database, expand(act->sql, sql), act->values, act->n_values, act->subject, error));
    REALM_TRY(look(store, act, after, error));
    const struct database_value values[] = {database_number(clock_wall_ms()),
                                            database_text(act->actor),
                                            database_text(act->name),
                                            database_text(act->subject),
                                            database_text(before),
                                            database_text(after)};
    return database_change(store->database,
                           "INSERT INTO audit (time_ms, actor, act, subject, before, after)"
                           " VALUES (?, ?, ?, ?, ?, ?)",
                           values,
                           sizeof values / sizeof values[0],
                           "the audit log's entry",
                           error);
}

static realm_status
transact(struct store *store, const struct act *acts, size_t n_acts, struct realm_error *error)
{
    REALM_TRY(database_execute(store->database, "BEGIN IMMEDIATE", error));
    realm_status status = REALM_OK;
    for (size_t i = 0; i < n_acts && status == REALM_OK; i++) {
        status = perform(store, &acts[i], error);
    }
    if (status == REALM_OK) {
        status = database_execute(store->database, "COMMIT", error);
    }
    if (status != REALM_OK) {
        /* The first error is the one to tell; without a transaction there is none to undo. */
        (void)!database_execute(store->database, "ROLLBACK", NULL);
    }
    return status;
}

/* All of them or none. */
static realm_status
change(struct store *store, const struct act *acts, size_t n_acts, struct realm_error *error)
{
    database_lock(store->database);
    const realm_status status = transact(store, acts, n_acts, error);
    database_unlock(store->database);
    return status;
}

#define WHAT_BYTES 128u

static void describe(const char *kind, const char *name, char out[WHAT_BYTES])
{
    (void)snprintf(out, WHAT_BYTES, "%s %.100s", kind, name);
}

/* --- opening ------------------------------------------------------------------------------------
 */

realm_status store_open(const char *path, struct store **out, struct realm_error *error)
{
    *out = NULL;
    struct store *const store = alloc_zeroed(ALLOC_SERVER, 1, sizeof *store);
    if (store == NULL) {
        return realm_error_out_of_memory(error, sizeof *store, "store");
    }
    const realm_status status =
        database_open(path, migrations, N_MIGRATIONS, &store->database, error);
    if (status != REALM_OK) {
        alloc_free(store);
        return status;
    }
    *out = store;
    return REALM_OK;
}

void store_close(struct store *store)
{
    if (store != NULL) {
        database_close(store->database);
        alloc_free(store);
    }
}

realm_status store_revision(struct store *store, uint64_t *out, struct realm_error *error)
{
    database_lock(store->database);
    const realm_status status = database_revision(store->database, out, error);
    database_unlock(store->database);
    return status;
}

/* --- rows ---------------------------------------------------------------------------------------
 */

static void read_limits(struct database_row *row, int column, struct limits *out)
{
    out->priority = (int32_t)database_row_number(row, column);
    database_row_text(row, column + 1, sizeof out->models, out->models);
    for (int i = 2; i < N_LIMIT_COLUMNS; i++) {
        limits_set(out, (size_t)i - 2, (uint64_t)database_row_number(row, column + i));
    }
}

static struct tenant_record read_tenant(struct database_row *row)
{
    struct tenant_record record = {
        .id = database_row_number(row, 0),
        .created_s = database_row_number(row, 3),
        .disabled = database_row_number(row, 4) != 0,
    };
    database_row_text(row, 1, sizeof record.name, record.name);
    database_row_blob(row, 2, sizeof record.domain, record.domain);
    read_limits(row, N_TENANT_COLUMNS, &record.limits);
    return record;
}

static struct key_record read_key(struct database_row *row)
{
    struct key_record record = {
        .tenant = database_row_number(row, 1),
        .scopes = (uint32_t)database_row_number(row, 4),
        .created_s = database_row_number(row, 5),
        .expires_s = database_row_number(row, 6),
        .disabled = database_row_number(row, 7) != 0,
    };
    database_row_text(row, 0, sizeof record.id, record.id);
    database_row_text(row, 2, sizeof record.name, record.name);
    database_row_blob(row, 3, sizeof record.hash, record.hash);
    read_limits(row, N_KEY_COLUMNS, &record.limits);
    database_row_text(
        row, N_KEY_COLUMNS + N_LIMIT_COLUMNS, sizeof record.tenant_name, record.tenant_name);
    return record;
}

/* What is done with each row of a query. */
struct visitor {
    store_tenant_visit tenant; /* one of these */
    store_key_visit key;
    store_price_visit price;
    void *context;
};

static realm_status visit_row(void *context, struct database_row *row, struct realm_error *error)
{
    const struct visitor *const visitor = context;
    if (visitor->tenant != NULL) {
        const struct tenant_record record = read_tenant(row);
        return visitor->tenant(visitor->context, &record, error);
    }
    const struct key_record record = read_key(row);
    return visitor->key(visitor->context, &record, error);
}

static realm_status each_row(struct store *store,
                             const char *template,
                             const struct database_value *value,
                             struct visitor *visitor,
                             struct realm_error *error)
{
    char sql[SQL_BYTES];
    database_lock(store->database);
    const realm_status status = database_query(
        store->database, expand(template, sql), value, value != NULL, visit_row, visitor, error);
    database_unlock(store->database);
    return status;
}

/* --- tenants ------------------------------------------------------------------------------------
 */

realm_status store_add_tenant(struct store *store,
                              const char *actor,
                              struct tenant_record *record,
                              struct realm_error *error)
{
    struct database_value values[4 + N_LIMIT_COLUMNS] = {
        database_text(record->name),
        database_blob(record->domain, sizeof record->domain),
        database_number(record->created_s),
        database_number(record->disabled)};
    char what[WHAT_BYTES];
    put_limits(&record->limits, values + 4);
    describe("tenant", record->name, what);
    const struct act act = {
        .actor = actor,
        .name = "tenant.create",
        .subject = what,
        .picture = TENANT_PICTURE " WHERE name = ?",
        .value = database_text(record->name),
        .sql =
            "INSERT INTO tenants (name, domain, created_s, disabled{, #}) VALUES (?, ?, ?, ?{, ?})",
        .values = values,
        .n_values = sizeof values / sizeof values[0]};
    REALM_TRY(limits_check(&record->limits, false, error));
    REALM_TRY(change(store, &act, 1, error));
    struct tenant_record stored;
    REALM_TRY(store_find_tenant(store, record->name, &stored, error));
    record->id = stored.id;
    return REALM_OK;
}

realm_status store_set_tenant(struct store *store,
                              const char *actor,
                              const struct tenant_record *record,
                              struct realm_error *error)
{
    struct database_value values[2 + N_LIMIT_COLUMNS] = {database_number(record->disabled)};
    char what[WHAT_BYTES];
    put_limits(&record->limits, values + 1);
    values[1 + N_LIMIT_COLUMNS] = database_number(record->id);
    describe("tenant", record->name, what);
    const struct act act = {.actor = actor,
                            .name = "tenant.set",
                            .subject = what,
                            .picture = TENANT_PICTURE " WHERE id = ?",
                            .value = database_number(record->id),
                            .sql = "UPDATE tenants SET disabled = ?{, # = ?} WHERE id = ?",
                            .values = values,
                            .n_values = sizeof values / sizeof values[0]};
    REALM_TRY(limits_check(&record->limits, false, error));
    return change(store, &act, 1, error);
}

realm_status store_remove_tenant(struct store *store,
                                 const char *actor,
                                 const struct tenant_record *record,
                                 struct realm_error *error)
{
    const struct database_value value = database_number(record->id);
    char what[WHAT_BYTES];
    describe("tenant", record->name, what);
    const struct act act = {.actor = actor,
                            .name = "tenant.delete",
                            .subject = what,
                            .picture = TENANT_PICTURE " WHERE id = ?",
                            .value = value,
                            .sql = "DELETE FROM tenants WHERE id = ?",
                            .values = &value,
                            .n_values = 1};
    return change(store, &act, 1, error);
}

static realm_status
keep_tenant(void *context, const struct tenant_record *record, struct realm_error *error)
{
    (void)error;
    *(struct tenant_record *)context = *record;
    return REALM_OK;
}

realm_status store_find_tenant(struct store *store,
                               const char *name,
                               struct tenant_record *out,
                               struct realm_error *error)
{
    const struct database_value value = database_text(name);
    struct visitor visitor = {.tenant = keep_tenant, .context = out};
    out->id = 0;
    REALM_TRY(each_row(store,
                       "SELECT " TENANT_COLUMNS "{, #} FROM tenants WHERE name = ?",
                       &value,
                       &visitor,
                       error));
    return out->id != 0 ? REALM_OK
                        : realm_error_set(error, REALM_NOT_FOUND, "there is no tenant %.64s", name);
}

realm_status store_each_tenant(struct store *store,
                               store_tenant_visit visit,
                               void *context,
                               struct realm_error *error)
{
    struct visitor visitor = {.tenant = visit, .context = context};
    return each_row(
        store, "SELECT " TENANT_COLUMNS "{, #} FROM tenants ORDER BY id", NULL, &visitor, error);
}

/* --- keys ---------------------------------------------------------------------------------------
 */

#define N_KEY_VALUES     (N_KEY_COLUMNS + N_LIMIT_COLUMNS)
#define N_KEY_SET_VALUES (4 + N_LIMIT_COLUMNS)

static struct act add_key(const char *actor,
                          const struct key_record *record,
                          char what[WHAT_BYTES],
                          struct database_value values[N_KEY_VALUES])
{
    const struct database_value first[N_KEY_COLUMNS] = {
        database_text(record->id),
        database_number(record->tenant),
        database_text(record->name),
        database_blob(record->hash, sizeof record->hash),
        database_number(record->scopes),
        database_number(record->created_s),
        database_number(record->expires_s),
        database_number(record->disabled)};
    memcpy(values, first, sizeof first);
    put_limits(&record->limits, values + N_KEY_COLUMNS);
    describe("key", record->id, what);
    return (struct act){.actor = actor,
                        .name = "key.create",
                        .subject = what,
                        .picture = KEY_PICTURE,
                        .value = database_text(record->id),
                        .sql = "INSERT INTO keys (" KEY_COLUMNS
                               "{, #}) VALUES (?, ?, ?, ?, ?, ?, ?, ?{, ?})",
                        .values = values,
                        .n_values = N_KEY_VALUES};
}

static struct act set_key(const char *actor,
                          const struct key_record *record,
                          char what[WHAT_BYTES],
                          struct database_value values[N_KEY_SET_VALUES])
{
    values[0] = database_text(record->name);
    values[1] = database_number(record->expires_s);
    values[2] = database_number(record->disabled);
    put_limits(&record->limits, values + 3);
    values[3 + N_LIMIT_COLUMNS] = database_text(record->id);
    describe("key", record->id, what);
    return (struct act){
        .actor = actor,
        .name = "key.set",
        .subject = what,
        .picture = KEY_PICTURE,
        .value = database_text(record->id),
        .sql = "UPDATE keys SET name = ?, expires_s = ?, disabled = ?{, # = ?} WHERE id = ?",
        .values = values,
        .n_values = N_KEY_SET_VALUES};
}

realm_status store_add_key(struct store *store,
                           const char *actor,
                           const struct key_record *record,
                           struct realm_error *error)
{
    struct database_value values[N_KEY_VALUES];
    char what[WHAT_BYTES];
    const struct act act = add_key(actor, record, what, values);
    REALM_TRY(limits_check(&record->limits, true, error));
    return change(store, &act, 1, error);
}

realm_status store_set_key(struct store *store,
                           const char *actor,
                           const struct key_record *record,
                           struct realm_error *error)
{
    struct database_value values[N_KEY_SET_VALUES];
    char what[WHAT_BYTES];
    const struct act act = set_key(actor, record, what, values);
    REALM_TRY(limits_check(&record->limits, true, error));
    return change(store, &act, 1, error);
}

realm_status store_replace_key(struct store *store,
                               const char *actor,
                               const struct key_record *old,
                               const struct key_record *fresh,
                               struct realm_error *error)
{
    struct database_value old_values[N_KEY_SET_VALUES];
    struct database_value fresh_values[N_KEY_VALUES];
    char whats[2][WHAT_BYTES];
    const struct act acts[] = {set_key(actor, old, whats[0], old_values),
                               add_key(actor, fresh, whats[1], fresh_values)};
    REALM_TRY(limits_check(&fresh->limits, true, error));
    return change(store, acts, 2, error);
}

realm_status
store_remove_key(struct store *store, const char *actor, const char *id, struct realm_error *error)
{
    const struct database_value value = database_text(id);
    char what[WHAT_BYTES];
    describe("key", id, what);
    const struct act act = {.actor = actor,
                            .name = "key.revoke",
                            .subject = what,
                            .picture = KEY_PICTURE,
                            .value = value,
                            .sql = "DELETE FROM keys WHERE id = ?",
                            .values = &value,
                            .n_values = 1};
    return change(store, &act, 1, error);
}

static realm_status
keep_key(void *context, const struct key_record *record, struct realm_error *error)
{
    (void)error;
    *(struct key_record *)context = *record;
    return REALM_OK;
}

realm_status store_find_key(struct store *store,
                            const char *id,
                            struct key_record *out,
                            struct realm_error *error)
{
    const struct database_value value = database_text(id);
    struct visitor visitor = {.key = keep_key, .context = out};
    out->id[0] = '\0';
    REALM_TRY(each_row(
        store, "SELECT " KEY_READ_COLUMNS " FROM keys WHERE id = ?", &value, &visitor, error));
    return out->id[0] != '\0'
               ? REALM_OK
               : realm_error_set(error, REALM_NOT_FOUND, "there is no key %.32s", id);
}

realm_status
store_each_key(struct store *store, store_key_visit visit, void *context, struct realm_error *error)
{
    struct visitor visitor = {.key = visit, .context = context};
    return each_row(store,
                    "SELECT " KEY_READ_COLUMNS " FROM keys ORDER BY created_s, id",
                    NULL,
                    &visitor,
                    error);
}

/* --- prices -------------------------------------------------------------------------------------
 */

realm_status store_set_price(struct store *store,
                             const char *actor,
                             const struct price_record *record,
                             struct realm_error *error)
{
    const struct database_value values[] = {database_text(record->model),
                                            database_text(record->currency),
                                            database_number((int64_t)record->input),
                                            database_number((int64_t)record->cached),
                                            database_number((int64_t)record->output)};
    char what[WHAT_BYTES];
    describe("price of", record->model, what);
    const struct act act = {.actor = actor,
                            .name = "price.set",
                            .subject = what,
                            .picture = PRICE_PICTURE,
                            .value = values[0],
                            .sql = "INSERT INTO prices (model, currency, input, cached, output)"
                                   " VALUES (?, ?, ?, ?, ?) ON CONFLICT (model) DO UPDATE SET"
                                   " currency = excluded.currency, input = excluded.input,"
                                   " cached = excluded.cached, output = excluded.output",
                            .values = values,
                            .n_values = sizeof values / sizeof values[0]};
    if (record->input > PRICE_MOST || record->cached > PRICE_MOST || record->output > PRICE_MOST) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "a price may be at most %llu for a million tokens",
                               (unsigned long long)(PRICE_MOST / 1000000));
    }
    return change(store, &act, 1, error);
}

realm_status store_remove_price(struct store *store,
                                const char *actor,
                                const char *model,
                                struct realm_error *error)
{
    const struct database_value value = database_text(model);
    char what[WHAT_BYTES];
    describe("price of", model, what);
    const struct act act = {.actor = actor,
                            .name = "price.remove",
                            .subject = what,
                            .picture = PRICE_PICTURE,
                            .value = value,
                            .sql = "DELETE FROM prices WHERE model = ?",
                            .values = &value,
                            .n_values = 1};
    return change(store, &act, 1, error);
}

static realm_status visit_price(void *context, struct database_row *row, struct realm_error *error)
{
    const struct visitor *const visitor = context;
    struct price_record record = {.input = (uint64_t)database_row_number(row, 2),
                                  .cached = (uint64_t)database_row_number(row, 3),
                                  .output = (uint64_t)database_row_number(row, 4)};
    database_row_text(row, 0, sizeof record.model, record.model);
    database_row_text(row, 1, sizeof record.currency, record.currency);
    return visitor->price(visitor->context, &record, error);
}

realm_status store_each_price(struct store *store,
                              store_price_visit visit,
                              void *context,
                              struct realm_error *error)
{
    struct visitor visitor = {.price = visit, .context = context};
    database_lock(store->database);
    const realm_status status =
        database_query(store->database,
                       "SELECT model, currency, input, cached, output FROM prices ORDER BY model",
                       NULL,
                       0,
                       visit_price,
                       &visitor,
                       error);
    database_unlock(store->database);
    return status;
}

/* --- the audit log ------------------------------------------------------------------------------
 */

struct audit_visitor {
    store_audit_visit visit;
    void *context;
};

static realm_status visit_audit(void *context, struct database_row *row, struct realm_error *error)
{
    const struct audit_visitor *const visitor = context;
    struct audit_record record = {.id = database_row_number(row, 0),
                                  .time_ms = database_row_number(row, 1)};
    database_row_text(row, 2, sizeof record.actor, record.actor);
    database_row_text(row, 3, sizeof record.act, record.act);
    database_row_text(row, 4, sizeof record.subject, record.subject);
    database_row_text(row, 5, sizeof record.before, record.before);
    database_row_text(row, 6, sizeof record.after, record.after);
    return visitor->visit(visitor->context, &record, error);
}

realm_status store_each_audit(struct store *store,
                              int64_t before_id,
                              uint32_t n_most,
                              store_audit_visit visit,
                              void *context,
                              struct realm_error *error)
{
    const struct database_value values[] = {database_number(before_id > 0 ? before_id : INT64_MAX),
                                            database_number(n_most)};
    struct audit_visitor visitor = {.visit = visit, .context = context};
    database_lock(store->database);
    const realm_status status =
        database_query(store->database,
                       "SELECT id, time_ms, actor, act, subject, before, after FROM audit"
                       " WHERE id < ? ORDER BY id DESC LIMIT ?",
                       values,
                       2,
                       visit_audit,
                       &visitor,
                       error);
    database_unlock(store->database);
    return status;
}
