#include "tenant/database.h"

#include "base/alloc.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 5000

struct database {
    sqlite3 *handle;
    sqlite3_stmt *data_version;
    struct mutex mutex;
    uint64_t n_changes; /* our own: SQLite's data_version counts those of others only */
};

static realm_status
fail(const struct database *database, const char *what, struct realm_error *error)
{
    const int code = sqlite3_errcode(database->handle);
    const realm_status status = code == SQLITE_NOTADB || code == SQLITE_CORRUPT
                                    ? REALM_INVALID_FORMAT
                                : code == SQLITE_NOMEM ? REALM_OUT_OF_MEMORY
                                                       : REALM_IO;
    return realm_error_set(
        error, status, "%s: the database says: %s", what, sqlite3_errmsg(database->handle));
}

/* --- statements ---------------------------------------------------------------------------------
 */

struct database_value database_number(int64_t number)
{
    return (struct database_value){.kind = DATABASE_NUMBER, .number = number};
}

struct database_value database_text(const char *text)
{
    return (struct database_value){.kind = DATABASE_TEXT, .data = text, .n_bytes = strlen(text)};
}

struct database_value database_blob(const void *data, size_t n_bytes)
{
    return (struct database_value){.kind = DATABASE_BLOB, .data = data, .n_bytes = n_bytes};
}

