/* Compiled code that is kept: files named by what they are made of, each under a MAC, because
 * Wasmtime runs what is in them without another look.
 *
 * Key: SHA-256 over the module and the version of everything that compiles it.
 * File: "<folder>/code/<key in hex>": magic, HMAC-SHA-256(secret, key and code), code.
 * The secret is made at first use: "<folder>/code.secret", readable by the owner only. */
#ifndef REALM_SANDBOX_ARTEFACT_H
#define REALM_SANDBOX_ARTEFACT_H

#include "base/bytes.h"
#include "base/status.h"

#define ARTEFACT_KEY_BYTES    32u
#define ARTEFACT_SECRET_BYTES 32u

struct artefacts {
    char *folder; /* NULL: nothing is kept */
    uint8_t secret[ARTEFACT_SECRET_BYTES];
};

/* folder: made if missing; NULL: nothing is kept. */
REALM_MUST_CHECK realm_status artefacts_open(struct artefacts *artefacts,
                                             const char *folder,
                                             struct realm_error *error);
void artefacts_close(struct artefacts *artefacts);

/* version: of what compiles ("wasmtime 48.0.8 ..."). */
REALM_MUST_CHECK realm_status artefact_key(struct bytes module,
                                           const char *version,
                                           uint8_t key[ARTEFACT_KEY_BYTES],
                                           struct realm_error *error);
/* The code by alloc_free, or NULL: not there, or not what this server wrote. */
uint8_t *artefact_find(const struct artefacts *artefacts,
                       const uint8_t key[ARTEFACT_KEY_BYTES],
                       size_t *n_bytes);
/* Keeps code for the next time; a failure is logged, not told. */
void artefact_keep(const struct artefacts *artefacts,
                   const uint8_t key[ARTEFACT_KEY_BYTES],
                   struct bytes code);

#endif
