#include "sandbox/value_store.h"

#include "base/file.h"
#include "base/log.h"
#include "base/siphash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define PATH_BYTES    4096u
#define HEAD_BYTES    16u
#define DELETED       UINT32_MAX
#define MAX_LOG_BYTES ((size_t)1 << 30)
#define REWRITE_SLACK ((uint64_t)1 << 20) /* of dead bytes that are always allowed */

struct value {
    uint32_t n_bytes;
    uint8_t bytes[];
};

static uint64_t checksum(struct bytes key, struct bytes value)
{
    static const uint8_t fixed[16] = {0};
    return siphash_2_4(fixed, key.data, key.length) ^ siphash_2_4(fixed, value.data, value.length);
}

/* --- records -----------------------------------------------------------------------------------
 */

static bool append_record(struct strbuf *out, struct bytes key, const struct value *value)
{
    const struct bytes content = {.data = value != NULL ? value->bytes : NULL,
                                  .length = value != NULL ? value->n_bytes : 0};
    const uint32_t lengths[2] = {(uint32_t)key.length, value != NULL ? value->n_bytes : DELETED};
    const uint64_t sum = checksum(key, content);
    (void)strbuf_append(out, (const char *)lengths, sizeof(lengths));
    (void)strbuf_append(out, (const char *)&sum, sizeof(sum));
    (void)strbuf_append(out, (const char *)key.data, key.length);
    return content.length == 0 ? !out->failed
                               : strbuf_append(out, (const char *)content.data, content.length);
}

/* Replaces or, with value NULL, removes.  False: out of memory. */
static bool put(struct value_store *store, struct bytes key, struct value *value)
{
    struct value *old = map_get(store->values, key.data, key.length);
    if (value == NULL) {
        (void)map_remove(store->values, key.data, key.length);
    } else if (!map_put(store->values, key.data, key.length, value)) {
        return false;
    }
    if (old != NULL) {
        store->held_bytes -= key.length + old->n_bytes;
        alloc_free(old);
    }
    if (value != NULL) {
        store->held_bytes += key.length + value->n_bytes;
    }
    return true;
}

static struct value *make_value(struct bytes bytes)
{
    struct value *value = alloc_bytes(ALLOC_GUEST, sizeof(struct value) + bytes.length);
    if (value != NULL) {
        value->n_bytes = (uint32_t)bytes.length;
        if (bytes.length > 0) {
            memcpy(value->bytes, bytes.data, bytes.length);
        }
    }
    return value;
}

/* One record at the cursor into the map; false: cut or damaged. */
static bool replay_one(struct value_store *store, struct byte_cursor *cursor)
{
    uint32_t n_key;
    uint32_t n_value;
    uint64_t sum;
    struct bytes key;
    struct bytes content = {.data = NULL};
    if (!byte_cursor_u32(cursor, &n_key) || !byte_cursor_u32(cursor, &n_value) ||
        !byte_cursor_u64(cursor, &sum) || !byte_cursor_take(cursor, n_key, &key) ||
        (n_value != DELETED && !byte_cursor_take(cursor, n_value, &content)) ||
        checksum(key, content) != sum) {
        return false;
    }
    struct value *value = NULL;
    if (n_value != DELETED) {
        value = make_value(content);
        if (value == NULL) {
            return false;
        }
    }
    if (!put(store, key, value)) {
        alloc_free(value);
        return false;
    }
    return true;
}

/* Everything that is whole; what comes after a record that was cut is cut off too. */
static realm_status replay(struct value_store *store, struct realm_error *error)
{
    char *text = NULL;
    size_t n_bytes = 0;
    REALM_TRY(file_read(store->path, MAX_LOG_BYTES, &text, &n_bytes, error));
    struct byte_cursor cursor = {.bytes = {.data = (const uint8_t *)text, .length = n_bytes}};
    size_t whole = 0;
    while (byte_cursor_left(&cursor) > 0 && replay_one(store, &cursor)) {
        whole = cursor.position;
    }
    alloc_free(text);
    store->log_bytes = whole;
    if (whole < n_bytes) {
        log_warn("values_cut",
                 LOG_TEXT("path", store->path),
                 LOG_U64("kept_bytes", whole),
                 LOG_U64("lost_bytes", n_bytes - whole));
        if (truncate(store->path, (off_t)whole) != 0) {
            return realm_error_set(
                error, REALM_IO, "%s cannot be cut: %s", store->path, strerror(errno));
        }
    }
    return REALM_OK;
}

/* --- the file ----------------------------------------------------------------------------------
 */

