/* What the AVX2 matmul kernels share.  A block of columns is taken group by group (4 columns of 16
 * rows: two registers of weights), each group times a broadcast of 4 values of every token of the
 * call. */
#ifndef REALM_BACKEND_CPU_AVX2_MATMUL_H
#define REALM_BACKEND_CPU_AVX2_MATMUL_H

#include "backend/cpu/matmul_inline.h"

#include <immintrin.h>

/* Compilers regroup integer sums into trees, whose leaves do not fit in the registers: not this
 * one. */
INLINE __m256i keep_order(__m256i sum)
{
    __asm__("" : "+x"(sum));
    return sum;
}

INLINE __m256i load_32(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* Four neighbouring values of one token, in every row. */
INLINE __m256i broadcast_4(const void *p)
{
    int word;
    __builtin_memcpy(&word, p, sizeof word);
    return _mm256_set1_epi32(word);
}

INLINE __m256 load_halves(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* Sums of 16 rows of one token into out, with bias and residual. */
INLINE void write_rows(const struct matmul_call *call, uint32_t t, uint32_t row, __m256 a, __m256 b)
{
    const uint32_t column = row - call->first_out_row;
    float *const out = call->out + t * call->out_stride + column;
    const float *const residual =
        call->residual != NULL ? call->residual + t * call->residual_stride + column : NULL;
    const uint32_t n = call->n_weight_rows - row;
    if (n >= TILE_ROWS) {
        if (call->bias != NULL) {
            a = _mm256_add_ps(a, _mm256_loadu_ps(call->bias + row));
            b = _mm256_add_ps(b, _mm256_loadu_ps(call->bias + row + 8));
        }
        if (residual != NULL) {
            a = _mm256_add_ps(a, _mm256_loadu_ps(residual));
            b = _mm256_add_ps(b, _mm256_loadu_ps(residual + 8));
        }
        _mm256_storeu_ps(out, a);
        _mm256_storeu_ps(out + 8, b);
        return;
    }
    float rows[TILE_ROWS];
    _mm256_storeu_ps(rows, a);
    _mm256_storeu_ps(rows + 8, b);
    write_some_rows(call, rows, row, n, residual, out);
}

void matmul_q8_q4_0_16x6__avx2(const struct matmul_call *call);
void matmul_q8_q4_1_16x6__avx2(const struct matmul_call *call);
void matmul_q8_q5_0_16x6__avx2(const struct matmul_call *call);
void matmul_q8_q5_1_16x6__avx2(const struct matmul_call *call);
void matmul_q8_q8_0_16x6__avx2(const struct matmul_call *call);
void matmul_q8_q2k_16x6__avx2(const struct matmul_call *call);
void matmul_q8_q3k_16x6__avx2(const struct matmul_call *call);
void matmul_q8_q4k_16x6__avx2(const struct matmul_call *call);
void matmul_q8_q5k_16x6__avx2(const struct matmul_call *call);
void matmul_q8_q6k_16x6__avx2(const struct matmul_call *call);
void matmul_q8_q8k_16x6__avx2(const struct matmul_call *call);
void matmul_f32_f16_16x3__avx2(const struct matmul_call *call);
void matmul_f32_bf16_16x3__avx2(const struct matmul_call *call);
void matmul_f32_f32_16x3__avx2(const struct matmul_call *call);
uint64_t peak_int8__avx2(uint32_t rounds, int32_t *sink);

#endif
