/* F16, BF16 and F32 weights times F32 activations by FMA: four registers of rows for the even
 * column of a pair, four for the odd one. */
#include "backend/cpu/neondot/matmul.h"

#define MOST_TOKENS 3

/* Rows 4v .. 4v + 3 of the even and of the odd column. */
INLINE void load_pair(enum tile_layout layout, const uint8_t *pair, uint32_t v, float32x4_t w[2])
{
    if (layout == TILE_F32) {
        w[0] = vreinterpretq_f32_u8(vld1q_u8(pair + 16 * v));
        w[1] = vreinterpretq_f32_u8(vld1q_u8(pair + 64 + 16 * v));
        return;
    }
    const uint32x4_t raw = vreinterpretq_u32_u8(vld1q_u8(pair + 16 * v));
    if (layout == TILE_BF16) {
        w[0] = vreinterpretq_f32_u32(vshlq_n_u32(raw, 16));
        w[1] = vreinterpretq_f32_u32(vandq_u32(raw, vdupq_n_u32(0xffff0000u)));
        return;
    }
    w[0] = vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(raw)));
    w[1] = vcvt_f32_f16(vreinterpret_f16_u16(vshrn_n_u32(raw, 16)));
}

INLINE void multiply_tokens(enum tile_layout layout,
                            const struct matmul_call *call,
                            const uint8_t *tile,
                            uint32_t row,
                            uint32_t t0,
                            uint32_t n_tokens)
{
    const size_t pair_bytes = layout == TILE_F32 ? 128 : 64;
    const float *const x = call->x + t0 * call->x_stride;
    const uint32_t columns = call->columns;
    float32x4_t even[MOST_TOKENS][4];
    float32x4_t odd[MOST_TOKENS][4];
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        even[t][0] = even[t][1] = even[t][2] = even[t][3] = vdupq_n_f32(0.0f);
        odd[t][0] = odd[t][1] = odd[t][2] = odd[t][3] = vdupq_n_f32(0.0f);
    }
    for (uint32_t c = 0; c < columns; c += 2) {
        const uint8_t *const pair = tile + c / 2 * pair_bytes;
        const bool whole = columns - c >= 2;
        prefetch_block(pair, (uint32_t)pair_bytes);
        UNROLL
        for (uint32_t v = 0; v < 4; v++) {
            float32x4_t w[2];
            if (layout == TILE_F32 && !whole) { /* the tile ends after this column */
                w[0] = vreinterpretq_f32_u8(vld1q_u8(pair + 16 * v));
                w[1] = vdupq_n_f32(0.0f);
            } else {
                load_pair(layout, pair, v, w);
            }
            UNROLL
            for (uint32_t t = 0; t < n_tokens; t++) {
                const float *const two = x + t * call->x_stride + c;
                even[t][v] = vfmaq_n_f32(even[t][v], w[0], two[0]);
                if (whole) {
                    odd[t][v] = vfmaq_n_f32(odd[t][v], w[1], two[1]);
                }
            }
        }
    }
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        float32x4_t sums[4];
        UNROLL
        for (uint32_t v = 0; v < 4; v++) {
            sums[v] = vaddq_f32(even[t][v], odd[t][v]);
        }
        write_rows(call, t0 + t, row, sums);
    }
}

INLINE void
f16(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_F16, c, tile, row, t, n);
}

INLINE void
bf16(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_BF16, c, tile, row, t, n);
}

INLINE void
f32(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_F32, c, tile, row, t, n);
}

MATMUL_KERNEL(matmul_f32_f16_16x3__neondot, f16, 3)
MATMUL_KERNEL(matmul_f32_bf16_16x3__neondot, bf16, 3)
MATMUL_KERNEL(matmul_f32_f32_16x3__neondot, f32, 3)
