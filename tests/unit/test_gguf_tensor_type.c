#include "gguf/tensor_type.h"
#include "support/cmocka_all.h"

#include <string.h>

/* Block length and bytes as the format's documentation gives them. */
static void sizes_are_those_of_the_format(void **state)
{
    (void)state;
    static const struct {
        uint32_t id;
        const char *name;
        uint32_t block_length;
        uint32_t block_bytes;
    } known[] = {
        {0, "F32", 1, 4},       {1, "F16", 1, 2},       {2, "Q4_0", 32, 18},
        {3, "Q4_1", 32, 20},    {6, "Q5_0", 32, 22},    {7, "Q5_1", 32, 24},
        {8, "Q8_0", 32, 34},    {9, "Q8_1", 32, 36},    {10, "Q2_K", 256, 84},
        {11, "Q3_K", 256, 110}, {12, "Q4_K", 256, 144}, {13, "Q5_K", 256, 176},
        {14, "Q6_K", 256, 210}, {15, "Q8_K", 256, 292}, {24, "I8", 1, 1},
        {25, "I16", 1, 2},      {26, "I32", 1, 4},      {27, "I64", 1, 8},
        {28, "F64", 1, 8},      {30, "BF16", 1, 2},
    };
    size_t n_known = 0;
    for (uint32_t id = 0; id < 64; id++) {
        n_known += tensor_type_find(id) != NULL;
    }
    assert_int_equal(n_known, sizeof(known) / sizeof(known[0]));
    for (size_t i = 0; i < n_known; i++) {
        const struct tensor_type_info *info = tensor_type_find(known[i].id);
        assert_non_null(info);
        assert_string_equal(info->name, known[i].name);
        assert_int_equal(info->block_length, known[i].block_length);
        assert_int_equal(info->block_bytes, known[i].block_bytes);
        assert_int_equal(info->quantised, known[i].block_length > 1);
        assert_ptr_equal(tensor_type_find_name(known[i].name), info);
        assert_string_equal(tensor_type_name((enum tensor_type)known[i].id), known[i].name);
    }
}

static void names_are_found_in_any_case_and_whole(void **state)
{
    (void)state;
    assert_int_equal(tensor_type_find_name("q4_k")->type, TENSOR_Q4_K);
    assert_int_equal(tensor_type_find_name("bF16")->type, TENSOR_BF16);
    assert_null(tensor_type_find_name("Q4_"));
    assert_null(tensor_type_find_name("Q4_K_M"));
    assert_null(tensor_type_find_name(""));
    assert_null(tensor_type_find(99));
    assert_null(tensor_type_name((enum tensor_type)5));
}

static void rows_are_whole_blocks_and_do_not_overflow(void **state)
{
    (void)state;
    uint64_t n_bytes = 7;
    assert_true(tensor_type_row_bytes(TENSOR_Q4_K, 512, &n_bytes));
    assert_int_equal(n_bytes, 288);
    assert_true(tensor_type_row_bytes(TENSOR_F16, 3, &n_bytes));
    assert_int_equal(n_bytes, 6);
    assert_true(tensor_type_row_bytes(TENSOR_F16, 0, &n_bytes));
    assert_int_equal(n_bytes, 0);
    n_bytes = 7;
    assert_false(tensor_type_row_bytes(TENSOR_Q4_K, 255, &n_bytes));
    assert_false(tensor_type_row_bytes(TENSOR_F64, UINT64_MAX / 4, &n_bytes));
    assert_false(tensor_type_row_bytes((enum tensor_type)99, 256, &n_bytes));
    assert_int_equal(n_bytes, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_of_the_format),
        cmocka_unit_test(names_are_found_in_any_case_and_whole),
        cmocka_unit_test(rows_are_whole_blocks_and_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
