/* utf8.h, strbuf.h and bytes.h. */
#include "base/bytes.h"
#include "base/strbuf.h"
#include "base/utf8.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <string.h>

static bool is_scalar(uint32_t code_point)
{
    return code_point <= 0x10FFFF && !(code_point >= 0xD800 && code_point <= 0xDFFF);
}

static void every_scalar_value_goes_there_and_back(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110100; c++) {
        uint8_t text[4];
        const size_t length = utf8_encode(c, text);
        if (!is_scalar(c)) {
            assert_int_equal(length, 0);
            continue;
        }
        const size_t expected = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        assert_int_equal(length, expected);
        uint32_t back;
        assert_int_equal(utf8_decode(text, length, &back), length);
        assert_int_equal(back, c);
        for (size_t cut = 0; cut < length; cut++) {
            assert_int_equal(utf8_decode(text, cut, &back), 0);
            assert_int_equal(back, UTF8_REPLACEMENT);
        }
    }
    assert_int_equal(utf8_encode(UINT32_MAX, (uint8_t[4]){0}), 0);
}

/* As all scalar values are accepted, equal counts mean that nothing else is. */
static void nothing_else_is_accepted(void **state)
{
    (void)state;
    uint32_t n_valid[5] = {0};
    uint32_t code_point;
    for (uint32_t i = 0; i < 1u << 24; i++) {
        const uint8_t text[3] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        const size_t length = utf8_decode(text, 3, &code_point);
        n_valid[length]++;
    }
    assert_int_equal(n_valid[1], 128u << 16);
    assert_int_equal(n_valid[2], (0x800u - 0x80u) << 8);
    assert_int_equal(n_valid[3], 0x10000u - 0x800u - 0x800u);
    static const uint8_t edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    for (uint32_t first = 0xF0; first < 0x100; first++) {
        for (uint32_t second = 0; second < 0x100; second++) {
            for (size_t k = 0; k < 100; k++) {
                const uint8_t text[4] = {
                    (uint8_t)first, (uint8_t)second, edges[k / 10], edges[k % 10]};
                const size_t length = utf8_decode(text, 4, &code_point);
                const bool tail = (text[2] & 0xC0) == 0x80 && (text[3] & 0xC0) == 0x80;
                const uint32_t value = (first & 7) << 18 | (second & 0x3F) << 12;
                const bool valid = first < 0xF5 && (second & 0xC0) == 0x80 && tail &&
                                   value >= 0x10000 && value <= 0x10FFFF;
                assert_int_equal(length, valid ? 4 : 0);
            }
        }
    }
}

static void valid_tells_good_from_bad(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"", true},
        {"plain", true},
        {"gr\xC3\xBC\xC3\x9F", true},
        {"\xF0\x9F\x98\x80!", true},
        {"\xC0\x80", false},
        {"\xED\xA0\x80", false},
        {"\xF4\x90\x80\x80", false},
        {"\x80", false},
        {"a\xE2\x82", false},
        {"\xFF", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(utf8_valid((const uint8_t *)cases[i].text, strlen(cases[i].text)),
                         cases[i].valid);
    }
}

static void complete_prefix_never_splits_a_character(void **state)
{
    (void)state;
    struct test_random random;
    test_random_init(&random, "complete_prefix_never_splits_a_character");
    for (int round = 0; round < 2000; round++) {
        uint8_t text[64];
        size_t ends[64];
        size_t n_ends = 0;
        size_t length = 0;
        while (length + 4 <= sizeof(text)) {
            static const uint32_t limits[] = {0x80, 0x800, 0x10000, 0x110000};
            uint32_t c =
                (uint32_t)test_random_below(&random, limits[test_random_below(&random, 4)]);
            length += utf8_encode(is_scalar(c) ? c : 0x20AC, text + length);
            ends[n_ends++] = length;
        }
        for (size_t cut = 0; cut <= length; cut++) {
            size_t expected = 0;
            for (size_t i = 0; i < n_ends && ends[i] <= cut; i++) {
                expected = ends[i];
            }
            assert_int_equal(utf8_complete_prefix(text, cut), expected);
        }
    }
}

static void complete_prefix_does_not_wait_for_what_cannot_come(void **state)
{
    (void)state;
    static const char *const hopeless[] = {"a\x80",
                                           "\x80\x80\x80\x80",
                                           "a\xE0\x80",
                                           "a\xED\xA0",
                                           "a\xF4\x90",
                                           "a\xFF",
                                           "a\xC1",
                                           "\xF5\x80",
                                           "a\xE2\x28"};
    for (size_t i = 0; i < sizeof(hopeless) / sizeof(hopeless[0]); i++) {
        const size_t length = strlen(hopeless[i]);
        assert_int_equal(utf8_complete_prefix((const uint8_t *)hopeless[i], length), length);
    }
    assert_int_equal(utf8_complete_prefix((const uint8_t *)"a\xF0\x9F\x98", 4), 1);
    assert_int_equal(utf8_complete_prefix((const uint8_t *)"a\xE2", 2), 1);
}

