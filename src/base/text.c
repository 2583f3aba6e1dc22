#include "base/text.h"

#include <string.h>

#define MAX_LENGTH 64u

uint32_t text_distance(const char *a, const char *b)
{
    const size_t n_a = strnlen(a, MAX_LENGTH - 1);
    const size_t n_b = strnlen(b, MAX_LENGTH - 1);
    uint32_t row[MAX_LENGTH];
    for (size_t j = 0; j <= n_b; j++) {
        row[j] = (uint32_t)j;
    }
    for (size_t i = 1; i <= n_a; i++) {
        uint32_t diagonal = row[0];
        row[0] = (uint32_t)i;
        for (size_t j = 1; j <= n_b; j++) {
            const uint32_t above = row[j];
            uint32_t best = diagonal + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[n_b];
}
