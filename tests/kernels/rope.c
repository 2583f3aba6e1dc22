/* Rotation of a head's pairs, of halves and of neighbours. */
#include "kernels/kernels_test.h"

#include <math.h>
#include <string.h>

enum { MOST_PAIRS = 128 };

static void check(struct kernel_test *test, uint32_t n_pairs, bool adjacent)
{
    const size_t n_floats = (size_t)2 * n_pairs;
    struct guarded head = guarded_make(n_floats * sizeof(float), 0);
    struct guarded cosines = guarded_make(n_pairs * sizeof(float), 0);
    struct guarded sines = guarded_make(n_pairs * sizeof(float), 0);
    float *const x = (void *)head.bytes;
    float *const c = (void *)cosines.bytes;
    float *const s = (void *)sines.bytes;
    kernel_test_floats(test, x, n_floats);
    float expected[2 * MOST_PAIRS];
    float twin[2 * MOST_PAIRS];
    memcpy(twin, x, n_floats * sizeof(float));
    for (uint32_t i = 0; i < n_pairs; i++) {
        const float angle = kernel_test_float(test) * 3.0f;
        c[i] = cosf(angle);
        s[i] = sinf(angle);
        const uint32_t first = adjacent ? 2 * i : i;
        const uint32_t second = adjacent ? 2 * i + 1 : i + n_pairs;
        const double a = (double)x[first];
        const double b = (double)x[second];
        expected[first] = (float)(a * (double)c[i] - b * (double)s[i]);
        expected[second] = (float)(a * (double)s[i] + b * (double)c[i]);
    }
    test->scalar.rope(twin, c, s, n_pairs, adjacent);
    test->kernels.rope(x, c, s, n_pairs, adjacent);
    const size_t twin_at = floats_far_at(expected, twin, n_floats, 0, 4e-7f);
    const size_t at = floats_far_at(expected, x, n_floats, 0, 4e-7f);
    if (twin_at != n_floats || at != n_floats) {
        kernel_test_fail(
            test, "%u pairs, adjacent %d: far at %zu, %zu", n_pairs, adjacent, twin_at, at);
    }
    bool whole = guarded_free(&head);
    whole &= guarded_free(&cosines);
    whole &= guarded_free(&sines);
    if (!whole) {
        kernel_test_fail(test, "%u pairs: wrote outside", n_pairs);
    }
}

void test_rope(struct kernel_test *test)
{
    if (!kernel_test_begin(test, "rope")) {
        return;
    }
    for (uint32_t n_pairs = 1; n_pairs < 40; n_pairs++) {
        check(test, n_pairs, false);
        check(test, n_pairs, true);
    }
    check(test, MOST_PAIRS, false);
    check(test, MOST_PAIRS, true);
}
