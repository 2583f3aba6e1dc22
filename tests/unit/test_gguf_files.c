/* Real files: what the writer wrote is what the reader reads; split models; more than 4 GB. */
#define _GNU_SOURCE /* ftruncate */

#include "gguf/gguf.h"
#include "support/cmocka_all.h"
#include "support/gguf_support.h"
#include "support/test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
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

static int nothing_is_held(void **state)
{
    (void)state;
    return alloc_held_bytes(ALLOC_TEST) == 0 && alloc_held_bytes(ALLOC_MODEL) == 0 &&
                   alloc_held_bytes(ALLOC_BASE) == 0
               ? 0
               : -1;
}

static struct gguf *open_file(const char *path)
{
    struct gguf *gguf;
    struct realm_error error = {.message = ""};
    if (gguf_open(path, &gguf, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return gguf;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    assert_int_equal(write_small_model(temp_folder_path(&folder, "small.gguf", path), 300, NULL),
                     REALM_OK);
    struct gguf *gguf = open_file(path);
    assert_int_not_equal(gguf_walk(gguf), 0);
    assert_int_equal(gguf_version(gguf), 3);
    assert_int_equal(gguf_n_tensors(gguf), 6);
    struct bytes name;
    assert_int_equal(gguf_get_string(gguf, "general.name", &name, NULL), REALM_OK);
    assert_memory_equal(name.data, "Small \xE2\x9C\x93", name.length);
    assert_true(gguf_find(gguf, "test.number_12")->scalar.f64 == -0.5);
    assert_int_equal(gguf_find(gguf, "test.number_1")->scalar.i64, 1);
    const struct gguf_value *tokens;
    assert_int_equal(gguf_get_array(gguf, "tokenizer.ggml.tokens", GGUF_STRING, &tokens, NULL),
                     REALM_OK);
    assert_int_equal(tokens->n_items, 300);
    assert_memory_equal(tokens->strings[255].data, "tokff", 5);
    assert_int_equal(gguf_find(gguf, "test.nothing")->n_items, 0);

    /* The bytes were given as one run that counts by sevens. */
    size_t position = 0;
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(gguf, i);
        for (size_t j = 0; j < tensor->data.length; j++, position++) {
            assert_int_equal(tensor->data.data[j], (uint8_t)(position * 7));
        }
        gguf_forget_tensor(gguf, tensor);
    }
    gguf_close(gguf);
}

/* Writes all that an opened file has to a new one. */
static void write_copy(const struct gguf *gguf, const char *copy_path)
{
    struct gguf_writer *writer;
    assert_int_equal(gguf_writer_create(&writer, NULL), REALM_OK);
    for (size_t i = 0; i < gguf_n_values(gguf); i++) {
        assert_int_equal(gguf_writer_put(writer, gguf_value_at(gguf, i), NULL), REALM_OK);
    }
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(gguf, i);
        assert_int_equal(
            gguf_writer_add_tensor(
                writer, tensor->name, tensor->type, tensor->n_dims, tensor->shape, NULL),
            REALM_OK);
    }
    assert_int_equal(gguf_writer_begin(writer, copy_path, NULL), REALM_OK);
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        const struct bytes data = gguf_tensor_at(gguf, i)->data;
        assert_int_equal(gguf_writer_data(writer, data.data, data.length, NULL), REALM_OK);
    }
    assert_int_equal(gguf_writer_commit(writer, NULL), REALM_OK);
    gguf_writer_destroy(writer);
}

/* Reading a file and writing it again gives the same file. */
static void assert_copy_is_the_same(const char *path)
{
    char copy_path[TEST_PATH_BYTES];
    (void)temp_folder_path(&folder, "copy.gguf", copy_path);
    struct gguf *gguf = open_file(path);
    write_copy(gguf, copy_path);
    gguf_close(gguf);

    struct file_map first;
    struct file_map second;
    assert_int_equal(file_map_open(path, &first, NULL), REALM_OK);
    assert_int_equal(file_map_open(copy_path, &second, NULL), REALM_OK);
    assert_int_equal(first.bytes.length, second.bytes.length);
    assert_memory_equal(first.bytes.data, second.bytes.data, first.bytes.length);
    file_map_close(&first);
    file_map_close(&second);
}

