#include "hub/checksum.h"

#include <openssl/evp.h>
#include <stdio.h>

#define HASH_BYTES 32u

realm_status checksum_sha256(struct bytes bytes, char out[65], struct realm_error *error)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(bytes.data, bytes.length, hash, &n, EVP_sha256(), NULL) != 1 ||
        n != HASH_BYTES) {
        return realm_error_set(error, REALM_INTERNAL, "SHA-256 cannot be computed");
    }
    for (size_t i = 0; i < HASH_BYTES; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", hash[i]);
    }
    return REALM_OK;
}

bool checksum_is_sha256(const char *text)
{
    const size_t n_digits = 2 * (size_t)HASH_BYTES;
    return strlen(text) == n_digits && strspn(text, "0123456789abcdefABCDEF") == n_digits;
}
