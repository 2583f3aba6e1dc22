#include "base/alloc.h"
#include "base/thread.h"
#include "tenant/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 5000

struct store {
    sqlite3 *database;
    sqlite3_stmt *data_version;
    struct mutex mutex;
    uint64_t n_changes; /* our own: SQLite's data_version counts those of others only */
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
};

#define N_MIGRATIONS ((int)(sizeof migrations / sizeof migrations[0]))

#define TENANT_COLUMNS   "id, name, domain, created_s, disabled"
#define N_TENANT_COLUMNS 5
#define KEY_COLUMNS      "id, tenant, name, hash, scopes, created_s, expires_s, disabled"
#define N_KEY_COLUMNS    8
/* Columns of struct limits, which tenants and keys have alike: priority, models and those of
 * limits.def. */
#define N_LIMIT_COLUMNS (2 + N_LIMITS)
#define SQL_BYTES       1024u

static realm_status fail(const struct store *store, const char *what, struct realm_error *error)
{
    const int code = sqlite3_errcode(store->database);
    const realm_status status = code == SQLITE_NOTADB || code == SQLITE_CORRUPT
                                    ? REALM_INVALID_FORMAT
                                : code == SQLITE_NOMEM ? REALM_OUT_OF_MEMORY
                                                       : REALM_IO;
    return realm_error_set(
        error, status, "%s: the database says: %s", what, sqlite3_errmsg(store->database));
}

/* --- statements ---------------------------------------------------------------------------------
 */

/* A value bound to the next place of a statement. */
struct value {
    enum { VALUE_NUMBER, VALUE_TEXT, VALUE_BLOB } kind;
    int64_t number;
    const void *data;
    int n_bytes;
};

static struct value number(int64_t n)
{
    return (struct value){.kind = VALUE_NUMBER, .number = n};
}

static struct value text(const char *s)
{
    return (struct value){.kind = VALUE_TEXT, .data = s, .n_bytes = (int)strlen(s)};
}

static struct value blob(const void *data, size_t n_bytes)
{
    return (struct value){.kind = VALUE_BLOB, .data = data, .n_bytes = (int)n_bytes};
}

