/* SHA-256, by OpenSSL. */
#ifndef REALM_HUB_CHECKSUM_H
#define REALM_HUB_CHECKSUM_H

#include "base/bytes.h"
#include "base/status.h"

/* 64 hex digits and a zero. */
REALM_MUST_CHECK realm_status checksum_sha256(struct bytes bytes,
                                              char out[65],
                                              struct realm_error *error);
/* Is this 64 hex digits? */
bool checksum_is_sha256(const char *text);

#endif