static bool write_all(int fd, const char *data, size_t n_bytes)
{
    while (n_bytes > 0) {
        const ssize_t n = write(fd, data, n_bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        data += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

static realm_status open_log(struct value_store *store, struct realm_error *error)
{
    store->fd = open(store->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    return store->fd >= 0
               ? REALM_OK
               : realm_error_set(
                     error, REALM_IO, "%s cannot be written: %s", store->path, strerror(errno));
}

/* Writes what is alive to a new file in the old one's place. */
static realm_status rewrite(struct value_store *store, struct realm_error *error)
{
    struct file_writer *writer = NULL;
    REALM_TRY(file_writer_open(store->path, 0600, &writer, error));
    struct strbuf record;
    strbuf_init(&record, ALLOC_GUEST, SIZE_MAX);
    realm_status status = REALM_OK;
    size_t cursor = 0;
    uint64_t n_bytes = 0;
    const void *key;
    size_t n_key;
    void *value;
    while (status == REALM_OK && map_next(store->values, &cursor, &key, &n_key, &value)) {
        strbuf_clear(&record);
        if (!append_record(&record, (struct bytes){.data = key, .length = n_key}, value)) {
            status = realm_error_out_of_memory(error, n_key, "a stored value");
            break;
        }
        status = file_writer_write(writer, record.text, record.length, error);
        n_bytes += record.length;
    }
    strbuf_deinit(&record);
    if (status != REALM_OK) {
        file_writer_abandon(writer);
        return status;
    }
    REALM_TRY(file_writer_commit(writer, error));
    (void)close(store->fd);
    store->log_bytes = n_bytes;
    return open_log(store, error);
}

static realm_status append_log(struct value_store *store,
                               struct bytes key,
                               const struct value *value,
                               struct realm_error *error)
{
    if (store->path == NULL) {
        return REALM_OK;
    }
    struct strbuf record;
    strbuf_init(&record, ALLOC_GUEST, SIZE_MAX);
    realm_status status = REALM_OK;
    if (!append_record(&record, key, value)) {
        status = realm_error_out_of_memory(error, key.length, "a stored value");
    } else if (!write_all(store->fd, record.text, record.length)) {
        status = realm_error_set(
            error, REALM_IO, "%s cannot be written: %s", store->path, strerror(errno));
        /* A part of the record would hide all that come after it. */
        if (ftruncate(store->fd, (off_t)store->log_bytes) != 0) {
            log_error("values_damaged", LOG_TEXT("path", store->path));
        }
    } else {
        store->log_bytes += record.length;
    }
    strbuf_deinit(&record);
    return status;
}

static void tidy(struct value_store *store)
{
    struct realm_error error;
    const uint64_t alive = store->held_bytes + HEAD_BYTES * (uint64_t)map_length(store->values);
    if (store->path != NULL && store->log_bytes > 2 * alive + REWRITE_SLACK &&
        rewrite(store, &error) != REALM_OK) {
        log_warn("values_not_rewritten", LOG_TEXT("reason", error.message));
    }
}

/* --- the face ----------------------------------------------------------------------------------
 */

static realm_status open_file(struct value_store *store,
                              const char *folder,
                              const char *tenant,
                              struct realm_error *error)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof(path), "%s/values", folder);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "the path %s is too long", folder);
    }
    REALM_TRY(file_make_folder(path, 0700, error));
    n = snprintf(path, sizeof(path), "%s/values/%s.log", folder, tenant);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "the path %s is too long", folder);
    }
    store->path = alloc_string(ALLOC_GUEST, path, (size_t)n);
    if (store->path == NULL) {
        return realm_error_out_of_memory(error, (size_t)n, "a path");
    }
    if (file_exists(store->path)) {
        REALM_TRY(replay(store, error));
    }
    return open_log(store, error);
}

realm_status value_store_open(struct value_store *store,
                              const char *folder,
                              const char *tenant,
                              struct realm_error *error)
{
    *store = (struct value_store){.fd = -1};
    mutex_init(&store->lock);
    realm_status status = map_create(ALLOC_GUEST, &store->values, error);
    if (status == REALM_OK && folder != NULL) {
        status = open_file(store, folder, tenant, error);
    }
    return status; /* the caller closes in either case */
}

void value_store_close(struct value_store *store)
{
    size_t cursor = 0;
    const void *key;
    size_t n_key;
    void *value;
    while (store->values != NULL && map_next(store->values, &cursor, &key, &n_key, &value)) {
        alloc_free(value);
    }
    map_destroy(store->values);
    store->values = NULL;
    if (store->fd >= 0) {
        (void)close(store->fd);
    }
    alloc_free(store->path);
    store->path = NULL;
    mutex_deinit(&store->lock);
}