static int bind(sqlite3_stmt *statement, int place, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NUMBER:
        return sqlite3_bind_int64(statement, place, value->number);
    case VALUE_TEXT:
        return sqlite3_bind_text(statement, place, value->data, value->n_bytes, SQLITE_STATIC);
    case VALUE_BLOB:
        return sqlite3_bind_blob(statement, place, value->data, value->n_bytes, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

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
static void put_limits(const struct limits *limits, struct value values[N_LIMIT_COLUMNS])
{
    values[0] = number(limits->priority);
    values[1] = text(limits->models);
    for (size_t i = 2; i < N_LIMIT_COLUMNS; i++) {
        values[i] = number((int64_t)limits_get(limits, i - 2));
    }
}

static realm_status prepare(struct store *store,
                            const char *sql,
                            const struct value *values,
                            int n_values,
                            sqlite3_stmt **out,
                            struct realm_error *error)
{
    char expanded[SQL_BYTES];
    int code = sqlite3_prepare_v2(store->database, expand(sql, expanded), -1, out, NULL);
    for (int i = 0; i < n_values && code == SQLITE_OK; i++) {
        code = bind(*out, i + 1, &values[i]);
    }
    if (code != SQLITE_OK) {
        (void)sqlite3_finalize(*out);
        *out = NULL;
        return fail(store, "preparing a statement", error);
    }
    return REALM_OK;
}

/* Runs a change.  what: the thing it is about, for NOT_FOUND (no row changed) and ALREADY_EXISTS.
 */
static realm_status change(struct store *store,
                           const char *sql,
                           const struct value *values,
                           int n_values,
                           const char *what,
                           struct realm_error *error)
{
    sqlite3_stmt *statement;
    mutex_lock(&store->mutex);
    realm_status status = prepare(store, sql, values, n_values, &statement, error);
    if (status == REALM_OK) {
        const int code = sqlite3_step(statement);
        if (code == SQLITE_CONSTRAINT) {
            status = realm_error_set(error, REALM_ALREADY_EXISTS, "%s is there already", what);
        } else if (code != SQLITE_DONE) {
            status = fail(store, what, error);
        } else if (sqlite3_changes(store->database) == 0) {
            status = realm_error_set(error, REALM_NOT_FOUND, "there is no %s", what);
        } else {
            store->n_changes++;
        }
        (void)sqlite3_finalize(statement);
    }
    mutex_unlock(&store->mutex);
    return status;
}

/* --- opening ------------------------------------------------------------------------------------
 */

static realm_status execute(struct store *store, const char *sql, struct realm_error *error)
{
    return sqlite3_exec(store->database, sql, NULL, NULL, NULL) == SQLITE_OK
               ? REALM_OK
               : fail(store, "opening the database", error);
}

static realm_status read_version(struct store *store, int *out, struct realm_error *error)
{
    sqlite3_stmt *statement;
    REALM_TRY(prepare(store, "PRAGMA user_version", NULL, 0, &statement, error));
    const int code = sqlite3_step(statement);
    *out = sqlite3_column_int(statement, 0);
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW ? REALM_OK : fail(store, "reading the schema's version", error);
}

static realm_status migrate_from(struct store *store, int version, struct realm_error *error)
{
    if (version > N_MIGRATIONS) {
        return realm_error_set(
            error,
            REALM_UNSUPPORTED,
            "the database has schema version %d and this Realm knows %d: a newer "
            "one wrote it",
            version,
            N_MIGRATIONS);
    }
    for (int i = version; i < N_MIGRATIONS; i++) {
        char sql[64];
        REALM_TRY(execute(store, migrations[i], error));
        (void)snprintf(sql, sizeof sql, "PRAGMA user_version = %d", i + 1);
        REALM_TRY(execute(store, sql, error));
    }
    return REALM_OK;
}

/* In one transaction: another process waits, or finds it done. */
static realm_status migrate(struct store *store, struct realm_error *error)
{
    int version = 0;
    REALM_TRY(execute(store, "BEGIN IMMEDIATE", error));
    realm_status status = read_version(store, &version, error);
    if (status == REALM_OK) {
        status = migrate_from(store, version, error);
    }
    if (status != REALM_OK) {
        (void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
        return status;
    }
    return execute(store, "COMMIT", error);
}

static realm_status open_database(struct store *store, const char *path, struct realm_error *error)
{
    /* SQLite gives its further files the rights of the first. */
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return realm_error_set(error, REALM_IO, "%s cannot be opened for writing", path);
    }
    (void)close(fd);
    if (sqlite3_open_v2(path,
                        &store->database,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_PRIVATECACHE,
                        NULL) != SQLITE_OK) {
        return fail(store, path, error);
    }
    (void)sqlite3_busy_timeout(store->database, BUSY_TIMEOUT_MS);
    REALM_TRY(execute(store,
                      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                      "PRAGMA foreign_keys = ON;",
                      error));
    REALM_TRY(migrate(store, error));
    return prepare(store, "PRAGMA data_version", NULL, 0, &store->data_version, error);
}

realm_status store_open(const char *path, struct store **out, struct realm_error *error)
{
    *out = NULL;
    struct store *store = alloc_zeroed(ALLOC_SERVER, 1, sizeof *store);
    if (store == NULL) {
        return realm_error_out_of_memory(error, sizeof *store, "store");
    }
    mutex_init(&store->mutex);
    const realm_status status = open_database(store, path, error);
    if (status != REALM_OK) {
        store_close(store);
        return status;
    }
    *out = store;
    return REALM_OK;
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    (void)sqlite3_finalize(store->data_version);
    (void)sqlite3_close(store->database);
    mutex_deinit(&store->mutex);
    alloc_free(store);
}

realm_status store_revision(struct store *store, uint64_t *out, struct realm_error *error)
{
    realm_status status = REALM_OK;
    mutex_lock(&store->mutex);
    if (sqlite3_step(store->data_version) == SQLITE_ROW) {
        *out = (uint64_t)sqlite3_column_int64(store->data_version, 0) << 32 | store->n_changes;
    } else {
        status = fail(store, "looking for changes", error);
    }
    (void)sqlite3_reset(store->data_version);
    mutex_unlock(&store->mutex);
    return status;
}

/* --- rows ---------------------------------------------------------------------------------------
 */

static void read_text(sqlite3_stmt *row, int column, size_t n_bytes, char *out)
{
    const char *const value = (const char *)sqlite3_column_text(row, column);
    (void)snprintf(out, n_bytes, "%s", value != NULL ? value : "");
}

static void read_blob(sqlite3_stmt *row, int column, size_t n_bytes, uint8_t *out)
{
    memset(out, 0, n_bytes);
    const void *const value = sqlite3_column_blob(row, column);
    const size_t n = (size_t)sqlite3_column_bytes(row, column);
    if (value != NULL) {
        memcpy(out, value, n < n_bytes ? n : n_bytes);
    }
}

static void read_limits(sqlite3_stmt *row, int column, struct limits *out)
{
    out->priority = (int32_t)sqlite3_column_int64(row, column);
    read_text(row, column + 1, sizeof out->models, out->models);
    for (int i = 2; i < N_LIMIT_COLUMNS; i++) {
        limits_set(out, (size_t)i - 2, (uint64_t)sqlite3_column_int64(row, column + i));
    }
}

static struct tenant_record read_tenant(sqlite3_stmt *row)
{
    struct tenant_record record = {
        .id = sqlite3_column_int64(row, 0),
        .created_s = sqlite3_column_int64(row, 3),
        .disabled = sqlite3_column_int(row, 4) != 0,
    };
    read_text(row, 1, sizeof record.name, record.name);
    read_blob(row, 2, sizeof record.domain, record.domain);
    read_limits(row, N_TENANT_COLUMNS, &record.limits);
    return record;
}

static struct key_record read_key(sqlite3_stmt *row)
{
    struct key_record record = {
        .tenant = sqlite3_column_int64(row, 1),
        .scopes = (uint32_t)sqlite3_column_int64(row, 4),
        .created_s = sqlite3_column_int64(row, 5),
        .expires_s = sqlite3_column_int64(row, 6),
        .disabled = sqlite3_column_int(row, 7) != 0,
    };
    read_text(row, 0, sizeof record.id, record.id);
    read_text(row, 2, sizeof record.name, record.name);
    read_blob(row, 3, sizeof record.hash, record.hash);
    read_limits(row, N_KEY_COLUMNS, &record.limits);
    return record;
}

/* What is done with each row of a query. */
struct visitor {
    store_tenant_visit tenant; /* one of the two */
    store_key_visit key;
    void *context;
};

static realm_status
visit_row(const struct visitor *visitor, sqlite3_stmt *row, struct realm_error *error)
{
    if (visitor->tenant != NULL) {
        const struct tenant_record record = read_tenant(row);
        return visitor->tenant(visitor->context, &record, error);
    }
    const struct key_record record = read_key(row);
    return visitor->key(visitor->context, &record, error);
}

static realm_status each_row(struct store *store,
                             const char *sql,
                             const struct value *value,
                             const struct visitor *visitor,
                             struct realm_error *error)
{
    sqlite3_stmt *row;
    mutex_lock(&store->mutex);
    realm_status status = prepare(store, sql, value, value != NULL, &row, error);
    while (status == REALM_OK) {
        const int code = sqlite3_step(row);
        if (code == SQLITE_DONE) {
            break;
        }
        status = code == SQLITE_ROW ? visit_row(visitor, row, error)
                                    : fail(store, "reading the database", error);
    }
    (void)sqlite3_finalize(row);
    mutex_unlock(&store->mutex);
    return status;
}

/* --- tenants ------------------------------------------------------------------------------------
 */

realm_status
store_add_tenant(struct store *store, struct tenant_record *record, struct realm_error *error)
{
    struct value values[4 + N_LIMIT_COLUMNS] = {text(record->name),
                                                blob(record->domain, sizeof record->domain),
                                                number(record->created_s),
                                                number(record->disabled)};
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
    struct value values[2 + N_LIMIT_COLUMNS] = {number(record->disabled)};
    char what[TENANT_NAME_BYTES + 16];
    put_limits(&record->limits, values + 1);
    values[1 + N_LIMIT_COLUMNS] = number(record->id);
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
    const struct value value = number(id);
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
    const struct value value = text(name);
    const struct visitor visitor = {.tenant = keep_tenant, .context = out};
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
    const struct visitor visitor = {.tenant = visit, .context = context};
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
    struct value values[N_KEY_COLUMNS + N_LIMIT_COLUMNS] = {text(record->id),
                                                            number(record->tenant),
                                                            text(record->name),
                                                            blob(record->hash, sizeof record->hash),
                                                            number(record->scopes),
                                                            number(record->created_s),
                                                            number(record->expires_s),
                                                            number(record->disabled)};
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
    struct value values[4 + N_LIMIT_COLUMNS] = {
        text(record->name), number(record->expires_s), number(record->disabled)};
    char what[64];
    put_limits(&record->limits, values + 3);
    values[3 + N_LIMIT_COLUMNS] = text(record->id);
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
    const struct value value = text(id);
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
    const struct value value = text(id);
    const struct visitor visitor = {.key = keep_key, .context = out};
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
    const struct visitor visitor = {.key = visit, .context = context};
    return each_row(store,
                    "SELECT " KEY_COLUMNS "{, #} FROM keys ORDER BY created_s, id",
                    NULL,
                    &visitor,
                    error);
}
