/* The body of the integer kernels, made for one layout and number of tokens by inlining.
 *
 * vpdpbusd adds four products of unsigned weights and signed values to 32 bits: exact for all
 * layouts. What is subtracted from the weights (8-bit ones become unsigned by adding 128) goes into
 * the value that a sum starts with: -offset * the sum of the token's values. */
#ifndef REALM_BACKEND_CPU_AVX512VNNI_MATMUL_QUANTISED_H
#define REALM_BACKEND_CPU_AVX512VNNI_MATMUL_QUANTISED_H

#include "backend/cpu/avx512vnni/matmul.h"

#define MOST_TOKENS 12
#define MOST_SHARING                                                                               \
    64 /* rows; with more, the passes are so many that shares cost more than they gain */

/* a | (b & mask) */
INLINE __m512i or_masked(__m512i a, __m512i b, char mask)
{
    return _mm512_ternarylogic_epi32(a, b, _mm512_set1_epi8(mask), 0xf8);
}

/* Moves bit field `from` of every byte to `to`; bits that cross bytes are masked away by the
 * caller. */
INLINE __m512i move_bits(__m512i x, int from, int to)
{
    return from > to ? _mm512_srli_epi16(x, (shift_count)(from - to))
                     : _mm512_slli_epi16(x, (shift_count)(to - from));
}

/* Group g of a block: unsigned bytes. */
INLINE __m512i unpack_group(enum tile_layout layout, const uint8_t *block, uint32_t g)
{
    if (is_8_bit(layout)) {
        return _mm512_xor_si512(load_64(block + 64 * g), _mm512_set1_epi8((char)0x80));
    }
    if (layout == TILE_Q2_K || layout == TILE_Q3_K) {
        const __m512i pair = _mm512_and_si512(
            move_bits(load_64(block + g / 4 * 64), (int)(g % 4 * 2), 0), _mm512_set1_epi8(3));
        return layout == TILE_Q2_K
                   ? pair
                   : or_masked(pair, move_bits(load_64(block + TILE_PAIRS_BYTES), (int)g, 2), 4);
    }
    const __m512i nibble = _mm512_and_si512(
        move_bits(load_64(block + g % 4 * 64), (int)(g / 4 * 4), 0), _mm512_set1_epi8(15));
    if (is_5_bit(layout)) {
        return or_masked(nibble, move_bits(load_64(block + TILE_NIBBLES_BYTES), (int)g, 4), 16);
    }
    if (layout == TILE_Q6_K) {
        const __m512i pairs = load_64(block + TILE_NIBBLES_BYTES + g / 4 * 64);
        return or_masked(nibble, move_bits(pairs, (int)(g % 4 * 2), 4), 48);
    }
    return nibble;
}

/* Pairs of int16 of every row times the sums of a token's halves. */
INLINE __m512i dot_pairs(__m512i pairs, const int32_t *x_sums)
{
    return _mm512_dpwssd_epi32(_mm512_setzero_si512(), pairs, broadcast_4(x_sums));
}

/* Part scales of the rows as pairs of int16 (first half, second half). */
INLINE __m512i load_parts(enum tile_layout layout, const uint8_t *parts)
{
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)parts);
    const __m512i pairs = _mm512_cvtepi8_epi16(bytes);
    return layout == TILE_Q2_K ? _mm512_and_si512(pairs, _mm512_set1_epi16(15)) : pairs;
}

/* Part mins of Q2_K: the high nibbles. */
INLINE __m512i load_part_mins(const uint8_t *parts)
{
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)parts);
    return _mm512_and_si512(_mm512_srli_epi16(_mm512_cvtepi8_epi16(bytes), 4),
                            _mm512_set1_epi16(15));
}

/* What was added to the weights, so that they are unsigned. */
INLINE int added_to(enum tile_layout layout)
{
    return is_8_bit(layout) ? 128 : offset_of(layout);
}

/* Where weights have an offset and a block one scale, its dots start with the same number in every
 * row: that of eight blocks is made at once.  Words 2b and 2b + 1 are block b's; the odd ones mean
 * nothing. */
#define START_BLOCKS 8u
struct starts {
    _Alignas(64) int32_t of[MOST_TOKENS][2 * START_BLOCKS];
};

INLINE bool has_starts(enum tile_layout layout)
{
    return added_to(layout) != 0 && !has_parts(layout);
}

INLINE void make_starts(enum tile_layout layout,
                        const int32_t *x_sums,
                        size_t x_stride,
                        uint32_t n_tokens,
                        struct starts *starts)
{
    const __m512i factor = _mm512_set1_epi16((short)-added_to(layout));
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        const __m512i sums = load_64(x_sums + t * (x_stride / 16));
        _mm512_store_si512(starts->of[t],
                           _mm512_dpwssd_epi32(_mm512_setzero_si512(), factor, sums));
    }
}

/* What the dots of token t start with. */
INLINE __m512i first_sum(enum tile_layout layout,
                         __m512i parts,
                         const int32_t *x_sums,
                         const struct starts *starts,
                         uint32_t b,
                         uint32_t t)
{
    if (has_starts(layout)) {
        return broadcast_4(&starts->of[t][2 * (b % START_BLOCKS)]);
    }
    if (offset_of(layout) == 0) {
        return _mm512_setzero_si512();
    }
    const __m512i factor = _mm512_set1_epi16((short)-offset_of(layout));
    return dot_pairs(_mm512_mullo_epi16(parts, factor), x_sums);
}

