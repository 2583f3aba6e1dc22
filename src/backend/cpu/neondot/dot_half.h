/* Products of half a block by sdot: a register of four rows times four values of a token, which are
 * one lane of the token's 16. */
#ifndef REALM_BACKEND_CPU_NEONDOT_DOT_HALF_H
#define REALM_BACKEND_CPU_NEONDOT_DOT_HALF_H

#include "backend/cpu/neondot/matmul_quantised.h"

INLINE int32x4_t dot_lane(int32x4_t sum, int8x16_t w, int8x16_t x, uint32_t lane)
{
    switch (lane) {
    case 0:
        return vdotq_laneq_s32(sum, w, x, 0);
    case 1:
        return vdotq_laneq_s32(sum, w, x, 1);
    case 2:
        return vdotq_laneq_s32(sum, w, x, 2);
    default:
        return vdotq_laneq_s32(sum, w, x, 3);
    }
}

INLINE void dot_half(enum tile_layout layout,
                     const uint8_t *block,
                     uint32_t half,
                     const int8_t *x,
                     size_t x_stride,
                     uint32_t n_tokens,
                     int32x4_t dot[][4])
{
    int8x16_t values[MOST_TOKENS];
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        values[t] = vld1q_s8(x + t * x_stride + 16 * half);
    }
    UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        UNROLL
        for (uint32_t v = 0; v < 4; v++) {
            const int8x16_t w = unpack_group(layout, block, 4 * half + i, v);
            UNROLL
            for (uint32_t t = 0; t < n_tokens; t++) {
                dot[t][v] = dot_lane(dot[t][v], w, values[t], i);
            }
        }
    }
}

#endif
