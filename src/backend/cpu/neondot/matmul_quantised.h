/* The body of the integer kernels, made for one layout and number of tokens by inlining.  What
 * differs between sdot and smmla is how a half of a block is multiplied: dot_half, which the
 * including file defines.
 *
 * Numbers of 6 bits and fewer are taken unsigned (they fit int8), and -offset * the sum of the
 * token's values is what a sum starts with. */
#ifndef REALM_BACKEND_CPU_NEONDOT_MATMUL_QUANTISED_H
#define REALM_BACKEND_CPU_NEONDOT_MATMUL_QUANTISED_H

#include "backend/cpu/neondot/matmul.h"

#define MOST_TOKENS 4

/* Moves bit field `from` of every byte to `to`. */
INLINE uint8x16_t move_bits(uint8x16_t x, int from, int to)
{
    return from == to ? x : vshlq_u8(x, vdupq_n_s8((int8_t)(to - from)));
}

/* Group g, rows 4v .. 4v + 3 of a block. */
INLINE int8x16_t unpack_group(enum tile_layout layout, const uint8_t *block, uint32_t g, uint32_t v)
{
    const uint8_t *const rows = block + 16 * v;
    uint8x16_t x;
    if (is_8_bit(layout)) {
        x = vld1q_u8(rows + 64 * g);
    } else if (layout == TILE_Q2_K || layout == TILE_Q3_K) {
        x = vandq_u8(move_bits(vld1q_u8(rows + g / 4 * 64), (int)(g % 4 * 2), 0), vdupq_n_u8(3));
        if (layout == TILE_Q3_K) {
            const uint8x16_t bit = move_bits(vld1q_u8(rows + TILE_PAIRS_BYTES), (int)g, 2);
            x = vorrq_u8(x, vandq_u8(bit, vdupq_n_u8(4)));
        }
    } else {
        x = vld1q_u8(rows + g % 4 * 64);
        x = g < 4 ? vandq_u8(x, vdupq_n_u8(15)) : vshrq_n_u8(x, 4);
        if (is_5_bit(layout)) {
            const uint8x16_t bit = move_bits(vld1q_u8(rows + TILE_NIBBLES_BYTES), (int)g, 4);
            x = vorrq_u8(x, vandq_u8(bit, vdupq_n_u8(16)));
        } else if (layout == TILE_Q6_K) {
            const uint8x16_t pairs = vld1q_u8(rows + TILE_NIBBLES_BYTES + g / 4 * 64);
            const uint8x16_t pair = move_bits(pairs, (int)(g % 4 * 2), 4);
            x = vorrq_u8(x, vandq_u8(pair, vdupq_n_u8(48)));
        }
    }
    return vreinterpretq_s8_u8(x);
}

/* Part scales of half `half`, rows 4v .. 4v + 3. */
INLINE int32x4_t load_parts(enum tile_layout layout,
                            const uint8_t *parts,
                            uint32_t v,
                            uint32_t half)
{
    const int16x8_t pairs = vmovl_s8(vreinterpret_s8_u8(vld1_u8(parts + 8 * v)));
    const int32x4_t both =
        vreinterpretq_s32_s16(layout == TILE_Q2_K ? vandq_s16(pairs, vdupq_n_s16(15)) : pairs);
    return half == 0 ? vshrq_n_s32(vshlq_n_s32(both, 16), 16) : vshrq_n_s32(both, 16);
}

/* The sum of half `half` of a block's values. */
INLINE int32_t half_sum(const int32_t *x_sums, uint32_t half)
{
    return (int16_t)((uint32_t)x_sums[0] >> (16 * half) & 0xffffu);
}

/* Sums of 16 columns, as they start. */
INLINE int32x4_t first_sum(enum tile_layout layout, const int32_t *x_sums, uint32_t half)
{
    return vdupq_n_s32(-offset_of(layout) * half_sum(x_sums, half));
}

/* Adds to dot[t][v] the products of half `half` of a block (16 columns), rows 4v .. 4v + 3. */
INLINE void dot_half(enum tile_layout layout,
                     const uint8_t *block,
                     uint32_t half,
                     const int8_t *x,
                     size_t x_stride,
                     uint32_t n_tokens,
                     int32x4_t dot[][4]);

/* Exact integer dots of one block. */
INLINE void dot_block(enum tile_layout layout,
                      const uint8_t *block,
                      const int8_t *x,
                      size_t x_stride,
                      const int32_t *x_sums,
                      uint32_t n_tokens,
                      int32x4_t dot[][4])
{
    const uint8_t *const parts = block + tile_block_bytes(layout) - 32;
    UNROLL
    for (uint32_t half = 0; half < 2; half++) {
        int32x4_t part[MOST_TOKENS][4];
        UNROLL
        for (uint32_t t = 0; t < n_tokens; t++) {
            const int32x4_t first = first_sum(layout, x_sums + t * (x_stride / 16), half);
            UNROLL
            for (uint32_t v = 0; v < 4; v++) {
                part[t][v] = half == 0 || has_parts(layout) ? first : vaddq_s32(dot[t][v], first);
            }
        }
        dot_half(layout, block, half, x, x_stride, n_tokens, part);
        UNROLL
        for (uint32_t v = 0; v < 4; v++) {
            const int32x4_t scale =
                has_parts(layout) ? load_parts(layout, parts, v, half) : vdupq_n_s32(1);
            UNROLL
            for (uint32_t t = 0; t < n_tokens; t++) {
                if (!has_parts(layout)) {
                    dot[t][v] = part[t][v];
                } else if (half == 0) {
                    dot[t][v] = vmulq_s32(part[t][v], scale);
                } else {
                    dot[t][v] = vmlaq_s32(dot[t][v], part[t][v], scale);
                }
            }
        }
    }
}