static void a_copy_is_the_same_byte_for_byte(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    assert_int_equal(write_small_model(temp_folder_path(&folder, "one.gguf", path), 50, NULL),
                     REALM_OK);
    assert_copy_is_the_same(path);
}

/* tools/make_golden/gguf_by_python.py made it: what the format's reference package writes, we read,
 * and what we write is what it would. */
static void the_reference_package_writes_the_same_bytes(void **state)
{
    (void)state;
    static const char path[] = REALM_TEST_DATA "/golden/gguf/by_python.gguf";
    assert_copy_is_the_same(path);

    struct gguf *gguf = open_file(path);
    assert_int_not_equal(gguf_walk(gguf), 0);
    assert_int_equal(gguf_find(gguf, "test.u8")->scalar.u64, 200);
    assert_int_equal(gguf_find(gguf, "test.i8")->scalar.i64, -128);
    assert_int_equal(gguf_find(gguf, "test.i32")->scalar.i64, INT32_MIN);
    assert_int_equal(gguf_find(gguf, "test.u64")->scalar.u64, UINT64_MAX);
    assert_int_equal(gguf_find(gguf, "test.i64")->scalar.i64, INT64_MIN);
    assert_true(gguf_find(gguf, "test.f32")->scalar.f64 == (double)0.1F);
    assert_true(gguf_find(gguf, "test.f64")->scalar.f64 == 1e300);
    const struct gguf_value *words;
    assert_int_equal(gguf_get_array(gguf, "test.words", GGUF_STRING, &words, NULL), REALM_OK);
    assert_int_equal(words->n_items, 3);
    assert_memory_equal(words->strings[2].data, "\xE2\x96\x81the", 6);

    const struct gguf_tensor *rows = gguf_find_tensor(gguf, "f32");
    assert_int_equal(rows->shape[0], 5);
    assert_int_equal(rows->shape[1], 2);
    float last;
    memcpy(&last, rows->data.data + (size_t)9 * 4, sizeof(last));
    assert_true(last == 36.0F / 8 - 4);
    assert_int_equal(gguf_find_tensor(gguf, "q8_0")->type, TENSOR_Q8_0);
    assert_int_equal(gguf_find_tensor(gguf, "q8_0")->shape[0], 32);
    const struct gguf_tensor *cube = gguf_find_tensor(gguf, "cube");
    assert_int_equal(cube->n_dims, 3);
    assert_int_equal(cube->shape[0], 4);
    assert_int_equal(cube->data.data[92], 23);
    gguf_close(gguf);
}

static void assert_says(const struct realm_error *error, const char *words)
{
    if (strstr(error->message, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error->message, words);
    }
}

