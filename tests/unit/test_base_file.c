#include "base/alloc.h"
#include "base/file.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void a_mapping_shows_the_file(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    struct file_map map;
    test_write_file(temp_folder_path(&folder, "map", path), "hello", 5);
    assert_int_equal(file_map_open(path, &map, NULL), REALM_OK);
    assert_int_equal(map.bytes.length, 5);
    assert_memory_equal(map.bytes.data, "hello", 5);
    file_map_close(&map);
    assert_null(map.bytes.data);
    file_map_close(&map);

    test_write_file(path, "", 0);
    assert_int_equal(file_map_open(path, &map, NULL), REALM_OK);
    assert_int_equal(map.bytes.length, 0);
    file_map_close(&map);
}

static void a_forgotten_range_is_read_again(void **state)
{
    (void)state;
    enum { n_bytes = 5 * 4096 + 100 };
    static char text[n_bytes];
    memset(text, 'x', sizeof(text));
    char path[TEST_PATH_BYTES];
    struct file_map map;
    test_write_file(temp_folder_path(&folder, "forget", path), text, sizeof(text));
    assert_int_equal(file_map_open(path, &map, NULL), REALM_OK);
    const size_t ranges[][2] = {
        {0, n_bytes}, {1, 10}, {4000, 9000}, {n_bytes, 0}, {n_bytes, 1}, {SIZE_MAX, SIZE_MAX}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        file_map_forget(&map, ranges[i][0], ranges[i][1]);
        assert_memory_equal(map.bytes.data, text, sizeof(text));
    }
    file_map_close(&map);
}

static void what_is_no_file_is_refused_by_name(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    struct file_map map;
    struct realm_error error;
    char *text;
    size_t n_bytes;
    (void)temp_folder_path(&folder, "missing", path);
    assert_int_equal(file_map_open(path, &map, &error), REALM_NOT_FOUND);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(file_read(path, 10, &text, &n_bytes, &error), REALM_NOT_FOUND);
    assert_null(text);
    assert_int_equal(file_map_open(folder.path, &map, &error), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "folder"));
    assert_int_equal(file_map_open("/dev/null", &map, &error), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "/dev/null"));
    assert_int_equal(mkfifo(temp_folder_path(&folder, "pipe", path), 0600), 0);
    assert_int_equal(file_map_open(path, &map, &error), REALM_INVALID_ARGUMENT);
    assert_false(file_exists("/nonexistent/file"));
    assert_true(file_exists(folder.path));
}

static void read_gives_the_whole_file_up_to_its_limit(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    char *text;
    size_t n_bytes;
    struct realm_error error;
    test_write_file(temp_folder_path(&folder, "read", path), "12345", 5);
    assert_int_equal(file_read(path, 5, &text, &n_bytes, &error), REALM_OK);
    assert_int_equal(n_bytes, 5);
    assert_string_equal(text, "12345");
    alloc_free(text);
    assert_int_equal(file_read(path, 4, &text, &n_bytes, &error), REALM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.message, "5 bytes"));
}

static void assert_contents(const char *path, const char *expected)
{
    char *text;
    size_t n_bytes;
    assert_int_equal(file_read(path, 1000, &text, &n_bytes, NULL), REALM_OK);
    assert_string_equal(text, expected);
    alloc_free(text);
}

