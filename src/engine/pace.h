/* How long steps take, learnt from those that ran, so that the next one's prefill is cut to what
 * decoding sequences can wait for.  The cut decides when a prompt is computed, never what comes
 * out.
 *
 * A step is taken to cost as much a row as those before it did.  Where a part of the cost does not
 * depend on the rows this errs towards the rows of the last steps, and settles where a step takes
 * just the time it may.  On a machine whose speed changes, what is planned keeps the target when it
 * is late by twice the mean lateness.  Engine thread only. */
#ifndef REALM_ENGINE_PACE_H
#define REALM_ENGINE_PACE_H

#include <stdint.h>

/* Running means over steps with prefill; 0: there was none. */
struct pace {
    double n_rows;
    double ns;
    double late; /* what steps took beyond what was expected, as a part of that */
};

#define PACE_MIN_ROWS 16u

/* A step of so many rows took so long. */
void pace_learn(struct pace *pace, uint32_t n_decode_rows, uint32_t n_prefill_rows, uint64_t ns);
/* Rows of any kind that a step of target_ns has room for, at most max_rows; max_rows where nothing
 * is known yet. */
uint32_t pace_rows(const struct pace *pace, uint64_t target_ns, uint32_t max_rows);

#endif
