/* Lines being edited, lines remembered, bars and JSON: what the terminal is not needed for. */
#include "cli/edit_line.h"
#include "cli/history.h"
#include "cli/json_out.h"
#include "cli/progress.h"
#include "cli/term.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

static void a_character_is_moved_over_and_erased_whole(void **state)
{
    (void)state;
    struct edit_line line;
    edit_line_init(&line);
    edit_line_set(&line, "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x91\x8b");
    static const size_t stops[] = {6, 3, 1, 0, 0};
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        line.cursor = edit_line_left(&line);
        assert_int_equal(line.cursor, stops[i]);
    }
    line.cursor = edit_line_right(&line);
    edit_line_erase(&line, edit_line_right(&line));
    assert_string_equal(line.text.text, "a\xe2\x82\xac\xf0\x9f\x91\x8b");
    line.cursor = line.text.length;
    edit_line_erase(&line, edit_line_left(&line));
    assert_string_equal(line.text.text, "a\xe2\x82\xac");
    assert_int_equal(edit_line_right(&line), line.text.length);
    edit_line_deinit(&line);
}

static void text_goes_in_at_the_cursor(void **state)
{
    (void)state;
    struct edit_line line;
    edit_line_init(&line);
    edit_line_set(&line, "one three");
    line.cursor = 4;
    assert_true(edit_line_insert(&line, "two ", 4));
    assert_string_equal(line.text.text, "one two three");
    assert_int_equal(line.cursor, 8);
    assert_int_equal(edit_line_word_left(&line), 4);
    assert_int_equal(edit_line_word_right(&line), 13);
    edit_line_erase(&line, edit_line_word_left(&line));
    assert_string_equal(line.text.text, "one three");
    edit_line_erase(&line, 0);
    assert_string_equal(line.text.text, "three");
    edit_line_erase(&line, line.text.length);
    assert_string_equal(line.text.text, "");
    edit_line_deinit(&line);
}

static void columns_are_those_of_a_terminal(void **state)
{
    (void)state;
    static const char wide[] = "a\xe4\xb8\xad\xf0\x9f\x91\x8b\x65\xcc\x81"; /* a 中 👋 é */
    assert_int_equal(edit_line_columns(wide, sizeof wide - 1), 1 + 2 + 2 + 1);
    assert_int_equal(edit_line_fit_begin(wide, sizeof wide - 1, 2), 1);
    assert_int_equal(edit_line_fit_begin(wide, sizeof wide - 1, 3), 4);
    assert_int_equal(edit_line_fit_end(wide, sizeof wide - 1, 3), 4);
    assert_int_equal(edit_line_fit_end(wide, sizeof wide - 1, 100), 0);
    assert_int_equal(edit_line_columns("\xff\xfe", 2), 2);
}

static void history_is_kept_for_the_owner_only(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[TEST_PATH_BYTES];
    struct history history;
    struct stat info;
    temp_folder_make(&folder);
    temp_folder_path(&folder, "history", path);
    history_init(&history, path);
    history_add(&history, "first");
    history_add(&history, "two\nlines \\n");
    history_add(&history, "two\nlines \\n");
    history_add(&history, "");
    assert_int_equal(history.n, 2);
    history_deinit(&history);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    history_init(&history, path);
    assert_int_equal(history.n, 2);
    assert_string_equal(history.lines[0], "first");
    assert_string_equal(history.lines[1], "two\nlines \\n");
    history_deinit(&history);
    temp_folder_remove(&folder);
}

static void a_long_history_keeps_its_newest_lines(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[TEST_PATH_BYTES];
    char line[32];
    struct history history;
    struct stat before;
    struct stat after;
    temp_folder_make(&folder);
    temp_folder_path(&folder, "history", path);
    history_init(&history, path);
    for (unsigned i = 0; i < 2 * HISTORY_MAX_LINES + 1; i++) {
        (void)snprintf(line, sizeof line, "line %u", i);
        history_add(&history, line);
    }
    history_deinit(&history);
    assert_int_equal(stat(path, &before), 0);
    history_init(&history, path);
    assert_int_equal(history.n, HISTORY_MAX_LINES);
    (void)snprintf(line, sizeof line, "line %u", HISTORY_MAX_LINES + 1);
    assert_string_equal(history.lines[0], line);
    assert_int_equal(stat(path, &after), 0);
    assert_true(after.st_size < before.st_size * 2 / 3);
    history_deinit(&history);
    temp_folder_remove(&folder);
}

