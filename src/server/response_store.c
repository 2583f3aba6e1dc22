#include "server/response_store.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PATH_BYTES    1024u
#define MAX_RECORD_BYTES  ((size_t)64 << 20)
#define MAX_WAITING_BYTES ((size_t)128 << 20)
#define SECONDS_A_DAY     86400

/* A record on its way to the disk. */
struct waiting {
    struct waiting *next;
    int64_t tenant;
    char id[RESPONSE_ID_BYTES];
    struct strbuf text;
    bool removed; /* while it was written */
};

struct response_store {
    char folder[MAX_PATH_BYTES / 2];
    struct thread writer;
    bool writing; /* the thread runs */
    struct mutex lock;
    struct condition changed;
    /* Under lock: */
    struct waiting *first; /* the writer's, once it has begun with it; it stays on the list */
    struct waiting *last;
    size_t n_waiting_bytes;
    bool closing;
    struct response_live *live;
};

/* --- names --------------------------------------------------------------------------------------
 */

/* Nothing else may become part of a path. */
static bool is_id(const char *id)
{
    static const char prefix[] = "resp_";
    const size_t n_prefix = sizeof prefix - 1;
    return strncmp(id, prefix, n_prefix) == 0 && strlen(id) == RESPONSE_ID_LENGTH &&
           strspn(id + n_prefix, "0123456789abcdef") == RESPONSE_ID_LENGTH - n_prefix;
}

static void folder_of(const struct response_store *store, int64_t tenant, char out[MAX_PATH_BYTES])
{
    (void)snprintf(out, MAX_PATH_BYTES, "%s/%lld", store->folder, (long long)tenant);
}

static void path_of(const struct response_store *store,
                    int64_t tenant,
                    const char *id,
                    char out[MAX_PATH_BYTES])
{
    (void)snprintf(out, MAX_PATH_BYTES, "%s/%lld/%s", store->folder, (long long)tenant, id);
}

static realm_status not_found(const char *id, struct realm_error *error)
{
    return realm_error_set(error, REALM_NOT_FOUND, "there is no response \"%.60s\"", id);
}

/* --- room for the newest ------------------------------------------------------------------------
 */

struct census {
    uint32_t n;
    uint64_t n_bytes;
    char oldest[RESPONSE_ID_BYTES];
    int64_t oldest_s;
};

static struct census count_files(const char *folder, DIR *files)
{
    struct census census = {.n = 0};
    const struct dirent *entry;
    while ((entry = readdir(files)) != NULL) {
        char path[MAX_PATH_BYTES + 2 * RESPONSE_ID_BYTES];
        struct stat info;
        if (!is_id(entry->d_name)) {
            continue;
        }
        (void)snprintf(path, sizeof path, "%s/%.40s", folder, entry->d_name);
        if (stat(path, &info) != 0) {
            continue;
        }
        if (census.n == 0 || info.st_mtime < census.oldest_s) {
            census.oldest_s = info.st_mtime;
            (void)snprintf(census.oldest, sizeof census.oldest, "%.31s", entry->d_name);
        }
        census.n++;
        census.n_bytes += (uint64_t)info.st_size;
    }
    return census;
}

