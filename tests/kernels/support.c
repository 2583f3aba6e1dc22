#include "kernels/kernels_test.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CANARY           0xa5
#define PRINTED_FAILURES 20u

bool kernel_test_begin(struct kernel_test *test, const char *name)
{
    if (test->filter != NULL && strstr(name, test->filter) == NULL) {
        return false;
    }
    test->name = name;
    test->n_tests++;
    return true;
}

void kernel_test_fail(struct kernel_test *test, const char *format, ...)
{
    test->n_failures++;
    if (test->n_failures > PRINTED_FAILURES) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    printf("FAILED %s: ", test->name);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

struct guarded guarded_make(size_t n_bytes, size_t slack)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t readable = (n_bytes + slack + page - 1) / page * page;
    struct guarded g = {.n_bytes = n_bytes, .mapping_bytes = readable + page};
    void *const mapping =
        mmap(NULL, g.mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED || mprotect((uint8_t *)mapping + readable, page, PROT_NONE) != 0) {
        (void)fprintf(stderr, "no memory for %zu bytes\n", n_bytes);
        exit(1);
    }
    g.mapping = mapping;
    memset(g.mapping, CANARY, readable);
    g.bytes = g.mapping + readable - slack - n_bytes;
    return g;
}

bool guarded_free(struct guarded *guarded)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uint8_t *const end = guarded->mapping + guarded->mapping_bytes - page;
    bool whole = true;
    for (const uint8_t *p = guarded->bytes + guarded->n_bytes; p < end; p++) {
        whole = whole && *p == CANARY;
    }
    for (const uint8_t *p = guarded->mapping; p < guarded->bytes; p++) {
        whole = whole && *p == CANARY;
    }
    munmap(guarded->mapping, guarded->mapping_bytes);
    *guarded = (struct guarded){0};
    return whole;
}

float kernel_test_float(struct kernel_test *test)
{
    return (float)(test_random_u64(&test->random) >> 40) * 0x1p-23f - 1.0f;
}

void kernel_test_floats(struct kernel_test *test, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = kernel_test_float(test);
    }
}

size_t floats_differ_at(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-*): bits */
        if (memcmp(&a[i], &b[i], sizeof a[i]) != 0 && !(isnan(a[i]) && isnan(b[i]))) {
            return i;
        }
    }
    return n;
}

size_t floats_far_at(const float *a, const float *b, size_t n, float relative, float absolute)
{
    for (size_t i = 0; i < n; i++) {
        const float far = fabsf(a[i] - b[i]);
        if (!(far <= absolute + relative * fabsf(b[i])) && !(isnan(a[i]) && isnan(b[i])) &&
            /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-*): bits */
            memcmp(&a[i], &b[i], sizeof a[i]) != 0) {
            return i;
        }
    }
    return n;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of this thread: what others do on the machine hardly counts. */
static double thread_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double bench_seconds(void (*work)(void *context), void *context)
{
    enum { MOST = 1000 };
    double seconds[MOST];
    size_t n = 0;
    double total = 0.0;
    work(context);
    while (n < MOST && (total < 0.3 || n < 3)) {
        const double began = thread_seconds();
        work(context);
        seconds[n] = thread_seconds() - began;
        total += seconds[n++];
    }
    qsort(seconds, n, sizeof seconds[0], compare_doubles);
    return seconds[n / 2];
}
