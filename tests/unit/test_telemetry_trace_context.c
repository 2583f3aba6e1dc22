/* The headers of W3C trace context: what is taken and what is not. */
#include "support/cmocka_all.h"
#include "telemetry/trace_context.h"

#include <string.h>

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define VALID  "00-" TRACE "-" PARENT "-01"

static void valid_parents_are_joined(void **state)
{
    static const struct {
        const char *text;
        bool sampled;
    } cases[] = {
        {VALID, true},
        {"00-" TRACE "-" PARENT "-00", false},
        {"00-" TRACE "-" PARENT "-03", true},
        {"00-" TRACE "-" PARENT "-fe", false},
        {"cc-" TRACE "-" PARENT "-01", true},
        {"cc-" TRACE "-" PARENT "-01-what-comes-later", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trace_context context;
        char text[2 * TRACE_ID_BYTES + 1];
        assert_true(trace_context_begin(&context, 0));
        const struct trace_context before = context;
        assert_true(trace_context_join(&context, cases[i].text, NULL));
        assert_int_equal(context.sampled, cases[i].sampled);
        trace_write_hex(context.trace_id, TRACE_ID_BYTES, text);
        assert_string_equal(text, TRACE);
        trace_write_hex(context.parent_id, SPAN_ID_BYTES, text);
        assert_string_equal(text, PARENT);
        assert_memory_equal(context.span_id, before.span_id, SPAN_ID_BYTES);
    }
}

static void invalid_parents_change_nothing(void **state)
{
    static const char *const cases[] = {
        "",
        "00",
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-",
        "00-" TRACE "-" PARENT "-1",
        "00-" TRACE "-" PARENT "-011",
        "00-" TRACE "-" PARENT "-01-more",
        "00-" TRACE "-" PARENT "-.1",
        "0-" TRACE "-" PARENT "-01",
        "ff-" TRACE "-" PARENT "-01",
        "0G-" TRACE "-" PARENT "-01",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "cc-" TRACE "-" PARENT "-01.what",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
        "00-" TRACE "-00F067AA0BA902B7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-" PARENT "-01",
        "00-" TRACE "-00f067aa0ba902b-01",
        " " VALID,
        VALID " ",
        VALID "," VALID,
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trace_context context;
        assert_true(trace_context_begin(&context, 1));
        const struct trace_context before = context;
        assert_false(trace_context_join(&context, cases[i], "a=1"));
        assert_memory_equal(&context, &before, sizeof context);
    }
}

static void states_are_kept_where_they_are_valid(void **state)
{
    static const char *const valid[] = {"a=1", "a=1,b=2", "a=1 , b=2", "1t@sys=x y/z", "a=1,,b=2"};
    static const char *const invalid[] = {
        "a", "=1", "a=", "A=1", "a=1=2", "a b=1", "@a=1", "_a=1", "a=\x7f"};
    (void)state;
    struct trace_context context;
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++) {
        assert_true(trace_context_begin(&context, 1));
        assert_true(trace_context_join(&context, VALID, valid[i]));
        assert_string_equal(context.state, valid[i]);
    }
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++) {
        assert_true(trace_context_begin(&context, 1));
        assert_true(trace_context_join(&context, VALID, invalid[i]));
        assert_string_equal(context.state, "");
    }
}

static void a_share_of_new_traces_is_sampled(void **state)
{
    uint32_t n_sampled = 0;
    (void)state;
    for (uint32_t i = 0; i < 2000; i++) {
        struct trace_context context;
        assert_true(trace_context_begin(&context, 0.25));
        n_sampled += context.sampled;
        assert_true(trace_context_begin(&context, 1) && context.sampled);
        assert_true(trace_context_begin(&context, 0) && !context.sampled);
    }
    assert_in_range(n_sampled, 380, 620);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_parents_are_joined),
        cmocka_unit_test(invalid_parents_change_nothing),
        cmocka_unit_test(states_are_kept_where_they_are_valid),
        cmocka_unit_test(a_share_of_new_traces_is_sampled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