static void the_writer_refuses_what_the_reader_would(void **state)
{
    (void)state;
    struct gguf_writer *writer;
    struct realm_error error;
    const uint64_t shape[5] = {32, 2, 1, 1, 1};
    const uint64_t odd[1] = {31};
    const uint64_t none[1] = {0};
    assert_int_equal(gguf_writer_create(&writer, NULL), REALM_OK);
    assert_int_equal(gguf_writer_put_u32(writer, "", 1, &error), REALM_INVALID_ARGUMENT);
    assert_int_equal(gguf_writer_put_u32(writer, "a\nb", 1, &error), REALM_INVALID_ARGUMENT);
    assert_says(&error, "control");
    assert_int_equal(gguf_writer_put_u32(writer, "general.alignment", 24, &error),
                     REALM_INVALID_ARGUMENT);
    assert_says(&error, "general.alignment");
    struct gguf_value value = {.key = "k", .type = GGUF_ARRAY, .item_type = GGUF_ARRAY};
    assert_int_equal(gguf_writer_put(writer, &value, &error), REALM_INVALID_ARGUMENT);
    value.item_type = GGUF_U32;
    value.n_items = 2;
    value.bytes = (struct bytes){(const uint8_t *)"1234567", 7};
    assert_int_equal(gguf_writer_put(writer, &value, &error), REALM_INVALID_ARGUMENT);
    assert_says(&error, "do not agree");

    assert_int_equal(gguf_writer_add_tensor(writer, "w", TENSOR_Q8_0, 5, shape, &error),
                     REALM_INVALID_ARGUMENT);
    assert_int_equal(gguf_writer_add_tensor(writer, "w", TENSOR_Q8_0, 0, shape, &error),
                     REALM_INVALID_ARGUMENT);
    assert_int_equal(gguf_writer_add_tensor(writer, "w", TENSOR_Q8_0, 1, odd, &error),
                     REALM_INVALID_ARGUMENT);
    assert_says(&error, "31");
    assert_int_equal(gguf_writer_add_tensor(writer, "w", TENSOR_F32, 1, none, &error),
                     REALM_INVALID_ARGUMENT);
    assert_int_equal(gguf_writer_add_tensor(writer, "w", (enum tensor_type)99, 1, shape, &error),
                     REALM_UNSUPPORTED);
    assert_int_equal(gguf_writer_add_tensor(writer, "w", TENSOR_Q8_0, 2, shape, &error), REALM_OK);
    assert_int_equal(gguf_writer_add_tensor(writer, "w", TENSOR_Q8_0, 2, shape, &error),
                     REALM_ALREADY_EXISTS);

    char path[TEST_PATH_BYTES];
    uint8_t data[100] = {0};
    (void)temp_folder_path(&folder, "refused.gguf", path);
    assert_int_equal(gguf_writer_data(writer, data, 1, &error), REALM_INVALID_ARGUMENT);
    assert_int_equal(gguf_writer_commit(writer, &error), REALM_INVALID_ARGUMENT);
    assert_int_equal(gguf_writer_begin(writer, path, &error), REALM_OK);
    assert_int_equal(gguf_writer_begin(writer, path, &error), REALM_INVALID_ARGUMENT);
    assert_int_equal(gguf_writer_put_u32(writer, "late", 1, &error), REALM_INVALID_ARGUMENT);
    assert_int_equal(gguf_writer_add_tensor(writer, "late", TENSOR_F32, 1, shape, &error),
                     REALM_INVALID_ARGUMENT);
    assert_int_equal(gguf_writer_data(writer, data, 67, &error), REALM_OK);
    assert_int_equal(gguf_writer_commit(writer, &error), REALM_INVALID_ARGUMENT);
    assert_says(&error, "1 of its 68 bytes are missing");
    assert_int_equal(gguf_writer_data(writer, data, 2, &error), REALM_INVALID_ARGUMENT);
    assert_false(file_exists(path));
    gguf_writer_destroy(writer);
    assert_false(file_exists(path));
    gguf_writer_destroy(NULL);
}

static void a_later_value_replaces_an_earlier_one(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    struct gguf_writer *writer;
    (void)temp_folder_path(&folder, "replaced.gguf", path);
    assert_int_equal(gguf_writer_create(&writer, NULL), REALM_OK);
    assert_int_equal(gguf_writer_put_u32(writer, "first", 1, NULL), REALM_OK);
    assert_int_equal(gguf_writer_put_u32(writer, "general.alignment", 256, NULL), REALM_OK);
    assert_int_equal(gguf_writer_put_string(writer, "first", "one", NULL), REALM_OK);
    const uint64_t shape[1] = {1};
    assert_int_equal(gguf_writer_add_tensor(writer, "a", TENSOR_I8, 1, shape, NULL), REALM_OK);
    assert_int_equal(gguf_writer_add_tensor(writer, "b", TENSOR_I8, 1, shape, NULL), REALM_OK);
    assert_int_equal(gguf_writer_begin(writer, path, NULL), REALM_OK);
    assert_int_equal(gguf_writer_data(writer, "xy", 2, NULL), REALM_OK);
    assert_int_equal(gguf_writer_commit(writer, NULL), REALM_OK);
    gguf_writer_destroy(writer);

    struct gguf *gguf = open_file(path);
    struct bytes text;
    assert_int_equal(gguf_n_values(gguf), 2);
    assert_int_equal(gguf_get_string(gguf, "first", &text, NULL), REALM_OK);
    assert_memory_equal(text.data, "one", 3);
    const uint8_t *a = gguf_find_tensor(gguf, "a")->data.data;
    const uint8_t *b = gguf_find_tensor(gguf, "b")->data.data;
    assert_int_equal(*a, 'x');
    assert_int_equal(*b, 'y');
    assert_int_equal(b - a, 256);
    assert_int_equal((uintptr_t)a % 256, 0);
    gguf_close(gguf);
}

/* --- split models ----------------------------------------------------------------------------- */

