/* The files of a shelf.  The index is text, a line a thing:
 *
 *     realm-shelf 1
 *     default NAME
 *     program NAME ACTIVE LAST
 *     version NUMBER BYTES CREATED SHA256       of the program above */
#include "sandbox/shelf_index.h"

#include "base/file.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_INDEX_BYTES ((size_t)16 << 20)
#define HEAD            "realm-shelf 1"
#define MAX_FIELDS      5u

/* --- in memory ---------------------------------------------------------------------------------
 */

struct shelf_program *shelf_find(const struct shelf *shelf, const char *name)
{
    struct shelf_program *program = shelf->programs;
    while (program != NULL && strcmp(program->name, name) != 0) {
        program = program->next;
    }
    return program;
}

void shelf_program_destroy(struct shelf_program *program)
{
    if (program == NULL) {
        return;
    }
    program_release(program->loaded);
    run_log_release(program->log);
    alloc_free(program->versions);
    alloc_free(program);
}

struct shelf_program *shelf_insert(struct shelf *shelf, const char *name)
{
    struct shelf_program *const program = alloc_zeroed(ALLOC_GUEST, 1, sizeof *program);
    if (program == NULL) {
        return NULL;
    }
    program->log = run_log_create();
    if (program->log == NULL) {
        shelf_program_destroy(program);
        return NULL;
    }
    (void)snprintf(program->name, sizeof program->name, "%s", name);
    struct shelf_program **at = &shelf->programs;
    while (*at != NULL && strcmp((*at)->name, name) < 0) {
        at = &(*at)->next;
    }
    program->next = *at;
    *at = program;
    return program;
}

realm_status shelf_append_version(struct shelf_program *program,
                                  const struct shelf_version *version,
                                  struct realm_error *error)
{
    if (program->n_versions == program->capacity) {
        const uint32_t capacity = program->capacity * 2 + 4;
        void *const grown =
            alloc_resize(ALLOC_GUEST, program->versions, capacity * sizeof(struct shelf_version));
        if (grown == NULL) {
            return realm_error_out_of_memory(
                error, capacity * sizeof(struct shelf_version), "a program's versions");
        }
        program->versions = grown;
        program->capacity = capacity;
    }
    program->versions[program->n_versions++] = *version;
    return REALM_OK;
}

/* --- reading -----------------------------------------------------------------------------------
 */

/* Cuts a line at its blanks. */
static uint32_t split(char *line, char *fields[MAX_FIELDS])
{
    uint32_t n = 0;
    while (*line != '\0' && n < MAX_FIELDS) {
        fields[n++] = line;
        line += strcspn(line, " ");
        if (*line == ' ') {
            *line++ = '\0';
        }
    }
    return *line == '\0' ? n : MAX_FIELDS + 1;
}

static bool read_number(const char *text, uint64_t max, uint64_t *out)
{
    const size_t n = strlen(text);
    *out = strtoull(text, NULL, 10);
    return n > 0 && n < 20 && strspn(text, "0123456789") == n && *out <= max;
}

static bool read_program(struct shelf *shelf, char *fields[], struct shelf_program **out)
{
    uint64_t active;
    uint64_t last;
    if (strlen(fields[1]) >= SHELF_NAME_BYTES || shelf_find(shelf, fields[1]) != NULL ||
        !read_number(fields[2], UINT32_MAX, &active) || active == 0 ||
        !read_number(fields[3], UINT32_MAX, &last)) {
        return false;
    }
    *out = shelf_insert(shelf, fields[1]);
    if (*out == NULL) {
        return false;
    }
    (*out)->active = (uint32_t)active;
    (*out)->last = (uint32_t)last;
    return true;
}

static bool read_version(struct shelf_program *program, char *fields[], struct realm_error *error)
{
    struct shelf_version version = {.number = 0};
    uint64_t number;
    uint64_t created;
    if (program == NULL || !read_number(fields[1], UINT32_MAX, &number) ||
        !read_number(fields[2], UINT64_MAX, &version.n_bytes) ||
        !read_number(fields[3], INT64_MAX, &created) ||
        strlen(fields[4]) != SHELF_SHA256_BYTES - 1 ||
        strspn(fields[4], "0123456789abcdef") != SHELF_SHA256_BYTES - 1) {
        return false;
    }
    version.number = (uint32_t)number;
    version.created_s = (int64_t)created;
    memcpy(version.sha256, fields[4], SHELF_SHA256_BYTES);
    return shelf_append_version(program, &version, error) == REALM_OK;
}

static bool read_line(struct shelf *shelf,
                      char *line,
                      struct shelf_program **program,
                      struct realm_error *error)
{
    char *fields[MAX_FIELDS];
    const uint32_t n = split(line, fields);
    if (n == 2 && strcmp(fields[0], "default") == 0 && strlen(fields[1]) < SHELF_NAME_BYTES) {
        (void)snprintf(shelf->chosen, sizeof shelf->chosen, "%s", fields[1]);
        return true;
    }
    if (n == 4 && strcmp(fields[0], "program") == 0) {
        return read_program(shelf, fields, program);
    }
    return n == 5 && strcmp(fields[0], "version") == 0 && read_version(*program, fields, error);
}

