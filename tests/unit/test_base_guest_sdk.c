/* The reader and writer of JSON that C programs are built with (guests/sdk-c), as native code: what
 * a model wrote is read as it is, so nothing may be read behind its end. */
#include "../../guests/sdk-c/json.h"
#include "../../guests/sdk-c/text.h"
#include "base/alloc.h"
#include "base/random.h"
#include "support/cmocka_all.h"

#include <string.h>

#define N_MUTATIONS 4000u
#define SEED        20u

static const char document[] =
    "{\"messages\": [{\"role\":\"user\",\"content\":\"a \\\"}{][,\\\\\"}, {\"content\": []}],\n"
    " \"n\\u0061me\" : \"\\u00e4\\ud83d\\ude00\\n\\/\" "
    ",\"temperature\":-1.25e-2,\"on\":true,\"null\":null,"
    "\"nested\":{\"temperature\":7,\"deep\":[[[1,2],[3]],{\"x\":{}}]},\"last\":12}";

/* A program never gives memory back; a test does, at its end. */
struct piece {
    struct piece *next;
    max_align_t bytes[];
};
static struct piece *pieces;

void *guest_allocate(size_t n_bytes)
{
    struct piece *piece = alloc_zeroed(ALLOC_BASE, 1, sizeof(struct piece) + n_bytes);
    assert_non_null(piece);
    piece->next = pieces;
    pieces = piece;
    return piece->bytes;
}

static int give_back(void **state)
{
    (void)state;
    while (pieces != NULL) {
        struct piece *piece = pieces;
        pieces = piece->next;
        alloc_free(piece);
    }
    return 0;
}

/* In memory of just its size, where a sanitizer sees one byte too many. */
static struct text exact(const char *data, size_t length)
{
    char *bytes = guest_allocate(length);
    memcpy(bytes, data, length);
    return (struct text){.data = bytes, .length = length};
}

static void assert_text(struct text text, const char *expected)
{
    assert_int_equal(text.length, strlen(expected));
    assert_memory_equal(text.data, expected, text.length);
}

static void members_are_found_by_what_their_names_say(void **state)
{
    (void)state;
    const struct text object = text_of(document);
    assert_text(json_member(object, "temperature"), "-1.25e-2");
    assert_text(json_member(json_member(object, "nested"), "temperature"), "7");
    assert_text(json_string(json_member(object, "name")), "\xC3\xA4\xF0\x9F\x98\x80\n/");
    assert_true(json_is_true(json_member(object, "on")));
    assert_false(json_is_true(json_member(object, "null")));
    assert_text(json_member(object, "null"), "null");
    assert_text(json_member(object, "last"), "12");
    assert_int_equal(json_member(object, "none").length, 0);
    assert_int_equal(json_member(json_member(object, "last"), "x").length, 0);
}

static void items_come_in_order(void **state)
{
    (void)state;
    struct text item;
    struct text rest = json_items(json_member(text_of(document), "messages"));
    assert_true(json_next(&rest, &item));
    assert_text(json_string(json_member(item, "content")), "a \"}{][,\\");
    assert_true(json_next(&rest, &item));
    assert_text(json_member(item, "content"), "[]");
    assert_false(json_next(&rest, &item));
    assert_false(json_next(&rest, &item));
    rest = json_items(text_of("[1 , \"a,b\",{\"c\":[2]} ,[3,[4]]]"));
    for (uint32_t i = 0; i < 4; i++) {
        static const char *const items[] = {"1", "\"a,b\"", "{\"c\":[2]}", "[3,[4]]"};
        assert_true(json_next(&rest, &item));
        assert_text(item, items[i]);
    }
    assert_false(json_next(&rest, &item));
    rest = json_items(text_of("12"));
    assert_false(json_next(&rest, &item));
}

