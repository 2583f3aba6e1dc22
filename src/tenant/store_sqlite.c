#include "base/alloc.h"
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
};

#define N_MIGRATIONS (int)(sizeof migrations / sizeof migrations[0])

#define TENANT_COLUMNS   "id, name, domain, created_s, disabled"
#define N_TENANT_COLUMNS 5
#define KEY_COLUMNS      "id, tenant, name, hash, scopes, created_s, expires_s, disabled"
#define N_KEY_COLUMNS    8
/* Columns of struct limits, which tenants and keys have alike: priority, models and those of
 * limits.def. */
#define N_LIMIT_COLUMNS (2 + N_LIMITS)
#define SQL_BYTES       1024u

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

/* database_change under the lock, with a template. */
static realm_status change(struct store *store,
                           const char *template,
                           const struct database_value *values,
                           size_t n_values,
                           const char *what,
                           struct realm_error *error)
{
    char sql[SQL_BYTES];
    database_lock(store->database);
    const realm_status status =
        database_change(store->database, expand(template, sql), values, n_values, what, error);
    database_unlock(store->database);
    return status;
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

realm_status
store_add_tenant(struct store *store, struct tenant_record *record, struct realm_error *error)
{
    struct database_value values[4 + N_LIMIT_COLUMNS] = {
        database_text(record->name),
        database_blob(record->domain, sizeof record->domain),
        database_number(record->created_s),
        database_number(record->disabled)};
    char what[TENANT_NAME_BYTES + 16];
    put_limits(&record->limits, values + 4);
    (void)snprintf(what, sizeof what, "tenant %s", record->name);
    REALM_TRY(limits_check(&record->limits, false, error));
    REALM_TRY(change(store,
                     "INSERT INTO tenants (name, domain, created_s, disabled{, #})"
                     " VALUES (?, ?, ?, ?{, ?})",
                     values,
                     sizeof values / sizeof values[0],
                     what,
                     error));
    struct tenant_record stored;
    REALM_TRY(store_find_tenant(store, record->name, &stored, error));
    record->id = stored.id;
    return REALM_OK;
}

realm_status
store_set_tenant(struct store *store, const struct tenant_record *record, struct realm_error *error)
{
    struct database_value values[2 + N_LIMIT_COLUMNS] = {database_number(record->disabled)};
    char what[TENANT_NAME_BYTES + 16];
    put_limits(&record->limits, values + 1);
    values[1 + N_LIMIT_COLUMNS] = database_number(record->id);
    (void)snprintf(what, sizeof what, "tenant %s", record->name);
    REALM_TRY(limits_check(&record->limits, false, error));
    return change(store,
                  "UPDATE tenants SET disabled = ?{, # = ?} WHERE id = ?",
                  values,
                  sizeof values / sizeof values[0],
                  what,
                  error);
}

realm_status store_remove_tenant(struct store *store, int64_t id, struct realm_error *error)
{
    const struct database_value value = database_number(id);
    return change(store, "DELETE FROM tenants WHERE id = ?", &value, 1, "such tenant", error);
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

static void describe_key(const char *id, size_t n_bytes, char *out)
{
    (void)snprintf(out, n_bytes, "key %.32s", id);
}

realm_status
store_add_key(struct store *store, const struct key_record *record, struct realm_error *error)
{
    struct database_value values[N_KEY_COLUMNS + N_LIMIT_COLUMNS] = {
        database_text(record->id),
        database_number(record->tenant),
        database_text(record->name),
        database_blob(record->hash, sizeof record->hash),
        database_number(record->scopes),
        database_number(record->created_s),
        database_number(record->expires_s),
        database_number(record->disabled)};
    char what[64];
    put_limits(&record->limits, values + N_KEY_COLUMNS);
    describe_key(record->id, sizeof what, what);
    REALM_TRY(limits_check(&record->limits, true, error));
    return change(store,
                  "INSERT INTO keys (" KEY_COLUMNS "{, #}) VALUES (?, ?, ?, ?, ?, ?, ?, ?{, ?})",
                  values,
                  sizeof values / sizeof values[0],
                  what,
                  error);
}

realm_status
store_set_key(struct store *store, const struct key_record *record, struct realm_error *error)
{
    struct database_value values[4 + N_LIMIT_COLUMNS] = {database_text(record->name),
                                                         database_number(record->expires_s),
                                                         database_number(record->disabled)};
    char what[64];
    put_limits(&record->limits, values + 3);
    values[3 + N_LIMIT_COLUMNS] = database_text(record->id);
    describe_key(record->id, sizeof what, what);
    REALM_TRY(limits_check(&record->limits, true, error));
    return change(store,
                  "UPDATE keys SET name = ?, expires_s = ?, disabled = ?{, # = ?} WHERE id = ?",
                  values,
                  sizeof values / sizeof values[0],
                  what,
                  error);
}

realm_status store_remove_key(struct store *store, const char *id, struct realm_error *error)
{
    const struct database_value value = database_text(id);
    char what[64];
    describe_key(id, sizeof what, what);
    return change(store, "DELETE FROM keys WHERE id = ?", &value, 1, what, error);
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
        store, "SELECT " KEY_COLUMNS "{, #} FROM keys WHERE id = ?", &value, &visitor, error));
    return out->id[0] != '\0'
               ? REALM_OK
               : realm_error_set(error, REALM_NOT_FOUND, "there is no key %.32s", id);
}

realm_status
store_each_key(struct store *store, store_key_visit visit, void *context, struct realm_error *error)
{
    struct visitor visitor = {.key = visit, .context = context};
    return each_row(store,
                    "SELECT " KEY_COLUMNS "{, #} FROM keys ORDER BY created_s, id",
                    NULL,
                    &visitor,
                    error);
}

/* --- prices -------------------------------------------------------------------------------------
 */

realm_status
store_set_price(struct store *store, const struct price_record *record, struct realm_error *error)
{
    const struct database_value values[] = {database_text(record->model),
                                            database_text(record->currency),
                                            database_number((int64_t)record->input),
                                            database_number((int64_t)record->cached),
                                            database_number((int64_t)record->output)};
    if (record->input > PRICE_MOST || record->cached > PRICE_MOST || record->output > PRICE_MOST) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "a price may be at most %llu for a million tokens",
                               (unsigned long long)(PRICE_MOST / 1000000));
    }
    return change(store,
                  "INSERT INTO prices (model, currency, input, cached, output)"
                  " VALUES (?, ?, ?, ?, ?) ON CONFLICT (model) DO UPDATE SET"
                  " currency = excluded.currency, input = excluded.input,"
                  " cached = excluded.cached, output = excluded.output",
                  values,
                  sizeof values / sizeof values[0],
                  "price",
                  error);
}

realm_status store_remove_price(struct store *store, const char *model, struct realm_error *error)
{
    const struct database_value value = database_text(model);
    char what[PRICE_MODEL_BYTES + 16];
    (void)snprintf(what, sizeof what, "price of %.100s", model);
    return change(store, "DELETE FROM prices WHERE model = ?", &value, 1, what, error);
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
