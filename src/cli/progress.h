/* A bar on standard error: "label  42 % [=====>    ] 41.2/98.1 MB  12.3 MB/s  0:04".  Draws at most
 * ten times a second, and nothing at all where standard error is no terminal. */
#ifndef REALM_CLI_PROGRESS_H
#define REALM_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum progress_unit {
    PROGRESS_BYTES,
    PROGRESS_ITEMS,
    PROGRESS_PARTS, /* only the percentage means something */
};

struct progress {
    char label[64];
    uint64_t total; /* 0: unknown */
    uint64_t begin_ns;
    uint64_t begin_done; /* what was there already at the first update */
    uint64_t drawn_ns;
    enum progress_unit unit;
    bool begun; /* the first update came */
    bool shown;
};

void progress_begin(struct progress *progress,
                    const char *label,
                    uint64_t total,
                    enum progress_unit unit);
void progress_update(struct progress *progress, uint64_t done);
/* Clears the line. */
void progress_end(struct progress *progress);

/* The line without its colours, as progress_update draws it; for tests too. */
void progress_line(
    const struct progress *progress, uint64_t done, uint64_t now_ns, char *out, size_t n_out);

#endif
