/* A model's counters and histograms: written by the engine thread, read by anyone. */
#ifndef REALM_ENGINE_STATS_H
#define REALM_ENGINE_STATS_H

#include "engine/engine.h"

#include <stdatomic.h>

struct histogram {
    _Atomic uint64_t counts[ENGINE_HISTOGRAM_MAX_BOUNDS + 1]; /* the last: above all bounds */
    _Atomic uint64_t sum;                                     /* nanoseconds, or what is counted */
};

struct stats {
    _Atomic uint64_t steps;
    _Atomic uint64_t prompt_tokens;
    _Atomic uint64_t cached_tokens;
    _Atomic uint64_t completion_tokens;
    _Atomic uint64_t requests_finished;
    _Atomic uint64_t requests_cancelled;
    _Atomic uint64_t requests_failed;
    _Atomic uint64_t preemptions;
    _Atomic uint64_t rows_ahead;
    _Atomic uint64_t rows_ahead_taken;
    _Atomic uint64_t step_ns;
    _Atomic uint32_t running;
    _Atomic uint32_t waiting;
    _Atomic uint32_t pages_used;
    _Atomic uint32_t pages_cached;
    struct histogram histograms[ENGINE_N_HISTOGRAMS];
};

static inline void stats_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* value: nanoseconds for histograms of time, a number otherwise. */
void stats_observe(struct stats *stats, enum engine_histogram_kind kind, uint64_t value);
/* Adds the counters to *out. */
void stats_sum(const struct stats *stats, struct engine_stats *out);

#endif
