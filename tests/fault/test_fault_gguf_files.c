/* The n-th allocation or I/O call fails while a model file is written and read, whole and split. */
#define _GNU_SOURCE

#include "gguf/gguf.h"
#include "support/cmocka_all.h"
#include "support/gguf_support.h"
#include "support/test_support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX_CALLS 5000

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

static uint64_t held(void)
{
    uint64_t n_bytes = 0;
    for (int i = 0; i < ALLOC_N_PURPOSES; i++) {
        n_bytes += alloc_held_bytes((enum alloc_purpose)i);
    }
    return n_bytes;
}

typedef realm_status (*scenario)(const char *path, struct realm_error *error);

static realm_status write_model(const char *path, struct realm_error *error)
{
    return write_small_model(path, 100, error);
}

static realm_status read_model(const char *path, struct realm_error *error)
{
    struct gguf *gguf;
    const realm_status status = gguf_open(path, &gguf, error);
    if (status != REALM_OK) {
        assert_null(gguf);
        return status;
    }
    assert_int_not_equal(gguf_walk(gguf), 0);
    gguf_close(gguf);
    return REALM_OK;
}

static void fail_each_allocation(scenario run, const char *path)
{
    for (uint64_t n = 0; n < MAX_CALLS; n++) {
        struct realm_error error = {.status = REALM_OK};
        alloc_fail_after(n);
        const realm_status status = run(path, &error);
        alloc_fail_after(UINT64_MAX);
        assert_int_equal(held(), 0);
        if (status == REALM_OK) {
            assert_true(n > 5);
            return;
        }
        assert_int_equal(status, REALM_OUT_OF_MEMORY);
    }
    fail_msg("still failing after %d allocations", MAX_CALLS);
}

static void fail_each_call(scenario run, const char *path)
{
    for (uint64_t n = 0; n < MAX_CALLS; n++) {
        struct realm_error error = {.status = REALM_OK};
        file_fail_after(n, EIO);
        const realm_status status = run(path, &error);
        file_fail_after(UINT64_MAX, 0);
        assert_int_equal(held(), 0);
        if (status == REALM_OK) {
            assert_true(n > 2);
            return;
        }
        assert_int_equal(status, REALM_IO);
        assert_int_equal(error.status, REALM_IO);
    }
    fail_msg("still failing after %d calls", MAX_CALLS);
}

static void writing(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    fail_each_allocation(write_model, temp_folder_path(&folder, "written.gguf", path));
    fail_each_call(write_model, path);
    assert_int_equal(read_model(path, NULL), REALM_OK);
}

static void reading(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    assert_int_equal(write_model(temp_folder_path(&folder, "read.gguf", path), NULL), REALM_OK);
    fail_each_allocation(read_model, path);
    fail_each_call(read_model, path);
}

/* Tensors out of order need a sorted list, which is an allocation of its own. */
static void reading_tensors_out_of_order(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    struct strbuf text;
    strbuf_init(&text, ALLOC_TEST, SIZE_MAX);
    put_header(&text, 3, 2, 0);
    put_tensor(&text, "b", 1, (const uint64_t[]){8}, TENSOR_F32, 32);
    put_tensor(&text, "a", 1, (const uint64_t[]){8}, TENSOR_F32, 0);
    put_data(&text, 32, 64);
    test_write_file(temp_folder_path(&folder, "order.gguf", path), text.text, text.length);
    strbuf_deinit(&text);
    fail_each_allocation(read_model, path);
}

static void reading_a_split_model(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    for (uint32_t part = 0; part < 3; part++) {
        struct strbuf text;
        char name[32];
        strbuf_init(&text, ALLOC_TEST, SIZE_MAX);
        put_header(&text, 3, 1, 3);
        put_key_u32(&text, "split.no", part);
        put_key_u32(&text, "split.count", 3);
        put_key_u32(&text, "split.tensors.count", 3);
        (void)snprintf(name, sizeof(name), "tensor.%u", part);
        put_tensor(&text, name, 1, (const uint64_t[]){8}, TENSOR_F32, 0);
        put_data(&text, 32, 32);
        (void)snprintf(name, sizeof(name), "s-%05u-of-00003.gguf", part + 1);
        test_write_file(temp_folder_path(&folder, name, path), text.text, text.length);
        strbuf_deinit(&text);
    }
    (void)temp_folder_path(&folder, "s-00001-of-00003.gguf", path);
    fail_each_allocation(read_model, path);
    fail_each_call(read_model, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writing),
        cmocka_unit_test(reading),
        cmocka_unit_test(reading_tensors_out_of_order),
        cmocka_unit_test(reading_a_split_model),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
