/* What a terminal gets and a pipe does not: colours, progress bars. */
#ifndef REALM_CLI_TERM_H
#define REALM_CLI_TERM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* True: a person reads it (and NO_COLOR is not set, for colours). */
bool term_is_terminal(FILE *stream);
bool term_has_colour(FILE *stream);
uint32_t term_columns(void);

/* A bar on standard error: "label  42 % [=====>    ] 41.2/98.1 MB  12.3 MB/s  0:04".  Draws at most
 * ten times a second, and nothing at all where standard error is no terminal. */
struct progress {
    char label[64];
    uint64_t total; /* 0: unknown */
    uint64_t begin_ns;
    uint64_t begin_done; /* what was there already when it began */
    uint64_t drawn_ns;
    bool bytes; /* units are bytes */
    bool shown;
};

void progress_begin(struct progress *progress, const char *label, uint64_t total, bool bytes);
void progress_update(struct progress *progress, uint64_t done);
/* Clears the line. */
void progress_end(struct progress *progress);

#endif
