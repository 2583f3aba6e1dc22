/* F16, BF16 and F32 weights: 16 rows as four registers of (row, even or odd column) for the types
 * that come in pairs of columns, as two registers an even and two an odd column for F32. */
#include "backend/cpu/avx2/matmul.h"

/* Registers 0, 1: rows 0 .. 7 and 8 .. 15 of even columns; 2, 3 of odd ones. */
INLINE void load_pair(enum tile_layout layout, const uint8_t *pair, bool whole, __m256 w[4])
{
    if (layout == TILE_F32) {
        const float *const floats = (const float *)(const void *)pair;
        w[0] = _mm256_loadu_ps(floats);
        w[1] = _mm256_loadu_ps(floats + 8);
        w[2] = whole ? _mm256_loadu_ps(floats + 16) : _mm256_setzero_ps();
        w[3] = whole ? _mm256_loadu_ps(floats + 24) : _mm256_setzero_ps();
        return;
    }
    UNROLL
    for (uint32_t v = 0; v < 2; v++) {
        const __m256i raw = load_32(pair + 32 * v);
        if (layout == TILE_BF16) {
            w[v] = _mm256_castsi256_ps(_mm256_slli_epi32(raw, 16));
            w[2 + v] =
                _mm256_castsi256_ps(_mm256_and_si256(raw, _mm256_set1_epi32((int)0xffff0000u)));
            continue;
        }
        /* Eight even halves, then eight odd ones. */
        const __m256i order = _mm256_set_epi64x(
            0x0f0e0b0a07060302, 0x0d0c090805040100, 0x0f0e0b0a07060302, 0x0d0c090805040100);
        const __m256i sorted = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(raw, order), 0xd8);
        w[v] = _mm256_cvtph_ps(_mm256_castsi256_si128(sorted));
        w[2 + v] = _mm256_cvtph_ps(_mm256_extracti128_si256(sorted, 1));
    }
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
    __m256 sum[3][4];
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        sum[t][0] = sum[t][1] = sum[t][2] = sum[t][3] = _mm256_setzero_ps();
    }
    const uint32_t columns = call->columns;
    for (uint32_t c = 0; c + 1 < columns; c += 2) {
        const uint8_t *const pair = tile + c / 2 * pair_bytes;
        prefetch_block(pair, (uint32_t)pair_bytes);
        __m256 w[4];
        load_pair(layout, pair, true, w);
        UNROLL
        for (uint32_t t = 0; t < n_tokens; t++) {
            const __m256 even = _mm256_broadcast_ss(x + t * call->x_stride + c);
            const __m256 odd = _mm256_broadcast_ss(x + t * call->x_stride + c + 1);
            sum[t][0] = _mm256_fmadd_ps(w[0], even, sum[t][0]);
            sum[t][1] = _mm256_fmadd_ps(w[1], even, sum[t][1]);
            sum[t][2] = _mm256_fmadd_ps(w[2], odd, sum[t][2]);
            sum[t][3] = _mm256_fmadd_ps(w[3], odd, sum[t][3]);
        }
    }
    if (columns % 2 != 0) {
        __m256 w[4];
        load_pair(layout, tile + columns / 2 * pair_bytes, false, w);
        UNROLL
        for (uint32_t t = 0; t < n_tokens; t++) {
            const __m256 even = _mm256_broadcast_ss(x + t * call->x_stride + columns - 1);
            sum[t][0] = _mm256_fmadd_ps(w[0], even, sum[t][0]);
            sum[t][1] = _mm256_fmadd_ps(w[1], even, sum[t][1]);
        }
    }
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        write_rows(call,
                   t0 + t,
                   row,
                   _mm256_add_ps(sum[t][0], sum[t][2]),
                   _mm256_add_ps(sum[t][1], sum[t][3]));
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

MATMUL_KERNEL(matmul_f32_f16_16x3__avx2, f16, 3)
MATMUL_KERNEL(matmul_f32_bf16_16x3__avx2, bf16, 3)
MATMUL_KERNEL(matmul_f32_f32_16x3__avx2, f32, 3)
