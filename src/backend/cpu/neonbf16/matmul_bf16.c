/* BF16 weights times activations rounded to BF16: bfdot adds the products of a pair of columns to
 * F32, for four rows.  Each token's next 32 columns are rounded into a small buffer that stays in
 * the first-level cache. */
#include "backend/cpu/neonbf16/matmul.h"
#include "backend/cpu/neondot/matmul.h"

#define MOST_TOKENS   4
#define CHUNK_COLUMNS 32u

/* The first n columns of x, zeros behind them. */
INLINE void round_chunk(const float *x, uint32_t n, bfloat16_t *out)
{
    float padded[CHUNK_COLUMNS];
    if (n < CHUNK_COLUMNS) {
        for (uint32_t c = 0; c < CHUNK_COLUMNS; c++) {
            padded[c] = c < n ? x[c] : 0.0f;
        }
        x = padded;
    }
    UNROLL
    for (uint32_t c = 0; c < CHUNK_COLUMNS; c += 4) {
        vst1_bf16(out + c, vcvt_bf16_f32(vld1q_f32(x + c)));
    }
}

/* Two columns of a token in all lanes. */
INLINE bfloat16x8_t broadcast_pair(const bfloat16_t *pair)
{
    uint32_t bits;
    __builtin_memcpy(&bits, pair, sizeof bits);
    return vreinterpretq_bf16_u32(vdupq_n_u32(bits));
}

INLINE void
bf16(const struct matmul_call *call, const uint8_t *tile, uint32_t row, uint32_t t0, uint32_t n)
{
    const float *const x = call->x + t0 * call->x_stride;
    bfloat16_t chunk[MOST_TOKENS][CHUNK_COLUMNS];
    float32x4_t sums[MOST_TOKENS][4];
    UNROLL
    for (uint32_t t = 0; t < n; t++) {
        sums[t][0] = sums[t][1] = sums[t][2] = sums[t][3] = vdupq_n_f32(0.0f);
    }
    for (uint32_t c = 0; c < call->columns; c += CHUNK_COLUMNS) {
        const uint32_t left = call->columns - c;
        const uint32_t n_columns = left < CHUNK_COLUMNS ? left : CHUNK_COLUMNS;
        UNROLL
        for (uint32_t t = 0; t < n; t++) {
            round_chunk(x + t * call->x_stride + c, n_columns, chunk[t]);
        }
        for (uint32_t i = 0; i < n_columns; i += 2) {
            const uint8_t *const pair = tile + (size_t)(c + i) / 2 * 64;
            bfloat16x8_t w[4];
            prefetch_block(pair, 64);
            UNROLL
            for (uint32_t v = 0; v < 4; v++) {
                w[v] = vreinterpretq_bf16_u8(vld1q_u8(pair + 16 * v));
            }
            UNROLL
            for (uint32_t t = 0; t < n; t++) {
                const bfloat16x8_t two = broadcast_pair(&chunk[t][i]);
                UNROLL
                for (uint32_t v = 0; v < 4; v++) {
                    sums[t][v] = vbfdotq_f32(sums[t][v], w[v], two);
                }
            }
        }
    }
    UNROLL
    for (uint32_t t = 0; t < n; t++) {
        write_rows(call, t0 + t, row, sums[t]);
    }
}

MATMUL_KERNEL(matmul_bf16_bf16_16x4__neonbf16, bf16, 4)