static void strbuf_grows_and_stays_terminated(void **state)
{
    (void)state;
    struct strbuf buffer;
    strbuf_init(&buffer, ALLOC_TEST, SIZE_MAX);
    assert_string_equal(buffer.text, "");
    for (int i = 0; i < 1000; i++) {
        assert_true(strbuf_append_format(&buffer, "%d,", i));
        assert_int_equal(strlen(buffer.text), buffer.length);
    }
    assert_memory_equal(buffer.text, "0,1,2,3,", 8);
    strbuf_consume(&buffer, 4);
    assert_memory_equal(buffer.text, "2,3,", 4);
    strbuf_consume(&buffer, SIZE_MAX);
    assert_string_equal(buffer.text, "");
    strbuf_deinit(&buffer);
    strbuf_deinit(&buffer);
    assert_int_equal(alloc_held_bytes(ALLOC_TEST), 0);
}

static void strbuf_keeps_what_it_had_when_full(void **state)
{
    (void)state;
    struct strbuf buffer;
    strbuf_init(&buffer, ALLOC_TEST, 8);
    assert_true(strbuf_append_text(&buffer, "12345678"));
    assert_false(buffer.failed);
    assert_false(strbuf_append_char(&buffer, '9'));
    assert_true(buffer.failed);
    assert_string_equal(buffer.text, "12345678");
    strbuf_consume(&buffer, 4);
    assert_false(strbuf_append_char(&buffer, '9')); /* failed stays until the check */
    assert_false(strbuf_append_format(&buffer, "%d", 9));
    assert_false(strbuf_append_json(&buffer, "", 0));
    strbuf_clear(&buffer);
    assert_false(strbuf_append_json(&buffer, "1234567", 7));
    assert_string_equal(buffer.text, "");
    strbuf_clear(&buffer);
    assert_true(strbuf_append_json(&buffer, "123456", 6));
    assert_string_equal(buffer.text, "\"123456\"");
    strbuf_deinit(&buffer);
}

static void strbuf_survives_a_failed_allocation(void **state)
{
    (void)state;
    struct strbuf buffer;
    strbuf_init(&buffer, ALLOC_TEST, SIZE_MAX);
    alloc_fail_after(0);
    assert_false(strbuf_append_text(&buffer, "x"));
    alloc_fail_after(UINT64_MAX);
    assert_true(buffer.failed);
    assert_string_equal(buffer.text, "");
    strbuf_clear(&buffer);
    assert_true(strbuf_append_text(&buffer, "y"));
    strbuf_deinit(&buffer);
}

static void json_text_is_escaped(void **state)
{
    (void)state;
    struct strbuf buffer;
    strbuf_init(&buffer, ALLOC_TEST, SIZE_MAX);
    static const char text[] =
        "a\"b\\c/\b\f\n\r\t\x01\x1F\x7F\0z \xC3\xA9 \xF0\x9F\x98\x80 \xFF\xE2\x82";
    assert_true(strbuf_append_json(&buffer, text, sizeof(text) - 1));
    assert_string_equal(buffer.text,
                        "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\\u0000z \xC3\xA9 "
                        "\xF0\x9F\x98\x80 \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    strbuf_deinit(&buffer);
}

static void cursor_never_passes_its_end(void **state)
{
    (void)state;
    static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    struct byte_cursor cursor = {.bytes = {data, sizeof(data)}};
    uint8_t u8;
    uint16_t u16;
    uint32_t u32 = 7;
    uint64_t u64;
    assert_true(byte_cursor_u64(&cursor, &u64));
    assert_int_equal(u64, 0x0807060504030201);
    assert_false(byte_cursor_u32(&cursor, &u32));
    assert_int_equal(u32, 7);
    assert_false(byte_cursor_u64(&cursor, &u64));
    assert_int_equal(cursor.position, 8);
    assert_true(byte_cursor_u16(&cursor, &u16));
    assert_int_equal(u16, 0x0A09);
    assert_true(byte_cursor_u8(&cursor, &u8));
    assert_int_equal(u8, 11);
    assert_false(byte_cursor_u8(&cursor, &u8));
    struct bytes taken;
    assert_false(byte_cursor_take(&cursor, SIZE_MAX, &taken));
    assert_true(byte_cursor_take(&cursor, 0, &taken));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_value_goes_there_and_back),
        cmocka_unit_test(nothing_else_is_accepted),
        cmocka_unit_test(valid_tells_good_from_bad),
        cmocka_unit_test(complete_prefix_never_splits_a_character),
        cmocka_unit_test(complete_prefix_does_not_wait_for_what_cannot_come),
        cmocka_unit_test(strbuf_grows_and_stays_terminated),
        cmocka_unit_test(strbuf_keeps_what_it_had_when_full),
        cmocka_unit_test(strbuf_survives_a_failed_allocation),
        cmocka_unit_test(json_text_is_escaped),
        cmocka_unit_test(cursor_never_passes_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