/* Exact integer dots of one block. */
INLINE void dot_block(enum tile_layout layout,
                      const uint8_t *block,
                      const int8_t *x,
                      size_t x_stride,
                      const int32_t *x_sums,
                      const struct starts *starts,
                      uint32_t b,
                      uint32_t n_tokens,
                      __m512i dot[])
{
    const __m512i parts = has_parts(layout)
                              ? load_parts(layout, block + tile_block_bytes(layout) - 32)
                              : _mm512_setzero_si512();
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        dot[t] = first_sum(layout, parts, x_sums + t * (x_stride / 16), starts, b, t);
    }
    UNROLL
    for (uint32_t half = 0; half < 2; half++) {
        __m512i part[MOST_TOKENS];
        UNROLL
        for (uint32_t g = 4 * half; g < 4 * half + 4; g++) {
            const __m512i w = unpack_group(layout, block, g);
            UNROLL
            for (uint32_t t = 0; t < n_tokens; t++) {
                const int8_t *const four = x + t * x_stride + 4 * g;
                if (has_parts(layout)) {
                    part[t] = add_dots(g % 4 == 0 ? _mm512_setzero_si512() : part[t], w, four);
                } else {
                    dot[t] = add_dots(dot[t], w, four);
                }
            }
        }
        if (has_parts(layout)) {
            const int32_t pick[2] = {1, 1 << 16}; /* the half's int16 of each pair */
            const __m512i scale = dot_pairs(parts, &pick[half]);
            UNROLL
            for (uint32_t t = 0; t < n_tokens; t++) {
                dot[t] = _mm512_add_epi32(dot[t], _mm512_mullo_epi32(part[t], scale));
            }
        }
    }
}

/* Scales and mins of a block. */
INLINE void load_scales(
    enum tile_layout layout, const uint8_t *head, const uint8_t *block, __m512 *scale, __m512 *min)
{
    const uint8_t *const end = block + tile_block_bytes(layout);
    switch (layout) {
    case TILE_Q4_1:
    case TILE_Q5_1:
        *scale = load_halves(end - 64);
        *min = load_halves(end - 32);
        return;
    case TILE_Q4_K:
    case TILE_Q5_K:
        *scale = _mm512_mul_ps(load_halves(head), load_bytes(end - 32));
        *min = _mm512_mul_ps(load_halves(head + 32), load_bytes(end - 16));
        return;
    case TILE_Q2_K:
        *scale = load_halves(head);
        *min = load_halves(head + 32);
        return;
    case TILE_Q3_K:
    case TILE_Q6_K:
        *scale = load_halves(head);
        return;
    case TILE_Q8_K:
        *scale = _mm512_loadu_ps((const float *)(const void *)head);
        return;
    default:
        *scale = load_halves(end - 32);
        return;
    }
}

/* sum += the block's dots times scales, then its mins. */
INLINE void add_block(enum tile_layout layout,
                      const uint8_t *head,
                      const uint8_t *block,
                      const struct quantised_rows *x,
                      size_t x_block,
                      uint32_t n_tokens,
                      const __m512i dot[],
                      __m512 sum[])
{
    const size_t stride = x->columns / TILE_COLUMNS;
    __m512 scale;
    __m512 min = _mm512_setzero_ps();
    load_scales(layout, head, block, &scale, &min);
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        const __m512 x_scale = _mm512_set1_ps(x->scales[x_block + t * stride]);
        const int32_t *const x_sums = x->sums + 2 * (x_block + t * stride);
        const __m512 factor = _mm512_mul_ps(scale, x_scale);
        sum[t] = _mm512_fmadd_ps(factor, to_floats(dot[t]), sum[t]);
        if (has_float_min(layout)) {
            const __m512 x_sum = _mm512_castsi512_ps(broadcast_4(x_sums + 1));
            sum[t] = layout == TILE_Q4_K || layout == TILE_Q5_K
                         ? _mm512_fnmadd_ps(min, x_sum, sum[t])
                         : _mm512_fmadd_ps(min, x_sum, sum[t]);
        }
        if (layout == TILE_Q2_K) {
            const __m512i mins = load_part_mins(block + tile_block_bytes(layout) - 32);
            const __m512i dots = dot_pairs(mins, x_sums);
            sum[t] = _mm512_fnmadd_ps(_mm512_mul_ps(min, x_scale), to_floats(dots), sum[t]);
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
    struct prefetch share = share_prefetch(call, tile, tile_block_bytes(layout), t0, n_tokens);
    const bool shares = n_tokens < call->n_rows && call->n_rows <= MOST_SHARING;
    const uint8_t *block = tile;
    const uint8_t *head = tile;
    struct starts starts;
    __m512 sum[MOST_TOKENS];
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        sum[t] = _mm512_setzero_ps();
    }
    for (uint32_t b = 0; b < n_blocks; b++) {
        if (tile_is_super(layout) && b % TILE_SUPER_BLOCKS == 0) {
            head = block;
            block += tile_head_bytes(layout);
        }
        const int32_t *const x_sums = x->sums + 2 * (x_block + b);
        if (has_starts(layout) && b % START_BLOCKS == 0) {
            make_starts(layout, x_sums, x->columns, n_tokens, &starts);
        }
        __m512i dot[MOST_TOKENS];
        if (shares) {
            prefetch_share(&share);
        } else {
            prefetch_block(block, tile_block_bytes(layout));
        }
        dot_block(layout,
                  block,
                  values + (size_t)b * TILE_COLUMNS,
                  x->columns,
                  x_sums,
                  &starts,
                  b,
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
