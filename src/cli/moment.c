#include "cli/moment.h"

#include <string.h>

#define MS_PER_MINUTE INT64_C(60000)
#define MS_PER_DAY    INT64_C(86400000)
#define MAX_DIGITS    6u

/* Digits alone; -1: something else. */
static int64_t number_of(const char *text, size_t n)
{
    int64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        value = value * 10 + (text[i] - '0');
    }
    return n > 0 && n <= MAX_DIGITS ? value : -1;
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01; -1: no such day. */
static int64_t day_of(int64_t year, int64_t month, int64_t day)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1970 || month < 1 || month > 12 || day < 1 ||
        day > days[month - 1] + (month == 2 && is_leap(year))) {
        return -1;
    }
    int64_t n = day - 1;
    for (int64_t y = 1970; y < year; y++) {
        n += is_leap(y) ? 366 : 365;
    }
    for (int64_t m = 1; m < month; m++) {
        n += days[m - 1] + (m == 2 && is_leap(year));
    }
    return n;
}

static int64_t unit_ms(char unit)
{
    switch (unit) {
    case 'm':
        return MS_PER_MINUTE;
    case 'h':
        return 60 * MS_PER_MINUTE;
    case 'd':
        return MS_PER_DAY;
    default:
        return 0;
    }
}

realm_status
moment_parse(const char *text, int64_t now_ms, int64_t *out_ms, struct realm_error *error)
{
    const size_t n = strlen(text);
    if (n == 10 && text[4] == '-' && text[7] == '-') {
        const int64_t day =
            day_of(number_of(text, 4), number_of(text + 5, 2), number_of(text + 8, 2));
        if (day >= 0) {
            *out_ms = day * MS_PER_DAY;
            return REALM_OK;
        }
    } else if (n > 1) {
        const int64_t count = number_of(text, n - 1);
        const int64_t unit = unit_ms(text[n - 1]);
        if (count >= 0 && unit != 0) {
            *out_ms = now_ms - count * unit;
            return REALM_OK;
        }
    }
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "\"%.40s\" is no moment: a day such as 2026-01-31 (UTC), or a time ago "
                           "such as 7d, 24h or 30m",
                           text);
}
