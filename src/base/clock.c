#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

#define NS_PER_S  1000000000
#define NS_PER_MS 1000000
#define MS_PER_S  1000

static _Atomic uint64_t frozen_ns = UINT64_MAX;

static uint64_t read_ns(clockid_t which)
{
    const uint64_t frozen = atomic_load_explicit(&frozen_ns, memory_order_relaxed);
    if (frozen != UINT64_MAX) {
        return frozen;
    }
    struct timespec now = {0};
    (void)clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_thread_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

int64_t clock_wall_s(void)
{
    return clock_wall_ms() / MS_PER_S;
}

int64_t clock_wall_ms(void)
{
    return (int64_t)(read_ns(CLOCK_REALTIME) / NS_PER_MS);
}

void clock_freeze(uint64_t now_ns)
{
    atomic_store_explicit(&frozen_ns, now_ns, memory_order_relaxed);
}
