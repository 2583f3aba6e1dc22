/* The machine's own limits, measured with the kernels' inner instructions: what rooflines are drawn
 * by. */
#ifndef REALM_BACKEND_CPU_LIMITS_H
#define REALM_BACKEND_CPU_LIMITS_H

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "base/pool.h"

/* All members of the pool at once; takes under a second.
 *   read_bytes_per_s   reading memory far larger than the caches in order
 *   int8_ops_per_s     the level's dot-product instructions on registers, a multiply-add is two
 * OUT_OF_MEMORY.  The caller of pool_run. */
REALM_MUST_CHECK realm_status cpu_measure_limits(struct pool *pool,
                                                 const struct cpu_kernels *kernels,
                                                 struct backend_limits *out,
                                                 struct realm_error *error);

#endif
