/* SiLU and GELU products and sums: every level against double.  The bound of the exponential is
 * part of the contract: a few units in the last place of the result. */
#include "kernels/kernels_test.h"

#include <math.h>
#include <string.h>

enum { MOST_COLUMNS = 300 };

/* Eight units in the last place: the exponential's, the sum's and the quotient's together. */
#define RELATIVE 1e-6f

static double silu_mul(double a, double b)
{
    return a / (1 + exp(-a)) * b;
}

/* Without the cancellation of 1 + tanh. */
static double gelu_mul(double a, double b)
{
    const double z = sqrt(2 / 3.14159265358979323846) * (a + 0.044715 * a * a * a);
    return a / (1 + exp(-2 * z)) * b;
}

static double add(double a, double b)
{
    return a + b;
}

static const struct operation {
    const char *name;
    binary_function scalar;
    binary_function tested;
    double (*exact)(double a, double b);
    float lowest;   /* below it e^-a leaves the numbers, and the result is 0 for all purposes */
    float absolute; /* GELU rounds the exponential's argument: small results have fewer digits */
} *current;

static void
compare(struct kernel_test *test, const float *a, const float *b, uint32_t n, bool in_place)
{
    float expected[MOST_COLUMNS];
    float twin[MOST_COLUMNS];
    for (uint32_t i = 0; i < n; i++) {
        expected[i] = (float)current->exact((double)a[i], (double)b[i]);
    }
    struct guarded left = guarded_make(n * sizeof(float), 0);
    struct guarded right = guarded_make(n * sizeof(float), 0);
    struct guarded out = guarded_make(n * sizeof(float), 0);
    memcpy(left.bytes, a, n * sizeof(float));
    memcpy(right.bytes, b, n * sizeof(float));
    float *const result = in_place ? (void *)left.bytes : (void *)out.bytes;
    current->scalar(a, b, n, twin);
    current->tested((const void *)left.bytes, (const void *)right.bytes, n, result);
    const size_t twin_at = floats_far_at(expected, twin, n, RELATIVE, current->absolute);
    const size_t at = floats_far_at(expected, result, n, RELATIVE, current->absolute);
    if (twin_at != n || at != n) {
        const size_t where = at != n ? at : twin_at;
        kernel_test_fail(test,
                         "%s of %a, %a: wants %a, has %a (twin %a)",
                         current->name,
                         (double)a[where],
                         (double)b[where],
                         (double)expected[where],
                         (double)result[where],
                         (double)twin[where]);
    }
    bool whole = guarded_free(&left);
    whole &= guarded_free(&right);
    whole &= guarded_free(&out);
    if (!whole) {
        kernel_test_fail(test, "%s of %u columns: wrote outside", current->name, n);
    }
}

/* Densely over all magnitudes at which the functions are not simply 0 or a. */
static void check_range(struct kernel_test *test)
{
    float a[MOST_COLUMNS];
    float b[MOST_COLUMNS];
    const int n_steps = (int)((90.0f - current->lowest) * 20.0f);
    for (int step = 0; step <= n_steps; step++) {
        const float from = current->lowest + (float)step * 0.05f;
        for (uint32_t i = 0; i < 64; i++) {
            a[i] = from + 0.025f * (1.0f + kernel_test_float(test));
            b[i] = 1.0f + kernel_test_float(test) * 0.5f;
        }
        compare(test, a, b, 64, false);
    }
    for (int exponent = -40; exponent < 4; exponent++) {
        for (uint32_t i = 0; i < 64; i++) {
            a[i] = ldexpf(kernel_test_float(test), exponent);
            b[i] = 1.0f;
        }
        compare(test, a, b, 64, false);
    }
}

static void check_strange(struct kernel_test *test)
{
    float a[9] = {NAN, 1, INFINITY, 0, -0.0f, 1e38f, -1e38f, -200, 88.1f};
    const float b[9] = {1, NAN, 1, 1, 1, 1, 1, 1, 1};
    float out[9];
    current->tested(a, b, 9, out);
    const bool fine = isnan(out[0]) && isnan(out[1]) && isinf(out[2]) && fabsf(out[5]) <= 1e38f;
    if (!fine) {
        kernel_test_fail(test, "%s of strange numbers", current->name);
    }
    if (current->exact != add && (fabsf(out[6]) > 1.0f || fabsf(out[7]) > 1e-30f || out[3] != 0)) {
        kernel_test_fail(test, "%s of very negative numbers is not 0", current->name);
    }
}

void test_elementwise(struct kernel_test *test)
{
    if (!kernel_test_begin(test, "elementwise")) {
        return;
    }
    const struct operation operations[] = {
        {"silu_mul", test->scalar.silu_mul, test->kernels.silu_mul, silu_mul, -87.0f, 1e-36f},
        {"gelu_mul", test->scalar.gelu_mul, test->kernels.gelu_mul, gelu_mul, -100.0f, 2e-8f},
        {"add", test->scalar.add, test->kernels.add, add, -100.0f, 0},
    };
    for (uint32_t i = 0; i < 3; i++) {
        current = &operations[i];
        float a[MOST_COLUMNS];
        float b[MOST_COLUMNS];
        kernel_test_floats(test, a, MOST_COLUMNS);
        kernel_test_floats(test, b, MOST_COLUMNS);
        for (uint32_t n = 1; n < 80; n++) {
            compare(test, a, b, n, n % 2 == 1);
        }
        compare(test, a, b, MOST_COLUMNS, true);
        check_range(test);
        check_strange(test);
    }
}