struct split_part {
    uint32_t number;
    uint32_t count;
    uint32_t n_tensors; /* as split.tensors.count says */
    const char *tensor;
};

static void write_part(const char *name, const struct split_part *part)
{
    struct strbuf text;
    char path[TEST_PATH_BYTES];
    strbuf_init(&text, ALLOC_TEST, SIZE_MAX);
    put_header(&text, 3, 1, 4);
    put_key(&text, "split.no", GGUF_U16);
    put_u16(&text, (uint16_t)part->number);
    put_key(&text, "split.count", GGUF_U16);
    put_u16(&text, (uint16_t)part->count);
    put_key(&text, "split.tensors.count", GGUF_I32);
    put_u32(&text, part->n_tensors);
    put_key(&text, part->number == 0 ? "llama.block_count" : "ignored", GGUF_U32);
    put_u32(&text, part->number + 7);
    put_tensor(&text, part->tensor, 1, (const uint64_t[]){8}, TENSOR_F32, 0);
    put_data(&text, 32, 32);
    test_write_file(temp_folder_path(&folder, name, path), text.text, text.length);
    strbuf_deinit(&text);
}

static void write_three_parts(void)
{
    write_part("m-00001-of-00003.gguf", &(struct split_part){0, 3, 3, "a"});
    write_part("m-00002-of-00003.gguf", &(struct split_part){1, 3, 3, "b"});
    write_part("m-00003-of-00003.gguf", &(struct split_part){2, 3, 3, "c"});
}

static void split_files_are_opened_as_one(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    write_three_parts();
    struct gguf *gguf = open_file(temp_folder_path(&folder, "m-00001-of-00003.gguf", path));
    assert_int_not_equal(gguf_walk(gguf), 0);
    assert_int_equal(gguf_n_tensors(gguf), 3);
    assert_int_equal(gguf_find_tensor(gguf, "a")->file, 0);
    assert_int_equal(gguf_find_tensor(gguf, "c")->file, 2);
    assert_int_equal(gguf_find_tensor(gguf, "c")->data.data[31], 31);
    assert_null(gguf_find(gguf, "ignored"));
    uint32_t count;
    assert_int_equal(gguf_get_u32(gguf, "llama.block_count", &count, NULL), REALM_OK);
    assert_int_equal(count, 7);
    const uint64_t before = gguf_walk(gguf);
    gguf_forget_tensor(gguf, gguf_find_tensor(gguf, "b"));
    gguf_forget_files(gguf);
    assert_int_equal(gguf_walk(gguf), before);
    assert_int_equal(gguf_find_tensor(gguf, "c")->data.data[31], 31);
    gguf_close(gguf);
}

static void assert_split_refused(const char *name, realm_status expected, const char *words)
{
    char path[TEST_PATH_BYTES];
    struct gguf *gguf;
    struct realm_error error = {.message = ""};
    const realm_status status = gguf_open(temp_folder_path(&folder, name, path), &gguf, &error);
    assert_null(gguf);
    assert_says(&error, words);
    assert_int_equal(status, expected);
}

static void split_files_that_do_not_belong_together_are_refused(void **state)
{
    (void)state;
    const char *first = "m-00001-of-00003.gguf";
    const char *second = "m-00002-of-00003.gguf";
    char path[TEST_PATH_BYTES];
    write_three_parts();
    assert_split_refused(second, REALM_INVALID_ARGUMENT, "part 2 of 3");

    assert_int_equal(unlink(temp_folder_path(&folder, second, path)), 0);
    assert_split_refused(first, REALM_NOT_FOUND, "part 2 of 3");
    write_part(second, &(struct split_part){2, 3, 3, "b"});
    assert_split_refused(first, REALM_INVALID_FORMAT, "2 of 3 instead of 1 of 3");
    write_part(second, &(struct split_part){1, 4, 3, "b"});
    assert_split_refused(first, REALM_INVALID_FORMAT, "1 of 4 instead of 1 of 3");
    write_part(second, &(struct split_part){1, 3, 3, "a"});
    assert_split_refused(first, REALM_INVALID_FORMAT, "tensor a: appears twice");
    write_part(second, &(struct split_part){1, 3, 3, "b"});
    write_part(first, &(struct split_part){0, 3, 9, "a"});
    assert_split_refused(first, REALM_INVALID_FORMAT, "split.tensors.count: 9");
    write_part("other.gguf", &(struct split_part){0, 3, 3, "a"});
    assert_split_refused("other.gguf", REALM_INVALID_ARGUMENT, "-00001-of-00003.gguf");
    test_write_file(temp_folder_path(&folder, second, path), "GGUF", 4);
    assert_split_refused(first, REALM_INVALID_FORMAT, "part 2 of 3");

    struct file_map map;
    struct gguf *gguf;
    struct realm_error error;
    (void)temp_folder_path(&folder, first, path);
    assert_int_equal(file_map_open(path, &map, NULL), REALM_OK);
    assert_int_equal(gguf_open_bytes(map.bytes, &gguf, &error), REALM_UNSUPPORTED);
    assert_says(&error, "3 parts");
    file_map_close(&map);
}

