/* BF16 weights times activations rounded to BF16: vdpbf16ps adds the products of a pair of columns
 * to F32.  Each token's next 32 columns are rounded into a small buffer that stays in the
 * first-level cache. */
#include "backend/cpu/avx512bf16/matmul.h"
#include "backend/cpu/avx512vnni/matmul.h"

#define MOST_TOKENS   12
#define CHUNK_COLUMNS 32u

#if REALM_SIMDE /* lacks the conversion */
INLINE void round_32(__m512 low, __m512 high, uint16_t *out)
{
    union half_bits x[CHUNK_COLUMNS];
    _mm512_storeu_ps(x, low);
    _mm512_storeu_ps(x + 16, high);
    for (uint32_t i = 0; i < CHUNK_COLUMNS; i++) {
        const bool is_nan = (x[i].bits & 0x7fffffffu) > 0x7f800000u;
        const uint32_t nearest = x[i].bits + 0x7fffu + (x[i].bits >> 16 & 1u);
        out[i] = (uint16_t)((is_nan ? x[i].bits | 0x400000u : nearest) >> 16);
    }
}
#else
INLINE void round_32(__m512 low, __m512 high, uint16_t *out)
{
    _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}
#endif

/* The first n columns of x, zeros behind them. */
INLINE void round_chunk(const float *x, uint32_t n, uint16_t *out)
{
    if (n == CHUNK_COLUMNS) {
        round_32(_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16), out);
        return;
    }
    float padded[CHUNK_COLUMNS] = {0};
    for (uint32_t c = 0; c < n; c++) {
        padded[c] = x[c];
    }
    round_32(_mm512_loadu_ps(padded), _mm512_loadu_ps(padded + 16), out);
}

INLINE void bf16(const struct matmul_call *call,
                 const uint8_t *tile,
                 uint32_t row,
                 uint32_t t0,
                 uint32_t n_tokens)
{
    const float *const x = call->x + t0 * call->x_stride;
    uint16_t chunk[MOST_TOKENS][CHUNK_COLUMNS];
    __m512 sum[MOST_TOKENS];
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        sum[t] = _mm512_setzero_ps();
    }
    for (uint32_t c = 0; c < call->columns; c += CHUNK_COLUMNS) {
        const uint32_t left = call->columns - c;
        const uint32_t n = left < CHUNK_COLUMNS ? left : CHUNK_COLUMNS;
        UNROLL
        for (uint32_t t = 0; t < n_tokens; t++) {
            round_chunk(x + t * call->x_stride + c, n, chunk[t]);
        }
        for (uint32_t i = 0; i < n; i += 2) {
            const uint8_t *const pair = tile + (size_t)(c + i) / 2 * 64;
            prefetch_block(pair, 64);
            const __m512i w = load_64(pair);
            UNROLL
            for (uint32_t t = 0; t < n_tokens; t++) {
                sum[t] = _mm512_dpbf16_ps(sum[t], (__m512bh)w, (__m512bh)broadcast_4(&chunk[t][i]));
            }
        }
    }
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        write_rows(call, t0 + t, row, sum[t]);
    }
}

MATMUL_KERNEL(matmul_bf16_bf16_16x12__avx512bf16, bf16, 12)