/* Removes the oldest one if it has to go; true: look again. */
static bool remove_oldest(const char *folder)
{
    DIR *const files = opendir(folder);
    if (files == NULL) {
        return false;
    }
    const struct census census = count_files(folder, files);
    (void)closedir(files);
    const int64_t too_old_s = clock_wall_s() - (int64_t)RESPONSE_STORE_MAX_DAYS * SECONDS_A_DAY;
    const bool too_many =
        census.n > RESPONSE_STORE_MAX_COUNT || census.n_bytes > RESPONSE_STORE_MAX_BYTES;
    if (census.n == 0 || (!too_many && census.oldest_s >= too_old_s)) {
        return false;
    }
    char path[MAX_PATH_BYTES + 2 * RESPONSE_ID_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", folder, census.oldest);
    return unlink(path) == 0;
}

/* --- the writer ---------------------------------------------------------------------------------
 */

static realm_status write_record(const struct response_store *store,
                                 const struct waiting *record,
                                 struct realm_error *error)
{
    char path[MAX_PATH_BYTES];
    struct file_writer *writer;
    folder_of(store, record->tenant, path);
    REALM_TRY(file_make_folder(path, 0700, error));
    path_of(store, record->tenant, record->id, path);
    REALM_TRY(file_writer_open(path, 0600, &writer, error));
    const realm_status status =
        file_writer_write(writer, record->text.text, record->text.length, error);
    if (status != REALM_OK) {
        file_writer_abandon(writer);
        return status;
    }
    return file_writer_commit(writer, error);
}

static void save(const struct response_store *store, const struct waiting *record)
{
    char folder[MAX_PATH_BYTES];
    struct realm_error error;
    if (write_record(store, record, &error) != REALM_OK) {
        log_error(
            "response_not_stored", LOG_TEXT("id", record->id), LOG_TEXT("reason", error.message));
        return;
    }
    folder_of(store, record->tenant, folder);
    while (remove_oldest(folder)) {
    }
}

static void free_record(struct waiting *record)
{
    strbuf_deinit(&record->text);
    alloc_free(record);
}

static void write_records(void *context)
{
    struct response_store *const store = context;
    mutex_lock(&store->lock);
    for (;;) {
        while (store->first == NULL && !store->closing) {
            condition_wait(&store->changed, &store->lock);
        }
        struct waiting *const record = store->first;
        if (record == NULL) {
            break;
        }
        mutex_unlock(&store->lock);
        save(store, record);
        mutex_lock(&store->lock);
        if (record->removed) {
            char path[MAX_PATH_BYTES];
            path_of(store, record->tenant, record->id, path);
            (void)unlink(path);
        }
        store->first = record->next;
        store->last = store->first != NULL ? store->last : NULL;
        store->n_waiting_bytes -= record->text.length;
        free_record(record);
    }
    mutex_unlock(&store->lock);
}

realm_status
response_store_open(const char *folder, struct response_store **out, struct realm_error *error)
{
    *out = NULL;
    struct response_store *const store = alloc_zeroed(ALLOC_SERVER, 1, sizeof *store);
    if (store == NULL) {
        return realm_error_out_of_memory(error, sizeof *store, "responses");
    }
    mutex_init(&store->lock);
    condition_init(&store->changed);
    const int n = snprintf(store->folder, sizeof store->folder, "%s", folder);
    realm_status status = REALM_OK;
    if (n < 0 || (size_t)n >= sizeof store->folder) {
        status = realm_error_set(
            error, REALM_INVALID_ARGUMENT, "the path of the responses is too long: %s", folder);
    } else {
        status = thread_start(&store->writer, "realm-responses", write_records, store, error);
    }
    store->writing = status == REALM_OK;
    if (status != REALM_OK) {
        response_store_close(store);
        return status;
    }
    *out = store;
    return REALM_OK;
}

void response_store_close(struct response_store *store)
{
    if (store == NULL) {
        return;
    }
    mutex_lock(&store->lock);
    store->closing = true;
    condition_signal(&store->changed);
    mutex_unlock(&store->lock);
    if (store->writing) {
        thread_join(&store->writer);
    }
    condition_deinit(&store->changed);
    mutex_deinit(&store->lock);
    alloc_free(store);
}

/* --- put, get, remove ---------------------------------------------------------------------------
 */

static bool enqueue(struct response_store *store, struct waiting *record)
{
    mutex_lock(&store->lock);
    const bool fits = store->n_waiting_bytes + record->text.length <= MAX_WAITING_BYTES;
    if (fits) {
        if (store->last != NULL) {
            store->last->next = record;
        } else {
            store->first = record;
        }
        store->last = record;
        store->n_waiting_bytes += record->text.length;
        condition_signal(&store->changed);
    }
    mutex_unlock(&store->lock);
    return fits;
}

void response_store_put(struct response_store *store,
                        int64_t tenant,
                        const char *id,
                        struct strbuf *record)
{
    struct waiting *const waiting = alloc_zeroed(ALLOC_SERVER, 1, sizeof *waiting);
    const bool whole = waiting != NULL && !record->failed && record->length <= MAX_RECORD_BYTES;
    if (whole) {
        waiting->tenant = tenant;
        (void)snprintf(waiting->id, sizeof waiting->id, "%s", id);
        waiting->text = *record;
        strbuf_init(record, ALLOC_SERVER, 0);
        if (enqueue(store, waiting)) {
            return;
        }
        strbuf_deinit(&waiting->text);
    }
    alloc_free(waiting);
    log_error("response_not_stored",
              LOG_TEXT("id", id),
              LOG_TEXT("reason", whole ? "too much is waiting" : "it is too large"));
}

/* The newest first: none is put twice, so there is one at most.  Under lock. */
static struct waiting *find_waiting(struct response_store *store, int64_t tenant, const char *id)
{
    struct waiting *record = store->first;
    while (record != NULL && (record->tenant != tenant || strcmp(record->id, id) != 0)) {
        record = record->next;
    }
    return record != NULL && !record->removed ? record : NULL;
}

realm_status response_store_get(struct response_store *store,
                                int64_t tenant,
                                const char *id,
                                char **out,
                                size_t *n_bytes,
                                struct realm_error *error)
{
    char path[MAX_PATH_BYTES];
    realm_status status = REALM_NOT_FOUND;
    *out = NULL;
    if (!is_id(id)) {
        return not_found(id, error);
    }
    mutex_lock(&store->lock);
    const struct waiting *const record = find_waiting(store, tenant, id);
    if (record != NULL) {
        *n_bytes = record->text.length;
        *out = alloc_bytes(ALLOC_SERVER, record->text.length + 1);
        status = *out != NULL ? REALM_OK
                              : realm_error_out_of_memory(error, *n_bytes + 1, "the response");
        if (*out != NULL) {
            memcpy(*out, record->text.text, record->text.length + 1);
        }
    }
    mutex_unlock(&store->lock);
    if (record != NULL) {
        return status;
    }
    path_of(store, tenant, id, path);
    status = file_read(path, MAX_RECORD_BYTES, out, n_bytes, error);
    return status == REALM_NOT_FOUND ? not_found(id, error) : status;
}

realm_status response_store_remove(struct response_store *store,
                                   int64_t tenant,
                                   const char *id,
                                   struct realm_error *error)
{
    char path[MAX_PATH_BYTES];
    if (!is_id(id)) {
        return not_found(id, error);
    }
    mutex_lock(&store->lock);
    struct waiting *const record = find_waiting(store, tenant, id);
    if (record != NULL) {
        record->removed = true; /* the writer takes it away again */
    }
    mutex_unlock(&store->lock);
    path_of(store, tenant, id, path);
    return record != NULL || unlink(path) == 0 ? REALM_OK : not_found(id, error);
}

/* --- responses under way ------------------------------------------------------------------------
 */

void response_store_enter(struct response_store *store, struct response_live *live)
{
    mutex_lock(&store->lock);
    live->next = store->live;
    store->live = live;
    mutex_unlock(&store->lock);
}

void response_store_leave(struct response_store *store, struct response_live *live)
{
    mutex_lock(&store->lock);
    struct response_live **link = &store->live;
    while (*link != NULL && *link != live) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = live->next;
    }
    mutex_unlock(&store->lock);
}

bool response_store_visit(struct response_store *store,
                          int64_t tenant,
                          const char *id,
                          void (*visit)(void *context, struct response_live *live),
                          void *context)
{
    mutex_lock(&store->lock);
    struct response_live *live = store->live;
    while (live != NULL && (live->tenant != tenant || strcmp(live->id, id) != 0)) {
        live = live->next;
    }
    if (live != NULL) {
        visit(context, live);
    }
    mutex_unlock(&store->lock);
    return live != NULL;
}
