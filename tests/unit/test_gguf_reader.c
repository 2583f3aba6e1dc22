#include "gguf/gguf.h"
#include "support/cmocka_all.h"
#include "support/gguf_support.h"
#include "support/test_support.h"

#include <stdio.h>
#include <string.h>

static struct strbuf text;

static int begin(void **state)
{
    (void)state;
    strbuf_init(&text, ALLOC_TEST, SIZE_MAX);
    return 0;
}

static int end(void **state)
{
    (void)state;
    strbuf_deinit(&text);
    return alloc_held_bytes(ALLOC_TEST) == 0 && alloc_held_bytes(ALLOC_MODEL) == 0 ? 0 : -1;
}

static struct gguf *open_text(void)
{
    struct gguf *gguf;
    struct realm_error error = {.message = ""};
    const realm_status status = gguf_open_bytes(strbuf_bytes(&text), &gguf, &error);
    if (status != REALM_OK) {
        fail_msg("%s", error.message);
    }
    assert_int_not_equal(gguf_walk(gguf), 0);
    return gguf;
}

static void put_all_kinds(void)
{
    put_header(&text, 3, 0, 14);
    put_key(&text, "u8", GGUF_U8);
    put_u8(&text, 200);
    put_key(&text, "i8", GGUF_I8);
    put_u8(&text, 0x80);
    put_key(&text, "u16", GGUF_U16);
    put_u16(&text, 60000);
    put_key(&text, "i16", GGUF_I16);
    put_u16(&text, 0x8000);
    put_key(&text, "u32", GGUF_U32);
    put_u32(&text, 4000000000u);
    put_key(&text, "i32", GGUF_I32);
    put_u32(&text, 0x80000000u);
    put_key(&text, "f32", GGUF_F32);
    put_f32(&text, 1.5F);
    put_key(&text, "bool", GGUF_BOOL);
    put_u8(&text, 1);
    put_key(&text, "string", GGUF_STRING);
    put_string(&text, "hello");
    put_key(&text, "u64", GGUF_U64);
    put_u64(&text, UINT64_MAX);
    put_key(&text, "i64", GGUF_I64);
    put_u64(&text, (uint64_t)INT64_MIN);
    put_key(&text, "f64", GGUF_F64);
    put_f64(&text, 1e300);
    put_key(&text, "array", GGUF_ARRAY);
    put_u32(&text, GGUF_U16);
    put_u64(&text, 2);
    put_u16(&text, 1);
    put_u16(&text, 2);
    put_key(&text, "strings", GGUF_ARRAY);
    put_u32(&text, GGUF_STRING);
    put_u64(&text, 3);
    put_string(&text, "a");
    put_string(&text, "");
    put_string(&text, "ccc");
}

static void all_kinds_of_values_are_read(void **state)
{
    (void)state;
    put_all_kinds();
    struct gguf *gguf = open_text();
    assert_int_equal(gguf_n_values(gguf), 14);
    assert_int_equal(gguf_find(gguf, "u8")->scalar.u64, 200);
    assert_int_equal(gguf_find(gguf, "i8")->scalar.i64, -128);
    assert_int_equal(gguf_find(gguf, "u16")->scalar.u64, 60000);
    assert_int_equal(gguf_find(gguf, "i16")->scalar.i64, -32768);
    assert_int_equal(gguf_find(gguf, "u32")->scalar.u64, 4000000000u);
    assert_int_equal(gguf_find(gguf, "i32")->scalar.i64, INT32_MIN);
    assert_true(gguf_find(gguf, "f32")->scalar.f64 == 1.5);
    assert_true(gguf_find(gguf, "bool")->scalar.boolean);
    assert_int_equal(gguf_find(gguf, "u64")->scalar.u64, UINT64_MAX);
    assert_int_equal(gguf_find(gguf, "i64")->scalar.i64, INT64_MIN);
    assert_true(gguf_find(gguf, "f64")->scalar.f64 == 1e300);
    assert_null(gguf_find(gguf, "none"));
    assert_null(gguf_find(gguf, ""));
    gguf_close(gguf);
    gguf_close(NULL);
}

