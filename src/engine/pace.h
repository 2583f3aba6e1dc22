/* How long steps take, learnt from those that ran, so that the next one's prefill is cut to what
 * decoding sequences can wait for.  The cut decides when a prompt is computed, never what comes
 * out. Engine thread only. */
#ifndef REALM_ENGINE_PACE_H
#define REALM_ENGINE_PACE_H

#include <stdint.h>

struct pace {
    double decode_ns;      /* a step of decoding rows alone; 0: none was seen */
    double prefill_row_ns; /* a row of a step with prefill; 0: none was seen */
};

/* A step of so many rows took so long. */
void pace_learn(struct pace *pace, uint32_t n_decode_rows, uint32_t n_prefill_rows, uint64_t ns);
/* Prefill rows that may join decoding sequences in a step that should take target_ns; at least
 * PACE_MIN_ROWS, at most max_rows. */
uint32_t pace_prefill_rows(const struct pace *pace, uint64_t target_ns, uint32_t max_rows);

#define PACE_MIN_ROWS 16u

#endif
