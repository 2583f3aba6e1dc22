#include "cli/decimal.h"

#include <stdio.h>
#include <string.h>

#define PLACES     6
#define UNIT       1000000u
#define MOST_UNITS UINT64_C(1000000000000)

realm_status decimal_parse(const char *text, uint64_t *out_micro, struct realm_error *error)
{
    uint64_t value = 0;
    int n_digits = 0;
    int n_places = -1; /* behind the point; before it is seen: -1 */
    bool good = true;
    for (const char *at = text; *at != '\0' && good; at++) {
        if (*at == '.' && n_places < 0) {
            n_places = 0;
        } else if (*at >= '0' && *at <= '9' && n_places < PLACES && value < MOST_UNITS * UNIT) {
            value = value * 10 + (uint64_t)(*at - '0');
            n_digits++;
            n_places += n_places >= 0 ? 1 : 0;
        } else {
            good = false;
        }
    }
    for (int i = n_places > 0 ? n_places : 0; i < PLACES; i++) {
        value *= 10;
    }
    if (!good || n_digits == 0 || value > MOST_UNITS * UNIT) {
        return realm_error_set(
            error,
            REALM_INVALID_ARGUMENT,
            "\"%.40s\" is no amount: digits with at most %d behind a point, such "
            "as 0.15",
            text,
            PLACES);
    }
    *out_micro = value;
    return REALM_OK;
}

void decimal_write(int64_t micro, char out[DECIMAL_BYTES])
{
    const uint64_t value = micro < 0 ? (uint64_t)-micro : (uint64_t)micro;
    (void)snprintf(out,
                   DECIMAL_BYTES,
                   "%s%llu.%06llu",
                   micro < 0 ? "-" : "",
                   (unsigned long long)(value / UNIT),
                   (unsigned long long)(value % UNIT));
    size_t n = strlen(out);
    while (out[n - 1] == '0' && out[n - 3] != '.') {
        out[--n] = '\0';
    }
}
