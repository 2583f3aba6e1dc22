/* Moments as people name them on the command line. */
#ifndef REALM_CLI_MOMENT_H
#define REALM_CLI_MOMENT_H

#include "base/status.h"

/* "2026-01-31": midnight of that day, UTC.  "7d", "24h", "30m": so long before now_ms.
 * Milliseconds since 1970.  INVALID_ARGUMENT names the text. */
REALM_MUST_CHECK realm_status moment_parse(const char *text,
                                           int64_t now_ms,
                                           int64_t *out_ms,
                                           struct realm_error *error);

#endif
