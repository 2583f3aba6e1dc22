#include "backend/cpu/matmul_inline.h"
#include "backend/cpu/neoni8mm/matmul.h"

#include <arm_neon.h>

#define CHAINS 16u
#define STEPS  4u

uint64_t peak_int8__neoni8mm(uint32_t rounds, int32_t *sink)
{
    const int8x16_t w = vdupq_n_s8((int8_t)(*sink & 3));
    const int8x16_t x = vdupq_n_s8((int8_t)(*sink & 1));
    int32x4_t sum[CHAINS];
    UNROLL
    for (uint32_t i = 0; i < CHAINS; i++) {
        sum[i] = vdupq_n_s32((int32_t)i);
    }
    for (uint32_t round = 0; round < rounds; round++) {
        UNROLL
        for (uint32_t step = 0; step < STEPS; step++) {
            UNROLL
            for (uint32_t i = 0; i < CHAINS; i++) {
                sum[i] = vmmlaq_s32(sum[i], w, x);
            }
        }
    }
    UNROLL
    for (uint32_t i = 1; i < CHAINS; i++) {
        sum[0] = veorq_s32(sum[0], sum[i]);
    }
    *sink = vgetq_lane_s32(sum[0], 0);
    return (uint64_t)rounds * CHAINS * STEPS * 32;
}
