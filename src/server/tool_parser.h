/* Finds the calls of tools in a completion's text while it comes, in the format that the model's
 * template teaches.
 *
 * A call is opening, name, middle, arguments (a JSON object), closing.  The constraint made with
 * the same format (field_tools.c) lets the model write nothing else behind an opening, so there are
 * no malformed calls, only such as were cut by a limit. */
#ifndef REALM_SERVER_TOOL_PARSER_H
#define REALM_SERVER_TOOL_PARSER_H

#include "base/bytes.h"

#define TOOL_MAX_NAME_BYTES 64u

struct tool_format {
    const char *mark;    /* text that holds it goes on as a call; "": a call stands alone */
    const char *opening; /* the mark and what follows it, up to the name */
    const char *middle;
    const char *closing;
    bool many;               /* several calls in one completion */
    bool template_has_tools; /* the template writes tools and calls by itself */
};

/* By the source of the model's chat template. */
const struct tool_format *tool_format_of(struct bytes template_source);

enum tool_piece_kind {
    TOOL_PIECE_TEXT,
    TOOL_PIECE_CALL,      /* a call begins; text: the tool's name */
    TOOL_PIECE_ARGUMENTS, /* more of its arguments */
};

struct tool_piece {
    enum tool_piece_kind kind;
    struct bytes text; /* valid until the next call with this parser */
};

enum tool_parser_state {
    TOOL_PARSER_TEXT,
    TOOL_PARSER_NAME,
    TOOL_PARSER_ARGUMENTS,
};

/* Zero value and a format: at the beginning.  format NULL: all is text. */
struct tool_parser {
    const struct tool_format *format;
    enum tool_parser_state state;
    bool text_only;   /* no call can begin any more */
    uint32_t n_calls; /* begun */
    uint32_t n_held;  /* bytes of the opening that were matched and not given */
    uint32_t n_skip;  /* bytes of middle or closing that are still to come */
    uint32_t depth;   /* inside arguments */
    bool in_string, escaped;
    uint32_t n_name;
    char name[TOOL_MAX_NAME_BYTES + 1];
};

/* The next piece of *rest, which is cut by what was read; false: all was read. */
bool tool_parser_next(struct tool_parser *parser, struct bytes *rest, struct tool_piece *out);
/* At the end: what was held back, if it may be empty. */
struct bytes tool_parser_finish(struct tool_parser *parser);

#endif