static int bind(sqlite3_stmt *statement, int place, const struct database_value *value)
{
    switch (value->kind) {
    case DATABASE_NUMBER:
        return sqlite3_bind_int64(statement, place, value->number);
    case DATABASE_TEXT:
        return sqlite3_bind_text(statement, place, value->data, (int)value->n_bytes, SQLITE_STATIC);
    case DATABASE_BLOB:
        return sqlite3_bind_blob(statement, place, value->data, (int)value->n_bytes, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

static realm_status prepare(struct database *database,
                            const char *sql,
                            const struct database_value *values,
                            size_t n_values,
                            sqlite3_stmt **out,
                            struct realm_error *error)
{
    int code = sqlite3_prepare_v2(database->handle, sql, -1, out, NULL);
    for (size_t i = 0; i < n_values && code == SQLITE_OK; i++) {
        code = bind(*out, (int)i + 1, &values[i]);
    }
    if (code != SQLITE_OK) {
        (void)sqlite3_finalize(*out);
        *out = NULL;
        return fail(database, "preparing a statement", error);
    }
    return REALM_OK;
}

realm_status database_execute(struct database *database, const char *sql, struct realm_error *error)
{
    return sqlite3_exec(database->handle, sql, NULL, NULL, NULL) == SQLITE_OK
               ? REALM_OK
               : fail(database, "the database", error);
}

realm_status database_change(struct database *database,
                             const char *sql,
                             const struct database_value *values,
                             size_t n_values,
                             const char *what,
                             struct realm_error *error)
{
    sqlite3_stmt *statement;
    realm_status status = prepare(database, sql, values, n_values, &statement, error);
    if (status == REALM_OK) {
        const int code = sqlite3_step(statement);
        if (code == SQLITE_CONSTRAINT) {
            status = realm_error_set(error, REALM_ALREADY_EXISTS, "%s is there already", what);
        } else if (code != SQLITE_DONE) {
            status = fail(database, what, error);
        } else if (sqlite3_changes(database->handle) == 0) {
            status = realm_error_set(error, REALM_NOT_FOUND, "there is no %s", what);
        } else {
            database->n_changes++;
        }
        (void)sqlite3_finalize(statement);
    }
    return status;
}

realm_status database_query(struct database *database,
                            const char *sql,
                            const struct database_value *values,
                            size_t n_values,
                            database_visit visit,
                            void *context,
                            struct realm_error *error)
{
    sqlite3_stmt *row;
    realm_status status = prepare(database, sql, values, n_values, &row, error);
    while (status == REALM_OK) {
        const int code = sqlite3_step(row);
        if (code == SQLITE_DONE) {
            break;
        }
        status = code == SQLITE_ROW ? visit(context, (struct database_row *)row, error)
                                    : fail(database, "reading the database", error);
    }
    (void)sqlite3_finalize(row);
    return status;
}

int64_t database_row_number(struct database_row *row, int column)
{
    return sqlite3_column_int64((sqlite3_stmt *)row, column);
}

void database_row_text(struct database_row *row, int column, size_t n_bytes, char *out)
{
    const char *const value = (const char *)sqlite3_column_text((sqlite3_stmt *)row, column);
    (void)snprintf(out, n_bytes, "%s", value != NULL ? value : "");
}

void database_row_blob(struct database_row *row, int column, size_t n_bytes, uint8_t *out)
{
    memset(out, 0, n_bytes);
    const void *const value = sqlite3_column_blob((sqlite3_stmt *)row, column);
    const size_t n = (size_t)sqlite3_column_bytes((sqlite3_stmt *)row, column);
    if (value != NULL) {
        memcpy(out, value, n < n_bytes ? n : n_bytes);
    }
}

/* --- opening ------------------------------------------------------------------------------------
 */

static realm_status read_version(void *context, struct database_row *row, struct realm_error *error)
{
    (void)error;
    *(int *)context = (int)database_row_number(row, 0);
    return REALM_OK;
}

static realm_status migrate_from(struct database *database,
                                 const char *const *migrations,
                                 int n_migrations,
                                 struct realm_error *error)
{
    int version = 0;
    REALM_TRY(
        database_query(database, "PRAGMA user_version", NULL, 0, read_version, &version, error));
    if (version > n_migrations) {
        return realm_error_set(
            error,
            REALM_UNSUPPORTED,
            "the database has schema version %d and this Realm knows %d: a newer "
            "one wrote it",
            version,
            n_migrations);
    }
    for (int i = version; i < n_migrations; i++) {
        char sql[64];
        REALM_TRY(database_execute(database, migrations[i], error));
        (void)snprintf(sql, sizeof sql, "PRAGMA user_version = %d", i + 1);
        REALM_TRY(database_execute(database, sql, error));
    }
    return REALM_OK;
}

/* In one transaction: another process waits, or finds it done. */
static realm_status migrate(struct database *database,
                            const char *const *migrations,
                            int n_migrations,
                            struct realm_error *error)
{
    REALM_TRY(database_execute(database, "BEGIN IMMEDIATE", error));
    const realm_status status = migrate_from(database, migrations, n_migrations, error);
    if (status != REALM_OK) {
        (void)sqlite3_exec(database->handle, "ROLLBACK", NULL, NULL, NULL);
        return status;
    }
    return database_execute(database, "COMMIT", error);
}

static realm_status
open_file(struct database *database, const char *path, struct realm_error *error)
{
    /* SQLite gives its further files the rights of the first. */
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return realm_error_set(error, REALM_IO, "%s cannot be opened for writing", path);
    }
    (void)close(fd);
    if (sqlite3_open_v2(path,
                        &database->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_PRIVATECACHE,
                        NULL) != SQLITE_OK) {
        return fail(database, path, error);
    }
    (void)sqlite3_busy_timeout(database->handle, BUSY_TIMEOUT_MS);
    return database_execute(database,
                            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                            "PRAGMA foreign_keys = ON;",
                            error);
}

realm_status database_open(const char *path,
                           const char *const *migrations,
                           int n_migrations,
                           struct database **out,
                           struct realm_error *error)
{
    *out = NULL;
    struct database *const database = alloc_zeroed(ALLOC_SERVER, 1, sizeof *database);
    if (database == NULL) {
        return realm_error_out_of_memory(error, sizeof *database, "database");
    }
    mutex_init(&database->mutex);
    realm_status status = open_file(database, path, error);
    if (status == REALM_OK) {
        status = migrate(database, migrations, n_migrations, error);
    }
    if (status == REALM_OK) {
        status = prepare(database, "PRAGMA data_version", NULL, 0, &database->data_version, error);
    }
    if (status != REALM_OK) {
        database_close(database);
        return status;
    }
    *out = database;
    return REALM_OK;
}

void database_close(struct database *database)
{
    if (database == NULL) {
        return;
    }
    (void)sqlite3_finalize(database->data_version);
    (void)sqlite3_close(database->handle);
    mutex_deinit(&database->mutex);
    alloc_free(database);
}

void database_lock(struct database *database) THREAD_UNCHECKED
{
    mutex_lock(&database->mutex);
}

void database_unlock(struct database *database) THREAD_UNCHECKED
{
    mutex_unlock(&database->mutex);
}

realm_status database_revision(struct database *database, uint64_t *out, struct realm_error *error)
{
    realm_status status = REALM_OK;
    if (sqlite3_step(database->data_version) == SQLITE_ROW) {
        *out =
            (uint64_t)sqlite3_column_int64(database->data_version, 0) << 32 | database->n_changes;
    } else {
        status = fail(database, "looking for changes", error);
    }
    (void)sqlite3_reset(database->data_version);
    return status;
}
