/* Amounts and moments as people write them. */
#include "cli/decimal.h"
#include "cli/moment.h"
#include "support/cmocka_all.h"

#include <string.h>

static void amounts_are_read_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t micro;
    } good[] = {{"0", 0},
                {"0.15", 150000},
                {"3", 3000000},
                {".5", 500000},
                {"2.", 2000000},
                {"0.000001", 1},
                {"10000", 10000000000}};
    static const char *const bad[] = {
        "", ".", "-1", "1,5", "0.0000001", "1.2.3", "1e3", " 1", "99999999999999999999"};
    struct realm_error error;
    uint64_t micro;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(decimal_parse(good[i].text, &micro, NULL), REALM_OK);
        assert_int_equal(micro, good[i].micro);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(decimal_parse(bad[i], &micro, &error), REALM_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, bad[i]));
    }
}

static void amounts_are_written_short(void **state)
{
    (void)state;
    static const struct {
        int64_t micro;
        const char *text;
    } cases[] = {{0, "0.00"},
                 {150000, "0.15"},
                 {3000000, "3.00"},
                 {1, "0.000001"},
                 {1200000, "1.20"},
                 {-2500000, "-2.50"},
                 {760, "0.00076"}};
    char text[DECIMAL_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        decimal_write(cases[i].micro, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void moments_are_days_and_times_ago(void **state)
{
    (void)state;
    const int64_t now_ms = INT64_C(1700000000000);
    static const char *const bad[] = {"",
                                      "d",
                                      "7",
                                      "7w",
                                      "-1d",
                                      "2026-02-30",
                                      "2026-13-01",
                                      "2026-1-01",
                                      "1969-12-31",
                                      "2026/01/01",
                                      "1234567d"};
    struct realm_error error;
    int64_t ms;
    assert_int_equal(moment_parse("7d", now_ms, &ms, NULL), REALM_OK);
    assert_int_equal(ms, now_ms - INT64_C(7) * 86400000);
    assert_int_equal(moment_parse("90m", now_ms, &ms, NULL), REALM_OK);
    assert_int_equal(ms, now_ms - INT64_C(90) * 60000);
    assert_int_equal(moment_parse("2023-11-14", now_ms, &ms, NULL), REALM_OK);
    assert_int_equal(ms, INT64_C(1699920000000));
    assert_int_equal(moment_parse("2024-03-01", now_ms, &ms, NULL), REALM_OK);
    assert_int_equal(ms, INT64_C(1709251200000)); /* behind a leap day */
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(moment_parse(bad[i], now_ms, &ms, &error), REALM_INVALID_ARGUMENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_are_read_exactly),
        cmocka_unit_test(amounts_are_written_short),
        cmocka_unit_test(moments_are_days_and_times_ago),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
