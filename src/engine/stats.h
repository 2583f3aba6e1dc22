/* The engine's counters: written by the engine thread, read by anyone. */
#ifndef REALM_ENGINE_STATS_H
#define REALM_ENGINE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

struct stats {
    _Atomic uint64_t steps;
    _Atomic uint64_t prompt_tokens;
    _Atomic uint64_t cached_tokens;
    _Atomic uint64_t completion_tokens;
    _Atomic uint64_t requests_finished;
    _Atomic uint64_t requests_cancelled;
    _Atomic uint64_t requests_failed;
    _Atomic uint64_t preemptions;
    _Atomic uint64_t step_ns;
    _Atomic uint32_t pending; /* submitted and not done */
    _Atomic uint32_t running;
    _Atomic uint32_t waiting;
    _Atomic uint32_t pages_used;
    _Atomic uint32_t pages_cached;
};

static inline void stats_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
