#include "server/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

static realm_status refuse(const char *what, const char *path, struct realm_error *error)
{
    const char *const reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "%s %.120s cannot be used (%.60s): it must be a PEM file",
                           what,
                           path,
                           reason != NULL ? reason : "no reason given");
}

static realm_status load(SSL_CTX *context,
                         const char *certificate_path,
                         const char *key_path,
                         struct realm_error *error)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, certificate_path) != 1) {
        return refuse("the certificate", certificate_path, error);
    }
    if (SSL_CTX_use_PrivateKey_file(context, key_path, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        return refuse("the private key", key_path, error);
    }
    return REALM_OK;
}

realm_status tls_load(struct ssl_ctx_st *context,
                      const char *certificate_path,
                      const char *key_path,
                      struct realm_error *error)
{
    SSL_CTX *const trial = SSL_CTX_new(TLS_server_method());
    if (trial == NULL) {
        return realm_error_out_of_memory(error, sizeof(void *), "TLS");
    }
    realm_status status = load(trial, certificate_path, key_path, error);
    SSL_CTX_free(trial);
    if (status == REALM_OK && context != NULL) {
        status = load(context, certificate_path, key_path, error);
    }
    return status;
}
