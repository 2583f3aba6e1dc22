/* Which kernels run: scalar first, then level by level up to the highest that the processor has,
 * the build has and the options allow. */
#ifndef REALM_BACKEND_CPU_SELECT_H
#define REALM_BACKEND_CPU_SELECT_H

#include "backend/cpu/kernels.h"
#include "base/status.h"

/* level: the highest to use ("scalar", "avx2", ...); NULL or "": all there is.
 * UNSUPPORTED: the level is unknown, or not of this build or processor; the message lists what is.
 */
REALM_MUST_CHECK realm_status cpu_select(const char *level,
                                         struct cpu_kernels *out,
                                         struct realm_error *error);

/* Names of the levels that can be selected here, lowest first; NULL at the end. */
const char *cpu_level_at(uint32_t index);

#endif
