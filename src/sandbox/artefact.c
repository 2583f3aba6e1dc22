#include "sandbox/artefact.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "sandbox/compile.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define PATH_BYTES  4096u
#define HASH_BYTES  32u
#define MAGIC_BYTES 8u
#define HEAD_BYTES  (MAGIC_BYTES + HASH_BYTES)

static const char file_magic[MAGIC_BYTES + 1] = "RLMCODE1";

static realm_status
join(const char *folder, const char *name, char out[PATH_BYTES], struct realm_error *error)
{
    const int n = snprintf(out, PATH_BYTES, "%s/%s", folder, name);
    if (n < 0 || (size_t)n >= PATH_BYTES) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "the path %s is too long", folder);
    }
    return REALM_OK;
}

static realm_status make_secret(const char *path, uint8_t *secret, struct realm_error *error)
{
    REALM_TRY(random_bytes(secret, ARTEFACT_SECRET_BYTES, error));
    struct file_writer *writer = NULL;
    REALM_TRY(file_writer_open(path, 0600, &writer, error));
    const realm_status status = file_writer_write(writer, secret, ARTEFACT_SECRET_BYTES, error);
    if (status != REALM_OK) {
        file_writer_abandon(writer);
        return status;
    }
    return file_writer_commit(writer, error);
}

static realm_status read_secret(const char *path, uint8_t *secret, struct realm_error *error)
{
    char *text = NULL;
    size_t n_bytes = 0;
    REALM_TRY(file_read(path, ARTEFACT_SECRET_BYTES, &text, &n_bytes, error));
    if (n_bytes == ARTEFACT_SECRET_BYTES) {
        memcpy(secret, text, ARTEFACT_SECRET_BYTES);
    }
    OPENSSL_cleanse(text, n_bytes);
    alloc_free(text);
    if (n_bytes != ARTEFACT_SECRET_BYTES) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s has %zu bytes instead of %u; remove it, then programs are "
                               "compiled anew",
                               path,
                               n_bytes,
                               ARTEFACT_SECRET_BYTES);
    }
    return REALM_OK;
}

realm_status
artefacts_open(struct artefacts *artefacts, const char *folder, struct realm_error *error)
{
    *artefacts = (struct artefacts){.folder = NULL};
    if (folder == NULL) {
        return REALM_OK;
    }
    char path[PATH_BYTES];
    REALM_TRY(join(folder, "code", path, error));
    REALM_TRY(file_make_folder(path, 0700, error));
    REALM_TRY(join(folder, "code.secret", path, error));
    REALM_TRY(file_exists(path) ? read_secret(path, artefacts->secret, error)
                                : make_secret(path, artefacts->secret, error));
    artefacts->folder = alloc_string(ALLOC_GUEST, folder, strlen(folder));
    return artefacts->folder != NULL ? REALM_OK
                                     : realm_error_out_of_memory(error, strlen(folder), "a path");
}

void artefacts_close(struct artefacts *artefacts)
{
    OPENSSL_cleanse(artefacts->secret, sizeof(artefacts->secret));
    alloc_free(artefacts->folder);
    artefacts->folder = NULL;
}

realm_status artefact_key(struct bytes module,
                          const char *version,
                          uint8_t key[ARTEFACT_KEY_BYTES],
                          struct realm_error *error)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    /* The zero behind the version keeps it apart from the module. */
    const bool done = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                      EVP_DigestUpdate(context, version, strlen(version) + 1) == 1 &&
                      EVP_DigestUpdate(context, module.data, module.length) == 1 &&
                      EVP_DigestFinal_ex(context, key, NULL) == 1;
    EVP_MD_CTX_free(context);
    return done ? REALM_OK : realm_error_set(error, REALM_INTERNAL, "SHA-256 cannot be computed");
}