static void strings_and_numbers_read_as_they_are_meant(void **state)
{
    (void)state;
    assert_text(json_string(text_of(" \"\\t\\u20AC\\ud83d.\\ude00\" ")),
                "\t\xE2\x82\xAC\xEF\xBF\xBD.\xEF\xBF\xBD");
    assert_text(json_string(text_of("\"\\u12\"")), "\xEF\xBF\xBD");
    assert_text(json_string(text_of("12")), "");
    assert_text(json_string(text_of("\"open")), "");
    static const struct {
        const char *text;
        double value;
    } numbers[] = {
        {"0", 0}, {"12", 12}, {"-3.5", -3.5}, {" 1e3 ", 1000}, {"2.5E-1", 0.25}, {"4096.0", 4096}};
    for (uint32_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_float_equal(json_number(text_of(numbers[i].text), -1), numbers[i].value, 1e-12);
    }
    assert_float_equal(json_number(text_of("\"12\""), -1), -1, 0);
    assert_float_equal(json_number(text_of(""), -1), -1, 0);
    assert_float_equal(json_number(text_of("-"), -1), -1, 0);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    struct buffer out = {.data = NULL};
    const struct text hard = TEXT("\"\\ \x01\n\xC3\xA4{}[],:");
    buffer_string(&out, "{\"a\":");
    buffer_json(&out, hard);
    buffer_string(&out, ",\"b\":");
    buffer_integer(&out, INT64_MIN);
    buffer_string(&out, ",\"c\":");
    buffer_decimal(&out, -0.0625);
    buffer_string(&out, ",\"d\":");
    buffer_decimal(&out, 0.0 / 0.0);
    buffer_string(&out, "}");
    const struct text object = buffer_view(&out);
    assert_true(text_equal(json_string(json_member(object, "a")), hard));
    assert_text(json_member(object, "b"), "-9223372036854775808");
    assert_text(json_member(object, "c"), "-0.062500");
    assert_text(json_member(object, "d"), "null");
    assert_int_equal(text_find(object, TEXT("\"b\"")), 33);
    assert_int_equal(text_find(object, TEXT("none")), NOT_FOUND);
    assert_int_equal(text_find(TEXT("ab"), TEXT("abc")), NOT_FOUND);
    assert_text(text_trim(TEXT(" \r\n\tx y ")), "x y");
}

/* Reads all there is; what comes is of no matter. */
static void read_all(struct text text, uint32_t depth)
{
    static const char *const names[] = {"messages", "content", "name", "nested", "deep", "x"};
    (void)json_string(text);
    (void)json_number(text, 0);
    (void)json_is_true(text);
    if (depth == 0) {
        return;
    }
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct text member = json_member(text, names[i]);
        if (member.length > 0) {
            read_all(member, depth - 1);
        }
    }
    struct text rest = json_items(text);
    struct text item;
    while (json_next(&rest, &item)) {
        read_all(item, depth - 1);
    }
}

static void nothing_is_read_behind_the_end(void **state)
{
    for (size_t length = 0; length < sizeof(document); length++) {
        read_all(exact(document, length), 4);
        (void)give_back(state);
    }
    struct philox random = {.seed = SEED};
    for (uint32_t i = 0; i < N_MUTATIONS; i++) {
        static const char bytes[] = "{}[]\",:\\u0 \xC3\x80";
        char text[sizeof(document)];
        memcpy(text, document, sizeof(document));
        for (uint32_t k = 0; k < 3; k++) {
            const uint32_t at = (uint32_t)(philox_u32(&random) % (sizeof(document) - 1));
            text[at] = bytes[philox_u32(&random) % (sizeof(bytes) - 1)];
        }
        read_all(exact(text, philox_u32(&random) % sizeof(document)), 4);
        (void)give_back(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(members_are_found_by_what_their_names_say, give_back),
        cmocka_unit_test_teardown(items_come_in_order, give_back),
        cmocka_unit_test_teardown(strings_and_numbers_read_as_they_are_meant, give_back),
        cmocka_unit_test_teardown(what_is_written_reads_back, give_back),
        cmocka_unit_test_teardown(nothing_is_read_behind_the_end, give_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
