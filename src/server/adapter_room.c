/* The index is text, a line an adapter:
 *
 *     realm-adapters 1
 *     adapter NAME BYTES CREATED SHA256 MODEL */
#include "server/adapter_room.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/thread.h"

#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_INDEX_BYTES ((size_t)1 << 20)
#define HEAD            "realm-adapters 1"
#define LINE            "adapter "
#define PATH_BYTES      4096u

/* One tenant's. */
struct shelf {
    struct shelf *next;
    int64_t tenant;
    struct mutex changes; /* held by what opens, adds or removes: as long as files are written */
    _Atomic bool opened;  /* under `changes` */
    struct mutex lock;    /* of the next two, which only who holds `changes` changes; for moments */
    struct adapter_item items[ADAPTER_MAX_OF_TENANT]; /* by name */
    uint32_t n_items;
};

struct adapter_room {
    struct engine *engine;
    char *folder;
    struct mutex lock; /* of the list; held for moments only, never with a shelf's */
    struct shelf *shelves;
};

realm_status adapter_room_open(struct engine *engine,
                               const char *folder,
                               struct adapter_room **out,
                               struct realm_error *error)
{
    *out = NULL;
    struct adapter_room *const room = alloc_zeroed(ALLOC_SERVER, 1, sizeof *room);
    if (room == NULL) {
        return realm_error_out_of_memory(error, sizeof *room, "the adapters");
    }
    room->engine = engine;
    room->folder = alloc_string(ALLOC_SERVER, folder, strlen(folder));
    if (room->folder == NULL) {
        alloc_free(room);
        return realm_error_out_of_memory(error, strlen(folder), "the adapters' folder");
    }
    mutex_init(&room->lock);
    *out = room;
    return REALM_OK;
}

static void forget_items(struct shelf *shelf)
{
    for (uint32_t i = 0; i < shelf->n_items; i++) {
        alloc_free(shelf->items[i].model);
    }
    shelf->n_items = 0;
}

void adapter_room_close(struct adapter_room *room)
{
    if (room == NULL) {
        return;
    }
    while (room->shelves != NULL) {
        struct shelf *const shelf = room->shelves;
        room->shelves = shelf->next;
        forget_items(shelf);
        mutex_deinit(&shelf->changes);
        mutex_deinit(&shelf->lock);
        alloc_free(shelf);
    }
    mutex_deinit(&room->lock);
    alloc_free(room->folder);
    alloc_free(room);
}

/* --- files -------------------------------------------------------------------------------------
 */

/* file "": the tenant's folder. */
static realm_status path_of(const struct adapter_room *room,
                            const struct shelf *shelf,
                            const char *file,
                            const char *ending,
                            char out[PATH_BYTES],
                            struct realm_error *error)
{
    const int n = snprintf(out,
                           PATH_BYTES,
                           "%s/t%lld%s%s%s",
                           room->folder,
                           (long long)shelf->tenant,
                           file[0] != '\0' ? "/" : "",
                           file,
                           ending);
    return n > 0 && (size_t)n < PATH_BYTES
               ? REALM_OK
               : realm_error_set(
                     error, REALM_INVALID_ARGUMENT, "the path of the adapters is too long");
}

