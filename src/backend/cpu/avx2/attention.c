#include "backend/cpu/avx2/vector.h"
#include "backend/cpu/half_inline.h"

typedef __m256 vec;
#define VEC_FLOATS 8u
#define BLOCK      4u /* with the keys and a factor, 11 of 16 registers */
#define CHAINS     8u

#define vec_zero      _mm256_setzero_ps
#define vec_set       _mm256_set1_ps
#define vec_load      _mm256_loadu_ps
#define vec_store     _mm256_storeu_ps
#define vec_add       _mm256_add_ps
#define vec_sub       _mm256_sub_ps
#define vec_mul       _mm256_mul_ps
#define vec_max       _mm256_max_ps
#define vec_fma       _mm256_fmadd_ps
#define vec_exp       exp_8
#define vec_sum       sum_8
#define vec_largest   max_8
#define vec_halves(p) _mm256_cvtph_ps(_mm_loadu_si128((const void *)(p)))
#define vec_half(p)   _mm256_cvtph_ps(_mm_set1_epi16((short)*(p)))
#define vec_bf16(p)   bf16_8(p)
#define vec_bytes(p)  bytes_8(p)
#define vec_nibbles   nibbles_8

static inline __m256 bf16_8(const uint16_t *numbers)
{
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)numbers));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline __m256 bytes_8(const int8_t *bytes)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)bytes)));
}

static inline __m256 nibbles_8(const uint8_t *bytes, uint32_t part)
{
    const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)bytes));
    const __m256i bits =
        part == 0 ? _mm256_and_si256(wide, _mm256_set1_epi32(15)) : _mm256_srli_epi32(wide, 4);
    return _mm256_cvtepi32_ps(bits);
}

#include "backend/cpu/attention_inline.h"

void attention_f32_f16__avx2(const struct attention_call *call)
{
    attend_all(call, KV_F16);
}

void attention_f32_bf16__avx2(const struct attention_call *call)
{
    attend_all(call, KV_BF16);
}

void attention_f32_q8_0__avx2(const struct attention_call *call)
{
    attend_all(call, KV_Q8_0);
}

void attention_f32_q8_0_q4_1__avx2(const struct attention_call *call)
{
    attend_all(call, KV_Q8_0_Q4_1);
}

/* Eight halves, magnitudes clamped; NaN stays. */
static inline __m128i halves_8(__m256 x)
{
    const __m256 below = _mm256_min_ps(_mm256_set1_ps(HALF_MAX), x);
    const __m256 clamped = _mm256_max_ps(_mm256_set1_ps(-HALF_MAX), below);
    return _mm256_cvtps_ph(clamped, _MM_FROUND_TO_NEAREST_INT);
}

void kv_write_f16__avx2(const float *key,
                        const float *value,
                        uint32_t head_columns,
                        uint32_t slot,
                        uint8_t *keys,
                        uint8_t *values)
{
    const uint32_t value_columns = kv_value_columns(head_columns);
    uint16_t *const key_halves = (uint16_t *)(void *)keys + slot;
    uint16_t *const value_halves = (uint16_t *)(void *)values + (size_t)slot * value_columns;
    for (uint32_t c = 0; c < value_columns; c += 8) {
        const uint32_t left = head_columns > c ? head_columns - c : 0;
        const __m256i mask = lanes_below(left < 8 ? left : 8);
        uint16_t column[8];
        _mm_storeu_si128((void *)column, halves_8(_mm256_maskload_ps(key + c, mask)));
        for (uint32_t k = 0; k < 8 && k < left; k++) {
            key_halves[(size_t)(c + k) * KV_PAGE_TOKENS] = column[k];
        }
        const __m128i converted = halves_8(_mm256_maskload_ps(value + c, mask));
        _mm_storeu_si128((void *)(value_halves + c), converted);
    }
}
