/* What this processor can do, asked once from it (cpuid and xgetbv; hwcap).  Any thread, no state.
 */
#ifndef REALM_BACKEND_CPU_FEATURES_H
#define REALM_BACKEND_CPU_FEATURES_H

#include <stdint.h>

/* One bit an instruction-set folder: all that its compile flags allow is there, and the system
 * saves the registers. */
#define CPU_FEATURE_AVX2       1u
#define CPU_FEATURE_AVX512VNNI 2u
#define CPU_FEATURE_AVX512BF16 4u
#define CPU_FEATURE_AMXINT8    64u
#define CPU_FEATURE_NEONDOT    8u
#define CPU_FEATURE_NEONI8MM   16u
#define CPU_FEATURE_NEONBF16   32u

uint32_t cpu_features(void);

#endif