static realm_status
hash(struct bytes bytes, char out[ADAPTER_SHA256_BYTES], struct realm_error *error)
{
    uint8_t digest[32];
    unsigned n = sizeof digest;
    if (EVP_Digest(bytes.data, bytes.length, digest, &n, EVP_sha256(), NULL) != 1) {
        return realm_error_set(error, REALM_INTERNAL, "SHA-256 cannot be computed");
    }
    for (size_t i = 0; i < sizeof digest; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
    return REALM_OK;
}

static realm_status
write_file(const char *path, const void *data, size_t n_bytes, struct realm_error *error)
{
    struct file_writer *writer;
    REALM_TRY(file_writer_open(path, 0600, &writer, error));
    const realm_status status = file_writer_write(writer, data, n_bytes, error);
    if (status != REALM_OK) {
        file_writer_abandon(writer);
        return status;
    }
    return file_writer_commit(writer, error);
}

static realm_status
write_index(const struct adapter_room *room, const struct shelf *shelf, struct realm_error *error)
{
    char path[PATH_BYTES];
    struct strbuf text;
    REALM_TRY(path_of(room, shelf, "index", "", path, error));
    strbuf_init(&text, ALLOC_SERVER, MAX_INDEX_BYTES);
    strbuf_append_text(&text, HEAD "\n");
    for (uint32_t i = 0; i < shelf->n_items; i++) {
        const struct adapter_item *const item = &shelf->items[i];
        strbuf_append_format(&text,
                             LINE "%s %llu %lld %s %s\n",
                             item->name,
                             (unsigned long long)item->n_bytes,
                             (long long)item->created_s,
                             item->sha256,
                             item->model);
    }
    const realm_status status =
        text.failed ? realm_error_out_of_memory(error, text.length, "the index of adapters")
                    : write_file(path, text.text, text.length, error);
    strbuf_deinit(&text);
    return status;
}

/* Cuts the text up to the next blank off; NULL: there is none, or it is as long as `capacity`. */
static char *cut_word(char **at, size_t capacity)
{
    char *const word = *at;
    const size_t n = strcspn(word, " ");
    if (n == 0 || n >= capacity || word[n] == '\0') {
        return NULL;
    }
    word[n] = '\0';
    *at = word + n + 1;
    return word;
}

static bool read_number(const char *text, uint64_t *out)
{
    const size_t n = text != NULL ? strlen(text) : 0;
    *out = n > 0 ? strtoull(text, NULL, 10) : 0;
    return n > 0 && n < 19 && strspn(text, "0123456789") == n;
}

static bool read_line(struct shelf *shelf, char *line)
{
    uint64_t created;
    if (strncmp(line, LINE, strlen(LINE)) != 0 || shelf->n_items == ADAPTER_MAX_OF_TENANT) {
        return false;
    }
    line += strlen(LINE);
    struct adapter_item item = {.model = NULL};
    const char *const name = cut_word(&line, sizeof item.name);
    if (name == NULL || !read_number(cut_word(&line, 20), &item.n_bytes) ||
        !read_number(cut_word(&line, 20), &created)) {
        return false;
    }
    const char *const sha256 = cut_word(&line, sizeof item.sha256);
    if (sha256 == NULL || strspn(sha256, "0123456789abcdef") != sizeof item.sha256 - 1 ||
        line[0] == '\0') {
        return false;
    }
    item.created_s = (int64_t)created;
    (void)snprintf(item.name, sizeof item.name, "%s", name);
    (void)snprintf(item.sha256, sizeof item.sha256, "%s", sha256);
    item.model = alloc_string(ALLOC_SERVER, line, strlen(line));
    if (item.model == NULL) {
        return false;
    }
    shelf->items[shelf->n_items++] = item;
    return true;
}

static realm_status
read_index(const struct adapter_room *room, struct shelf *shelf, struct realm_error *error)
{
    char path[PATH_BYTES];
    char *text = NULL;
    size_t n_bytes = 0;
    REALM_TRY(path_of(room, shelf, "index", "", path, error));
    if (!file_exists(path)) {
        return REALM_OK;
    }
    REALM_TRY(file_read(path, MAX_INDEX_BYTES, &text, &n_bytes, error));
    uint32_t n_lines = 0;
    bool good = true;
    for (char *line = text; good && line < text + n_bytes; n_lines++) {
        char *const end = line + strcspn(line, "\n");
        *end = '\0';
        good = n_lines == 0 ? strcmp(line, HEAD) == 0 : read_line(shelf, line);
        line = end + 1;
    }
    alloc_free(text);
    return good && n_lines > 0
               ? REALM_OK
               : realm_error_set(error,
                                 REALM_INVALID_FORMAT,
                                 "%s is damaged in line %u; put it back from a backup, or remove "
                                 "it and push the adapters again",
                                 path,
                                 n_lines);
}

/* Removes a file that no item names any more. */
static void
remove_unused(const struct adapter_room *room, const struct shelf *shelf, const char *sha256)
{
    char path[PATH_BYTES];
    struct realm_error error;
    for (uint32_t i = 0; i < shelf->n_items; i++) {
        if (strcmp(shelf->items[i].sha256, sha256) == 0) {
            return;
        }
    }
    if (path_of(room, shelf, sha256, ".adapter", path, &error) == REALM_OK) {
        (void)unlink(path);
    }
}

/* --- loading -----------------------------------------------------------------------------------
 */

/* From disk into the engine; a model that is not loaded has none of its adapters loaded either. */
static realm_status load_item(const struct adapter_room *room,
                              const struct shelf *shelf,
                              const struct account *account,
                              struct adapter_item *item,
                              struct realm_error *error)
{
    char path[PATH_BYTES];
    char sha256[ADAPTER_SHA256_BYTES] = "";
    struct file_map map = {.bytes = {.data = NULL}};
    struct engine_model *const model = engine_find_model(room->engine, item->model);
    if (model == NULL) {
        return realm_error_set(error, REALM_NOT_FOUND, "the model %s is not loaded", item->model);
    }
    REALM_TRY(path_of(room, shelf, item->sha256, ".adapter", path, error));
    REALM_TRY(file_map_open(path, &map, error));
    realm_status status = hash(map.bytes, sha256, error);
    if (status == REALM_OK && strcmp(sha256, item->sha256) != 0) {
        status = realm_error_set(
            error, REALM_INVALID_FORMAT, "%s is damaged; push the adapter again", path);
    }
    if (status == REALM_OK) {
        status = engine_adapter_load(room->engine, model, account, item->name, map.bytes, error);
    }
    file_map_close(&map);
    item->loaded = status == REALM_OK;
    return status;
}

/* The entry of a tenant, made if it is new; NULL: out of memory. */
static struct shelf *find_shelf(struct adapter_room *room, int64_t tenant)
{
    mutex_lock(&room->lock);
    struct shelf *shelf = room->shelves;
    while (shelf != NULL && shelf->tenant != tenant) {
        shelf = shelf->next;
    }
    if (shelf == NULL) {
        shelf = alloc_zeroed(ALLOC_SERVER, 1, sizeof *shelf);
        if (shelf != NULL) {
            shelf->tenant = tenant;
            mutex_init(&shelf->changes);
            mutex_init(&shelf->lock);
            shelf->next = room->shelves;
            room->shelves = shelf;
        }
    }
    mutex_unlock(&room->lock);
    return shelf;
}

/* Reads the index and loads what it names; `changes` is held. */
static realm_status open_shelf(const struct adapter_room *room,
                               struct shelf *shelf,
                               const struct account *account,
                               struct realm_error *error)
{
    if (atomic_load(&shelf->opened)) {
        return REALM_OK;
    }
    const realm_status status = read_index(room, shelf, error);
    if (status != REALM_OK) {
        forget_items(shelf);
        return status;
    }
    for (uint32_t i = 0; i < shelf->n_items; i++) {
        struct realm_error trouble;
        if (load_item(room, shelf, account, &shelf->items[i], &trouble) != REALM_OK) {
            log_warn("adapter_not_loaded",
                     LOG_I64("tenant", shelf->tenant),
                     LOG_TEXT("adapter", shelf->items[i].name),
                     LOG_TEXT("error", trouble.message));
        }
    }
    atomic_store(&shelf->opened, true);
    return REALM_OK;
}

/* The tenant's shelf, opened.  Waits for another's opening, not for changes. */
static realm_status enter(struct adapter_room *room,
                          const struct adapter_owner *owner,
                          struct shelf **out,
                          struct realm_error *error)
{
    struct shelf *const shelf = find_shelf(room, owner->tenant);
    if (shelf == NULL) {
        return realm_error_out_of_memory(error, sizeof *shelf, "a tenant's adapters");
    }
    *out = shelf;
    if (atomic_load(&shelf->opened)) {
        return REALM_OK;
    }
    mutex_lock(&shelf->changes);
    const realm_status status = open_shelf(room, shelf, owner->account, error);
    mutex_unlock(&shelf->changes);
    return status;
}

realm_status adapter_room_load(struct adapter_room *room,
                               const struct adapter_owner *owner,
                               struct realm_error *error)
{
    struct shelf *shelf;
    return enter(room, owner, &shelf, error);
}

realm_status adapter_room_each(struct adapter_room *room,
                               const struct adapter_owner *owner,
                               void (*visit)(void *context, const struct adapter_item *item),
                               void *context,
                               struct realm_error *error)
{
    struct shelf *shelf;
    REALM_TRY(enter(room, owner, &shelf, error));
    mutex_lock(&shelf->lock);
    for (uint32_t i = 0; i < shelf->n_items; i++) {
        visit(context, &shelf->items[i]);
    }
    mutex_unlock(&shelf->lock);
    return REALM_OK;
}

/* --- changes -----------------------------------------------------------------------------------
 */

static realm_status check_name(const char *name, struct realm_error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    const size_t n = strlen(name);
    return n < ENGINE_ADAPTER_NAME_BYTES && strspn(name, letters) > 0 && strspn(name, all) == n
               ? REALM_OK
               : realm_error_set(error,
                                 REALM_INVALID_ARGUMENT,
                                 "\"%.70s\" is no adapter's name: 1 to 63 letters, digits, - _ or "
                                 ". that begin with a letter or digit",
                                 name);
}

/* n_items: there is none. */
static uint32_t find_item(const struct shelf *shelf, const char *name)
{
    uint32_t i = 0;
    while (i < shelf->n_items && strcmp(shelf->items[i].name, name) != 0) {
        i++;
    }
    return i;
}

/* index: of the item that makes room, or n_items. */
static realm_status
check_room(const struct shelf *shelf, uint32_t index, uint64_t n_bytes, struct realm_error *error)
{
    if (index == ADAPTER_MAX_OF_TENANT) {
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "%u adapters are there, the most there may be; remove one first",
                               shelf->n_items);
    }
    for (uint32_t i = 0; i < shelf->n_items; i++) {
        n_bytes += i != index ? shelf->items[i].n_bytes : 0;
    }
    return n_bytes <= ADAPTER_MAX_TENANT_BYTES
               ? REALM_OK
               : realm_error_set(error,
                                 REALM_RESOURCE_EXHAUSTED,
                                 "all adapters together would have %llu bytes, %llu are allowed; "
                                 "remove one first",
                                 (unsigned long long)n_bytes,
                                 (unsigned long long)ADAPTER_MAX_TENANT_BYTES);
}

