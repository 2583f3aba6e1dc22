/* AVX-512 intrinsics: the processor's own, or, in a build with REALM_SIMDE, the same functions made
 * of AVX2, so that the sources can be checked where no AVX-512 is. */
#ifndef REALM_BACKEND_CPU_SIMD_X86_H
#define REALM_BACKEND_CPU_SIMD_X86_H

#if REALM_SIMDE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <immintrin.h>
#include <simde/x86/avx512.h>
#else
#include <immintrin.h>
#endif

#endif
