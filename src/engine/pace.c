#include "engine/pace.h"

/* Part of a new measurement in the running mean. */
#define LEARNING_RATE 0.2
/* A measurement counts as at most so many times the mean: a machine that slept says nothing of the
 * next step, one that got slower says it again. */
#define MOST_AT_ONCE 3.0

static void learn(double *mean, double value)
{
    if (*mean == 0) {
        *mean = value;
        return;
    }
    const double most = MOST_AT_ONCE * *mean;
    *mean += LEARNING_RATE * ((value < most ? value : most) - *mean);
}

void pace_learn(struct pace *pace, uint32_t n_decode_rows, uint32_t n_prefill_rows, uint64_t ns)
{
    if (n_prefill_rows == 0) {
        learn(&pace->decode_ns, (double)ns);
    } else if (n_prefill_rows >= PACE_MIN_ROWS) { /* fewer say little of what a row costs */
        learn(&pace->prefill_row_ns, (double)ns / ((double)n_decode_rows + n_prefill_rows));
    }
}

uint32_t pace_prefill_rows(const struct pace *pace, uint64_t target_ns, uint32_t max_rows)
{
    if (pace->prefill_row_ns == 0) {
        return max_rows;
    }
    const double rows = ((double)target_ns - pace->decode_ns) / pace->prefill_row_ns;
    if (rows >= max_rows) {
        return max_rows;
    }
    const uint32_t least = max_rows < PACE_MIN_ROWS ? max_rows : PACE_MIN_ROWS;
    return rows > least ? (uint32_t)rows : least;
}
