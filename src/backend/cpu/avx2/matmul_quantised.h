/* The body of the integer kernels, made for one layout and number of tokens by inlining.
 *
 * maddubs multiplies unsigned weights by signed values and adds two neighbours in 16 bits.  How
 * many such sums fit in 16 bits depends on the weights: 15 * 127 * 2 * 8 (all groups of a block),
 * 31 * 127 * 2 * 4, 63 * 127 * 2 * 2.  8-bit weights give their sign to the values: 128 * 127 * 2.
 * Then madd widens to 32 bits, multiplying by the part scale where halves of a block have their
 * own.
 *
 * Where several passes are to come, a tile's weights are unpacked once, to a panel: 512 bytes a
 * block, [8 groups][16 rows][4 columns] as in 8-bit layouts. */
#ifndef REALM_BACKEND_CPU_AVX2_MATMUL_QUANTISED_H
#define REALM_BACKEND_CPU_AVX2_MATMUL_QUANTISED_H

#include "backend/cpu/avx2/matmul.h"

#define MOST_TOKENS   6u
#define PANEL_COLUMNS 4096u /* at most: 64 KiB of stack */
#define PANEL_MOST    (PANEL_COLUMNS / TILE_COLUMNS * TILE_BYTES_BYTES)

/* Group g, rows 8v .. 8v + 7 of a block: unsigned bytes (8-bit layouts: signed). */
INLINE __m256i unpack_group(enum tile_layout layout, const uint8_t *block, uint32_t g, uint32_t v)
{
    if (is_8_bit(layout)) {
        return load_32(block + 64 * g + 32 * v);
    }
    if (layout == TILE_Q2_K || layout == TILE_Q3_K) {
        const __m256i raw = load_32(block + g / 4 * 64 + 32 * v);
        const __m256i pair =
            _mm256_and_si256(_mm256_srli_epi16(raw, (int)(g % 4 * 2)), _mm256_set1_epi8(3));
        if (layout == TILE_Q2_K) {
            return pair;
        }
        const __m256i bits = load_32(block + TILE_PAIRS_BYTES + 32 * v);
        const __m256i bit =
            g > 2 ? _mm256_srli_epi16(bits, (int)g - 2) : _mm256_slli_epi16(bits, 2 - (int)g);
        return _mm256_or_si256(pair, _mm256_and_si256(bit, _mm256_set1_epi8(4)));
    }
    const __m256i raw = load_32(block + g % 4 * 64 + 32 * v);
    const __m256i nibble =
        _mm256_and_si256(g < 4 ? raw : _mm256_srli_epi16(raw, 4), _mm256_set1_epi8(15));
    if (is_5_bit(layout)) {
        const __m256i bits = load_32(block + TILE_NIBBLES_BYTES + 32 * v);
        const __m256i bit =
            g > 4 ? _mm256_srli_epi16(bits, (int)g - 4) : _mm256_slli_epi16(bits, 4 - (int)g);
        return _mm256_or_si256(nibble, _mm256_and_si256(bit, _mm256_set1_epi8(16)));
    }
    if (layout == TILE_Q6_K) {
        const __m256i pairs = load_32(block + TILE_NIBBLES_BYTES + g / 4 * 64 + 32 * v);
        const int f = (int)(g % 4) * 2;
        const __m256i pair =
            f > 4 ? _mm256_srli_epi16(pairs, f - 4) : _mm256_slli_epi16(pairs, 4 - f);
        return _mm256_or_si256(nibble, _mm256_and_si256(pair, _mm256_set1_epi8(48)));
    }
    return nibble;
}

/* Groups whose products add up in 16 bits, and that share a part scale. */
INLINE uint32_t groups_of(enum tile_layout layout)
{
    switch (layout) {
    case TILE_Q4_0:
    case TILE_Q4_1:
    case TILE_Q4_K:
        return 8;
    case TILE_Q6_K:
        return 2;
    case TILE_Q8_0:
    case TILE_Q8_K:
        return 1;
    default:
        return 4;
    }
}

/* Unpacking takes more than two instructions a register. */
INLINE bool is_dear(enum tile_layout layout)
{
    return is_5_bit(layout) || layout == TILE_Q3_K || layout == TILE_Q6_K;
}

