/* What the AVX-512 matmul kernels share: one register holds 4 columns (or a pair) of all 16 rows.
 */
#ifndef REALM_BACKEND_CPU_AVX512VNNI_MATMUL_H
#define REALM_BACKEND_CPU_AVX512VNNI_MATMUL_H

#if REALM_SIMDE
#define MATMUL_ROLLED
#endif

#include "backend/cpu/avx512vnni/vector.h"
#include "backend/cpu/matmul_inline.h"

INLINE __m512i load_64(const void *p)
{
    return _mm512_loadu_si512(p);
}

/* Four neighbouring values of one token, in every row: becomes the operand of the instruction that
 * uses it. */
INLINE __m512i broadcast_4(const void *p)
{
    int word;
    __builtin_memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
}

/* sums + the products of four unsigned weights of every row and four values of one token. Compilers
 * load the broadcast on its own: an instruction in three is saved by naming it. */
#if REALM_SIMDE
INLINE __m512i add_dots(__m512i sums, __m512i weights, const int8_t *four)
{
    return _mm512_dpbusd_epi32(sums, weights, broadcast_4(four));
}
#else
INLINE __m512i add_dots(__m512i sums, __m512i weights, const int8_t *four)
{
    const struct word {
        int8_t bytes[4];
    } *const word = (const void *)four;
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sums) : "v"(weights), "m"(*word));
    return sums;
}
#endif

/* Compilers and SIMDe do not agree on the type of a shift's count. */
#if REALM_SIMDE || defined(__clang__)
typedef unsigned shift_count;
#else
typedef int shift_count;
#endif

#if REALM_SIMDE /* lacks these conversions */

INLINE __m512 widen_halves(__m512i x)
{
    uint16_t halves[32];
    _mm512_storeu_si512(halves, x);
    return halves_16(halves);
}

INLINE __m512 to_floats(__m512i x)
{
    int32_t in[16];
    float out[16];
    _mm512_storeu_si512(in, x);
    for (uint32_t i = 0; i < 16; i++) {
        out[i] = (float)in[i];
    }
    return _mm512_loadu_ps(out);
}

/* 16 unsigned bytes. */
INLINE __m512 load_bytes(const uint8_t *p)
{
    float out[16];
    for (uint32_t i = 0; i < 16; i++) {
        out[i] = (float)p[i];
    }
    return _mm512_loadu_ps(out);
}
#else
INLINE __m512 to_floats(__m512i x)
{
    return _mm512_cvtepi32_ps(x);
}

INLINE __m512 load_bytes(const uint8_t *p)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}

/* The low 16 halves. */
INLINE __m512 widen_halves(__m512i x)
{
    return _mm512_cvtph_ps(_mm512_castsi512_si256(x));
}
#endif

INLINE __m512 load_halves(const uint8_t *p)
{
    return halves_16((const uint16_t *)(const void *)p);
}

/* Sums of 16 rows of one token into out, with bias and residual. */
INLINE void write_rows(const struct matmul_call *call, uint32_t t, uint32_t row, __m512 sum)
{
    const uint32_t column = row - call->first_out_row;
    float *const out = call->out + t * call->out_stride + column;
    const float *const residual =
        call->residual != NULL ? call->residual + t * call->residual_stride + column : NULL;
    const uint32_t n = call->n_weight_rows - row;
    if (n >= TILE_ROWS) {
        if (call->bias != NULL) {
            sum = _mm512_add_ps(sum, _mm512_loadu_ps(call->bias + row));
        }
        if (residual != NULL) {
            sum = _mm512_add_ps(sum, _mm512_loadu_ps(residual));
        }
        _mm512_storeu_ps(out, sum);
        return;
    }
    float rows[TILE_ROWS];
    _mm512_storeu_ps(rows, sum);
    write_some_rows(call, rows, row, n, residual, out);
}

void matmul_q8_q4_0_16x12__avx512vnni(const struct matmul_call *call);
void matmul_q8_q4_1_16x12__avx512vnni(const struct matmul_call *call);
void matmul_q8_q5_0_16x12__avx512vnni(const struct matmul_call *call);
void matmul_q8_q5_1_16x12__avx512vnni(const struct matmul_call *call);
void matmul_q8_q8_0_16x12__avx512vnni(const struct matmul_call *call);
void matmul_q8_q2k_16x8__avx512vnni(const struct matmul_call *call);
void matmul_q8_q3k_16x8__avx512vnni(const struct matmul_call *call);
void matmul_q8_q4k_16x12__avx512vnni(const struct matmul_call *call);
void matmul_q8_q5k_16x12__avx512vnni(const struct matmul_call *call);
void matmul_q8_q6k_16x8__avx512vnni(const struct matmul_call *call);
void matmul_q8_q8k_16x12__avx512vnni(const struct matmul_call *call);
void matmul_f32_f16_16x12__avx512vnni(const struct matmul_call *call);
void matmul_f32_bf16_16x12__avx512vnni(const struct matmul_call *call);
void matmul_f32_f32_16x12__avx512vnni(const struct matmul_call *call);
uint64_t peak_int8__avx512vnni(uint32_t rounds, int32_t *sink);

#endif
