#include "server/tool_parser.h"

#include <string.h>

#define HERMES_FORMAT                                                                              \
    .mark = "<tool_call>", .opening = "<tool_call>\n{\"name\": \"",                                \
    .middle = "\", \"arguments\": ", .closing = "}\n</tool_call>", .many = true

static const struct tool_format hermes = {HERMES_FORMAT, .template_has_tools = true};
static const struct tool_format taught = {HERMES_FORMAT, .template_has_tools = false};
static const struct tool_format llama = {
    .mark = "",
    .opening = "{\"name\": \"",
    .middle = "\", \"parameters\": ",
    .closing = "}",
    .template_has_tools = true,
};

static bool holds(struct bytes text, const char *word)
{
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= text.length; i++) {
        if (memcmp(text.data + i, word, n) == 0) {
            return true;
        }
    }
    return false;
}

const struct tool_format *tool_format_of(struct bytes template_source)
{
    if (!holds(template_source, "tools")) {
        return &taught;
    }
    if (holds(template_source, "<tool_call>")) {
        return &hermes;
    }
    return holds(template_source, "\"parameters\": dictionary") ? &llama : &taught;
}

static struct bytes take(struct bytes *rest, size_t n)
{
    const struct bytes taken = {rest->data, n};
    rest->data += n;
    rest->length -= n;
    return taken;
}

static struct bytes held(const struct tool_parser *parser)
{
    return (struct bytes){(const uint8_t *)parser->format->opening, parser->n_held};
}

/* Text up to where an opening may begin; between calls there is only white space, which is
 * nobody's.
 */
static bool next_text(struct tool_parser *parser, struct bytes *rest, struct bytes *out)
{
    const char *const opening = parser->format->opening;
    size_t n = 0;
    while (n < rest->length && rest->data[n] != (uint8_t)opening[0]) {
        n++;
    }
    /* A call that stands alone has nothing before it. */
    parser->text_only = parser->format->mark[0] == '\0' && n > 0;
    *out = take(rest, n);
    return n > 0 && parser->n_calls == 0;
}

/* Goes along the opening; true: *out is text that looked like one. */
static bool match_opening(struct tool_parser *parser, struct bytes *rest, struct bytes *out)
{
    const char *const opening = parser->format->opening;
    while (rest->length > 0 && opening[parser->n_held] != '\0') {
        if (rest->data[0] != (uint8_t)opening[parser->n_held]) {
            *out = held(parser);
            parser->n_held = 0;
            parser->text_only = parser->format->mark[0] == '\0';
            return true;
        }
        (void)take(rest, 1);
        parser->n_held++;
    }
    if (opening[parser->n_held] == '\0') {
        parser->n_held = 0;
        parser->n_name = 0;
        parser->state = TOOL_PARSER_NAME;
    }
    return false;
}

/* True: the name is complete. */
static bool read_name(struct tool_parser *parser, struct bytes *rest, struct bytes *out)
{
    while (rest->length > 0) {
        const char c = (char)take(rest, 1).data[0];
        if (c == parser->format->middle[0]) {
            parser->name[parser->n_name] = '\0';
            parser->n_calls++;
            parser->n_skip = (uint32_t)strlen(parser->format->middle) - 1;
            parser->depth = 0;
            parser->state = TOOL_PARSER_ARGUMENTS;
            *out = (struct bytes){(const uint8_t *)parser->name, parser->n_name};
            return true;
        }
        if (parser->n_name < TOOL_MAX_NAME_BYTES) {
            parser->name[parser->n_name++] = c;
        }
    }
    return false;
}

/* Moves on by a byte of arguments; true: it was the last one. */
static bool ends_arguments(struct tool_parser *parser, char c)
{
    if (parser->in_string) {
        parser->in_string = parser->escaped || c != '"';
        parser->escaped = !parser->escaped && c == '\\';
        return false;
    }
    parser->in_string = c == '"';
    parser->depth += c == '{' || c == '[';
    if (c == '}' || c == ']') {
        parser->depth--;
        return parser->depth == 0;
    }
    return false;
}

static struct bytes read_arguments(struct tool_parser *parser, struct bytes *rest)
{
    for (size_t n = 0; n < rest->length; n++) {
        if (ends_arguments(parser, (char)rest->data[n])) {
            parser->n_skip = (uint32_t)strlen(parser->format->closing);
            parser->state = TOOL_PARSER_TEXT;
            return take(rest, n + 1);
        }
    }
    return take(rest, rest->length);
}

/* One step; true: *out is a piece. */
static bool step(struct tool_parser *parser, struct bytes *rest, struct tool_piece *out)
{
    if (parser->text_only) {
        out->kind = TOOL_PIECE_TEXT;
        out->text = take(rest, rest->length);
        return true;
    }
    if (parser->n_skip > 0) {
        (void)take(rest, 1);
        parser->n_skip--;
        return false;
    }
    switch (parser->state) {
    case TOOL_PARSER_TEXT:
        out->kind = TOOL_PIECE_TEXT;
        return (parser->n_held == 0 && next_text(parser, rest, &out->text)) ||
               (!parser->text_only && match_opening(parser, rest, &out->text) &&
                out->text.length > 0);
    case TOOL_PARSER_NAME:
        out->kind = TOOL_PIECE_CALL;
        return read_name(parser, rest, &out->text);
    case TOOL_PARSER_ARGUMENTS:
        out->kind = TOOL_PIECE_ARGUMENTS;
        out->text = read_arguments(parser, rest);
        return true;
    }
    return false;
}

bool tool_parser_next(struct tool_parser *parser, struct bytes *rest, struct tool_piece *out)
{
    parser->text_only = parser->text_only || parser->format == NULL;
    while (rest->length > 0) {
        if (step(parser, rest, out)) {
            return true;
        }
    }
    return false;
}

struct bytes tool_parser_finish(struct tool_parser *parser)
{
    const bool text = parser->format != NULL && parser->n_calls == 0;
    const struct bytes rest = text ? held(parser) : (struct bytes){.length = 0};
    parser->n_held = 0;
    return rest;
}
