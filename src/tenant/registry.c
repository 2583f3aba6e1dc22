#include "base/alloc.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "tenant/tenant.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define MAX_KEYS       1024u
#define MAX_FILE_BYTES ((size_t)1 << 20)
#define MAX_PATH_BYTES 4096u
#define HEX_LENGTH     ((size_t)KEY_HASH_BYTES * 2)

struct tenant_registry {
    uint8_t hashes[MAX_KEYS][KEY_HASH_BYTES];
    uint32_t n_keys;
};

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *text, uint8_t out[KEY_HASH_BYTES])
{
    for (size_t i = 0; i < KEY_HASH_BYTES; i++) {
        const int high = hex_digit(text[2 * i]);
        const int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* The file is {"version":1,"keys":[{"sha256":"<64 hex digits>"}, ...]}; what we need of it is each
 * value after "sha256". */
static realm_status parse_keys(struct tenant_registry *registry,
                               const char *path,
                               const char *text,
                               struct realm_error *error)
{
    static const char marker[] = "\"sha256\":\"";
    if (strstr(text, "\"version\":1") == NULL) {
        return realm_error_set(error, REALM_INVALID_FORMAT, "%s: no key file of version 1", path);
    }
    for (const char *at = strstr(text, marker); at != NULL; at = strstr(at, marker)) {
        at += sizeof marker - 1;
        if (registry->n_keys == MAX_KEYS) {
            return realm_error_set(
                error, REALM_RESOURCE_EXHAUSTED, "%s: more than %u keys", path, MAX_KEYS);
        }
        if (strnlen(at, HEX_LENGTH) < HEX_LENGTH ||
            !read_hex(at, registry->hashes[registry->n_keys])) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "%s: key %u is no SHA-256 in hex",
                                   path,
                                   registry->n_keys);
        }
        registry->n_keys++;
    }
    return REALM_OK;
}

static realm_status write_private(const char *path, const char *text, struct realm_error *error)
{
    struct file_writer *writer;
    REALM_TRY(file_writer_open(path, 0600, &writer, error));
    const realm_status status = file_writer_write(writer, text, strlen(text), error);
    if (status != REALM_OK) {
        file_writer_abandon(writer);
        return status;
    }
    return file_writer_commit(writer, error);
}

static realm_status make_first_key(struct tenant_registry *registry,
                                   const char *keys_path,
                                   const char *first_path,
                                   char first_key[KEY_TEXT_LENGTH + 1],
                                   struct realm_error *error)
{
    REALM_TRY(key_generate(first_key, error));
    key_hash(first_key, KEY_TEXT_LENGTH, registry->hashes[0]);
    registry->n_keys = 1;
    struct strbuf text;
    strbuf_init(&text, ALLOC_SERVER, 1024);
    strbuf_append_text(&text, "{\"version\":1,\"keys\":[{\"sha256\":\"");
    for (size_t i = 0; i < KEY_HASH_BYTES; i++) {
        strbuf_append_format(&text, "%02x", registry->hashes[0][i]);
    }
    strbuf_append_text(&text, "\"}]}\n");
    realm_status status =
        text.failed ? realm_error_out_of_memory(error, 1024, "key file") : REALM_OK;
    /* The key is shown before it counts: a crash between the two leaves no key that nobody knows.
     */
    if (status == REALM_OK) {
        char line[KEY_TEXT_LENGTH + 2];
        (void)snprintf(line, sizeof line, "%s\n", first_key);
        status = write_private(first_path, line, error);
        OPENSSL_cleanse(line, sizeof line);
    }
    if (status == REALM_OK) {
        status = write_private(keys_path, text.text, error);
    }
    strbuf_deinit(&text);
    return status;
}

static realm_status load(struct tenant_registry *registry,
                         const char *data_dir,
                         char first_key[KEY_TEXT_LENGTH + 1],
                         struct realm_error *error)
{
    char keys_path[MAX_PATH_BYTES];
    char first_path[MAX_PATH_BYTES];
    const int n = snprintf(first_path, sizeof first_path, "%s/first_key.txt", data_dir);
    (void)snprintf(keys_path, sizeof keys_path, "%s/keys.json", data_dir);
    if (n < 0 || (size_t)n >= sizeof first_path) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "the path of the data folder is too long");
    }
    REALM_TRY(file_make_folder(data_dir, 0700, error));
    if (!file_exists(keys_path)) {
        return make_first_key(registry, keys_path, first_path, first_key, error);
    }
    char *text;
    size_t n_bytes;
    REALM_TRY(file_read(keys_path, MAX_FILE_BYTES, &text, &n_bytes, error));
    const realm_status status = parse_keys(registry, keys_path, text, error);
    alloc_free(text);
    return status;
}

realm_status tenant_registry_open(const char *data_dir,
                                  const char *extra_key,
                                  char first_key[KEY_TEXT_LENGTH + 1],
                                  struct tenant_registry **out,
                                  struct realm_error *error)
{
    *out = NULL;
    first_key[0] = '\0';
    struct tenant_registry *registry = alloc_zeroed(ALLOC_SERVER, 1, sizeof *registry);
    if (registry == NULL) {
        return realm_error_out_of_memory(error, sizeof *registry, "keys");
    }
    realm_status status = load(registry, data_dir, first_key, error);
    if (status == REALM_OK && extra_key != NULL && registry->n_keys < MAX_KEYS) {
        if (extra_key[0] == '\0') {
            status = realm_error_set(error, REALM_INVALID_ARGUMENT, "the API key given is empty");
        } else {
            key_hash(extra_key, strlen(extra_key), registry->hashes[registry->n_keys++]);
        }
    }
    if (status != REALM_OK) {
        tenant_registry_close(registry);
        return status;
    }
    *out = registry;
    return REALM_OK;
}

void tenant_registry_close(struct tenant_registry *registry)
{
    alloc_free(registry);
}

bool tenant_registry_accepts(const struct tenant_registry *registry,
                             const char *key,
                             size_t n_bytes,
                             char id[KEY_ID_LENGTH + 1])
{
    uint8_t hash[KEY_HASH_BYTES];
    bool known = false;
    key_hash(key, n_bytes, hash);
    key_id(hash, id);
    /* All of them, found or not: the time tells nothing. */
    for (uint32_t i = 0; i < registry->n_keys; i++) {
        known |= key_hash_equal(hash, registry->hashes[i]);
    }
    return known;
}
