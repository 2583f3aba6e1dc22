/* Amounts of money as people write them, and as whole micro-units (10^-6). */
#ifndef REALM_CLI_DECIMAL_H
#define REALM_CLI_DECIMAL_H

#include "base/status.h"

/* "0.15", "3", ".5": up to six digits behind the point.  INVALID_ARGUMENT names the text. */
REALM_MUST_CHECK realm_status decimal_parse(const char *text,
                                            uint64_t *out_micro,
                                            struct realm_error *error);
#define DECIMAL_BYTES 32u
/* "0.150000" without zeros at the end, but with two digits behind the point: "0.15", "3.00". */
void decimal_write(int64_t micro, char out[DECIMAL_BYTES]);

#endif
