/* Random bytes of the system, and Philox 4x32-10 for samplers: the n-th number of a seed without
 * state (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). */
#ifndef REALM_BASE_RANDOM_H
#define REALM_BASE_RANDOM_H

#include "base/status.h"

/* Cryptographically strong. UNAVAILABLE: the system gave none. */
REALM_MUST_CHECK realm_status random_bytes(void *out, size_t n_bytes, struct realm_error *error);

struct philox {
    uint64_t seed;
    uint64_t counter; /* numbers drawn so far */
};

/* The function itself: four numbers for a counter and a key. */
void philox_block(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

uint32_t philox_u32(struct philox *philox);
/* Uniform in [0, 1) with 24 bits (float) or 53 bits (double). */
float philox_float(struct philox *philox);
double philox_double(struct philox *philox);

#endif
