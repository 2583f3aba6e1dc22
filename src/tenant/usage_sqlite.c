#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "tenant/database.h"
#include "tenant/usage.h"

#include <stdio.h>

#define MAX_PATH_BYTES 4096u
#define MS_PER_DAY     ((int64_t)86400000)
#define PICO_PER_MICRO 1000000

struct usage {
    struct database *database;
};

static const char *const migrations[] = {
    "CREATE TABLE requests ("
    " id TEXT PRIMARY KEY, time_ms INTEGER NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL,"
    " model TEXT NOT NULL, status INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,"
    " cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,"
    " duration_ms INTEGER NOT NULL, cost INTEGER NOT NULL, currency TEXT NOT NULL) STRICT;"
    "CREATE INDEX requests_by_tenant ON requests (tenant, time_ms);"
    "CREATE INDEX requests_by_key ON requests (key, time_ms);"
    "CREATE INDEX requests_by_time ON requests (time_ms);",
};

realm_status usage_open(const char *data_dir, struct usage **out, struct realm_error *error)
{
    *out = NULL;
    char path[MAX_PATH_BYTES];
    const int n = snprintf(path, sizeof path, "%s/usage.db", data_dir);
    if (n < 0 || (size_t)n >= sizeof path) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "the path of the data folder is too long");
    }
    REALM_TRY(file_make_folder(data_dir, 0700, error));
    struct usage *const usage = alloc_zeroed(ALLOC_SERVER, 1, sizeof *usage);
    if (usage == NULL) {
        return realm_error_out_of_memory(error, sizeof *usage, "usage");
    }
    const realm_status status = database_open(path, migrations, 1, &usage->database, error);
    if (status != REALM_OK) {
        alloc_free(usage);
        return status;
    }
    *out = usage;
    return REALM_OK;
}

void usage_close(struct usage *usage)
{
    if (usage != NULL) {
        database_close(usage->database);
        alloc_free(usage);
    }
}

/* --- writing ------------------------------------------------------------------------------------
 */

static realm_status
add_one(struct usage *usage, const struct usage_entry *entry, struct realm_error *error)
{
    const struct database_value values[] = {
        database_text(entry->id),
        database_number(entry->time_ms),
        database_text(entry->tenant),
        database_text(entry->key),
        database_text(entry->model),
        database_number(entry->status),
        database_number((int64_t)entry->prompt_tokens),
        database_number((int64_t)entry->cached_tokens),
        database_number((int64_t)entry->completion_tokens),
        database_number((int64_t)entry->duration_ms),
        database_number(entry->cost),
        database_text(entry->currency),
    };
    const realm_status status =
        database_change(usage->database,
                        "INSERT INTO requests (id, time_ms, tenant, key, model, status,"
                        " prompt_tokens, cached_tokens, completion_tokens, duration_ms, cost,"
                        " currency) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        values,
                        sizeof values / sizeof values[0],
                        "the request",
                        error);
    return status == REALM_ALREADY_EXISTS ? REALM_OK : status;
}

static realm_status add_all(struct usage *usage,
                            const struct usage_entry *entries,
                            size_t n_entries,
                            struct realm_error *error)
{
    REALM_TRY(database_execute(usage->database, "BEGIN IMMEDIATE", error));
    realm_status status = REALM_OK;
    for (size_t i = 0; i < n_entries && status == REALM_OK; i++) {
        status = add_one(usage, &entries[i], error);
    }
    if (status == REALM_OK) {
        status = database_execute(usage->database, "COMMIT", error);
    }
    if (status != REALM_OK) {
        /* The first error is the one to tell; without a transaction there is none to undo. */
        (void)!database_execute(usage->database, "ROLLBACK", NULL);
    }
    return status;
}

realm_status usage_add(struct usage *usage,
                       const struct usage_entry *entries,
                       size_t n_entries,
                       struct realm_error *error)
{
    database_lock(usage->database);
    const realm_status status = add_all(usage, entries, n_entries, error);
    database_unlock(usage->database);
    return status;
}

/* --- reading ------------------------------------------------------------------------------------
 */