/* Puts the item in place `index`, keeping the order of names where it is a new one. */
static void put_item(struct shelf *shelf, uint32_t index, const struct adapter_item *item)
{
    mutex_lock(&shelf->lock);
    if (index == shelf->n_items) {
        while (index > 0 && strcmp(shelf->items[index - 1].name, item->name) > 0) {
            shelf->items[index] = shelf->items[index - 1];
            index--;
        }
        shelf->n_items++;
    }
    shelf->items[index] = *item;
    mutex_unlock(&shelf->lock);
}

static void take_item(struct shelf *shelf, uint32_t index)
{
    mutex_lock(&shelf->lock);
    shelf->n_items--;
    memmove(&shelf->items[index],
            &shelf->items[index + 1],
            (shelf->n_items - index) * sizeof shelf->items[0]);
    mutex_unlock(&shelf->lock);
}

static void unload(const struct adapter_room *room,
                   const struct account *account,
                   const struct adapter_item *item)
{
    struct realm_error trouble;
    struct engine_model *const model = engine_find_model(room->engine, item->model);
    if (model != NULL &&
        engine_adapter_remove(room->engine, model, account, item->name, &trouble) != REALM_OK) {
        log_debug("adapter_was_not_loaded", LOG_TEXT("adapter", item->name));
    }
}