/* Passes over a tile from which on it pays to unpack it once. */
INLINE uint32_t panel_passes(enum tile_layout layout)
{
    return is_dear(layout) ? 2 : 3;
}

/* Passes that take so long that the next tile can arrive meanwhile; the others have no register to
 * spare for it. */
INLINE bool shares_prefetch(enum tile_layout layout, const uint8_t *panel)
{
    return is_8_bit(layout) || is_dear(layout) || panel != NULL;
}

INLINE __m256i multiply_4(enum tile_layout layout, __m256i w, __m256i x)
{
    if (is_8_bit(layout)) {
        return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    }
    return _mm256_maddubs_epi16(w, x);
}

/* Part scales of rows 8v .. 8v + 7 as pairs of int16 (first half, second half). */
INLINE __m256i load_parts(enum tile_layout layout, const uint8_t *parts, uint32_t v)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(parts + 16 * v));
    return layout == TILE_Q2_K
               ? _mm256_and_si256(_mm256_cvtepu8_epi16(bytes), _mm256_set1_epi16(15))
               : _mm256_cvtepi8_epi16(bytes);
}

/* Pairs (first, second) to (first, first) or (second, second). */
INLINE __m256i both_of(__m256i pairs, uint32_t half)
{
    const __m256i first = _mm256_set1_epi64x(0x0504050401000100);
    const __m256i second = _mm256_set1_epi64x(0x0706070603020302);
    const __m256i lane = _mm256_set_epi64x(0x0808080808080808, 0, 0x0808080808080808, 0);
    return _mm256_shuffle_epi8(pairs, _mm256_or_si256(half == 0 ? first : second, lane));
}

/* Exact integer dots of one block: dot[t][v] for rows 8v .. 8v + 7.  unpacked: its weights in the
 * panel, or NULL. */
INLINE void dot_block(enum tile_layout layout,
                      const uint8_t *block,
                      const uint8_t *unpacked,
                      const int8_t *x,
                      size_t x_stride,
                      const int32_t *x_sums,
                      uint32_t n_tokens,
                      __m256i dot[][2])
{
    const uint32_t n_groups = groups_of(layout);
    const uint8_t *const parts = block + tile_block_bytes(layout) - 32;
    __m256i pairs[2];
    if (has_parts(layout)) {
        pairs[0] = load_parts(layout, parts, 0);
        pairs[1] = load_parts(layout, parts, 1);
    }
    UNROLL
    for (uint32_t first = 0; first < 8; first += n_groups) {
        __m256i sum16[MOST_TOKENS][2];
        UNROLL
        for (uint32_t g = first; g < first + n_groups; g++) {
            const __m256i w0 =
                unpacked != NULL ? load_32(unpacked + 64 * g) : unpack_group(layout, block, g, 0);
            const __m256i w1 = unpacked != NULL ? load_32(unpacked + 64 * g + 32)
                                                : unpack_group(layout, block, g, 1);
            UNROLL
            for (uint32_t t = 0; t < n_tokens; t++) {
                const __m256i four = broadcast_4(x + t * x_stride + 4 * g);
                const __m256i p0 = multiply_4(layout, w0, four);
                const __m256i p1 = multiply_4(layout, w1, four);
                sum16[t][0] = g == first ? p0 : keep_order(_mm256_add_epi16(sum16[t][0], p0));
                sum16[t][1] = g == first ? p1 : keep_order(_mm256_add_epi16(sum16[t][1], p1));
            }
        }
        UNROLL
        for (uint32_t v = 0; v < 2; v++) {
            const __m256i scale =
                has_parts(layout) ? both_of(pairs[v], first / 4) : _mm256_set1_epi16(1);
            UNROLL
            for (uint32_t t = 0; t < n_tokens; t++) {
                const __m256i sum32 = _mm256_madd_epi16(sum16[t][v], scale);
                dot[t][v] = first == 0 ? sum32 : keep_order(_mm256_add_epi32(dot[t][v], sum32));
            }
        }
    }
    if (offset_of(layout) == 0) {
        return;
    }
    const __m256i offset = _mm256_set1_epi16((short)-offset_of(layout));
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        const __m256i sums = broadcast_4(x_sums + t * (x_stride / 16));
        UNROLL
        for (uint32_t v = 0; v < 2; v++) {
            const __m256i factor =
                has_parts(layout) ? _mm256_mullo_epi16(pairs[v], offset) : offset;
            dot[t][v] = _mm256_add_epi32(dot[t][v], _mm256_madd_epi16(factor, sums));
        }
    }
}