static realm_status take_used(void *context, struct database_row *row, struct realm_error *error)
{
    struct quota_used *const out = context;
    (void)error;
    out->day_tokens = (uint64_t)database_row_number(row, 0);
    out->month_tokens = (uint64_t)database_row_number(row, 1);
    return REALM_OK;
}

/* where: "tenant" or "key". */
static realm_status read_used(struct usage *usage,
                              const char *where,
                              const char *name,
                              struct quota_used *out,
                              struct realm_error *error)
{
    const int64_t now_ms = clock_wall_ms();
    const int64_t month_ms = quota_month_start_ms(now_ms);
    const struct database_value values[] = {database_number(now_ms - now_ms % MS_PER_DAY),
                                            database_text(name),
                                            database_number(month_ms)};
    char sql[256];
    (void)snprintf(sql,
                   sizeof sql,
                   "SELECT coalesce(sum(iif(time_ms >= ?1, prompt_tokens + completion_tokens, 0)),"
                   " 0), coalesce(sum(prompt_tokens + completion_tokens), 0) FROM requests"
                   " WHERE %s = ?2 AND time_ms >= ?3",
                   where);
    *out = (struct quota_used){.day_tokens = 0};
    database_lock(usage->database);
    const realm_status status =
        database_query(usage->database, sql, values, 3, take_used, out, error);
    database_unlock(usage->database);
    return status;
}

realm_status usage_of_tenant(struct usage *usage,
                             const char *tenant,
                             struct quota_used *out,
                             struct realm_error *error)
{
    return read_used(usage, "tenant", tenant, out, error);
}

realm_status usage_of_key(struct usage *usage,
                          const char *key,
                          struct quota_used *out,
                          struct realm_error *error)
{
    return read_used(usage, "key", key, out, error);
}

struct summing {
    usage_visit visit;
    void *context;
};

static realm_status take_sum(void *context, struct database_row *row, struct realm_error *error)
{
    const struct summing *const summing = context;
    struct usage_sum sum = {
        .n_requests = (uint64_t)database_row_number(row, 2),
        .prompt_tokens = (uint64_t)database_row_number(row, 3),
        .cached_tokens = (uint64_t)database_row_number(row, 4),
        .completion_tokens = (uint64_t)database_row_number(row, 5),
        .cost_micro = database_row_number(row, 6) + database_row_number(row, 7) / PICO_PER_MICRO,
    };
    database_row_text(row, 0, sizeof sum.group, sum.group);
    database_row_text(row, 1, sizeof sum.currency, sum.currency);
    return summing->visit(summing->context, &sum, error);
}

realm_status usage_each(struct usage *usage,
                        const struct usage_question *question,
                        usage_visit visit,
                        void *context,
                        struct realm_error *error)
{
    static const char *const groups[] = {
        [USAGE_BY_TENANT] = "tenant",
        [USAGE_BY_MODEL] = "model",
        [USAGE_BY_KEY] = "key",
        [USAGE_BY_DAY] = "date(time_ms / 1000, 'unixepoch')",
    };
    const struct database_value values[] = {
        database_number(question->since_ms),
        database_number(question->until_ms),
        database_text(question->tenant != NULL ? question->tenant : ""),
        database_number(question->tenant == NULL),
    };
    struct summing summing = {.visit = visit, .context = context};
    char sql[512];
    /* Costs are summed in two parts: their sum in pico-units may pass 64 bits. */
    (void)snprintf(sql,
                   sizeof sql,
                   "SELECT %s AS part, currency, count(*), sum(prompt_tokens), sum(cached_tokens),"
                   " sum(completion_tokens), sum(cost / 1000000), sum(cost %% 1000000)"
                   " FROM requests WHERE time_ms >= ?1 AND time_ms < ?2 AND (?4 OR tenant = ?3)"
                   " GROUP BY part, currency ORDER BY part, currency",
                   groups[question->by]);
    database_lock(usage->database);
    const realm_status status =
        database_query(usage->database, sql, values, 4, take_sum, &summing, error);
    database_unlock(usage->database);
    return status;
}
