#include "engine/stats.h"

/* Seconds; rows and sequences. */
static const double time_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15,
                                     0.25,  0.5,    1,     2.5,  5,    10,   20,   40,   80,  160};
static const double count_bounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048};

static const struct kind {
    const double *bounds;
    uint32_t n_bounds;
    double unit; /* what a sum of 1 is worth */
} kinds[ENGINE_N_HISTOGRAMS] = {
#define TIME  {time_bounds, sizeof time_bounds / sizeof time_bounds[0], 1e-9}
#define COUNT {count_bounds, sizeof count_bounds / sizeof count_bounds[0], 1}
    [ENGINE_TIME_TO_FIRST_TOKEN] = TIME,
    [ENGINE_INTER_TOKEN_LATENCY] = TIME,
    [ENGINE_REQUEST_LATENCY] = TIME,
    [ENGINE_QUEUE_TIME] = TIME,
    [ENGINE_STEP_TIME] = TIME,
    [ENGINE_STEP_ROWS] = COUNT,
    [ENGINE_STEP_SEQUENCES] = COUNT,
#undef TIME
#undef COUNT
};

void stats_observe(struct stats *stats, enum engine_histogram_kind kind, uint64_t value)
{
    const struct kind *const k = &kinds[kind];
    const double number = (double)value * k->unit;
    uint32_t i = 0;
    while (i < k->n_bounds && number > k->bounds[i]) {
        i++;
    }
    stats_add(&stats->histograms[kind].counts[i], 1);
    stats_add(&stats->histograms[kind].sum, value);
}

static void read_histogram(const struct stats *stats,
                           enum engine_histogram_kind kind,
                           struct engine_histogram *out)
{
    const struct kind *const k = &kinds[kind];
    out->bounds = k->bounds;
    out->n_bounds = k->n_bounds;
    for (uint32_t i = 0; i <= k->n_bounds; i++) {
        out->counts[i] +=
            atomic_load_explicit(&stats->histograms[kind].counts[i], memory_order_relaxed);
    }
    out->sum +=
        (double)atomic_load_explicit(&stats->histograms[kind].sum, memory_order_relaxed) * k->unit;
}

void stats_sum(const struct stats *stats, struct engine_stats *out)
{
    out->steps += atomic_load(&stats->steps);
    out->prompt_tokens += atomic_load(&stats->prompt_tokens);
    out->cached_tokens += atomic_load(&stats->cached_tokens);
    out->completion_tokens += atomic_load(&stats->completion_tokens);
    out->requests_finished += atomic_load(&stats->requests_finished);
    out->requests_cancelled += atomic_load(&stats->requests_cancelled);
    out->requests_failed += atomic_load(&stats->requests_failed);
    out->preemptions += atomic_load(&stats->preemptions);
    out->rows_ahead += atomic_load(&stats->rows_ahead);
    out->rows_ahead_taken += atomic_load(&stats->rows_ahead_taken);
    out->step_ns += atomic_load(&stats->step_ns);
    out->running += atomic_load(&stats->running);
    out->waiting += atomic_load(&stats->waiting);
    out->pages_used += atomic_load(&stats->pages_used);
    out->pages_cached += atomic_load(&stats->pages_cached);
    for (uint32_t i = 0; i < ENGINE_N_HISTOGRAMS; i++) {
        read_histogram(stats, (enum engine_histogram_kind)i, &out->histograms[i]);
    }
}
