/* Each kind of malformed file gives an error that names the key or tensor and the bad value. */
#include "gguf/gguf.h"
#include "support/cmocka_all.h"
#include "support/gguf_support.h"

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

/* The bytes in `text` must be refused with all the words; text is empty afterwards. */
static void assert_refused(realm_status expected, const char *const *words)
{
    struct gguf *gguf;
    struct realm_error error = {.message = ""};
    const realm_status status = gguf_open_bytes(strbuf_bytes(&text), &gguf, &error);
    assert_null(gguf);
    if (status != expected) {
        fail_msg("%s instead of %s: %s",
                 realm_status_name(status),
                 realm_status_name(expected),
                 error.message);
    }
    assert_int_equal(error.status, expected);
    for (; *words != NULL; words++) {
        if (strstr(error.message, *words) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", error.message, *words);
        }
    }
    strbuf_clear(&text);
}

#define WORDS(...)       ((const char *const[]){__VA_ARGS__, NULL})
#define BAD(...)         assert_refused(REALM_INVALID_FORMAT, WORDS(__VA_ARGS__))
#define UNSUPPORTED(...) assert_refused(REALM_UNSUPPORTED, WORDS(__VA_ARGS__))

static void headers(void **state)
{
    (void)state;
    BAD("0 bytes");
    (void)strbuf_append_text(&text, "GGU");
    BAD("3 bytes");
    (void)strbuf_append(&text, "\x89PNG....", 8);
    BAD("not a GGUF", "89 50 4e 47", "PNG");
    (void)strbuf_append_text(&text, "FUGG....");
    UNSUPPORTED("big-endian");
    (void)strbuf_append(&text, "GGUF\0\0\0\3", 8);
    UNSUPPORTED("big-endian", "version 3");
    (void)strbuf_append(&text, "GGUF\3\0", 6);
    BAD("version");
    put_header(&text, 1, 0, 0);
    UNSUPPORTED("version 1");
    put_header(&text, 4, 0, 0);
    UNSUPPORTED("version 4");
    put_header(&text, 0xFFFFFFFFu, 0, 0);
    UNSUPPORTED("4294967295");
    put_header(&text, 3, 0, 0);
    text.length -= 1;
    BAD("ends in its header", "23 bytes");
}

static void counts_larger_than_the_file(void **state)
{
    (void)state;
    put_header(&text, 3, 1, 0);
    BAD("counts 1 tensors", "0 bytes are left");
    put_header(&text, 3, 0, 1);
    BAD("counts 1 keys", "0 bytes are left");
    put_header(&text, 3, UINT64_MAX, 0);
    BAD("18446744073709551615 tensors");
    put_header(&text, 3, 0, UINT64_MAX / 14 + 1);
    BAD("1317624576693539402 keys");
    put_header(&text, 3, 0, 100000);
    put_data(&text, 1, 1400000);
    UNSUPPORTED("100000 keys", "at most 65536");
}

static void put_one_value(const char *key, uint32_t type)
{
    put_header(&text, 3, 0, 1);
    put_key(&text, key, type);
}

static void keys(void **state)
{
    (void)state;
    put_one_value("twice", GGUF_U8);
    put_u8(&text, 0);
    text.text[16] = 2; /* the count of values */
    put_key(&text, "twice", GGUF_U8);
    put_u8(&text, 0);
    BAD("key twice", "appears twice");

    put_one_value("", GGUF_U32);
    put_u32(&text, 0);
    BAD("key number 0", "empty");

    put_one_value("ab", GGUF_U32);
    text.text[24 + 8] = '\0';
    put_u32(&text, 0);
    BAD("key number 0", "\\x00b", "zero byte");

    put_one_value("a\nb", GGUF_U32);
    put_u32(&text, 0);
    BAD("a\\x0ab", "control character");

    put_one_value("a\xFF", GGUF_U32);
    put_u32(&text, 0);
    BAD("a\\xff", "not UTF-8");

    put_header(&text, 3, 0, 1);
    put_u64(&text, 70000);
    put_data(&text, 1, 70004);
    memset(text.text + 32, 'k', 70000);
    BAD("key number 0", "kkkk...", "70000 bytes", "too long");

    put_header(&text, 3, 0, 1);
    put_u64(&text, UINT64_MAX);
    put_data(&text, 1, 20);
    BAD("key number 0", "18446744073709551615", "20 bytes are left");

    put_one_value("long.enough.key", GGUF_U32);
    text.length -= 4;
    put_u8(&text, 0);
    BAD("key long.enough.key", "value type");
}

