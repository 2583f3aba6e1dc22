/* A line being edited: its text, the cursor, and how wide it stands on a terminal.  Knows no
 * terminal.  The cursor stands at the beginning of a character always. */
#ifndef REALM_CLI_EDIT_LINE_H
#define REALM_CLI_EDIT_LINE_H

#include "base/strbuf.h"

struct edit_line {
    struct strbuf text;
    size_t cursor; /* bytes before it */
};

void edit_line_init(struct edit_line *line);
void edit_line_deinit(struct edit_line *line);
/* Replaces all of it; the cursor goes behind. */
void edit_line_set(struct edit_line *line, const char *text);
/* At the cursor. False: memory is out, or the line is too long. */
bool edit_line_insert(struct edit_line *line, const char *text, size_t n_bytes);

/* Where the cursor would be one character or word further. */
size_t edit_line_left(const struct edit_line *line);
size_t edit_line_right(const struct edit_line *line);
size_t edit_line_word_left(const struct edit_line *line);
size_t edit_line_word_right(const struct edit_line *line);
/* Removes what lies between the cursor and `to`; the cursor ends where it began. */
void edit_line_erase(struct edit_line *line, size_t to);

/* Columns that text takes: combining marks 0, East Asian wide characters and emoji 2. */
size_t edit_line_columns(const char *text, size_t n_bytes);
/* The widest end of text[0..n_bytes) that fits in `columns`: the byte it begins at. */
size_t edit_line_fit_end(const char *text, size_t n_bytes, size_t columns);
/* The widest beginning that fits: the byte it ends at. */
size_t edit_line_fit_begin(const char *text, size_t n_bytes, size_t columns);

#endif