static realm_status not_found(struct realm_error *error)
{
    return realm_error_set(error, REALM_NOT_FOUND, "nothing is stored under this key");
}

realm_status value_store_get(struct value_store *store,
                             struct bytes key,
                             struct strbuf *out,
                             struct realm_error *error)
{
    realm_status status = REALM_OK;
    mutex_lock(&store->lock);
    const struct value *value = map_get(store->values, key.data, key.length);
    if (value == NULL) {
        status = not_found(error);
    } else if (!strbuf_append(out, (const char *)value->bytes, value->n_bytes)) {
        status = realm_error_out_of_memory(error, value->n_bytes, "a stored value");
    }
    mutex_unlock(&store->lock);
    return status;
}

realm_status value_store_set(struct value_store *store,
                             struct bytes key,
                             struct bytes value,
                             uint64_t max_bytes,
                             struct realm_error *error)
{
    struct value *block = make_value(value);
    if (block == NULL) {
        return realm_error_out_of_memory(error, value.length, "a stored value");
    }
    mutex_lock(&store->lock);
    const struct value *old = map_get(store->values, key.data, key.length);
    const uint64_t kept = store->held_bytes - (old != NULL ? key.length + old->n_bytes : 0);
    realm_status status = REALM_OK;
    if (kept + key.length + value.length > max_bytes) {
        status = realm_error_set(error,
                                 REALM_QUOTA_EXCEEDED,
                                 "limit stored_bytes: %llu bytes are stored, %llu may be",
                                 (unsigned long long)store->held_bytes,
                                 (unsigned long long)max_bytes);
    }
    if (status == REALM_OK) {
        status = append_log(store, key, block, error);
    }
    if (status == REALM_OK && !put(store, key, block)) {
        status = realm_error_out_of_memory(error, value.length, "a stored value");
    }
    if (status != REALM_OK) {
        alloc_free(block);
    } else {
        tidy(store);
    }
    mutex_unlock(&store->lock);
    return status;
}

realm_status
value_store_delete(struct value_store *store, struct bytes key, struct realm_error *error)
{
    mutex_lock(&store->lock);
    realm_status status = map_get(store->values, key.data, key.length) != NULL
                              ? append_log(store, key, NULL, error)
                              : not_found(error);
    if (status == REALM_OK) {
        (void)put(store, key, NULL);
        tidy(store);
    }
    mutex_unlock(&store->lock);
    return status;
}

static int compare_keys(const void *left, const void *right)
{
    const struct bytes *a = left;
    const struct bytes *b = right;
    const size_t shorter = a->length < b->length ? a->length : b->length;
    const int order = memcmp(a->data, b->data, shorter);
    return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

realm_status value_store_list(struct value_store *store,
                              struct bytes prefix,
                              size_t skip,
                              uint32_t max_keys,
                              struct strbuf *out,
                              struct realm_error *error)
{
    mutex_lock(&store->lock);
    const size_t n_all = map_length(store->values);
    struct bytes *keys = alloc_zeroed(ALLOC_GUEST, n_all + 1, sizeof(struct bytes));
    size_t n = 0;
    size_t cursor = 0;
    const void *key;
    size_t n_key;
    void *value;
    while (keys != NULL && map_next(store->values, &cursor, &key, &n_key, &value)) {
        if (n_key >= prefix.length && memcmp(key, prefix.data, prefix.length) == 0) {
            keys[n++] = (struct bytes){.data = key, .length = n_key};
        }
    }
    if (keys != NULL) {
        qsort(keys, n, sizeof(struct bytes), compare_keys);
        (void)strbuf_append_char(out, '[');
        for (size_t i = 0; i < n && i < max_keys; i++) {
            (void)strbuf_append_text(out, i > 0 ? "," : "");
            (void)strbuf_append_json(out, (const char *)keys[i].data + skip, keys[i].length - skip);
        }
        (void)strbuf_append_char(out, ']');
    }
    mutex_unlock(&store->lock);
    const bool done = keys != NULL && !out->failed;
    alloc_free(keys);
    return done ? REALM_OK
                : realm_error_out_of_memory(error, n_all * sizeof(struct bytes), "a list of keys");
}

uint64_t value_store_held_bytes(struct value_store *store)
{
    mutex_lock(&store->lock);
    const uint64_t held = store->held_bytes;
    mutex_unlock(&store->lock);
    return held;
}
