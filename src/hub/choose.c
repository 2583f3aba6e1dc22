#define _GNU_SOURCE /* strcasestr */
#include "hub/choose.h"

#include "base/alloc.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define EXTENSION      ".gguf"
#define MAX_FILES      4096u
#define NAMES_IN_ERROR 5u

static realm_status
add_file(struct repository *repository, const json_t *entry, struct realm_error *error)
{
    const char *const path = json_string_value(json_object_get(entry, "path"));
    const char *const type = json_string_value(json_object_get(entry, "type"));
    const size_t n = path != NULL ? strlen(path) : 0;
    if (n <= strlen(EXTENSION) || n >= SOURCE_PATH_BYTES ||
        strcasecmp(path + n - strlen(EXTENSION), EXTENSION) != 0 ||
        (type != NULL && strcmp(type, "file") != 0) || !source_is_good_path(path) ||
        repository->n == MAX_FILES) {
        return REALM_OK;
    }
    if (repository->n == repository->capacity) {
        const size_t capacity = repository->capacity == 0 ? 16 : repository->capacity * 2;
        struct repository_file *const grown =
            alloc_resize(ALLOC_BASE, repository->files, capacity * sizeof *grown);
        if (grown == NULL) {
            return realm_error_out_of_memory(error, capacity * sizeof *grown, "the list of files");
        }
        repository->files = grown;
        repository->capacity = capacity;
    }
    struct repository_file *const file = &repository->files[repository->n++];
    const json_t *const lfs = json_object_get(entry, "lfs");
    const json_t *const size = json_object_get(lfs != NULL ? lfs : entry, "size");
    const char *const oid = json_string_value(json_object_get(lfs, "oid"));
    *file = (struct repository_file){.bytes = 0};
    memcpy(file->path, path, n + 1);
    if (json_is_integer(size) && json_integer_value(size) > 0) {
        file->bytes = (uint64_t)json_integer_value(size);
    }
    if (oid != NULL && strlen(oid) == CHOOSE_HASH_LENGTH) {
        memcpy(file->sha256, oid, CHOOSE_HASH_LENGTH + 1);
    }
    return REALM_OK;
}

realm_status repository_parse(const char *json,
                              size_t n_bytes,
                              struct repository *out,
                              struct realm_error *error)
{
    json_error_t trouble;
    *out = (struct repository){.n = 0};
    json_t *const list = json_loadb(json, n_bytes, 0, &trouble);
    if (!json_is_array(list)) {
        json_decref(list);
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "the hub's list of files is not what was expected: %.120s",
                               list == NULL ? trouble.text : "no array");
    }
    realm_status status = REALM_OK;
    for (size_t i = 0; i < json_array_size(list) && status == REALM_OK; i++) {
        status = add_file(out, json_array_get(list, i), error);
    }
    json_decref(list);
    return status;
}

void repository_deinit(struct repository *repository)
{
    alloc_free(repository->files);
}

const struct repository_file *repository_find(const struct repository *repository, const char *path)
{
    for (size_t i = 0; i < repository->n; i++) {
        if (strcmp(repository->files[i].path, path) == 0) {
            return &repository->files[i];
        }
    }
    return NULL;
}

static const char *name_of(const struct repository_file *file)
{
    const char *const slash = strrchr(file->path, '/');
    return slash != NULL ? slash + 1 : file->path;
}

static bool is_word_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Does `word` stand in the name, with no letter, digit or underscore beside it? */
static bool has_word(const char *name, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = name; *at != '\0'; at++) {
        if (strncasecmp(at, word, n) == 0 && (at == name || !is_word_character(at[-1])) &&
            !is_word_character(at[n])) {
            return true;
        }
    }
    return false;
}

/* Projectors of pictures and importance matrices are GGUF files, but no models. */
static bool is_model(const struct repository_file *file)
{
    const char *const name = name_of(file);
    uint32_t part;
    (void)source_n_parts(name, &part);
    return part == 1 && strncasecmp(name, "mmproj", 6) != 0 && strcasestr(name, "imatrix") == NULL;
}