static void a_file_changes_only_when_committed(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    struct file_writer *writer;
    test_write_file(temp_folder_path(&folder, "atomic", path), "old", 3);
    assert_int_equal(file_writer_open(path, 0600, &writer, NULL), REALM_OK);
    assert_int_equal(file_writer_write(writer, "new text", 8, NULL), REALM_OK);
    assert_contents(path, "old");
    file_writer_abandon(writer);
    file_writer_abandon(NULL);
    assert_contents(path, "old");

    assert_int_equal(file_writer_open(path, 0600, &writer, NULL), REALM_OK);
    assert_int_equal(file_writer_write(writer, "new", 3, NULL), REALM_OK);
    assert_int_equal(file_writer_write(writer, " text", 5, NULL), REALM_OK);
    assert_int_equal(file_writer_position(writer), 8);
    assert_int_equal(file_writer_patch(writer, 1, "E", 1, NULL), REALM_OK);
    assert_int_equal(file_writer_patch(writer, 8, "E", 1, NULL), REALM_INVALID_ARGUMENT);
    assert_int_equal(file_writer_patch(writer, UINT64_MAX, "E", 1, NULL), REALM_INVALID_ARGUMENT);
    assert_int_equal(file_writer_write(writer, "!", 1, NULL), REALM_OK);
    assert_int_equal(file_writer_commit(writer, NULL), REALM_OK);
    assert_contents(path, "nEw text!");
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void a_large_file_is_written_whole(void **state)
{
    (void)state;
    enum { n_pieces = 60, piece_bytes = 37000 };
    char path[TEST_PATH_BYTES];
    static char piece[piece_bytes];
    struct file_writer *writer;
    (void)temp_folder_path(&folder, "large", path);
    assert_int_equal(file_writer_open(path, 0644, &writer, NULL), REALM_OK);
    for (int i = 0; i < n_pieces; i++) {
        memset(piece, i, sizeof(piece));
        assert_int_equal(file_writer_write(writer, piece, sizeof(piece), NULL), REALM_OK);
    }
    static char huge[1024 * 1024];
    memset(huge, 'h', sizeof(huge));
    assert_int_equal(file_writer_write(writer, huge, sizeof(huge), NULL), REALM_OK);
    assert_int_equal(file_writer_commit(writer, NULL), REALM_OK);
    struct file_map map;
    assert_int_equal(file_map_open(path, &map, NULL), REALM_OK);
    assert_int_equal(map.bytes.length, (size_t)n_pieces * piece_bytes + sizeof(huge));
    for (size_t i = 0; i < (size_t)n_pieces * piece_bytes; i++) {
        assert_true(map.bytes.data[i] == i / piece_bytes);
    }
    assert_memory_equal(map.bytes.data + (size_t)n_pieces * piece_bytes, huge, sizeof(huge));
    file_map_close(&map);
}

static void folders_are_made_with_their_parents(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    struct realm_error error;
    (void)temp_folder_path(&folder, "a/b//c/", path);
    assert_int_equal(file_make_folder(path, 0755, &error), REALM_OK);
    assert_int_equal(file_make_folder(path, 0755, &error), REALM_OK);
    assert_true(file_exists(path));
    test_write_file(temp_folder_path(&folder, "a/file", path), "", 0);
    assert_int_equal(file_make_folder(path, 0755, &error), REALM_ALREADY_EXISTS);
    (void)temp_folder_path(&folder, "a/file/below", path);
    assert_int_equal(file_make_folder(path, 0755, &error), REALM_NOT_FOUND);
    assert_non_null(strstr(error.message, "not a folder"));
    assert_int_equal(file_make_folder("/", 0755, &error), REALM_OK);
}

static void a_failing_call_names_the_reason(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    struct realm_error error;
    struct file_map map;
    struct file_writer *writer;
    test_write_file(temp_folder_path(&folder, "failing", path), "x", 1);
    file_fail_after(0, EACCES);
    assert_int_equal(file_map_open(path, &map, &error), REALM_PERMISSION_DENIED);
    file_fail_after(0, EIO);
    assert_int_equal(file_map_open(path, &map, &error), REALM_IO);
    assert_non_null(strstr(error.message, "input/output"));
    assert_int_equal(file_writer_open(path, 0600, &writer, &error), REALM_OK);
    assert_int_equal(file_writer_write(writer, "y", 1, &error), REALM_OK);
    file_fail_after(0, ENOSPC);
    assert_int_equal(file_writer_commit(writer, &error), REALM_IO);
    assert_non_null(strstr(error.message, "no space left"));
    file_fail_after(UINT64_MAX, 0);
    assert_contents(path, "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mapping_shows_the_file),
        cmocka_unit_test(a_forgotten_range_is_read_again),
        cmocka_unit_test(what_is_no_file_is_refused_by_name),
        cmocka_unit_test(read_gives_the_whole_file_up_to_its_limit),
        cmocka_unit_test(a_file_changes_only_when_committed),
        cmocka_unit_test(a_large_file_is_written_whole),
        cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(a_failing_call_names_the_reason),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
