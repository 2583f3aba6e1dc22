/* Root-mean-square norm: against its twin, and against double. */
#include "kernels/kernels_test.h"

#include <math.h>
#include <string.h>

enum { MOST_COLUMNS = 700 };

static void check(struct kernel_test *test, uint32_t n, float size, bool in_place)
{
    struct guarded x = guarded_make(n * sizeof(float), 0);
    struct guarded weight = guarded_make(n * sizeof(float), 0);
    struct guarded out = guarded_make(n * sizeof(float), 0);
    float *const values = (void *)x.bytes;
    float *const weights = (void *)weight.bytes;
    kernel_test_floats(test, values, n);
    kernel_test_floats(test, weights, n);
    double squares = 0;
    for (uint32_t i = 0; i < n; i++) {
        values[i] *= size;
        squares += (double)values[i] * (double)values[i];
    }
    float expected[MOST_COLUMNS];
    const double factor = 1 / sqrt(squares / n + 1e-5);
    for (uint32_t i = 0; i < n; i++) {
        expected[i] = (float)((double)values[i] * factor * (double)weights[i]);
    }
    float twin[MOST_COLUMNS];
    test->scalar.rms_norm(values, weights, n, 1e-5f, twin);
    float *const result = in_place ? values : (void *)out.bytes;
    test->kernels.rms_norm(values, weights, n, 1e-5f, result);
    const size_t twin_at = floats_far_at(expected, twin, n, 2e-5f, 1e-30f);
    const size_t at = floats_far_at(expected, result, n, 2e-6f, 1e-30f);
    if (twin_at != n || at != n) {
        kernel_test_fail(
            test, "%u columns of size %g: far at %zu, %zu", n, (double)size, twin_at, at);
    }
    bool whole = guarded_free(&x);
    whole &= guarded_free(&weight);
    whole &= guarded_free(&out);
    if (!whole) {
        kernel_test_fail(test, "%u columns: wrote outside", n);
    }
}

void test_norm(struct kernel_test *test)
{
    if (!kernel_test_begin(test, "norm")) {
        return;
    }
    for (uint32_t n = 1; n < 70; n++) {
        check(test, n, 1.0f, n % 2 == 0);
    }
    check(test, MOST_COLUMNS, 1000.0f, false);
    check(test, MOST_COLUMNS - 1, 1e-6f, true);
    float zeros[8] = {0};
    float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    test->kernels.rms_norm(zeros, ones, 8, 1e-5f, zeros);
    if (zeros[0] != 0.0f || zeros[7] != 0.0f) {
        kernel_test_fail(test, "zeros do not stay zeros");
    }
    ones[3] = NAN;
    test->kernels.rms_norm(ones, ones, 8, 1e-5f, zeros);
    if (!isnan(zeros[0])) {
        kernel_test_fail(test, "NaN is lost");
    }
}