static void values(void **state)
{
    (void)state;
    put_one_value("some.key", 13);
    put_u32(&text, 0);
    BAD("some.key", "unknown value type 13");
    put_one_value("some.key", UINT32_MAX);
    put_u32(&text, 0);
    BAD("some.key", "4294967295");
    put_one_value("some.key", GGUF_BOOL);
    put_u8(&text, 2);
    BAD("some.key", "0 or 1, not 2");
    put_one_value("some.key", GGUF_U64);
    put_u32(&text, 0);
    BAD("some.key", "ends inside its value");
    put_one_value("some.key", GGUF_STRING);
    put_u64(&text, 5);
    put_u32(&text, 0);
    BAD("some.key", "is 5", "4 bytes are left");
    put_one_value("some.key", GGUF_STRING);
    put_u32(&text, 0);
    BAD("some.key", "length");
}

static void put_array(const char *key, uint32_t item_type, uint64_t n_items)
{
    put_one_value(key, GGUF_ARRAY);
    put_u32(&text, item_type);
    put_u64(&text, n_items);
}

static void arrays(void **state)
{
    (void)state;
    put_one_value("arr", GGUF_ARRAY);
    put_u32(&text, 0);
    BAD("arr", "array header");
    put_array("arr", 99, 1);
    BAD("arr", "unknown value type 99");
    put_array("arr", GGUF_ARRAY, 1);
    UNSUPPORTED("arr", "array of arrays");
    put_array("arr", GGUF_F64, 3);
    put_data(&text, 1, 23);
    BAD("arr", "3 f64 items", "23 bytes are left");
    put_array("arr", GGUF_F64, UINT64_MAX / 8 + 2);
    put_data(&text, 1, 64);
    BAD("arr", "2305843009213693953 f64 items");
    put_array("arr", GGUF_STRING, (uint64_t)1 << 61);
    put_data(&text, 1, 64);
    BAD("arr", "2305843009213693952 string items");
    put_array("arr", GGUF_BOOL, 3);
    put_u8(&text, 1);
    put_u8(&text, 0);
    put_u8(&text, 7);
    BAD("arr", "item 2", "not 7");
    put_array("arr", GGUF_STRING, 3);
    put_string(&text, "ok");
    put_u64(&text, UINT64_MAX);
    put_data(&text, 1, 10);
    BAD("arr", "string 1 of 3", "past the end");
}

static void alignments(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 1, 2, 4, 12, 48, UINT32_MAX};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char number[16];
        (void)snprintf(number, sizeof(number), ": %u ", bad[i]);
        put_one_value("general.alignment", GGUF_U32);
        put_u32(&text, bad[i]);
        BAD("general.alignment", number);
    }
    put_one_value("general.alignment", GGUF_STRING);
    put_string(&text, "32");
    BAD("general.alignment", "string");
    put_one_value("general.alignment", GGUF_U64);
    put_u64(&text, (uint64_t)1 << 32);
    BAD("general.alignment", "4294967296");
}

static void put_one_tensor(const char *name, uint32_t n_dims, const uint64_t *shape, uint32_t type)
{
    put_header(&text, 3, 1, 0);
    put_tensor(&text, name, n_dims, shape, type, 0);
}

static void tensor_names(void **state)
{
    (void)state;
    put_one_tensor("", 1, (const uint64_t[]){8}, TENSOR_F32);
    put_data(&text, 32, 32);
    BAD("tensor number 0", "empty");
    put_header(&text, 3, 2, 0);
    put_tensor(&text, "same", 1, (const uint64_t[]){8}, TENSOR_F32, 0);
    put_tensor(&text, "same", 1, (const uint64_t[]){8}, TENSOR_F32, 32);
    put_data(&text, 32, 64);
    BAD("tensor same", "appears twice");
    char name[300];
    memset(name, 'n', sizeof(name));
    name[256] = '\0';
    put_one_tensor(name, 1, (const uint64_t[]){8}, TENSOR_F32);
    BAD("tensor number 0", "nnn...", "256 bytes", "too long");
    put_header(&text, 3, 1, 0);
    put_u64(&text, 1000);
    put_data(&text, 1, 40);
    BAD("tensor number 0", "1000", "40 bytes are left");
}

static void tensor_shapes(void **state)
{
    (void)state;
    put_one_tensor("w", 0, NULL, TENSOR_F32);
    put_data(&text, 1, 32);
    BAD("tensor w", "0 dimensions");
    put_one_tensor("w", 5, (const uint64_t[]){1, 1, 1, 1, 1}, TENSOR_F32);
    BAD("tensor w", "5 dimensions");
    put_one_tensor("w", 2, (const uint64_t[]){8, 0}, TENSOR_F32);
    BAD("tensor w", "dimension 1 is 0");
    put_one_tensor("w", 2, (const uint64_t[]){(uint64_t)1 << 32, (uint64_t)1 << 32}, TENSOR_F32);
    BAD("tensor w", "dimension 1 of 4294967296", "more elements");
    put_one_tensor("w", 1, (const uint64_t[]){(uint64_t)1 << 63}, TENSOR_I8);
    BAD("tensor w", "9223372036854775808", "more elements");
    put_one_tensor("w", 2, (const uint64_t[]){(uint64_t)1 << 31, (uint64_t)1 << 31}, TENSOR_F64);
    BAD("tensor w", "4611686018427387904 elements of F64");
    put_one_tensor("w", 2, (const uint64_t[]){33, 2}, TENSOR_Q4_0);
    BAD("tensor w", "33 elements", "32", "Q4_0");
    put_one_tensor("w", 2, (const uint64_t[]){128, 2}, TENSOR_Q4_K);
    BAD("tensor w", "128 elements", "256", "Q4_K");
    put_header(&text, 3, 1, 0);
    put_string(&text, "a.name");
    put_u32(&text, 4);
    put_data(&text, 1, 20);
    BAD("tensor a.name", "shape");
    put_header(&text, 3, 1, 0);
    put_string(&text, "a.name");
    put_u32(&text, 2);
    put_u64(&text, 1);
    put_u64(&text, 1);
    BAD("tensor a.name", "type and offset");
}

