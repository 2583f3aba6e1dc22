/* API keys: "rlm_" + 43 characters of secret + 6 of checksum, all base62.  The secret is 32 random
 * bytes; only its SHA-256 is ever stored; comparison takes the same time wherever two keys differ.
 */
#ifndef REALM_TENANT_KEY_H
#define REALM_TENANT_KEY_H

#include "base/status.h"

#define KEY_PREFIX        "rlm_"
#define KEY_SECRET_BYTES  32u
#define KEY_SECRET_LENGTH 43u
#define KEY_CHECK_LENGTH  6u
#define KEY_TEXT_LENGTH   (4u + KEY_SECRET_LENGTH + KEY_CHECK_LENGTH)
#define KEY_HASH_BYTES    32u
#define KEY_ID_LENGTH     8u

/* A new key as text, terminated. UNAVAILABLE: no randomness. */
REALM_MUST_CHECK realm_status key_generate(char out[KEY_TEXT_LENGTH + 1],
                                           struct realm_error *error);
/* Whether the prefix, alphabet and checksum are right: tells a mistyped key from a wrong one
 * without a look-up. */
bool key_well_formed(const char *text, size_t n_bytes);
/* SHA-256 of the whole text. */
void key_hash(const char *text, size_t n_bytes, uint8_t out[KEY_HASH_BYTES]);
/* Constant time. */
bool key_hash_equal(const uint8_t a[KEY_HASH_BYTES], const uint8_t b[KEY_HASH_BYTES]);
/* What logs may show: the first characters of the hash, in hex, terminated. */
void key_id(const uint8_t hash[KEY_HASH_BYTES], char out[KEY_ID_LENGTH + 1]);

#endif