/* Four unsigned bytes. */
INLINE float32x4_t load_4_bytes(const uint8_t *p)
{
    uint32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    const uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(word)));
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
}

/* Scales and mins of a block, rows 4v .. 4v + 3. */
INLINE void load_scales(enum tile_layout layout,
                        const uint8_t *head,
                        const uint8_t *block,
                        uint32_t v,
                        float32x4_t *scale,
                        float32x4_t *min)
{
    const uint8_t *const end = block + tile_block_bytes(layout);
    switch (layout) {
    case TILE_Q4_1:
    case TILE_Q5_1:
        *scale = load_4_halves(end - 64 + 8 * v);
        *min = load_4_halves(end - 32 + 8 * v);
        return;
    case TILE_Q4_K:
    case TILE_Q5_K:
        *scale = vmulq_f32(load_4_halves(head + 8 * v), load_4_bytes(end - 32 + 4 * v));
        *min =
            vnegq_f32(vmulq_f32(load_4_halves(head + 32 + 8 * v), load_4_bytes(end - 16 + 4 * v)));
        return;
    case TILE_Q2_K:
        *scale = load_4_halves(head + 8 * v);
        *min = load_4_halves(head + 32 + 8 * v);
        return;
    case TILE_Q3_K:
    case TILE_Q6_K:
        *scale = load_4_halves(head + 8 * v);
        return;
    case TILE_Q8_K:
        *scale = vreinterpretq_f32_u8(vld1q_u8(head + 16 * v));
        return;
    default:
        *scale = load_4_halves(end - 32 + 8 * v);
        return;
    }
}

/* Q2_K: part mins times the sums of a token's halves. */
INLINE int32x4_t min_dots(const uint8_t *parts, uint32_t v, const int32_t *x_sums)
{
    const uint16x8_t mins = vmovl_u8(vshr_n_u8(vld1_u8(parts + 8 * v), 4));
    const int32x4_t both = vreinterpretq_s32_u16(mins);
    const int32x4_t first = vandq_s32(both, vdupq_n_s32(0xffff));
    const int32x4_t second = vshrq_n_s32(both, 16);
    return vmlaq_n_s32(vmulq_n_s32(first, half_sum(x_sums, 0)), second, half_sum(x_sums, 1));
}

/* sum += the block's dots times scales, then its mins. */
INLINE void add_block(enum tile_layout layout,
                      const uint8_t *head,
                      const uint8_t *block,
                      const struct quantised_rows *x,
                      size_t x_block,
                      uint32_t n_tokens,
                      int32x4_t dot[][4],
                      float32x4_t sum[][4])
{
    const size_t stride = x->columns / TILE_COLUMNS;
    UNROLL
    for (uint32_t v = 0; v < 4; v++) {
        float32x4_t scale;
        float32x4_t min = vdupq_n_f32(0.0f);
        load_scales(layout, head, block, v, &scale, &min);
        UNROLL
        for (uint32_t t = 0; t < n_tokens; t++) {
            const size_t at = x_block + t * stride;
            const float x_scale = x->scales[at];
            const float32x4_t factor = vmulq_n_f32(scale, x_scale);
            sum[t][v] = vfmaq_f32(sum[t][v], factor, vcvtq_f32_s32(dot[t][v]));
            if (has_float_min(layout)) {
                const int32x4_t x_sum = vdupq_n_s32(x->sums[2 * at + 1]);
                sum[t][v] = vfmaq_f32(sum[t][v], min, vreinterpretq_f32_s32(x_sum));
            }
            if (layout == TILE_Q2_K) {
                const uint8_t *const parts = block + tile_block_bytes(layout) - 32;
                const float32x4_t dots = vcvtq_f32_s32(min_dots(parts, v, x->sums + 2 * at));
                sum[t][v] = vfmsq_f32(sum[t][v], vmulq_n_f32(min, x_scale), dots);
            }
        }
    }
}

/* One tile times n_tokens tokens from t0 on. */
INLINE void multiply_tokens(enum tile_layout layout,
                            const struct matmul_call *call,
                            const uint8_t *tile,
                            uint32_t row,
                            uint32_t t0,
                            uint32_t n_tokens)
{
    const struct quantised_rows *const x = call->quantised;
    const uint32_t n_blocks = call->columns / TILE_COLUMNS;
    const int8_t *const values = x->values + (size_t)t0 * x->columns;
    const size_t x_block = (size_t)t0 * n_blocks;
    const uint8_t *block = tile;
    const uint8_t *head = tile;
    float32x4_t sum[MOST_TOKENS][4];
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        sum[t][0] = sum[t][1] = sum[t][2] = sum[t][3] = vdupq_n_f32(0.0f);
    }
    for (uint32_t b = 0; b < n_blocks; b++) {
        if (tile_is_super(layout) && b % TILE_SUPER_BLOCKS == 0) {
            head = block;
            block += tile_head_bytes(layout);
        }
        int32x4_t dot[MOST_TOKENS][4];
        prefetch_block(block, tile_block_bytes(layout));
        dot_block(layout,
                  block,
                  values + (size_t)b * TILE_COLUMNS,
                  x->columns,
                  x->sums + 2 * (x_block + b),
                  n_tokens,
                  dot);
        add_block(layout, head, block, x, x_block + b, n_tokens, dot, sum);
        block += tile_block_bytes(layout);
    }
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        write_rows(call, t0 + t, row, sum[t]);
    }
}

#endif
