/* SQLite as the tenant room uses it: a file with a schema that migrates forward, statements with
 * bound values, rows.
 *
 * A change is on disk when the call that made it returns, or at COMMIT.  Several processes may have
 * one file open.  Threads take turns by database_lock; every other function but open, close and the
 * values is called under it. */
#ifndef REALM_TENANT_DATABASE_H
#define REALM_TENANT_DATABASE_H

#include "base/status.h"
#include "base/thread.h"

struct database;
struct database_row; /* of a query, while it is visited */

/* Makes the file, readable by the owner only, if it is not there; runs the migrations it has not
 * seen, all or none.
 * UNSUPPORTED: a newer Realm wrote it.  INVALID_FORMAT: no such database. */
REALM_MUST_CHECK realm_status database_open(const char *path,
                                            const char *const *migrations,
                                            int n_migrations,
                                            struct database **out,
                                            struct realm_error *error);
/* NULL is fine. */
void database_close(struct database *database);

void database_lock(struct database *database);
void database_unlock(struct database *database);

/* A number that is another one after any change, by whatever process. */
REALM_MUST_CHECK realm_status database_revision(struct database *database,
                                                uint64_t *out,
                                                struct realm_error *error);

struct database_value {
    enum { DATABASE_NUMBER, DATABASE_TEXT, DATABASE_BLOB } kind;
    int64_t number;
    const void *data;
    size_t n_bytes;
};
struct database_value database_number(int64_t number);
struct database_value database_text(const char *text);
struct database_value database_blob(const void *data, size_t n_bytes);

/* Statements without values or rows: "BEGIN IMMEDIATE", "COMMIT". */
REALM_MUST_CHECK realm_status database_execute(struct database *database,
                                               const char *sql,
                                               struct realm_error *error);
/* Runs a change.  what: the thing it is about, for NOT_FOUND (no row changed) and ALREADY_EXISTS.
 */
REALM_MUST_CHECK realm_status database_change(struct database *database,
                                              const char *sql,
                                              const struct database_value *values,
                                              size_t n_values,
                                              const char *what,
                                              struct realm_error *error);
/* Calls visit with each row; a status of it other than OK ends the walk and is returned. */
typedef realm_status (*database_visit)(void *context,
                                       struct database_row *row,
                                       struct realm_error *error);
REALM_MUST_CHECK realm_status database_query(struct database *database,
                                             const char *sql,
                                             const struct database_value *values,
                                             size_t n_values,
                                             database_visit visit,
                                             void *context,
                                             struct realm_error *error);

int64_t database_row_number(struct database_row *row, int column);
/* Terminated; "" for what is not there; cut to n_bytes. */
void database_row_text(struct database_row *row, int column, size_t n_bytes, char *out);
/* Zeros behind what there is. */
void database_row_blob(struct database_row *row, int column, size_t n_bytes, uint8_t *out);

#endif
