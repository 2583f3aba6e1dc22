/* Activations to 8 bits: bit-equal on all levels, and what kernels.h says of every block. */
#include "kernels/kernels_test.h"

#include <math.h>
#include <string.h>

enum { MOST_COLUMNS = 32 * 41 };

struct rows_memory {
    struct guarded values;
    struct guarded scales;
    struct guarded sums;
    struct quantised_rows rows;
};

static struct rows_memory make_rows(uint32_t columns)
{
    struct rows_memory m = {
        .values = guarded_make(columns, 0),
        .scales = guarded_make(columns / 32 * sizeof(float), 0),
        .sums = guarded_make(columns / 16 * sizeof(int32_t), 0),
    };
    m.rows = (struct quantised_rows){.values = (void *)m.values.bytes,
                                     .scales = (void *)m.scales.bytes,
                                     .sums = (void *)m.sums.bytes,
                                     .columns = columns};
    return m;
}

static void free_rows(struct kernel_test *test, struct rows_memory *m)
{
    const bool values = guarded_free(&m->values);
    const bool scales = guarded_free(&m->scales);
    if (!guarded_free(&m->sums) || !values || !scales) {
        kernel_test_fail(test, "wrote outside the rows");
    }
}

static void compare(struct kernel_test *test, const float *x, uint32_t columns, const char *what)
{
    struct guarded input = guarded_make(columns * sizeof(float), 0);
    memcpy(input.bytes, x, columns * sizeof(float));
    struct rows_memory a = make_rows(columns);
    struct rows_memory b = make_rows(columns);
    test->scalar.quantise((const void *)input.bytes, columns, &a.rows);
    test->kernels.quantise((const void *)input.bytes, columns, &b.rows);
    if (memcmp(a.values.bytes, b.values.bytes, columns) != 0) {
        kernel_test_fail(test, "%s, %u columns: values differ", what, columns);
    }
    const uint32_t n = columns / 32;
    const size_t at = floats_differ_at(a.rows.scales, b.rows.scales, n);
    if (at != n) {
        kernel_test_fail(test,
                         "%s: scale %zu is %a, wants %a",
                         what,
                         at,
                         (double)b.rows.scales[at],
                         (double)a.rows.scales[at]);
    }
    for (uint32_t i = 0; i < n; i++) {
        const size_t sums = (size_t)2 * i;
        const float *const sum_a = (const void *)&a.rows.sums[sums + 1];
        const float *const sum_b = (const void *)&b.rows.sums[sums + 1];
        if (a.rows.sums[sums] != b.rows.sums[sums] || floats_differ_at(sum_a, sum_b, 1) == 0) {
            kernel_test_fail(test, "%s, %u columns: sums of block %u differ", what, columns, i);
        }
    }
    free_rows(test, &a);
    free_rows(test, &b);
    (void)guarded_free(&input);
}

/* The scalar twin against the words of kernels.h. */
static void check_block(struct kernel_test *test, const float *x)
{
    struct rows_memory m = make_rows(32);
    test->scalar.quantise(x, 32, &m.rows);
    float max = 0.0f;
    for (uint32_t c = 0; c < 32; c++) {
        max = fmaxf(max, fabsf(x[c]));
    }
    int sums[2] = {0, 0};
    for (uint32_t c = 0; c < 32; c++) {
        /* NOLINTNEXTLINE(bugprone-signed-char-misuse,cert-str34-c): a number, no character */
        const int value = m.rows.values[c];
        const float far = fabsf(x[c] - (float)value * m.rows.scales[0]);
        if (far > max / 127.0f * 0.5001f || value < -127) {
            kernel_test_fail(test, "value %u is %d for %g", c, value, (double)x[c]);
        }
        sums[c / 16] += value;
    }
    float scaled;
    memcpy(&scaled, &m.rows.sums[1], sizeof scaled);
    if ((int16_t)(m.rows.sums[0] & 0xffff) != sums[0] || m.rows.sums[0] >> 16 != sums[1] ||
        scaled != m.rows.scales[0] * (float)(sums[0] + sums[1])) {
        kernel_test_fail(test, "sums of a block");
    }
    free_rows(test, &m);
}

static void test_strange(struct kernel_test *test)
{
    static const float strange[] = {NAN,
                                    INFINITY,
                                    -INFINITY,
                                    0.0f,
                                    -0.0f,
                                    1e-45f,
                                    1e-38f,
                                    0x1p-100f,
                                    0x1.fffp-101f,
                                    3e38f,
                                    -3.4e38f,
                                    0.5f,
                                    -1.5f};
    float x[64] = {0};
    for (uint32_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        memset(x, 0, sizeof x);
        compare(test, x, 64, "zeros");
        x[i] = strange[i];
        compare(test, x, 64, "strange");
        kernel_test_floats(test, x, 64);
        x[40 + i] = strange[i];
        compare(test, x, 64, "strange among others");
    }
    struct rows_memory m = make_rows(32);
    x[0] = NAN;
    test->scalar.quantise(x, 32, &m.rows);
    if (!isnan(m.rows.scales[0]) || m.rows.values[1] != 0) {
        kernel_test_fail(test, "NaN must stay NaN");
    }
    free_rows(test, &m);
}

void test_quantise(struct kernel_test *test)
{
    if (!kernel_test_begin(test, "quantise")) {
        return;
    }
    float x[MOST_COLUMNS];
    for (uint32_t columns = 32; columns <= MOST_COLUMNS; columns += 32) {
        kernel_test_floats(test, x, columns);
        for (uint32_t c = 0; c < columns; c++) {
            x[c] = ldexpf(x[c], (int)(c / 32 * 7) % 60 - 30);
        }
        compare(test, x, columns, "random");
        check_block(test, x);
    }
    for (uint32_t c = 0; c < 64; c++) { /* halfway cases: scale is 1 */
        x[c] = (float)((int)c - 31) + 0.5f;
    }
    x[0] = x[63] = 127.0f;
    compare(test, x, 64, "ties");
    test_strange(test);
}
