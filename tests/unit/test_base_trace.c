#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"
#include "base/trace.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct temp_folder folder;
static char path[TEST_PATH_BYTES];

static int make_folder(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "trace.json", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unsetenv("REALM_TRACE");
    temp_folder_remove(&folder);
    return 0;
}

/* Not strstr in a loop: the sanitizers measure the whole text at each call. */
static size_t count(const char *text, const char *word)
{
    const size_t text_length = strlen(text);
    const size_t word_length = strlen(word);
    size_t n = 0;
    for (size_t i = 0; i + word_length <= text_length; i++) {
        n += memcmp(text + i, word, word_length) == 0;
    }
    return n;
}

static char *written(void)
{
    char *text;
    size_t n_bytes;
    struct realm_error error = {.message = ""};
    if (trace_write(&error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(file_read(path, 64 * 1024 * 1024, &text, &n_bytes, NULL), REALM_OK);
    return text;
}

static void nothing_is_kept_when_off(void **state)
{
    (void)state;
    static const char *const off[] = {"", "0"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(setenv("REALM_TRACE", off[i], 1), 0);
        trace_configure();
        const uint64_t n_allocations = alloc_count();
        assert_int_equal(trace_begin(), 0);
        trace_end("nothing", trace_begin());
        assert_int_equal(alloc_count(), n_allocations);
        assert_int_equal(trace_write(NULL), REALM_OK);
        assert_false(file_exists(path));
    }
}

static void spans_are_written_with_their_times(void **state)
{
    (void)state;
    assert_int_equal(setenv("REALM_TRACE", path, 1), 0);
    trace_configure();
    clock_freeze(5000000);
    const uint64_t start = trace_begin();
    clock_freeze(7500000);
    trace_end("a \"step\"", start);
    clock_freeze(UINT64_MAX);
    char *text = written();
    assert_non_null(strstr(text,
                           "{\"name\":\"a \\\"step\\\"\",\"ph\":\"X\",\"pid\":1,\"tid\":1,"
                           "\"ts\":5000.000,\"dur\":2500.000},\n"));
    assert_memory_equal(text, "[\n", 2);
    assert_memory_equal(text + strlen(text) - 4, "}\n]\n", 4);
    alloc_free(text);
    trace_close();
    assert_int_equal(alloc_held_bytes(ALLOC_BASE), 0);
}

static void the_newest_spans_are_kept(void **state)
{
    (void)state;
    assert_int_equal(setenv("REALM_TRACE", path, 1), 0);
    trace_configure();
    for (uint32_t i = 0; i < TRACE_SPANS_PER_THREAD + 10; i++) {
        trace_end(i < 10 ? "oldest" : "newer", trace_begin());
    }
    char *text = written();
    assert_int_equal(count(text, "\"oldest\""), 0);
    assert_int_equal(count(text, "\"newer\""), TRACE_SPANS_PER_THREAD);
    alloc_free(text);
    trace_close();
}

static void trace_some(void *context)
{
    (void)context;
    for (int i = 0; i < 500; i++) {
        trace_end("work", trace_begin());
    }
}

static void every_thread_has_its_own_line(void **state)
{
    (void)state;
    assert_int_equal(setenv("REALM_TRACE", path, 1), 0);
    trace_configure();
    struct thread threads[3];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(thread_start(&threads[i], "tracer", trace_some, NULL, NULL), REALM_OK);
    }
    for (int i = 0; i < 3; i++) { /* while they go on */
        char *text = written();
        alloc_free(text);
    }
    for (size_t i = 0; i < 3; i++) {
        thread_join(&threads[i]);
    }
    char *text = written();
    assert_int_equal(count(text, "\"work\""), 1500);
    assert_int_equal(count(text, "\"thread_name\""), 3);
    assert_int_equal(count(text, "\"args\":{\"name\":\"tracer\"}"), 3);
    alloc_free(text);
    trace_close();
    assert_int_equal(alloc_held_bytes(ALLOC_BASE), 0);
}

static void without_memory_spans_are_lost_and_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(setenv("REALM_TRACE", path, 1), 0);
    trace_configure();
    alloc_fail_after(0);
    trace_end("lost", trace_begin());
    struct realm_error error;
    assert_int_equal(trace_write(&error), REALM_OUT_OF_MEMORY);
    alloc_fail_after(UINT64_MAX);
    trace_end("kept", trace_begin());
    char *text = written();
    assert_int_equal(count(text, "\"lost\""), 0);
    assert_int_equal(count(text, "\"kept\""), 1);
    alloc_free(text);
    trace_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_kept_when_off),
        cmocka_unit_test(spans_are_written_with_their_times),
        cmocka_unit_test(the_newest_spans_are_kept),
        cmocka_unit_test(every_thread_has_its_own_line),
        cmocka_unit_test(without_memory_spans_are_lost_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
