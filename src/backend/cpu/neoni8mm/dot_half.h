/* Products of half a block by smmla: two rows of 8 columns times two tokens of 8 columns give two
 * rows x two tokens.  An odd last token is paired with itself. */
#ifndef REALM_BACKEND_CPU_NEONI8MM_DOT_HALF_H
#define REALM_BACKEND_CPU_NEONI8MM_DOT_HALF_H

#include "backend/cpu/neondot/matmul_quantised.h"

/* Columns 8k .. 8k + 7 of the half, of tokens t and t + 1. */
INLINE int8x16_t load_tokens(const int8_t *x, size_t x_stride, uint32_t t, uint32_t n, uint32_t k)
{
    const uint32_t second = t + 1 < n ? t + 1 : t;
    return vcombine_s8(vld1_s8(x + t * x_stride + 8 * k), vld1_s8(x + second * x_stride + 8 * k));
}

INLINE void dot_half(enum tile_layout layout,
                     const uint8_t *block,
                     uint32_t half,
                     const int8_t *x,
                     size_t x_stride,
                     uint32_t n_tokens,
                     int32x4_t dot[][4])
{
    UNROLL
    for (uint32_t v = 0; v < 4; v++) {
        /* square[t / 2][0]: rows 4v, 4v + 1 of tokens t, t + 1; [1]: rows 4v + 2, 4v + 3. */
        int32x4_t square[MOST_TOKENS / 2][2];
        UNROLL
        for (uint32_t k = 0; k < 2; k++) {
            const int32x4_t a =
                vreinterpretq_s32_s8(unpack_group(layout, block, 4 * half + 2 * k, v));
            const int32x4_t b =
                vreinterpretq_s32_s8(unpack_group(layout, block, 4 * half + 2 * k + 1, v));
            const int8x16_t low = vreinterpretq_s8_s32(vzip1q_s32(a, b));
            const int8x16_t high = vreinterpretq_s8_s32(vzip2q_s32(a, b));
            UNROLL
            for (uint32_t t = 0; t < n_tokens; t += 2) {
                const int8x16_t two = load_tokens(x + 16 * half, x_stride, t, n_tokens, k);
                const int32x4_t zero = vdupq_n_s32(0);
                int32x4_t *const out = square[t / 2];
                out[0] = vmmlaq_s32(k == 0 ? zero : out[0], two, low);
                out[1] = vmmlaq_s32(k == 0 ? zero : out[1], two, high);
            }
        }
        UNROLL
        for (uint32_t t = 0; t < n_tokens; t++) {
            const int64x2_t low = vreinterpretq_s64_s32(square[t / 2][0]);
            const int64x2_t high = vreinterpretq_s64_s32(square[t / 2][1]);
            const int64x2_t rows = t % 2 == 0 ? vtrn1q_s64(low, high) : vtrn2q_s64(low, high);
            dot[t][v] = vaddq_s32(dot[t][v], vreinterpretq_s32_s64(rows));
        }
    }
}

#endif