static void typed_lookup_takes_what_fits(void **state)
{
    (void)state;
    put_all_kinds();
    struct gguf *gguf = open_text();
    uint32_t number;
    float real;
    bool flag = false;
    struct bytes string;
    const struct gguf_value *array;
    assert_int_equal(gguf_get_u32(gguf, "u8", &number, NULL), REALM_OK);
    assert_int_equal(number, 200);
    assert_int_equal(gguf_get_u32(gguf, "u32", &number, NULL), REALM_OK);
    assert_int_equal(number, 4000000000u);
    assert_int_equal(gguf_get_f32(gguf, "f32", &real, NULL), REALM_OK);
    assert_true(real == 1.5F);
    assert_int_equal(gguf_get_f32(gguf, "i16", &real, NULL), REALM_OK);
    assert_true(real == -32768.0F);
    assert_int_equal(gguf_get_f32(gguf, "u16", &real, NULL), REALM_OK);
    assert_true(real == 60000.0F);
    assert_int_equal(gguf_get_bool(gguf, "bool", &flag, NULL), REALM_OK);
    assert_true(flag);
    assert_int_equal(gguf_get_string(gguf, "string", &string, NULL), REALM_OK);
    assert_int_equal(string.length, 5);
    assert_memory_equal(string.data, "hello", 5);
    assert_int_equal(gguf_get_array(gguf, "strings", GGUF_STRING, &array, NULL), REALM_OK);
    assert_int_equal(array->n_items, 3);
    assert_int_equal(array->strings[1].length, 0);
    assert_memory_equal(array->strings[2].data, "ccc", 3);
    assert_int_equal(gguf_get_array(gguf, "array", GGUF_U16, &array, NULL), REALM_OK);
    assert_int_equal(array->bytes.length, 4);
    gguf_close(gguf);
}

static void assert_refusal(realm_status status,
                           const struct realm_error *error,
                           realm_status expected,
                           const char *part,
                           const char *other_part)
{
    assert_int_equal(status, expected);
    assert_int_equal(error->status, expected);
    if (strstr(error->message, part) == NULL || strstr(error->message, other_part) == NULL) {
        fail_msg("\"%s\" names neither %s nor %s", error->message, part, other_part);
    }
}

static void typed_lookup_names_the_key_and_the_value(void **state)
{
    (void)state;
    put_all_kinds();
    struct gguf *gguf = open_text();
    struct realm_error e;
    uint32_t number;
    float real;
    bool flag;
    struct bytes string;
    const struct gguf_value *array;
    assert_refusal(
        gguf_get_u32(gguf, "llama.x", &number, &e), &e, REALM_NOT_FOUND, "llama.x", "missing");
    assert_refusal(gguf_get_u32(gguf, "u64", &number, &e),
                   &e,
                   REALM_INVALID_FORMAT,
                   "u64",
                   "18446744073709551615");
    assert_refusal(gguf_get_u32(gguf, "i8", &number, &e), &e, REALM_INVALID_FORMAT, "i8", "-128");
    assert_refusal(
        gguf_get_u32(gguf, "f32", &number, &e), &e, REALM_INVALID_FORMAT, "f32", "integer");
    assert_refusal(gguf_get_f32(gguf, "f64", &real, &e), &e, REALM_INVALID_FORMAT, "f64", "e+300");
    assert_refusal(
        gguf_get_f32(gguf, "bool", &real, &e), &e, REALM_INVALID_FORMAT, "bool", "number");
    assert_refusal(gguf_get_bool(gguf, "u8", &flag, &e), &e, REALM_INVALID_FORMAT, "u8", "bool");
    assert_refusal(
        gguf_get_string(gguf, "u8", &string, &e), &e, REALM_INVALID_FORMAT, "u8", "string");
    assert_refusal(
        gguf_get_array(gguf, "u8", GGUF_U8, &array, &e), &e, REALM_INVALID_FORMAT, "u8", "array");
    assert_refusal(gguf_get_array(gguf, "array", GGUF_STRING, &array, &e),
                   &e,
                   REALM_INVALID_FORMAT,
                   "array of u16",
                   "string");
    assert_refusal(
        gguf_get_array(gguf, "x", GGUF_STRING, &array, &e), &e, REALM_NOT_FOUND, "x", "missing");
    gguf_close(gguf);
}

static void put_two_tensors(uint32_t version, size_t alignment)
{
    put_header(&text, version, 2, alignment == 32 ? 0 : 1);
    if (alignment != 32) {
        put_key_u32(&text, "general.alignment", (uint32_t)alignment);
    }
    const size_t second = (3 * 4 + alignment - 1) / alignment * alignment;
    put_tensor(&text, "first", 1, (const uint64_t[]){3}, TENSOR_F32, 0);
    put_tensor(&text, "second", 2, (const uint64_t[]){32, 2}, TENSOR_Q8_0, second);
    put_data(&text, alignment, second + (size_t)2 * 34);
}

