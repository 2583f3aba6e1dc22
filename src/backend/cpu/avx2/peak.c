#include "backend/cpu/avx2/matmul.h"

#define CHAINS 12u
#define STEPS  8u

/* As 4-bit weights use it: eight products of pairs added in 16 bits, then widened once. */
uint64_t peak_int8__avx2(uint32_t rounds, int32_t *sink)
{
    const __m256i w = _mm256_set1_epi8((char)(*sink & 3));
    __m256i x = _mm256_set1_epi8((char)(*sink & 1));
    __m256i sum[CHAINS];
    UNROLL
    for (uint32_t i = 0; i < CHAINS; i++) {
        sum[i] = _mm256_setzero_si256();
    }
    for (uint32_t round = 0; round < rounds; round++) {
        __m256i sum16[CHAINS];
        UNROLL
        for (uint32_t i = 0; i < CHAINS; i++) {
            sum16[i] = _mm256_setzero_si256();
        }
        UNROLL
        for (uint32_t step = 0; step < STEPS; step++) {
            UNROLL
            for (uint32_t i = 0; i < CHAINS; i++) {
                x = keep_order(x); /* or all products would be one */
                sum16[i] = keep_order(_mm256_add_epi16(sum16[i], _mm256_maddubs_epi16(w, x)));
            }
        }
        UNROLL
        for (uint32_t i = 0; i < CHAINS; i++) {
            sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(sum16[i], _mm256_set1_epi16(1)));
        }
    }
    UNROLL
    for (uint32_t i = 1; i < CHAINS; i++) {
        sum[0] = _mm256_add_epi32(sum[0], sum[i]);
    }
    *sink = _mm_cvtsi128_si32(_mm256_castsi256_si128(sum[0]));
    return (uint64_t)rounds * CHAINS * STEPS * 32;
}