static void history_without_a_file_lasts_as_long_as_the_program(void **state)
{
    (void)state;
    struct history history;
    history_init(&history, NULL);
    history_add(&history, "x");
    assert_int_equal(history.n, 1);
    history_deinit(&history);
    history_init(&history, "/nowhere/at/all");
    history_add(&history, "x");
    assert_int_equal(history.n, 1);
    history_deinit(&history);
}

static void a_bar_tells_bytes_rate_and_time_left(void **state)
{
    (void)state;
    char line[256];
    struct progress bar = {
        .label = "model", .total = 100000000, .begin_ns = 1000000000, .begin_done = 20000000};
    /* 40 MB more in 4 seconds: 10 MB/s, 40 MB left. */
    progress_line(&bar, 60000000, 5000000000, line, sizeof line);
    assert_string_equal(line,
                        "model  60 % [==============>         ] 60.0/100.0 MB  10.0 MB/s  0:04");
    bar.total = 0;
    progress_line(&bar, 60000000, 5000000000, line, sizeof line);
    assert_string_equal(line, "model 60.0 MB  10.0 MB/s");
    bar = (struct progress){.label = "x", .total = 4, .unit = PROGRESS_ITEMS};
    progress_line(&bar, 4, 2000000000, line, sizeof line);
    assert_string_equal(line, "x 100 % [========================] 4/4  2.0/s  0:00");
}

static void json_puts_commas_and_quotes_where_they_belong(void **state)
{
    (void)state;
    struct json_out out;
    json_out_init(&out);
    json_out_begin_object(&out, NULL);
    json_out_text(&out, "a\"", "b\n\x01\xff");
    json_out_begin_array(&out, "list");
    json_out_begin_object(&out, NULL);
    json_out_end_object(&out);
    json_out_u64(&out, NULL, UINT64_MAX);
    json_out_i64(&out, NULL, INT64_MIN);
    json_out_end_array(&out);
    json_out_f64(&out, "f", 0.25, 3);
    json_out_f64(&out, "nan", (double)NAN, 3);
    json_out_bool(&out, "yes", true);
    json_out_bytes(&out, "none", (struct bytes){.data = NULL, .length = 0});
    json_out_end_object(&out);
    assert_string_equal(out.text.text,
                        "{\"a\\\"\": \"b\\n\\u0001\xef\xbf\xbd\", \"list\": [{}, "
                        "18446744073709551615, -9223372036854775808], \"f\": 0.25, \"nan\": null, "
                        "\"yes\": true, \"none\": \"\"}");
    json_out_deinit(&out);
}

static void byte_counts_have_a_unit(void **state)
{
    (void)state;
    char text[16];
    assert_string_equal(term_bytes(0, text), "0 B");
    assert_string_equal(term_bytes(999, text), "999 B");
    assert_string_equal(term_bytes(98362432, text), "98.4 MB");
    assert_string_equal(term_bytes(999960000, text), "1.0 GB");
    assert_string_equal(term_bytes(UINT64_MAX, text), "18.4 EB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_character_is_moved_over_and_erased_whole),
        cmocka_unit_test(text_goes_in_at_the_cursor),
        cmocka_unit_test(columns_are_those_of_a_terminal),
        cmocka_unit_test(history_is_kept_for_the_owner_only),
        cmocka_unit_test(a_long_history_keeps_its_newest_lines),
        cmocka_unit_test(history_without_a_file_lasts_as_long_as_the_program),
        cmocka_unit_test(a_bar_tells_bytes_rate_and_time_left),
        cmocka_unit_test(json_puts_commas_and_quotes_where_they_belong),
        cmocka_unit_test(byte_counts_have_a_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
