/* Which origins' pages may use the server from a browser (CORS); none unless they are listed.
 * Filled at start and constant from then on. */
#ifndef REALM_SERVER_CORS_H
#define REALM_SERVER_CORS_H

#include "base/status.h"

#include <stdbool.h>

#define CORS_MAX_ORIGINS  64u
#define CORS_ORIGIN_BYTES 262u /* "https://", a name of DNS, ":65535" and the end fit */

struct cors {
    bool any; /* "*" */
    uint32_t n_origins;
    char origins[CORS_MAX_ORIGINS][CORS_ORIGIN_BYTES];
};

/* list: origins ("https://app.example.com", "http://localhost:3000") or "*", between commas.
 * INVALID_ARGUMENT names the one that is none. */
REALM_MUST_CHECK realm_status cors_add(struct cors *cors,
                                       const char *list,
                                       struct realm_error *error);
bool cors_enabled(const struct cors *cors);
/* What allows the origin, for access-control-allow-origin: itself or "*"; lives as long as cors.
 * NULL: it is not allowed. */
const char *cors_allow(const struct cors *cors, const char *origin);

#endif