/* The item has its name back in the engine, from disk. */
static void reload(const struct adapter_room *room,
                   struct shelf *shelf,
                   const struct account *account,
                   uint32_t index)
{
    struct realm_error trouble;
    struct adapter_item item = shelf->items[index];
    if (load_item(room, shelf, account, &item, &trouble) != REALM_OK) {
        unload(room, account, &item);
        log_warn("adapter_not_loaded",
                 LOG_TEXT("adapter", item.name),
                 LOG_TEXT("error", trouble.message));
    }
    put_item(shelf, index, &item);
}

/* Lists the item in place of an older one, on disk too; it is in the engine already. */
static realm_status replace_item(const struct adapter_room *room,
                                 struct shelf *shelf,
                                 const struct account *account,
                                 uint32_t index,
                                 const struct adapter_item *item,
                                 struct realm_error *error)
{
    const struct adapter_item older = shelf->items[index];
    const bool same_model = strcmp(older.model, item->model) == 0;
    put_item(shelf, index, item);
    const realm_status status = write_index(room, shelf, error);
    if (status != REALM_OK) {
        put_item(shelf, index, &older);
        if (same_model) {
            reload(room, shelf, account, index);
        } else {
            unload(room, account, item);
        }
        return status;
    }
    if (!same_model) {
        unload(room, account, &older);
    }
    remove_unused(room, shelf, older.sha256);
    alloc_free(older.model);
    return REALM_OK;
}