/* Scales and mins of a block. */
INLINE void load_scales(enum tile_layout layout,
                        const uint8_t *head,
                        const uint8_t *block,
                        __m256 scale[2],
                        __m256 min[2])
{
    const uint8_t *const end = block + tile_block_bytes(layout);
    UNROLL
    for (uint32_t v = 0; v < 2; v++) {
        switch (layout) {
        case TILE_Q4_1:
        case TILE_Q5_1:
            scale[v] = load_halves(end - 64 + 16 * v);
            min[v] = load_halves(end - 32 + 16 * v);
            break;
        case TILE_Q4_K:
        case TILE_Q5_K: {
            const __m128i parts =
                _mm_loadl_epi64((const __m128i *)(const void *)(end - 32 + 8 * v));
            const __m128i mins = _mm_loadl_epi64((const __m128i *)(const void *)(end - 16 + 8 * v));
            scale[v] = _mm256_mul_ps(load_halves(head + 16 * v),
                                     _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(parts)));
            min[v] = _mm256_mul_ps(load_halves(head + 32 + 16 * v),
                                   _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(mins)));
            break;
        }
        case TILE_Q2_K:
            scale[v] = load_halves(head + 16 * v);
            min[v] = load_halves(head + 32 + 16 * v);
            break;
        case TILE_Q3_K:
        case TILE_Q6_K:
            scale[v] = load_halves(head + 16 * v);
            break;
        case TILE_Q8_K:
            scale[v] = _mm256_loadu_ps((const float *)(const void *)(head + 32 * v));
            break;
        default:
            scale[v] = load_halves(end - 32 + 16 * v);
            break;
        }
    }
}

/* sum += the block's dots times scales, then its mins. */
INLINE void add_block(enum tile_layout layout,
                      const uint8_t *head,
                      const uint8_t *block,
                      const struct quantised_rows *x,
                      size_t x_block,
                      uint32_t n_tokens,
                      __m256i dot[][2],
                      __m256 sum[][2])
{
    const size_t stride = x->columns / TILE_COLUMNS;
    const uint8_t *const parts = block + tile_block_bytes(layout) - 32;
    __m256 scale[2];
    __m256 min[2];
    load_scales(layout, head, block, scale, min);
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        const __m256 x_scale = _mm256_broadcast_ss(x->scales + x_block + t * stride);
        const int32_t *const x_sums = x->sums + 2 * (x_block + t * stride);
        UNROLL
        for (uint32_t v = 0; v < 2; v++) {
            const __m256 factor = _mm256_mul_ps(scale[v], x_scale);
            sum[t][v] = _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(dot[t][v]), sum[t][v]);
            if (has_float_min(layout)) {
                const __m256 x_sum = _mm256_castsi256_ps(broadcast_4(x_sums + 1));
                sum[t][v] = layout == TILE_Q4_K || layout == TILE_Q5_K
                                ? _mm256_fnmadd_ps(min[v], x_sum, sum[t][v])
                                : _mm256_fmadd_ps(min[v], x_sum, sum[t][v]);
            }
            if (layout == TILE_Q2_K) {
                const __m128i bytes =
                    _mm_loadu_si128((const __m128i *)(const void *)(parts + 16 * v));
                const __m256i mins = _mm256_srli_epi16(_mm256_cvtepu8_epi16(bytes), 4);
                const __m256i dots = _mm256_madd_epi16(mins, broadcast_4(x_sums));
                sum[t][v] = _mm256_fnmadd_ps(
                    _mm256_mul_ps(min[v], x_scale), _mm256_cvtepi32_ps(dots), sum[t][v]);
            }
        }
    }
}