/* Is the word the last of the name, but for a part's number and the extension? */
static bool ends_with_word(const char *name, const char *word)
{
    uint32_t part;
    const size_t tail =
        source_n_parts(name, &part) > 1 ? strlen("-00001-of-00002.gguf") : strlen(EXTENSION);
    const size_t n = strlen(word) + tail;
    const size_t n_name = strlen(name);
    return n_name >= n && strncasecmp(name + n_name - n, word, strlen(word)) == 0 &&
           (n_name == n || !is_word_character(name[n_name - n - 1]));
}

/* Models with the word in their path; those that end with it ("m-Q8_0" before "m-Q8_0-draft") count
 * alone where there are any.  *n_fit: how many. */
static const struct repository_file *
find_word(const struct repository *repository, const char *word, size_t *n_fit)
{
    const struct repository_file *found = NULL;
    bool only_ending = false;
    *n_fit = 0;
    for (size_t i = 0; i < repository->n; i++) {
        const struct repository_file *const file = &repository->files[i];
        if (!is_model(file) || !has_word(file->path, word)) {
            continue;
        }
        const bool ending = ends_with_word(file->path, word);
        if (ending && !only_ending) {
            only_ending = true;
            *n_fit = 0;
        }
        if (ending || !only_ending) {
            found = file;
            ++*n_fit;
        }
    }
    return found;
}

static const struct repository_file *
find_file(const struct repository *repository, const char *wanted, size_t *n_fit)
{
    const struct repository_file *found = repository_find(repository, wanted);
    *n_fit = found != NULL ? 1 : 0;
    for (size_t i = 0; found == NULL && i < repository->n; i++) {
        if (strcasecmp(name_of(&repository->files[i]), wanted) == 0) {
            found = &repository->files[i];
            *n_fit = 1;
        }
    }
    return found;
}

static const struct repository_file *find_any(const struct repository *repository, size_t *n_fit)
{
    const struct repository_file *found = NULL;
    *n_fit = 0;
    for (size_t i = 0; i < repository->n; i++) {
        if (is_model(&repository->files[i])) {
            found = &repository->files[i];
            ++*n_fit;
        }
    }
    return found;
}

static realm_status refuse(const struct repository *repository,
                           const char *wanted,
                           bool several,
                           struct realm_error *error)
{
    struct strbuf names;
    size_t n_models = 0;
    strbuf_init(&names, ALLOC_BASE, 150);
    for (size_t i = 0; i < repository->n; i++) {
        const struct repository_file *const file = &repository->files[i];
        if (is_model(file) && (!several || wanted[0] == '\0' || has_word(file->path, wanted))) {
            n_models++;
            if (n_models <= NAMES_IN_ERROR) {
                strbuf_append_format(&names, "%s%s", n_models > 1 ? ", " : "", file->path);
            }
        }
    }
    const realm_status status =
        realm_error_set(error,
                        several ? REALM_INVALID_ARGUMENT : REALM_NOT_FOUND,
                        "%s \"%.40s\" in the repository; %s%s%s",
                        several ? "several files are meant by" : "there is no",
                        wanted[0] != '\0' ? wanted : "model",
                        n_models > 0 ? "there are: " : "it has no GGUF file",
                        names.text,
                        n_models > NAMES_IN_ERROR ? ", ..." : "");
    strbuf_deinit(&names);
    return status;
}

realm_status repository_choose(const struct repository *repository,
                               const char *wanted,
                               const char *fallback,
                               const struct repository_file **out,
                               struct realm_error *error)
{
    size_t n_fit = 0;
    const struct repository_file *found = find_file(repository, wanted, &n_fit);
    if (found == NULL) {
        found = find_word(repository, wanted[0] != '\0' ? wanted : fallback, &n_fit);
    }
    if (found == NULL && wanted[0] == '\0') {
        found = find_any(repository, &n_fit);
    }
    if (n_fit != 1) {
        return refuse(repository, wanted, n_fit > 1, error);
    }
    *out = found;
    return REALM_OK;
}
