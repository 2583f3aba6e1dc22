/* log.h and clock.h: standard error goes into a file, which is read back. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static struct temp_folder folder;
static char path[TEST_PATH_BYTES];
static int real_stderr;

static int make_folder(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "log", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_folder_remove(&folder);
    return 0;
}

static void capture(void)
{
    real_stderr = dup(STDERR_FILENO);
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    assert_int_equal(close(file), 0);
}

/* What was written since capture; by alloc_free. */
static char *captured(void)
{
    char *text;
    size_t n_bytes;
    assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
    assert_int_equal(close(real_stderr), 0);
    assert_int_equal(file_read(path, 64 * 1024 * 1024, &text, &n_bytes, NULL), REALM_OK);
    assert_true(utf8_valid((const uint8_t *)text, n_bytes));
    return text;
}

static void json_lines_hold_all_kinds_of_fields(void **state)
{
    (void)state;
    clock_freeze(1700000000123000000u);
    log_configure(LOG_DEBUG, LOG_FORMAT_AUTO); /* a file is no terminal */
    capture();
    log_info("model_loaded",
             LOG_TEXT("path", "a \"b\"\n\xFF"),
             LOG_U64("u", UINT64_MAX),
             LOG_I64("i", -5),
             LOG_F64("f", 0.25),
             LOG_F64("nan", (double)NAN),
             LOG_BOOL("yes", true),
             LOG_TEXT("none", NULL));
    log_error("bare");
    char *text = captured();
    clock_freeze(UINT64_MAX);
    assert_string_equal(text,
                        "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"info\",\"event\":"
                        "\"model_loaded\",\"path\":\"a \\\"b\\\"\\n\xEF\xBF\xBD\",\"u\":"
                        "18446744073709551615,\"i\":-5,\"f\":0.25,\"nan\":null,\"yes\":true,"
                        "\"none\":\"\"}\n"
                        "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"error\",\"event\":"
                        "\"bare\"}\n");
    alloc_free(text);
}

static void text_lines_have_no_colour_in_a_file(void **state)
{
    (void)state;
    clock_freeze(1700000000123000000u);
    log_configure(LOG_DEBUG, LOG_FORMAT_TEXT);
    capture();
    log_warn("slow", LOG_TEXT("word", "plain"), LOG_TEXT("quoted", "two words"), LOG_U64("n", 3));
    char *text = captured();
    clock_freeze(UINT64_MAX);
    assert_string_equal(text, "22:13:20.123Z warn slow word=plain quoted=\"two words\" n=3\n");
    alloc_free(text);
}

static void levels_above_the_limit_are_dropped(void **state)
{
    (void)state;
    log_configure(LOG_WARN, LOG_FORMAT_JSON);
    capture();
    assert_true(log_enabled(LOG_ERROR));
    assert_true(log_enabled(LOG_WARN));
    assert_false(log_enabled(LOG_INFO));
    log_info("dropped");
    log_debug("dropped");
    char *text = captured();
    assert_string_equal(text, "");
    alloc_free(text);
}

static void long_values_are_cut_and_the_line_stays_whole(void **state)
{
    (void)state;
    static char long_text[9000];
    for (size_t i = 0; i + 2 < sizeof(long_text); i += 2) {
        memcpy(long_text + i, "\xC3\xA9", 2);
    }
    log_configure(LOG_DEBUG, LOG_FORMAT_JSON);
    for (size_t skip = 0; skip < 16; skip += 2) {
        capture();
        log_info("long",
                 LOG_TEXT("pad", long_text + sizeof(long_text) - 1 - skip),
                 LOG_TEXT("text", long_text),
                 LOG_TEXT("more", long_text),
                 LOG_U64("after", 1));
        char *text = captured();
        const size_t length = strlen(text);
        assert_in_range(length, 4000, 4096);
        assert_memory_equal(text + length - 3, "\"}\n", 3);
        alloc_free(text);
    }
}

static void write_lines(void *context)
{
    for (uint64_t i = 0; i < 300; i++) {
        log_info("line", LOG_TEXT("who", context), LOG_U64("i", i));
    }
}

static void lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    static char names[3][2] = {"a", "b", "c"};
    struct thread threads[3];
    log_configure(LOG_DEBUG, LOG_FORMAT_JSON);
    capture();
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(thread_start(&threads[i], "logger", write_lines, names[i], NULL),
                         REALM_OK);
    }
    for (size_t i = 0; i < 3; i++) {
        thread_join(&threads[i]);
    }
    char *text = captured();
    size_t n_lines = 0;
    for (const char *line = text; *line != '\0';) {
        const char *end = strchr(line, '\n');
        assert_non_null(end);
        assert_memory_equal(line, "{\"time\":\"", 9);
        assert_memory_equal(end - 1, "}", 1);
        n_lines++;
        line = end + 1;
    }
    assert_int_equal(n_lines, 900);
    alloc_free(text);
}

static void clocks_run_and_stand_still(void **state)
{
    (void)state;
    const uint64_t before = clock_monotonic_ns();
    assert_true(clock_monotonic_ns() >= before);
    assert_true(clock_wall_s() > 1700000000);
    clock_freeze(5000000000u);
    assert_int_equal(clock_monotonic_ns(), 5000000000u);
    assert_int_equal(clock_wall_s(), 5);
    assert_int_equal(clock_wall_ms(), 5000);
    clock_freeze(UINT64_MAX);
    assert_true(clock_wall_s() > 1700000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_lines_hold_all_kinds_of_fields),
        cmocka_unit_test(text_lines_have_no_colour_in_a_file),
        cmocka_unit_test(levels_above_the_limit_are_dropped),
        cmocka_unit_test(long_values_are_cut_and_the_line_stays_whole),
        cmocka_unit_test(lines_of_threads_do_not_mix),
        cmocka_unit_test(clocks_run_and_stand_still),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
