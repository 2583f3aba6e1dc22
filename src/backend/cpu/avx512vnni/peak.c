#include "backend/cpu/avx512vnni/matmul.h"

#define CHAINS 12u
#define STEPS  8u

uint64_t peak_int8__avx512vnni(uint32_t rounds, int32_t *sink)
{
    const __m512i w = _mm512_set1_epi8((char)(*sink & 3));
    const __m512i x = _mm512_set1_epi8((char)(*sink & 1));
    __m512i sum[CHAINS];
    UNROLL
    for (uint32_t i = 0; i < CHAINS; i++) {
        sum[i] = _mm512_set1_epi32((int)i);
    }
    for (uint32_t round = 0; round < rounds; round++) {
        UNROLL
        for (uint32_t step = 0; step < STEPS; step++) {
            UNROLL
            for (uint32_t i = 0; i < CHAINS; i++) {
                sum[i] = _mm512_dpbusd_epi32(sum[i], w, x);
            }
        }
    }
    UNROLL
    for (uint32_t i = 1; i < CHAINS; i++) {
        sum[0] = _mm512_xor_si512(sum[0], sum[i]);
    }
    int32_t sums[16];
    _mm512_storeu_si512(sums, sum[0]);
    *sink = sums[0];
    return (uint64_t)rounds * CHAINS * STEPS * 64;
}