static realm_status index_path(const char *folder,
                               const char *name,
                               const char *ending,
                               char out[SHELF_PATH_BYTES],
                               struct realm_error *error)
{
    const int n = snprintf(out, SHELF_PATH_BYTES, "%s/%s%s", folder, name, ending);
    return n > 0 && (size_t)n < SHELF_PATH_BYTES
               ? REALM_OK
               : realm_error_set(
                     error, REALM_INVALID_ARGUMENT, "the path %.80s is too long", folder);
}

realm_status shelf_index_read(struct shelf *shelf, const char *folder, struct realm_error *error)
{
    char path[SHELF_PATH_BYTES];
    char *text = NULL;
    size_t n_bytes = 0;
    REALM_TRY(index_path(folder, "index", "", path, error));
    if (!file_exists(path)) {
        return REALM_OK;
    }
    REALM_TRY(file_read(path, MAX_INDEX_BYTES, &text, &n_bytes, error));
    struct shelf_program *program = NULL;
    uint32_t n_lines = 0;
    bool good = true;
    for (char *line = text; good && line < text + n_bytes; n_lines++) {
        char *const end = line + strcspn(line, "\n");
        *end = '\0';
        good = n_lines == 0 ? strcmp(line, HEAD) == 0 : read_line(shelf, line, &program, error);
        line = end + 1;
    }
    alloc_free(text);
    return good && n_lines > 0
               ? REALM_OK
               : realm_error_set(error,
                                 REALM_INVALID_FORMAT,
                                 "%s is damaged in line %u; put it back from a backup, or remove "
                                 "it and push the programs again",
                                 path,
                                 n_lines);
}

/* --- writing -----------------------------------------------------------------------------------
 */

static void write_lines(const struct shelf *shelf, struct strbuf *out)
{
    strbuf_append_text(out, HEAD "\n");
    if (shelf->chosen[0] != '\0') {
        strbuf_append_format(out, "default %s\n", shelf->chosen);
    }
    for (const struct shelf_program *p = shelf->programs; p != NULL; p = p->next) {
        strbuf_append_format(out, "program %s %u %u\n", p->name, p->active, p->last);
        for (uint32_t i = 0; i < p->n_versions; i++) {
            strbuf_append_format(out,
                                 "version %u %llu %lld %s\n",
                                 p->versions[i].number,
                                 (unsigned long long)p->versions[i].n_bytes,
                                 (long long)p->versions[i].created_s,
                                 p->versions[i].sha256);
        }
    }
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

realm_status
shelf_index_write(const struct shelf *shelf, const char *folder, struct realm_error *error)
{
    char path[SHELF_PATH_BYTES];
    struct strbuf text;
    REALM_TRY(index_path(folder, "index", "", path, error));
    strbuf_init(&text, ALLOC_GUEST, MAX_INDEX_BYTES);
    write_lines(shelf, &text);
    const realm_status status =
        text.failed ? realm_error_out_of_memory(error, text.length, "the index of programs")
                    : write_file(path, text.text, text.length, error);
    strbuf_deinit(&text);
    return status;
}

/* --- modules -----------------------------------------------------------------------------------
 */

realm_status
shelf_module_hash(struct bytes module, char out[SHELF_SHA256_BYTES], struct realm_error *error)
{
    uint8_t hash[32];
    unsigned n = sizeof hash;
    if (EVP_Digest(module.data, module.length, hash, &n, EVP_sha256(), NULL) != 1) {
        return realm_error_set(error, REALM_INTERNAL, "SHA-256 cannot be computed");
    }
    for (size_t i = 0; i < sizeof hash; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", hash[i]);
    }
    return REALM_OK;
}

realm_status shelf_module_write(const char *folder,
                                const char *sha256,
                                struct bytes module,
                                struct realm_error *error)
{
    char path[SHELF_PATH_BYTES];
    REALM_TRY(index_path(folder, sha256, ".wasm", path, error));
    REALM_TRY(file_make_folder(folder, 0700, error));
    return write_file(path, module.data, module.length, error); /* over a damaged one, too */
}

realm_status shelf_module_read(const char *folder,
                               const struct shelf_version *version,
                               char **out,
                               struct realm_error *error)
{
    char path[SHELF_PATH_BYTES];
    char sha256[SHELF_SHA256_BYTES] = "";
    size_t n_bytes = 0;
    *out = NULL;
    REALM_TRY(index_path(folder, version->sha256, ".wasm", path, error));
    REALM_TRY(file_read(path, (size_t)version->n_bytes, out, &n_bytes, error));
    const struct bytes module = {.data = (const uint8_t *)*out, .length = n_bytes};
    realm_status status = shelf_module_hash(module, sha256, error);
    if (status == REALM_OK && strcmp(sha256, version->sha256) != 0) {
        status = realm_error_set(
            error, REALM_INVALID_FORMAT, "%s is damaged; push the program again", path);
    }
    if (status != REALM_OK) {
        alloc_free(*out);
        *out = NULL;
    }
    return status;
}

void shelf_module_remove(const char *folder, const char *sha256)
{
    char path[SHELF_PATH_BYTES];
    struct realm_error error;
    if (index_path(folder, sha256, ".wasm", path, &error) == REALM_OK) {
        (void)unlink(path);
    }
}
