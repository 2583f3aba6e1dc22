/* The folder of models: a walk over it, and models by name. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "hub/hub.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define MAX_DEPTH      4u /* CACHE/models/OWNER/REPO/folder */
#define MAX_MODELS     4096u
#define EXTENSION      ".gguf"
#define PART_DIGITS    5u
#define PART_TAIL      15u /* "-00001-of-00003" */
#define NAMES_IN_ERROR 6u

struct found {
    char *path;
    char *name;
    uint64_t bytes;
    uint32_t part; /* from 1 */
    uint32_t n_parts;
    int64_t modified_s;
};

struct walk {
    struct found *items;
    size_t n;
    size_t capacity;
};

static void walk_deinit(struct walk *walk)
{
    for (size_t i = 0; i < walk->n; i++) {
        alloc_free(walk->items[i].path);
        alloc_free(walk->items[i].name);
    }
    alloc_free(walk->items);
}

/* The part's number where a stem ends like "-00002-of-00003"; 0: it does not. */
static uint32_t part_number(const char *stem, size_t n_bytes)
{
    if (n_bytes <= PART_TAIL) {
        return 0;
    }
    const char *const tail = stem + n_bytes - PART_TAIL;
    if (tail[0] != '-' || strncmp(tail + 1 + PART_DIGITS, "-of-", 4) != 0 ||
        strspn(tail + 1, "0123456789") != PART_DIGITS ||
        strspn(tail + 1 + PART_DIGITS + 4, "0123456789") < PART_DIGITS) {
        return 0;
    }
    return (uint32_t)strtoul(tail + 1, NULL, 10);
}

static realm_status
add_file(struct walk *walk, const char *path, const struct stat *info, struct realm_error *error)
{
    if (walk->n == MAX_MODELS) {
        return realm_error_set(
            error, REALM_RESOURCE_EXHAUSTED, "more than %u model files; remove some", MAX_MODELS);
    }
    if (walk->n == walk->capacity) {
        const size_t capacity = walk->capacity == 0 ? 16 : walk->capacity * 2;
        struct found *const grown =
            alloc_resize(ALLOC_BASE, walk->items, capacity * sizeof *walk->items);
        if (grown == NULL) {
            return realm_error_out_of_memory(error, capacity * sizeof *grown, "the list of models");
        }
        walk->items = grown;
        walk->capacity = capacity;
    }
    const char *const file = strrchr(path, '/') + 1;
    const size_t n_stem = strlen(file) - strlen(EXTENSION);
    const uint32_t part = part_number(file, n_stem);
    struct found *const found = &walk->items[walk->n];
    *found = (struct found){
        .path = alloc_string(ALLOC_BASE, path, strlen(path)),
        .name = alloc_string(ALLOC_BASE, file, part > 0 ? n_stem - PART_TAIL : n_stem),
        .bytes = (uint64_t)info->st_size,
        .part = part > 0 ? part : 1,
        .n_parts = 1,
        .modified_s = (int64_t)info->st_mtime,
    };
    walk->n++;
    if (found->path == NULL || found->name == NULL) {
        return realm_error_out_of_memory(error, strlen(path), "the list of models");
    }
    return REALM_OK;
}

static realm_status
/* NOLINTNEXTLINE(misc-no-recursion): no deeper than MAX_DEPTH */
walk_folder(struct walk *walk, const char *folder, uint32_t depth, struct realm_error *error)
{
    DIR *const directory = opendir(folder);
    if (directory == NULL) {
        return errno == ENOENT || depth > 0
                   ? REALM_OK
                   : realm_error_set(
                         error, REALM_IO, "cannot read folder %s: %s", folder, strerror(errno));
    }
    realm_status status = REALM_OK;
    for (const struct dirent *entry = readdir(directory); entry != NULL && status == REALM_OK;
         entry = readdir(directory)) {
        char path[HUB_PATH_BYTES];
        struct stat info;
        const size_t n_name = strlen(entry->d_name);
        const int n = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || n < 0 || (size_t)n >= sizeof path ||
            stat(path, &info) != 0) {
            continue;
        }
        if (S_ISDIR(info.st_mode) && depth + 1 < MAX_DEPTH) {
            status = walk_folder(walk, path, depth + 1, error);
        } else if (S_ISREG(info.st_mode) && n_name > strlen(EXTENSION) &&
                   strcasecmp(entry->d_name + n_name - strlen(EXTENSION), EXTENSION) == 0) {
            status = add_file(walk, path, &info, error);
        }
    }
    (void)closedir(directory);
    return status;
}

static int by_name(const void *left, const void *right)
{
    const struct found *const a = left;
    const struct found *const b = right;
    const int order = strcasecmp(a->name, b->name);
    return order != 0 ? order : strcmp(a->path, b->path);
}