static bool authenticate(const struct artefacts *artefacts,
                         const uint8_t *key,
                         struct bytes code,
                         uint8_t mac[HASH_BYTES])
{
    uint8_t code_hash[EVP_MAX_MD_SIZE];
    uint8_t message[ARTEFACT_KEY_BYTES + HASH_BYTES];
    unsigned n = 0;
    if (EVP_Digest(code.data, code.length, code_hash, &n, EVP_sha256(), NULL) != 1) {
        return false;
    }
    memcpy(message, key, ARTEFACT_KEY_BYTES);
    memcpy(message + ARTEFACT_KEY_BYTES, code_hash, HASH_BYTES);
    return HMAC(EVP_sha256(),
                artefacts->secret,
                ARTEFACT_SECRET_BYTES,
                message,
                sizeof(message),
                mac,
                &n) != NULL;
}

static realm_status code_path(const struct artefacts *artefacts,
                              const uint8_t *key,
                              char out[PATH_BYTES],
                              struct realm_error *error)
{
    char name[sizeof("code/") + 2 * (size_t)ARTEFACT_KEY_BYTES] = "code/";
    size_t length = sizeof("code/") - 1;
    for (size_t i = 0; i < ARTEFACT_KEY_BYTES; i++) {
        (void)snprintf(name + length, sizeof(name) - length, "%02x", key[i]);
        length += 2;
    }
    return join(artefacts->folder, name, out, error);
}

uint8_t *artefact_find(const struct artefacts *artefacts,
                       const uint8_t key[ARTEFACT_KEY_BYTES],
                       size_t *n_bytes)
{
    char path[PATH_BYTES];
    char *text = NULL;
    size_t length = 0;
    if (artefacts->folder == NULL || code_path(artefacts, key, path, NULL) != REALM_OK ||
        file_read(path, COMPILE_MAX_CODE_BYTES, &text, &length, NULL) != REALM_OK) {
        return NULL;
    }
    const uint8_t *file = (const uint8_t *)text;
    uint8_t mac[HASH_BYTES];
    uint8_t *code = NULL;
    if (length > HEAD_BYTES && memcmp(file, file_magic, MAGIC_BYTES) == 0) {
        const struct bytes rest = {.data = file + HEAD_BYTES, .length = length - HEAD_BYTES};
        if (authenticate(artefacts, key, rest, mac) &&
            CRYPTO_memcmp(mac, file + MAGIC_BYTES, HASH_BYTES) == 0) {
            code = alloc_bytes(ALLOC_GUEST, rest.length);
            if (code != NULL) {
                memcpy(code, rest.data, rest.length);
                *n_bytes = rest.length;
            }
        } else {
            log_warn("code_refused", LOG_TEXT("path", path));
        }
    }
    alloc_free(text);
    return code;
}

void artefact_keep(const struct artefacts *artefacts,
                   const uint8_t key[ARTEFACT_KEY_BYTES],
                   struct bytes code)
{
    char path[PATH_BYTES];
    uint8_t mac[HASH_BYTES];
    struct file_writer *writer = NULL;
    struct realm_error error;
    if (artefacts->folder == NULL || !authenticate(artefacts, key, code, mac)) {
        return;
    }
    realm_status status = code_path(artefacts, key, path, &error);
    if (status == REALM_OK) {
        status = file_writer_open(path, 0600, &writer, &error);
    }
    const struct bytes parts[3] = {
        {.data = (const uint8_t *)file_magic, .length = MAGIC_BYTES},
        {.data = mac, .length = HASH_BYTES},
        code,
    };
    for (int i = 0; status == REALM_OK && i < 3; i++) {
        status = file_writer_write(writer, parts[i].data, parts[i].length, &error);
    }
    if (status == REALM_OK) {
        status = file_writer_commit(writer, &error);
        writer = NULL;
    }
    file_writer_abandon(writer);
    if (status != REALM_OK) {
        log_warn("code_not_kept", LOG_TEXT("reason", error.message));
    }
}