static void a_count_of_one_is_not_split(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    write_part("single.gguf", &(struct split_part){0, 1, 1, "a"});
    struct gguf *gguf = open_file(temp_folder_path(&folder, "single.gguf", path));
    assert_int_equal(gguf_n_tensors(gguf), 1);
    gguf_close(gguf);
}

/* --- large files ------------------------------------------------------------------------------ */

/* 5 GB that lie on the disk as a few kilobytes. */
static void tensors_beyond_four_gigabytes_are_reached(void **state)
{
    (void)state;
    const uint64_t five_gb = (uint64_t)5 * 1024 * 1024 * 1024;
    char path[TEST_PATH_BYTES];
    struct strbuf text;
    strbuf_init(&text, ALLOC_TEST, SIZE_MAX);
    put_header(&text, 3, 2, 0);
    put_tensor(&text, "huge", 2, (const uint64_t[]){1u << 20, five_gb >> 20}, TENSOR_I8, 0);
    put_tensor(&text, "behind", 1, (const uint64_t[]){8}, TENSOR_F32, five_gb);
    put_data(&text, 32, 0);
    const off_t start = (off_t)text.length;
    test_write_file(temp_folder_path(&folder, "large.gguf", path), text.text, text.length);
    strbuf_deinit(&text);
    const int file = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0);
    if (ftruncate(file, start + (off_t)five_gb + 32) != 0) {
        (void)printf("this file system has no sparse files of 5 GB (errno %d): not tested\n",
                     errno);
        assert_int_equal(close(file), 0);
        skip();
    }
    assert_int_equal(pwrite(file, "end", 3, start + (off_t)five_gb + 29), 3);
    assert_int_equal(close(file), 0);

    struct gguf *gguf = open_file(path);
    const struct gguf_tensor *huge = gguf_find_tensor(gguf, "huge");
    const struct gguf_tensor *behind = gguf_find_tensor(gguf, "behind");
    assert_int_equal(huge->data.length, five_gb);
    assert_int_equal(huge->data.data[five_gb - 1], 0);
    assert_memory_equal(behind->data.data + 29, "end", 3);
    assert_int_equal(gguf_file_bytes(gguf), (uint64_t)start + five_gb + 32);
    gguf_forget_tensor(gguf, huge);
    gguf_close(gguf);

    assert_int_equal(truncate(path, start + (off_t)five_gb + 31), 0);
    struct realm_error error;
    assert_int_equal(gguf_open(path, &gguf, &error), REALM_INVALID_FORMAT);
    assert_says(&error, "tensor behind: 32 bytes at offset 5368709120");
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_was_written_is_read, nothing_is_held),
        cmocka_unit_test_teardown(a_copy_is_the_same_byte_for_byte, nothing_is_held),
        cmocka_unit_test_teardown(the_reference_package_writes_the_same_bytes, nothing_is_held),
        cmocka_unit_test_teardown(the_writer_refuses_what_the_reader_would, nothing_is_held),
        cmocka_unit_test_teardown(a_later_value_replaces_an_earlier_one, nothing_is_held),
        cmocka_unit_test_teardown(split_files_are_opened_as_one, nothing_is_held),
        cmocka_unit_test_teardown(split_files_that_do_not_belong_together_are_refused,
                                  nothing_is_held),
        cmocka_unit_test_teardown(a_count_of_one_is_not_split, nothing_is_held),
        cmocka_unit_test_teardown(tensors_beyond_four_gigabytes_are_reached, nothing_is_held),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