static void tensor_types(void **state)
{
    (void)state;
    put_one_tensor("w", 1, (const uint64_t[]){256}, 99);
    UNSUPPORTED("tensor w", "unknown type 99");
    put_one_tensor("w", 1, (const uint64_t[]){256}, UINT32_MAX);
    UNSUPPORTED("tensor w", "4294967295");
    put_one_tensor("w", 1, (const uint64_t[]){256}, 16);
    UNSUPPORTED("tensor w", "type 16", "IQ2_XXS");
}

static void tensor_places(void **state)
{
    (void)state;
    put_one_tensor("w", 1, (const uint64_t[]){8}, TENSOR_F32);
    put_data(&text, 32, 31);
    BAD("tensor w", "32 bytes", "31 bytes of tensors");
    put_one_tensor("w", 1, (const uint64_t[]){8}, TENSOR_F32); /* not even padding */
    BAD("tensor w", "0 bytes of tensors");
    put_header(&text, 3, 1, 0);
    put_tensor(&text, "w", 1, (const uint64_t[]){8}, TENSOR_F32, 16);
    put_data(&text, 32, 64);
    BAD("tensor w", "offset 16", "alignment 32");
    put_header(&text, 3, 1, 0);
    put_tensor(&text, "w", 1, (const uint64_t[]){8}, TENSOR_F32, UINT64_MAX - 31);
    put_data(&text, 32, 64);
    BAD("tensor w", "offset 18446744073709551584");
    put_header(&text, 3, 2, 0);
    put_tensor(&text, "one", 1, (const uint64_t[]){9}, TENSOR_F32, 0);
    put_tensor(&text, "two", 1, (const uint64_t[]){8}, TENSOR_F32, 32);
    put_data(&text, 32, 64);
    BAD("tensor two", "offset 32", "overlap tensor one");
    put_header(&text, 3, 3, 0);
    put_tensor(&text, "one", 1, (const uint64_t[]){8}, TENSOR_F32, 64);
    put_tensor(&text, "two", 1, (const uint64_t[]){8}, TENSOR_F32, 0);
    put_tensor(&text, "three", 1, (const uint64_t[]){8}, TENSOR_F32, 64);
    put_data(&text, 32, 96);
    BAD("overlap tensor", "offset 64");
}

static void a_message_keeps_the_bad_value_behind_a_long_key(void **state)
{
    (void)state;
    char key[4000];
    memset(key, 'k', sizeof(key));
    key[sizeof(key) - 1] = '\0';
    put_one_value(key, GGUF_BOOL);
    put_u8(&text, 9);
    BAD("kkkk...", "0 or 1, not 9");
}

/* A claim costs nothing: what is refused took no more memory than a small file would. */
static void a_claimed_count_takes_no_memory(void **state)
{
    (void)state;
    enum { n_bytes = 1 << 20 };
    put_array("arr", GGUF_STRING, n_bytes / 8);
    put_data(&text, 1, n_bytes);
    memset(text.text + text.length - n_bytes, 0xFF, n_bytes);
    const uint64_t count = alloc_count();
    BAD("arr", "string 0 of 131072");
    assert_true(alloc_count() - count < 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(headers, begin, end),
        cmocka_unit_test_setup_teardown(counts_larger_than_the_file, begin, end),
        cmocka_unit_test_setup_teardown(keys, begin, end),
        cmocka_unit_test_setup_teardown(values, begin, end),
        cmocka_unit_test_setup_teardown(arrays, begin, end),
        cmocka_unit_test_setup_teardown(alignments, begin, end),
        cmocka_unit_test_setup_teardown(tensor_names, begin, end),
        cmocka_unit_test_setup_teardown(tensor_shapes, begin, end),
        cmocka_unit_test_setup_teardown(tensor_types, begin, end),
        cmocka_unit_test_setup_teardown(tensor_places, begin, end),
        cmocka_unit_test_setup_teardown(
            a_message_keeps_the_bad_value_behind_a_long_key, begin, end),
        cmocka_unit_test_setup_teardown(a_claimed_count_takes_no_memory, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
