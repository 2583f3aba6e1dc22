#include "engine/pace.h"

#include <math.h>

/* Part of a new step in the running means. */
#define LEARNING_RATE 0.2
/* A step counts as at most so many times what its rows should take: a machine that slept says
 * nothing of the next step, one that got slower says it again. */
#define MOST_AT_ONCE 3.0
/* Lateness of such a step. */
#define MOST_LATE 0.5
/* Times the mean lateness that a step is planned for. */
#define LATE_STEPS 2.0

void pace_learn(struct pace *pace, uint32_t n_decode_rows, uint32_t n_prefill_rows, uint64_t ns)
{
    if (n_prefill_rows < PACE_MIN_ROWS) { /* fewer say little of what a row costs */
        return;
    }
    const double n_rows = (double)n_decode_rows + n_prefill_rows;
    if (pace->ns == 0) {
        *pace = (struct pace){.n_rows = n_rows, .ns = (double)ns};
        return;
    }
    const double expected = pace->ns / pace->n_rows * n_rows;
    const double took = fmin((double)ns, MOST_AT_ONCE * expected);
    pace->n_rows += LEARNING_RATE * (n_rows - pace->n_rows);
    pace->ns += LEARNING_RATE * (took - pace->ns);
    const double late = fmin(fmax(took / expected - 1.0, 0), MOST_LATE);
    pace->late += LEARNING_RATE * (late - pace->late);
}

uint32_t pace_rows(const struct pace *pace, uint64_t target_ns, uint32_t max_rows)
{
    if (pace->ns == 0) {
        return max_rows;
    }
    const double n_rows =
        (double)target_ns / (1.0 + LATE_STEPS * pace->late) / pace->ns * pace->n_rows;
    return n_rows < max_rows ? (uint32_t)n_rows : max_rows;
}