/* All weights of a tile. */
INLINE void
fill_panel(enum tile_layout layout, const uint8_t *tile, uint32_t n_blocks, uint8_t *panel)
{
    const uint8_t *block = tile;
    for (uint32_t b = 0; b < n_blocks; b++) {
        block += b % TILE_SUPER_BLOCKS == 0 ? tile_head_bytes(layout) : 0;
        UNROLL
        for (uint32_t i = 0; i < 16; i++) {
            const __m256i weights = unpack_group(layout, block, i / 2, i % 2);
            _mm256_store_si256((__m256i *)(void *)(panel + (size_t)32 * i), weights);
        }
        block += tile_block_bytes(layout);
        panel += TILE_BYTES_BYTES;
    }
}

/* One tile times n_tokens tokens from t0 on; panel: its weights unpacked, or NULL. */
INLINE void multiply_tokens(enum tile_layout layout,
                            const struct matmul_call *call,
                            const uint8_t *tile,
                            const uint8_t *panel,
                            uint32_t row,
                            uint32_t t0,
                            uint32_t n_tokens)
{
    const struct quantised_rows *const x = call->quantised;
    const uint32_t n_blocks = call->columns / TILE_COLUMNS;
    const int8_t *const values = x->values + (size_t)t0 * x->columns;
    const size_t x_block = (size_t)t0 * n_blocks;
    struct prefetch share = share_prefetch(call, tile, tile_block_bytes(layout), t0, n_tokens);
    const bool shares = shares_prefetch(layout, panel) && n_tokens < call->n_rows;
    const uint8_t *block = tile;
    const uint8_t *head = tile;
    __m256 sum[MOST_TOKENS][2];
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        sum[t][0] = sum[t][1] = _mm256_setzero_ps();
    }
    for (uint32_t b = 0; b < n_blocks; b++) {
        if (tile_is_super(layout) && b % TILE_SUPER_BLOCKS == 0) {
            head = block;
            block += tile_head_bytes(layout);
        }
        __m256i dot[MOST_TOKENS][2];
        if (shares) {
            prefetch_share(&share);
        } else {
            prefetch_block(block, tile_block_bytes(layout));
        }
        dot_block(layout,
                  block,
                  panel != NULL ? panel + (size_t)b * TILE_BYTES_BYTES : NULL,
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
        write_rows(call, t0 + t, row, sum[t][0], sum[t][1]);
    }
}

/* The passes of one tile that follow unpacking, 3 to 6 tokens each. */
INLINE void multiply_unpacked(enum tile_layout layout,
                              const struct matmul_call *call,
                              const uint8_t *tile,
                              uint32_t row)
{
    _Alignas(32) uint8_t panel[PANEL_MOST];
    fill_panel(layout, tile, call->columns / TILE_COLUMNS, panel);
    uint32_t n;
    for (uint32_t t = 0; t < call->n_rows; t += n) {
        n = next_part(call->n_rows - t, MOST_TOKENS);
        switch (n) {
        case 6:
            multiply_tokens(layout, call, tile, panel, row, t, 6);
            break;
        case 5:
            multiply_tokens(layout, call, tile, panel, row, t, 5);
            break;
        case 4:
            multiply_tokens(layout, call, tile, panel, row, t, 4);
            break;
        default:
            multiply_tokens(layout, call, tile, panel, row, t, 3);
            break;
        }
    }
}

/* A kernel that takes a panel where the tile fits and passes are several. */
#define PANEL_KERNEL(name, layout, tokens_function)                                                \
    static MATMUL_KERNEL(name##_packed, tokens_function, MOST_TOKENS) void name(                   \
        const struct matmul_call *call)                                                            \
    {                                                                                              \
        if (call->n_rows <= (panel_passes(layout) - 1) * MOST_TOKENS ||                            \
            call->columns > PANEL_COLUMNS) {                                                       \
            name##_packed(call);                                                                   \
            return;                                                                                \
        }                                                                                          \
        for (uint32_t i = 0; i < call->n_tiles; i++) {                                             \
            const uint32_t tile = call->first_tile + i;                                            \
            multiply_unpacked(                                                                     \
                layout, call, call->tiles + tile * call->tile_bytes, tile * TILE_ROWS);            \
        }                                                                                          \
    }

#endif
