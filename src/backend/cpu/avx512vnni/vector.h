/* What the AVX-512 kernels on rows of F32 share.  Rotations, sums of two rows and KV writes stay
 * AVX2's: wider registers gain nothing there.  Odd ends are AVX2's too. */
#ifndef REALM_BACKEND_CPU_AVX512VNNI_VECTOR_H
#define REALM_BACKEND_CPU_AVX512VNNI_VECTOR_H

#include "backend/cpu/avx2/vector.h"
#include "backend/cpu/simd_x86.h"

static inline __m256 low_8(__m512 x)
{
    return _mm512_castps512_ps256(x);
}

#if REALM_SIMDE /* functions that SIMDe lacks */
static inline __m512 halves_16(const uint16_t *halves)
{
    float out[16];
    _mm256_storeu_ps(out, _mm256_cvtph_ps(_mm_loadu_si128((const void *)halves)));
    _mm256_storeu_ps(out + 8, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(halves + 8))));
    return _mm512_loadu_ps(out);
}

static inline __m512 bf16_16(const uint16_t *numbers)
{
    uint32_t out[16];
    for (uint32_t i = 0; i < 16; i++) {
        out[i] = (uint32_t)numbers[i] << 16;
    }
    return _mm512_loadu_ps((const void *)out);
}

static inline __m512 bytes_16(const int8_t *bytes)
{
    float out[16];
    for (uint32_t i = 0; i < 16; i++) {
        out[i] = (float)bytes[i];
    }
    return _mm512_loadu_ps(out);
}

static inline __m256 high_8(__m512 x)
{
    float out[16];
    _mm512_storeu_ps(out, x);
    return _mm256_loadu_ps(out + 8);
}
#else
static inline __m512 halves_16(const uint16_t *halves)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)halves));
}

static inline __m512 bf16_16(const uint16_t *numbers)
{
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)numbers));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static inline __m512 bytes_16(const int8_t *bytes)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)bytes)));
}

static inline __m256 high_8(__m512 x)
{
    return _mm512_extractf32x8_ps(x, 1);
}
#endif

static inline float sum_16(__m512 x)
{
    return sum_8(_mm256_add_ps(low_8(x), high_8(x)));
}

static inline float max_16(__m512 x)
{
    return max_8(_mm256_max_ps(low_8(x), high_8(x)));
}

/* exp_scalar of sixteen. */
static inline __m512 exp_16(__m512 x)
{
    /* The second operand comes back when one is NaN. */
    const __m512 clamped = _mm512_min_ps(_mm512_set1_ps(EXP_MAX), x);
    const __m512 rounder = _mm512_set1_ps(EXP_ROUNDER);
    const __m512 scaled = _mm512_mul_ps(clamped, _mm512_set1_ps(EXP_LOG2E));
    const __m512 n = _mm512_sub_ps(_mm512_add_ps(scaled, rounder), rounder);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXP_LN2_HI), clamped);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXP_LN2_LO), r);
    __m512 p = _mm512_set1_ps(EXP_P4);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_P3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_P2));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_P1));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP_P0));
    const __m512 tail = _mm512_fmadd_ps(_mm512_mul_ps(r, r), p, r);
    const __m512 e = _mm512_add_ps(_mm512_set1_ps(1.0f), tail);
    const __mmask16 tiny = _mm512_cmp_ps_mask(x, _mm512_set1_ps(EXP_MIN), _CMP_LT_OQ);
    return _mm512_mask_mov_ps(_mm512_scalef_ps(e, n), tiny, _mm512_setzero_ps());
}

void quantise_q8__avx512vnni(const float *x, uint32_t n, const struct quantised_rows *out);
void rms_norm_f32__avx512vnni(
    const float *x, const float *weight, uint32_t n, float epsilon, float *out);
void silu_mul_f32__avx512vnni(const float *a, const float *b, uint32_t n, float *out);
void gelu_mul_f32__avx512vnni(const float *a, const float *b, uint32_t n, float *out);
void attention_f32_f16__avx512vnni(const struct attention_call *call);
void attention_f32_bf16__avx512vnni(const struct attention_call *call);
void attention_f32_q8_0__avx512vnni(const struct attention_call *call);
void attention_f32_q8_0_q4_1__avx512vnni(const struct attention_call *call);

#endif
