/* Reading JSON values with ranges, and errors as clients read them. */
#include "base/alloc.h"
#include "server/json.h"
#include "support/cmocka_all.h"

#include <string.h>

static struct problem problem;

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    problem = (struct problem){.http_status = 0};
    const realm_status status = json_parse_object(text, strlen(text), &json, &problem);
    assert_int_equal(status == REALM_OK, json != NULL);
    assert_true(status == REALM_OK || status == REALM_INVALID_ARGUMENT);
    return json;
}

/* A list nested `depth` deep within the object. */
static bool nests(uint32_t depth)
{
    char text[512] = "{\"a\":";
    size_t n = 5;
    for (uint32_t i = 0; i < depth; i++) {
        text[n++] = '[';
    }
    for (uint32_t i = 0; i < depth; i++) {
        text[n++] = ']';
    }
    text[n++] = '}';
    text[n] = '\0';
    json_t *const json = parse(text);
    json_decref(json);
    return json != NULL;
}

static void nesting_has_its_limit(void **state)
{
    (void)state;
    assert_true(nests(1));
    assert_true(nests(JSON_MAX_DEPTH - 1));
    assert_false(nests(JSON_MAX_DEPTH));
    assert_non_null(strstr(problem.error.message, "64"));
}

static void brackets_in_strings_do_not_nest(void **state)
{
    (void)state;
    char text[512] = "{\"a\":\"\\\"";
    memset(text + strlen(text), '[', 300);
    memcpy(text + strlen(text), "\\\\\"}", 5);
    json_t *const json = parse(text);
    assert_non_null(json);
    json_decref(json);
}

static void what_is_no_object_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "[]",
                                      "1",
                                      "\"a\"",
                                      "null",
                                      "{",
                                      "{}}",
                                      "{\"a\":1,\"a\":2}",
                                      "{\"a\":\"\xff\"}",
                                      "{} x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_null(parse(bad[i]));
        assert_int_equal(problem_http_status(&problem), 400);
        assert_true(problem.error.message[0] != '\0');
    }
}

static void numbers_keep_to_their_range(void **state)
{
    (void)state;
    json_t *const json =
        parse("{\"low\":3,\"high\":9,\"less\":2,\"more\":10,\"minus\":-1,\"real\":3.5,"
              "\"big\":9223372036854775807,\"text\":\"4\"}");
    uint32_t whole = 0;
    float real = 0;
    const struct {
        const char *name;
        bool whole;
        bool real;
    } rows[] = {{"low", true, true},
                {"high", true, true},
                {"less", false, false},
                {"more", false, false},
                {"minus", false, false},
                {"real", false, true},
                {"big", false, false},
                {"text", false, false},
                {"absent", false, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const json_t *const value = json_object_get(json, rows[i].name);
        assert_int_equal(json_read_u32(value, rows[i].name, 3, 9, &whole, &problem) == REALM_OK,
                         rows[i].whole);
        assert_int_equal(json_read_float(value, rows[i].name, 3, 9, &real, &problem) == REALM_OK,
                         rows[i].real);
        if (!rows[i].real) {
            assert_string_equal(problem.param, rows[i].name);
            assert_non_null(strstr(problem.error.message, rows[i].name));
        }
    }
    json_decref(json);
}

static void kinds_are_told_apart(void **state)
{
    (void)state;
    json_t *const json = parse("{\"yes\":true,\"text\":\"ab\",\"one\":1}");
    bool yes = false;
    struct bytes text = {.length = 0};
    assert_int_equal(json_read_bool(json_object_get(json, "yes"), "yes", &yes, &problem), REALM_OK);
    assert_true(yes);
    assert_int_equal(json_read_bool(json_object_get(json, "one"), "one", &yes, &problem),
                     REALM_INVALID_ARGUMENT);
    assert_string_equal(problem.error.message, "one is an integer and must be true or false");
    assert_int_equal(json_read_text(json_object_get(json, "text"), "text", &text, &problem),
                     REALM_OK);
    assert_int_equal(text.length, 2);
    assert_int_equal(json_read_text(NULL, "none", &text, &problem), REALM_INVALID_ARGUMENT);
    assert_string_equal(problem.error.message, "none is absent and must be a string");
    json_decref(json);
}

static void every_status_has_an_answer_that_is_json(void **state)
{
    (void)state;
    for (int status = REALM_OK + 1; status < REALM_N_STATUSES; status++) {
        struct strbuf text;
        struct problem told = {.http_status = 0};
        strbuf_init(&text, ALLOC_TEST, 65536);
        (void)problem_set(&told, (realm_status)status, "a\"b", "quotes \" and \n and \xc3\xb6");
        assert_in_range(problem_http_status(&told), 400, 599);
        problem_write(&told, &text);
        json_t *const json = parse(text.text);
        assert_non_null(json);
        const json_t *const error = json_object_get(json, "error");
        assert_string_equal(json_string_value(json_object_get(error, "param")), "a\"b");
        assert_string_equal(json_string_value(json_object_get(error, "message")),
                            "quotes \" and \n and \xc3\xb6");
        assert_true(json_is_string(json_object_get(error, "type")));
        assert_true(json_is_string(json_object_get(error, "code")));
        json_decref(json);
        strbuf_deinit(&text);
    }
}

static void a_problem_cuts_long_fields_and_keeps_its_own_status_and_code(void **state)
{
    (void)state;
    char field[200];
    struct strbuf text;
    struct problem told = {.http_status = 413, .code = "own_code"};
    memset(field, 'x', sizeof field - 1);
    field[sizeof field - 1] = '\0';
    (void)problem_set(&told, REALM_INVALID_ARGUMENT, field, "m");
    assert_int_equal(strlen(told.param), sizeof told.param - 1);
    assert_int_equal(problem_http_status(&told), 413);
    strbuf_init(&text, ALLOC_TEST, 4096);
    problem_write(&told, &text);
    assert_non_null(strstr(text.text, "\"code\":\"own_code\""));
    strbuf_deinit(&text);
}

static void no_memory_leaks_in_any_case(void **state)
{
    (void)state;
    assert_int_equal(alloc_held_bytes(ALLOC_SERVER), 0);
    static const char text[] = "{\"a\":[1,{\"b\":\"c\"}],\"d\":1.5}";
    for (uint64_t n = 0;; n++) {
        json_t *json = NULL;
        problem = (struct problem){.http_status = 0};
        alloc_fail_after(n);
        const realm_status status = json_parse_object(text, sizeof text - 1, &json, &problem);
        alloc_fail_after(UINT64_MAX);
        json_decref(json);
        assert_int_equal(alloc_held_bytes(ALLOC_SERVER), 0);
        assert_true(status == REALM_OK || status == REALM_OUT_OF_MEMORY);
        if (status == REALM_OK) {
            assert_true(n > 3);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nesting_has_its_limit),
        cmocka_unit_test(brackets_in_strings_do_not_nest),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(numbers_keep_to_their_range),
        cmocka_unit_test(kinds_are_told_apart),
        cmocka_unit_test(every_status_has_an_answer_that_is_json),
        cmocka_unit_test(a_problem_cuts_long_fields_and_keeps_its_own_status_and_code),
        cmocka_unit_test(no_memory_leaks_in_any_case),
    };
    json_use_our_allocator();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
