/* What the kernel tests share.  Every kernel of a level is compared with its scalar twin.
 *
 * A file an operation, tests/kernels/<op>.c: it defines test_<op> (and bench_<op>, if there is
 * something to time for --bench), declared at the end of this header, and stands as one line in the
 * table of main.c. It says what it is about to check by kernel_test_begin, which --filter looks at,
 * and reports by kernel_test_fail.
 *
 * Memory given to kernels comes from guarded_make: inputs end PACK_SLACK_BYTES before a page that
 * cannot be read, outputs are followed by canaries. */
#ifndef REALM_TESTS_KERNELS_KERNELS_TEST_H
#define REALM_TESTS_KERNELS_KERNELS_TEST_H

#include "backend/cpu/kernels.h"
#include "support/test_support.h"

struct kernel_test {
    struct cpu_kernels kernels; /* of the level under test */
    struct cpu_kernels scalar;
    struct test_random random;
    const char *filter; /* or NULL: everything */
    const char *name;   /* of the test that runs now */
    uint32_t n_tests;
    uint32_t n_failures;
};

/* False: the filter leaves this one out. */
bool kernel_test_begin(struct kernel_test *test, const char *name);
/* Counts a failure and prints the first few. */
__attribute__((format(printf, 2, 3))) void
kernel_test_fail(struct kernel_test *test, const char *format, ...);

/* Memory of exactly n_bytes before slack and a guard page. */
struct guarded {
    uint8_t *bytes; /* n_bytes, filled with 0xa5; its end is aligned to `alignment` at least */
    size_t n_bytes;
    uint8_t *mapping;
    size_t mapping_bytes;
};

/* slack: PACK_SLACK_BYTES for inputs; outputs may have less, down to 0. */
struct guarded guarded_make(size_t n_bytes, size_t slack);
/* Checks the canaries in the slack, then gives the memory back. False: something was written there.
 */
bool guarded_free(struct guarded *guarded);

/* Uniform in [-1, 1). */
float kernel_test_float(struct kernel_test *test);
void kernel_test_floats(struct kernel_test *test, float *out, size_t n);

/* Index of the first difference in bits (NaN equals NaN), or n. */
size_t floats_differ_at(const float *a, const float *b, size_t n);
/* The same with a relative and absolute tolerance. */
size_t floats_far_at(const float *a, const float *b, size_t n, float relative, float absolute);

/* Runs work(context) again and again for about 0.3 s; median seconds (of processor time) of one
 * run. */
double bench_seconds(void (*work)(void *context), void *context);

/* --- one line an operation ---------------------------------------------------------------------
 */

void test_quantise(struct kernel_test *test);
void test_pack(struct kernel_test *test);
void test_matmul(struct kernel_test *test);
void bench_matmul(struct kernel_test *test);
void test_norm(struct kernel_test *test);
void test_rope(struct kernel_test *test);
void test_elementwise(struct kernel_test *test);
void test_attention(struct kernel_test *test);
void bench_attention(struct kernel_test *test);

#endif
