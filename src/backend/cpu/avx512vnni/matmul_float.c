/* F16, BF16 and F32 weights times F32 activations by FMA: a register of 16 rows for the even column
 * of a pair, one for the odd column. */
#include "backend/cpu/avx512vnni/matmul.h"

#define MOST_TOKENS 12

INLINE void load_pair(enum tile_layout layout, const uint8_t *pair, __m512 *even, __m512 *odd)
{
    if (layout == TILE_F32) {
        *even = _mm512_loadu_ps((const float *)(const void *)pair);
        *odd = _mm512_loadu_ps((const float *)(const void *)(pair + 64));
        return;
    }
    const __m512i raw = load_64(pair);
    if (layout == TILE_BF16) {
        *even = _mm512_castsi512_ps(_mm512_slli_epi32(raw, 16));
        *odd = _mm512_castsi512_ps(_mm512_and_si512(raw, _mm512_set1_epi32((int)0xffff0000u)));
        return;
    }
    const __m512i low_16 = _mm512_set_epi32(0,
                                            0,
                                            0,
                                            0,
                                            0,
                                            0,
                                            0,
                                            0,
                                            0x001e001c,
                                            0x001a0018,
                                            0x00160014,
                                            0x00120010,
                                            0x000e000c,
                                            0x000a0008,
                                            0x00060004,
                                            0x00020000);
    const __m512i one = _mm512_set1_epi16(1);
    *even = widen_halves(_mm512_permutexvar_epi16(low_16, raw));
    *odd = widen_halves(_mm512_permutexvar_epi16(_mm512_add_epi16(low_16, one), raw));
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
    __m512 sum[MOST_TOKENS][2];
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        sum[t][0] = sum[t][1] = _mm512_setzero_ps();
    }
    for (uint32_t c = 0; c + 1 < columns; c += 2) {
        const uint8_t *const pair = tile + c / 2 * pair_bytes;
        prefetch_block(pair, (uint32_t)pair_bytes);
        __m512 even;
        __m512 odd;
        load_pair(layout, pair, &even, &odd);
        UNROLL
        for (uint32_t t = 0; t < n_tokens; t++) {
            const float *const two = x + t * call->x_stride + c;
            sum[t][0] = _mm512_fmadd_ps(even, _mm512_set1_ps(two[0]), sum[t][0]);
            sum[t][1] = _mm512_fmadd_ps(odd, _mm512_set1_ps(two[1]), sum[t][1]);
        }
    }
    if (columns % 2 != 0) { /* F32 tiles end after the even column: the slack covers the load */
        __m512 even;
        __m512 odd;
        load_pair(layout, tile + columns / 2 * pair_bytes, &even, &odd);
        UNROLL
        for (uint32_t t = 0; t < n_tokens; t++) {
            const float last = x[t * call->x_stride + columns - 1];
            sum[t][0] = _mm512_fmadd_ps(even, _mm512_set1_ps(last), sum[t][0]);
        }
    }
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        write_rows(call, t0 + t, row, _mm512_add_ps(sum[t][0], sum[t][1]));
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

MATMUL_KERNEL(matmul_f32_f16_16x12__avx512vnni, f16, 12)
MATMUL_KERNEL(matmul_f32_bf16_16x12__avx512vnni, bf16, 12)
MATMUL_KERNEL(matmul_f32_f32_16x12__avx512vnni, f32, 12)
