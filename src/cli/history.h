/* Lines typed before, oldest first, kept in a file.  One thread. */
#ifndef REALM_CLI_HISTORY_H
#define REALM_CLI_HISTORY_H

#include <stddef.h>

#define HISTORY_MAX_LINES 1000u

struct history {
    char *path; /* NULL: not kept */
    char *lines[HISTORY_MAX_LINES];
    size_t n;
};

/* Reads what is there; a file that cannot be read counts as empty. */
void history_init(struct history *history, const char *path);
void history_deinit(struct history *history);
/* Remembers a line, and appends it to the file; one that repeats the last is left out. */
void history_add(struct history *history, const char *line);

#endif
