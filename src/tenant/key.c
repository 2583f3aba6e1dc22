#include "tenant/key.h"

#include "base/random.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* The number `bytes` (big-endian) as n_digits base62 digits; bytes is used up. */
static void encode_base62(uint8_t *bytes, size_t n_bytes, char *out, size_t n_digits)
{
    for (size_t digit = n_digits; digit-- > 0;) {
        uint32_t remainder = 0;
        for (size_t i = 0; i < n_bytes; i++) {
            const uint32_t value = remainder << 8 | bytes[i];
            bytes[i] = (uint8_t)(value / 62);
            remainder = value % 62;
        }
        out[digit] = alphabet[remainder];
    }
}

/* Digits of the SHA-256 over the prefix and the secret. */
static void write_checksum(const char *text, char out[KEY_CHECK_LENGTH])
{
    uint8_t hash[KEY_HASH_BYTES];
    key_hash(text, KEY_TEXT_LENGTH - KEY_CHECK_LENGTH, hash);
    encode_base62(hash, 4, out, KEY_CHECK_LENGTH);
}

realm_status key_generate(char out[KEY_TEXT_LENGTH + 1], struct realm_error *error)
{
    uint8_t secret[KEY_SECRET_BYTES];
    REALM_TRY(random_bytes(secret, sizeof secret, error));
    memcpy(out, KEY_PREFIX, 4);
    encode_base62(secret, sizeof secret, out + 4, KEY_SECRET_LENGTH);
    write_checksum(out, out + KEY_TEXT_LENGTH - KEY_CHECK_LENGTH);
    out[KEY_TEXT_LENGTH] = '\0';
    OPENSSL_cleanse(secret, sizeof secret);
    return REALM_OK;
}

bool key_well_formed(const char *text, size_t n_bytes)
{
    if (n_bytes != KEY_TEXT_LENGTH || memcmp(text, KEY_PREFIX, 4) != 0) {
        return false;
    }
    char checksum[KEY_CHECK_LENGTH];
    write_checksum(text, checksum);
    return CRYPTO_memcmp(checksum, text + KEY_TEXT_LENGTH - KEY_CHECK_LENGTH, KEY_CHECK_LENGTH) ==
           0;
}

void key_hash(const char *text, size_t n_bytes, uint8_t out[KEY_HASH_BYTES])
{
    SHA256((const unsigned char *)text, n_bytes, out);
}

bool key_hash_equal(const uint8_t a[KEY_HASH_BYTES], const uint8_t b[KEY_HASH_BYTES])
{
    return CRYPTO_memcmp(a, b, KEY_HASH_BYTES) == 0;
}

void key_id(const uint8_t hash[KEY_HASH_BYTES], char out[KEY_ID_LENGTH + 1])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < KEY_ID_LENGTH; i++) {
        out[i] = hex[i % 2 == 0 ? hash[i / 2] >> 4 : hash[i / 2] & 15];
    }
    out[KEY_ID_LENGTH] = '\0';
}
