#include "backend/cpu/limits.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <string.h>

#define READ_BYTES       ((size_t)128 << 20) /* all members together: no cache holds it */
#define READ_REPEATS     8u
#define CALIBRATE_ROUNDS 20000u
#define PEAK_REPEATS     4u
#define PEAK_NS          60000000u /* of one repeat */

struct measuring {
    const struct cpu_kernels *kernels;
    const uint64_t *memory;
    uint32_t rounds;
    _Atomic uint64_t done; /* bytes read, or multiply-adds */
    _Atomic int32_t sink;
};

static void read_member(void *context, const struct pool_member *member)
{
    struct measuring *const m = context;
    const size_t n = READ_BYTES / sizeof(uint64_t) / member->n_members / 8 * 8;
    const uint64_t *const words = m->memory + n * member->index;
    uint64_t sums[8] = {0};
    for (size_t i = 0; i < n; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            sums[k] += words[i + k];
        }
    }
    uint64_t sum = 0;
    for (size_t k = 0; k < 8; k++) {
        sum += sums[k];
    }
    atomic_fetch_add(&m->sink, (int32_t)(sum & 1));
    atomic_fetch_add(&m->done, n * sizeof(uint64_t));
}

static void peak_member(void *context, const struct pool_member *member)
{
    (void)member;
    struct measuring *const m = context;
    int32_t sink = atomic_load(&m->sink);
    atomic_fetch_add(&m->done, m->kernels->peak_int8(m->rounds, &sink));
    atomic_fetch_add(&m->sink, sink & 1);
}

/* Units done a second, by the best of some repeats: whatever else runs can only slow us down. */
static double best_rate(struct pool *pool, pool_job job, struct measuring *m, uint32_t repeats)
{
    double best = 0.0;
    for (uint32_t i = 0; i < repeats; i++) {
        atomic_store(&m->done, 0);
        const uint64_t began = clock_monotonic_ns();
        pool_run(pool, job, m);
        const uint64_t ns = clock_monotonic_ns() - began;
        const double rate = (double)atomic_load(&m->done) * 1e9 / (double)(ns > 0 ? ns : 1);
        best = rate > best ? rate : best;
    }
    return best;
}

static double measure_peak(struct pool *pool, struct measuring *m)
{
    m->rounds = CALIBRATE_ROUNDS;
    const double first = best_rate(pool, peak_member, m, 2);
    const double done_a_round = (double)atomic_load(&m->done) / CALIBRATE_ROUNDS;
    const double rounds = first * PEAK_NS * 1e-9 / done_a_round;
    m->rounds = rounds < 1.0 ? 1 : rounds > 4e9 ? 4000000000u : (uint32_t)rounds;
    return best_rate(pool, peak_member, m, PEAK_REPEATS);
}

realm_status cpu_measure_limits(struct pool *pool,
                                const struct cpu_kernels *kernels,
                                struct backend_limits *out,
                                struct realm_error *error)
{
    uint64_t *const memory = alloc_pages(ALLOC_SCRATCH, READ_BYTES);
    if (memory == NULL) {
        return realm_error_out_of_memory(error, READ_BYTES, "measuring the read bandwidth");
    }
    memset(memory, 1, READ_BYTES); /* untouched pages would all be one */
    struct measuring m = {.kernels = kernels, .memory = memory};
    out->read_bytes_per_s = best_rate(pool, read_member, &m, READ_REPEATS);
    alloc_pages_free(ALLOC_SCRATCH, memory, READ_BYTES);
    out->int8_ops_per_s = 2.0 * measure_peak(pool, &m);
    return REALM_OK;
}
