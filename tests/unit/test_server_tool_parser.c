/* Calls of tools in text, however it is cut into pieces. */
#include "server/tool_parser.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <string.h>

#define HERMES_CALL(name, arguments)                                                               \
    "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " arguments "}\n</tool_call>"

struct case_row {
    const char *template_source;
    const char *text;
    const char *expected; /* text as it is, calls as [name:arguments] */
};

static const struct case_row rows[] = {
    {"<tool_call> tools", "plain <b> text", "plain <b> text"},
    {"", "a <tool_call", "a <tool_call"},
    {"", "<tool_call", "<tool_call"},
    {"", "<<tool_callx>", "<<tool_callx>"},
    {"", HERMES_CALL("f", "{}"), "[f:{}"},
    {"", "so: " HERMES_CALL("f", "{\"a\": \"}\\\"]\"}"), "so: [f:{\"a\": \"}\\\"]\"}"},
    {"", HERMES_CALL("f", "{}") "\n" HERMES_CALL("g", "{\"a\":[{}]}"), "[f:{}[g:{\"a\":[{}]}"},
    {"tools \"parameters\": dictionary",
     "{\"name\": \"f\", \"parameters\": {\"a\": 1}}",
     "[f:{\"a\": 1}"},
    {"tools \"parameters\": dictionary", "{\"nam", "{\"nam"},
    {"tools \"parameters\": dictionary", "{\"number\": 1}", "{\"number\": 1}"},
    {"tools \"parameters\": dictionary",
     "see {\"name\": \"f\", \"parameters\": {}}",
     "see {\"name\": \"f\", \"parameters\": {}}"},
};

static size_t put(char *out, size_t n, const struct tool_piece *piece)
{
    const bool call = piece->kind == TOOL_PIECE_CALL;
    return n + (size_t)snprintf(out + n,
                                512 - n,
                                "%s%.*s%s",
                                call ? "[" : "",
                                (int)piece->text.length,
                                (const char *)piece->text.data,
                                call ? ":" : "");
}

static void parse(const struct case_row *row, size_t n_a_time, char *out)
{
    const struct bytes source = {(const uint8_t *)row->template_source,
                                 strlen(row->template_source)};
    struct tool_parser parser = {.format = tool_format_of(source)};
    const size_t length = strlen(row->text);
    struct tool_piece piece;
    size_t n = 0;
    for (size_t at = 0; at < length; at += n_a_time) {
        const size_t left = length - at;
        struct bytes rest = {(const uint8_t *)row->text + at, left < n_a_time ? left : n_a_time};
        while (tool_parser_next(&parser, &rest, &piece)) {
            n = put(out, n, &piece);
        }
    }
    piece = (struct tool_piece){TOOL_PIECE_TEXT, tool_parser_finish(&parser)};
    out[put(out, n, &piece)] = '\0';
}

static void cuts_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t n_a_time = 1; n_a_time <= strlen(rows[i].text); n_a_time++) {
            char out[512];
            parse(&rows[i], n_a_time, out);
            assert_string_equal(out, rows[i].expected);
        }
    }
}

static void without_a_format_all_is_text(void **state)
{
    (void)state;
    struct tool_parser parser = {.format = NULL};
    const char *const text = HERMES_CALL("f", "{}");
    struct bytes rest = {(const uint8_t *)text, strlen(text)};
    struct tool_piece piece;
    assert_true(tool_parser_next(&parser, &rest, &piece));
    assert_int_equal(piece.kind, TOOL_PIECE_TEXT);
    assert_int_equal(piece.text.length, strlen(text));
    assert_int_equal(tool_parser_finish(&parser).length, 0);
}

static void a_name_that_is_too_long_is_cut(void **state)
{
    (void)state;
    struct tool_parser parser = {.format = tool_format_of((struct bytes){.length = 0})};
    char text[256];
    (void)snprintf(text, sizeof text, "%s%0150d\", ", "<tool_call>\n{\"name\": \"", 7);
    struct bytes rest = {(const uint8_t *)text, strlen(text)};
    struct tool_piece piece;
    assert_true(tool_parser_next(&parser, &rest, &piece));
    assert_int_equal(piece.kind, TOOL_PIECE_CALL);
    assert_int_equal(piece.text.length, TOOL_MAX_NAME_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(without_a_format_all_is_text),
        cmocka_unit_test(a_name_that_is_too_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