/* Parts of one model, neighbours once sorted, become one entry: the first part's. */
static void join_parts(struct walk *walk)
{
    size_t n = 0;
    for (size_t i = 0; i < walk->n; i++) {
        struct found *const last = n > 0 ? &walk->items[n - 1] : NULL;
        struct found *const now = &walk->items[i];
        const size_t n_folder = (size_t)(strrchr(now->path, '/') - now->path);
        if (last != NULL && now->part > 1 && strcmp(last->name, now->name) == 0 &&
            strncmp(last->path, now->path, n_folder + 1) == 0) {
            last->bytes += now->bytes;
            last->n_parts++;
            alloc_free(now->path);
            alloc_free(now->name);
        } else {
            walk->items[n++] = *now;
        }
    }
    walk->n = n;
}

static realm_status
walk_cache(const char *cache_folder, struct walk *walk, struct realm_error *error)
{
    char folder[HUB_PATH_BYTES];
    *walk = (struct walk){.n = 0};
    (void)snprintf(folder, sizeof folder, "%s/models", cache_folder);
    const realm_status status = walk_folder(walk, folder, 0, error);
    if (status != REALM_OK) {
        walk_deinit(walk);
        return status;
    }
    if (walk->n > 0) {
        qsort(walk->items, walk->n, sizeof *walk->items, by_name);
        join_parts(walk);
    }
    return REALM_OK;
}

realm_status hub_list(const char *cache_folder,
                      bool (*each)(void *context, const struct hub_model *model),
                      void *context,
                      struct realm_error *error)
{
    struct walk walk;
    REALM_TRY(walk_cache(cache_folder, &walk, error));
    for (size_t i = 0; i < walk.n; i++) {
        const struct found *const found = &walk.items[i];
        const struct hub_model model = {
            .path = found->path,
            .name = found->name,
            .bytes = found->bytes,
            .n_parts = found->n_parts,
            .modified_s = found->modified_s,
        };
        if (!each(context, &model)) {
            break;
        }
    }
    walk_deinit(&walk);
    return REALM_OK;
}

/* How well a name fits: 3 the whole name, 2 the catalogue's, 1 its beginning, 0 not. */
static int fit(const struct found *found, const char *name, const struct hub_catalogue_entry *entry)
{
    const char *const file = strrchr(found->path, '/') + 1;
    if (strcasecmp(found->name, name) == 0 || strcasecmp(file, name) == 0) {
        return 3;
    }
    if (entry != NULL && strncasecmp(found->name, entry->prefix, strlen(entry->prefix)) == 0) {
        return 2;
    }
    return strncasecmp(found->name, name, strlen(name)) == 0 ? 1 : 0;
}

static void list_names(const struct walk *walk, char *out, size_t n_out)
{
    struct strbuf names;
    strbuf_init(&names, ALLOC_BASE, n_out - 1);
    for (size_t i = 0; i < walk->n && i < NAMES_IN_ERROR; i++) {
        strbuf_append_format(&names, "%s%s", i > 0 ? ", " : "", walk->items[i].name);
    }
    if (walk->n > NAMES_IN_ERROR) {
        strbuf_append_text(&names, ", ...");
    }
    (void)snprintf(out, n_out, "%s", names.text);
    strbuf_deinit(&names);
}

static realm_status refuse_name(const struct walk *walk,
                                const char *name,
                                const struct hub_catalogue_entry *entry,
                                struct realm_error *error)
{
    char names[160];
    if (entry != NULL) {
        return realm_error_set(error,
                               REALM_NOT_FOUND,
                               "the model %s is not here yet; get it with: realm models pull %s",
                               entry->name,
                               entry->name);
    }
    list_names(walk, names, sizeof names);
    return realm_error_set(error,
                           REALM_NOT_FOUND,
                           "no file and no model \"%.60s\"; there %s%s",
                           name,
                           walk->n > 0 ? "are: " : "are none yet: realm models pull smollm2",
                           names);
}

realm_status hub_find(const char *cache_folder,
                      const char *name,
                      char out[HUB_PATH_BYTES],
                      struct realm_error *error)
{
    const struct hub_catalogue_entry *const entry = hub_catalogue_find(name);
    struct walk walk;
    REALM_TRY(walk_cache(cache_folder, &walk, error));
    const struct found *best = NULL;
    const struct found *rival = NULL;
    int best_fit = 0;
    for (size_t i = 0; i < walk.n; i++) {
        const int f = fit(&walk.items[i], name, entry);
        if (f > best_fit) {
            best = &walk.items[i];
            rival = NULL;
            best_fit = f;
        } else if (f == best_fit && f > 0 && rival == NULL) {
            rival = &walk.items[i];
        }
    }
    realm_status status = REALM_OK;
    if (best == NULL) {
        status = refuse_name(&walk, name, entry, error);
    } else if (rival != NULL && best_fit != 2) {
        status =
            realm_error_set(error,
                            REALM_INVALID_ARGUMENT,
                            "\"%.60s\" may be %.70s or %.70s; give more of the name, or a path",
                            name,
                            best_fit == 3 ? best->path : best->name,
                            best_fit == 3 ? rival->path : rival->name);
    } else {
        (void)snprintf(out, HUB_PATH_BYTES, "%s", best->path);
    }
    walk_deinit(&walk);
    return status;
}
