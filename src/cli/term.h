/* What a terminal gets and a pipe does not: colours, and text made harmless. */
#ifndef REALM_CLI_TERM_H
#define REALM_CLI_TERM_H

#include "base/bytes.h"

#include <stdio.h>

/* True: a person reads it (and NO_COLOR is not set, for colours). */
bool term_is_terminal(FILE *stream);
bool term_has_colour(FILE *stream);
/* Of the terminal on standard error; 80 where there is none. */
uint32_t term_columns(void);

/* Writes text that somebody else made (a model, a file): control characters but newline and tab
 * become U+FFFD on a terminal, so that they cannot command it; elsewhere the bytes are kept. */
void term_write(FILE *stream, struct bytes text);

/* "98.4 MB" in the caller's buffer, which it returns. */
const char *term_bytes(uint64_t n_bytes, char out[16]);

#endif
