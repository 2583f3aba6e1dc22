/* What the AVX2 matmul kernels share.  A block of columns is taken group by group (4 columns of 16
 * rows: two registers of weights), each group times a broadcast of 4 values of every token of the
 * call. */
#ifndef REALM_BACKEND_CPU_AVX2_MATMUL_H
#define REALM_BACKEND_CPU_AVX2_MATMUL_H

#include "backend/cpu/kernels.h"
#include "backend/cpu/tile_inline.h"

#include <immintrin.h>

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define INLINE static inline __attribute__((always_inline))

/* Weights are asked for this far ahead; a pass over many tokens finds them in the cache anyway. */
#define PREFETCH_BYTES 2048

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

INLINE void prefetch_block(const uint8_t *block, uint32_t n_bytes)
{
    UNROLL
    for (uint32_t i = 0; i < n_bytes; i += 64) {
        _mm_prefetch((const char *)block + PREFETCH_BYTES + i, _MM_HINT_T0);
    }
}

/* Sums of 16 rows of one token into out, with bias and residual. */
INLINE void write_rows(const struct matmul_call *call, uint32_t t, uint32_t row, __m256 a, __m256 b)
{
    float *const out = call->out + t * call->out_stride + row;
    const float *const residual =
        call->residual != NULL ? call->residual + t * call->residual_stride + row : NULL;
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
    for (uint32_t r = 0; r < n; r++) {
        const float sum = call->bias != NULL ? rows[r] + call->bias[row + r] : rows[r];
        out[r] = residual != NULL ? sum + residual[r] : sum;
    }
}

/* Token rows of the next part, when n_left are to be cut into parts of at most `most`, nearly
 * equal. */
INLINE uint32_t next_part(uint32_t n_left, uint32_t most)
{
    const uint32_t n_parts = (n_left + most - 1) / most;
    return (n_left + n_parts - 1) / n_parts;
}

#define CASE(tokens_function, most, n)                                                             \
    case n:                                                                                        \
        if ((n) <= (most)) {                                                                       \
            tokens_function(call, tile, row, t, (n) <= (most) ? (n) : 1);                          \
        }                                                                                          \
        break

/* A kernel: the call's tiles one by one, each over all token rows.  tokens_function is inlined once
 * for each number of tokens up to `most`. */
#define MATMUL_KERNEL(name, tokens_function, most)                                                 \
    void name(const struct matmul_call *call)                                                      \
    {                                                                                              \
        for (uint32_t i = 0; i < call->n_tiles; i++) {                                             \
            const uint32_t row = (call->first_tile + i) * TILE_ROWS;                               \
            const uint8_t *const tile = call->tiles + (call->first_tile + i) * call->tile_bytes;   \
            uint32_t n;                                                                            \
            for (uint32_t t = 0; t < call->n_rows; t += n) {                                       \
                n = next_part(call->n_rows - t, most);                                             \
                switch (n) {                                                                       \
                    CASE(tokens_function, most, 1);                                                \
                    CASE(tokens_function, most, 2);                                                \
                    CASE(tokens_function, most, 3);                                                \
                    CASE(tokens_function, most, 4);                                                \
                    CASE(tokens_function, most, 5);                                                \
                    CASE(tokens_function, most, 6);                                                \
                default:                                                                           \
                    break;                                                                         \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
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
void matmul_q8_q6k_16x4__avx2(const struct matmul_call *call);
void matmul_q8_q8k_16x6__avx2(const struct matmul_call *call);
void matmul_f32_f16_16x3__avx2(const struct matmul_call *call);
void matmul_f32_bf16_16x3__avx2(const struct matmul_call *call);
void matmul_f32_f32_16x3__avx2(const struct matmul_call *call);
void quantise_q8__avx2(const float *x, uint32_t n, const struct quantised_rows *out);
uint64_t peak_int8__avx2(uint32_t rounds, int32_t *sink);

#endif
