/* What the AVX2 kernels on rows of F32 share. */
#ifndef REALM_BACKEND_CPU_AVX2_VECTOR_H
#define REALM_BACKEND_CPU_AVX2_VECTOR_H

#include "backend/cpu/exp_inline.h"
#include "backend/cpu/kernels.h"

#include <immintrin.h>

/* exp_scalar of eight. */
static inline __m256 exp_8(__m256 x)
{
    /* The second operand comes back when one is NaN. */
    const __m256 clamped = _mm256_min_ps(_mm256_set1_ps(EXP_MAX), x);
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(clamped, _mm256_set1_ps(EXP_LOG2E)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(EXP_LN2_HI), clamped);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(EXP_LN2_LO), r);
    __m256 p = _mm256_set1_ps(EXP_P4);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_P3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_P2));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_P1));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(EXP_P0));
    const __m256 tail = _mm256_fmadd_ps(_mm256_mul_ps(r, r), p, r);
    const __m256 e = _mm256_add_ps(_mm256_set1_ps(1.0f), tail);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), bias), 23);
    const __m256 result = _mm256_mul_ps(e, _mm256_castsi256_ps(power));
    const __m256 tiny = _mm256_cmp_ps(x, _mm256_set1_ps(EXP_MIN), _CMP_LT_OQ);
    return _mm256_andnot_ps(tiny, result);
}

static inline float sum_8(__m256 x)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float max_8(__m256 x)
{
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* Lanes below n, n <= 8. */
static inline __m256i lanes_below(uint32_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}

void rms_norm_f32__avx2(const float *x, const float *weight, uint32_t n, float epsilon, float *out);
void rope_f32__avx2(
    float *head, const float *cosines, const float *sines, uint32_t n_pairs, bool adjacent);
void quantise_q8__avx2(const float *x, uint32_t n, const struct quantised_rows *out);
void silu_mul_f32__avx2(const float *a, const float *b, uint32_t n, float *out);
void gelu_mul_f32__avx2(const float *a, const float *b, uint32_t n, float *out);
void add_f32__avx2(const float *a, const float *b, uint32_t n, float *out);
void attention_f32_f16__avx2(const struct attention_call *call);
void attention_f32_bf16__avx2(const struct attention_call *call);
void attention_f32_q8_0__avx2(const struct attention_call *call);
void attention_f32_q8_0_q4_1__avx2(const struct attention_call *call);
void kv_write_f16__avx2(const float *key,
                        const float *value,
                        uint32_t head_columns,
                        uint32_t slot,
                        uint8_t *keys,
                        uint8_t *values);

#endif
