/* The n-th I/O call or allocation fails: the old file stays, no temporary one is left, no
 * descriptor leaks. */
#define _GNU_SOURCE

#include "base/alloc.h"
#include "base/file.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MAX_CALLS 200

static struct temp_folder folder;

static int make_folder(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_folder_remove(&folder);
    return 0;
}

static size_t n_entries(const char *path)
{
    DIR *stream = opendir(path);
    assert_non_null(stream);
    size_t n = 0;
    while (readdir(stream) != NULL) {
        n++;
    }
    assert_int_equal(closedir(stream), 0);
    return n;
}

static size_t n_open_files(void)
{
    return n_entries("/proc/self/fd");
}

static realm_status replace(const char *path, struct realm_error *error)
{
    static char big[600000];
    struct file_writer *writer;
    memset(big, 'b', sizeof(big));
    REALM_TRY(file_writer_open(path, 0600, &writer, error));
    realm_status status = file_writer_write(writer, "new", 3, error);
    if (status == REALM_OK) {
        status = file_writer_write(writer, big, sizeof(big), error);
    }
    if (status == REALM_OK) {
        status = file_writer_patch(writer, 1, "E", 1, error);
    }
    if (status != REALM_OK) {
        file_writer_abandon(writer);
        return status;
    }
    return file_writer_commit(writer, error);
}

static realm_status read_back(const char *path, struct realm_error *error)
{
    struct file_map map;
    char *text;
    size_t n_bytes;
    REALM_TRY(file_map_open(path, &map, error));
    file_map_close(&map);
    REALM_TRY(file_read(path, 1000000, &text, &n_bytes, error));
    alloc_free(text);
    return REALM_OK;
}

static void old_or_new_but_nothing_between(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    (void)temp_folder_path(&folder, "file", path);
    for (uint64_t n = 0; n < MAX_CALLS; n++) {
        struct realm_error error = {.status = REALM_OK};
        test_write_file(path, "old", 3);
        const size_t n_files = n_open_files();
        file_fail_after(n, n % 2 == 0 ? ENOSPC : EIO);
        const realm_status status = replace(path, &error);
        file_fail_after(UINT64_MAX, 0);
        assert_int_equal(n_open_files(), n_files);
        assert_int_equal(n_entries(folder.path), 3); /* ".", ".." and the file */
        assert_int_equal(alloc_held_bytes(ALLOC_BASE), 0);
        char *text;
        size_t n_bytes;
        assert_int_equal(file_read(path, 1000000, &text, &n_bytes, NULL), REALM_OK);
        assert_memory_equal(text, status == REALM_OK ? "nEw" : "old", 3);
        assert_int_equal(n_bytes, status == REALM_OK ? 600003 : 3);
        alloc_free(text);
        if (status == REALM_OK) {
            assert_true(n > 3);
            return;
        }
        assert_int_equal(status, REALM_IO);
        assert_int_equal(error.status, REALM_IO);
    }
    fail_msg("still failing after %d calls", MAX_CALLS);
}

static void failed_reads_leave_nothing_open(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    test_write_file(temp_folder_path(&folder, "file", path), "text", 4);
    for (uint64_t n = 0; n < MAX_CALLS; n++) {
        struct realm_error error = {.status = REALM_OK};
        const size_t n_files = n_open_files();
        file_fail_after(n, EIO);
        const realm_status status = read_back(path, &error);
        file_fail_after(UINT64_MAX, 0);
        assert_int_equal(n_open_files(), n_files);
        assert_int_equal(alloc_held_bytes(ALLOC_BASE), 0);
        assert_int_equal(error.status, status);
        if (status == REALM_OK) {
            assert_true(n > 3);
            return;
        }
        assert_int_equal(status, REALM_IO);
    }
    fail_msg("still failing after %d calls", MAX_CALLS);
}

static void memory_runs_out(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    (void)temp_folder_path(&folder, "file", path);
    for (uint64_t n = 0; n < MAX_CALLS; n++) {
        struct realm_error error = {.status = REALM_OK};
        test_write_file(path, "old", 3);
        const size_t n_files = n_open_files();
        alloc_fail_after(n);
        realm_status status = replace(path, &error);
        if (status == REALM_OK) {
            status = read_back(path, &error);
        }
        if (status == REALM_OK) {
            status = file_make_folder(folder.path, 0700, &error);
        }
        alloc_fail_after(UINT64_MAX);
        assert_int_equal(n_open_files(), n_files);
        assert_int_equal(n_entries(folder.path), 3);
        assert_int_equal(alloc_held_bytes(ALLOC_BASE), 0);
        if (status == REALM_OK) {
            assert_true(n > 3);
            return;
        }
        assert_int_equal(status, REALM_OUT_OF_MEMORY);
    }
    fail_msg("still failing after %d allocations", MAX_CALLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_or_new_but_nothing_between),
        cmocka_unit_test(failed_reads_leave_nothing_open),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
