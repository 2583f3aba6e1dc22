/* One line from a person: typed at a terminal with the usual keys and a history, or read as it is
 * from anything else.  One thread; the terminal is left as it was found after every line. */
#ifndef REALM_CLI_EDITOR_H
#define REALM_CLI_EDITOR_H

#include "base/status.h"
#include "base/strbuf.h"

struct editor;

/* history_path: lines of earlier runs are read from it and each new line is appended (readable by
 * the owner only); NULL: none is kept.  A history that cannot be read or written is no error. */
REALM_MUST_CHECK realm_status editor_create(const char *history_path,
                                            struct editor **out,
                                            struct realm_error *error);
void editor_destroy(struct editor *editor);

enum editor_result {
    EDITOR_LINE,      /* *line holds it, without its end */
    EDITOR_END,       /* Ctrl-D on an empty line, or the end of the input */
    EDITOR_INTERRUPT, /* Ctrl-C: the line was given up */
    EDITOR_FAILED,    /* the input cannot be read, or memory is out */
};

/* Keys: left, right, home, end, Ctrl-A E B F; delete, backspace, Ctrl-D H W U K; up, down, Ctrl-P N
 * for the history; Ctrl-L clears the screen.  Pasted newlines become part of the line. */
enum editor_result editor_read(struct editor *editor, const char *prompt, struct strbuf *line);

#endif