static void tensors_lie_where_the_directory_says(void **state)
{
    (void)state;
    static const size_t alignments[] = {8, 32, 64, 4096};
    for (uint32_t version = 2; version <= 3; version++) {
        for (size_t i = 0; i < sizeof(alignments) / sizeof(alignments[0]); i++) {
            strbuf_clear(&text);
            put_two_tensors(version, alignments[i]);
            struct gguf *gguf = open_text();
            assert_int_equal(gguf_version(gguf), version);
            assert_int_equal(gguf_file_bytes(gguf), text.length);
            const struct gguf_tensor *first = gguf_find_tensor(gguf, "first");
            const struct gguf_tensor *second = gguf_find_tensor(gguf, "second");
            assert_int_equal(first->n_dims, 1);
            assert_int_equal(first->shape[0], 3);
            assert_int_equal(first->shape[1], 1);
            assert_int_equal(first->data.data[0], 0);
            assert_int_equal(second->data.length, 68);
            assert_int_equal(second->data.data - first->data.data,
                             alignments[i] < 16 ? 16 : alignments[i]);
            gguf_forget_tensor(gguf, first);
            assert_null(gguf_find_tensor(gguf, "third"));
            gguf_close(gguf);
        }
    }
}

static void tensors_may_lie_in_any_order_with_gaps(void **state)
{
    (void)state;
    put_header(&text, 3, 3, 0);
    put_tensor(&text, "c", 1, (const uint64_t[]){8}, TENSOR_F32, 96);
    put_tensor(&text, "a", 1, (const uint64_t[]){8}, TENSOR_F32, 0);
    put_tensor(&text, "b", 1, (const uint64_t[]){8}, TENSOR_F32, 32);
    put_data(&text, 32, 128);
    struct gguf *gguf = open_text();
    assert_int_equal(gguf_find_tensor(gguf, "c")->data.data[0], 96);
    assert_int_equal(gguf_find_tensor(gguf, "b")->data.data[0], 32);
    assert_string_equal(gguf_tensor_at(gguf, 0)->name, "c"); /* the directory's order is kept */
    gguf_close(gguf);
}

static void an_empty_model_is_a_model(void **state)
{
    (void)state;
    put_header(&text, 3, 0, 0);
    struct gguf *gguf = open_text();
    assert_int_equal(gguf_n_values(gguf), 0);
    assert_int_equal(gguf_n_tensors(gguf), 0);
    assert_null(gguf_find(gguf, "x"));
    assert_null(gguf_find_tensor(gguf, "x"));
    gguf_close(gguf);
}

/* Names that differ only late, and as many as a real model has. */
static void every_name_is_found_among_thousands(void **state)
{
    (void)state;
    enum { n = 3000 };
    put_header(&text, 3, n, n);
    char name[64];
    for (uint32_t i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "llama.some.rather.long.key.number.%u", i);
        put_key_u32(&text, name, i);
    }
    for (uint32_t i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "blk.%u.ffn_down.weight", i);
        put_tensor(&text, name, 1, (const uint64_t[]){8}, TENSOR_F32, (uint64_t)i * 32);
    }
    put_data(&text, 32, (size_t)n * 32);
    struct gguf *gguf = open_text();
    for (uint32_t i = 0; i < n; i++) {
        uint32_t value;
        (void)snprintf(name, sizeof(name), "llama.some.rather.long.key.number.%u", i);
        assert_int_equal(gguf_get_u32(gguf, name, &value, NULL), REALM_OK);
        assert_int_equal(value, i);
    }
    gguf_close(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_kinds_of_values_are_read, begin, end),
        cmocka_unit_test_setup_teardown(typed_lookup_takes_what_fits, begin, end),
        cmocka_unit_test_setup_teardown(typed_lookup_names_the_key_and_the_value, begin, end),
        cmocka_unit_test_setup_teardown(tensors_lie_where_the_directory_says, begin, end),
        cmocka_unit_test_setup_teardown(tensors_may_lie_in_any_order_with_gaps, begin, end),
        cmocka_unit_test_setup_teardown(an_empty_model_is_a_model, begin, end),
        cmocka_unit_test_setup_teardown(every_name_is_found_among_thousands, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
