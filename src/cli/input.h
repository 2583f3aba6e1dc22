/* All of standard input. */
#ifndef REALM_CLI_INPUT_H
#define REALM_CLI_INPUT_H

#include "base/strbuf.h"

#include <realm.h>

/* Appends all of standard input.  INVALID_ARGUMENT: over the buffer's ceiling; IO; CANCELLED. */
REALM_MUST_CHECK realm_status input_read(struct strbuf *out, struct realm_error *error);

#endif