static realm_status add_item(const struct adapter_room *room,
                             struct shelf *shelf,
                             const struct account *account,
                             const struct adapter_item *item,
                             struct realm_error *error)
{
    put_item(shelf, shelf->n_items, item);
    const realm_status status = write_index(room, shelf, error);
    if (status != REALM_OK) {
        take_item(shelf, find_item(shelf, item->name));
        unload(room, account, item);
    }
    return status;
}

/* `changes` is held.  On success the shelf has item->model. */
static realm_status push(const struct adapter_room *room,
                         struct shelf *shelf,
                         const struct account *account,
                         struct engine_model *model,
                         struct bytes bytes,
                         const struct adapter_item *item,
                         struct realm_error *error)
{
    char path[PATH_BYTES];
    REALM_TRY(check_room(shelf, find_item(shelf, item->name), bytes.length, error));
    REALM_TRY(path_of(room, shelf, "", "", path, error));
    REALM_TRY(file_make_folder(path, 0700, error));
    REALM_TRY(path_of(room, shelf, item->sha256, ".adapter", path, error));
    const uint32_t index = find_item(shelf, item->name);
    /* First what fails without a trace; over a damaged file, too. */
    REALM_TRY(write_file(path, bytes.data, bytes.length, error));
    realm_status status =
        engine_adapter_load(room->engine, model, account, item->name, bytes, error);
    if (status == REALM_OK) {
        status = index == shelf->n_items ? add_item(room, shelf, account, item, error)
                                         : replace_item(room, shelf, account, index, item, error);
    }
    if (status != REALM_OK) {
        remove_unused(room, shelf, item->sha256);
    }
    return status;
}

realm_status adapter_room_push(struct adapter_room *room,
                               const struct adapter_owner *owner,
                               struct engine_model *model,
                               const char *name,
                               struct bytes bytes,
                               struct adapter_item *out,
                               struct realm_error *error)
{
    const char *const model_name = engine_model_name(model);
    *out =
        (struct adapter_item){.n_bytes = bytes.length, .created_s = clock_wall_s(), .loaded = true};
    REALM_TRY(check_name(name, error));
    if (strchr(model_name, '\n') != NULL) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "the model's name has a line break in it");
    }
    REALM_TRY(hash(bytes, out->sha256, error));
    (void)snprintf(out->name, sizeof out->name, "%s", name);
    struct adapter_item item = *out;
    item.model = alloc_string(ALLOC_SERVER, model_name, strlen(model_name));
    if (item.model == NULL) {
        return realm_error_out_of_memory(error, strlen(model_name), "an adapter");
    }
    struct shelf *shelf;
    realm_status status = enter(room, owner, &shelf, error);
    if (status == REALM_OK) {
        mutex_lock(&shelf->changes);
        status = push(room, shelf, owner->account, model, bytes, &item, error);
        mutex_unlock(&shelf->changes);
    }
    if (status != REALM_OK) {
        alloc_free(item.model);
    }
    return status;
}

realm_status adapter_room_remove(struct adapter_room *room,
                                 const struct adapter_owner *owner,
                                 const char *name,
                                 struct realm_error *error)
{
    struct shelf *shelf;
    REALM_TRY(enter(room, owner, &shelf, error));
    mutex_lock(&shelf->changes);
    const uint32_t index = find_item(shelf, name);
    realm_status status = REALM_OK;
    if (index == shelf->n_items) {
        status = realm_error_set(error,
                                 REALM_NOT_FOUND,
                                 "there is no adapter %.70s; GET /v1/adapters lists yours",
                                 name);
    } else {
        const struct adapter_item item = shelf->items[index];
        take_item(shelf, index);
        status = write_index(room, shelf, error);
        if (status == REALM_OK) {
            unload(room, owner->account, &item);
            remove_unused(room, shelf, item.sha256);
            alloc_free(item.model);
        } else {
            put_item(shelf, shelf->n_items, &item);
        }
    }
    mutex_unlock(&shelf->changes);
    return status;
}
