#include "backend/cpu/avx2/matmul.h"
#include "backend/cpu/avx2/vector.h"

/* The largest of 32 magnitudes as integer bits: NaN is above all numbers. */
INLINE int largest_bits(const __m256 x[4])
{
    const __m256i sign = _mm256_set1_epi32(0x7fffffff);
    __m256i largest = _mm256_and_si256(_mm256_castps_si256(x[0]), sign);
    UNROLL
    for (uint32_t i = 1; i < 4; i++) {
        largest = _mm256_max_epi32(largest, _mm256_and_si256(_mm256_castps_si256(x[i]), sign));
    }
    __m128i four =
        _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
}

/* Sums of bytes 0 .. 15 and 16 .. 31. */
INLINE void half_sums(__m256i values, int sums[2])
{
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), values);
    const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    const __m256i two = _mm256_hadd_epi32(fours, fours);
    const __m256i one = _mm256_hadd_epi32(two, two);
    sums[0] = _mm_cvtsi128_si32(_mm256_castsi256_si128(one));
    sums[1] = _mm_cvtsi128_si32(_mm256_extracti128_si256(one, 1));
}

INLINE void quantise_block(const float *in, int8_t *values, float *scale, int32_t *sums)
{
    __m256 x[4];
    UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        x[i] = _mm256_loadu_ps(in + 8 * i);
    }
    const union half_bits max = {.bits = (uint32_t)largest_bits(x)};
    const union half_bits nan = {.bits = 0x7fc00000u};
    if (max.bits >= 0x7f800000u || max.value < QUANTISE_MIN) {
        *scale = max.bits >= 0x7f800000u ? nan.value : 0.0f;
        _mm256_storeu_si256((__m256i *)(void *)values, _mm256_setzero_si256());
        const union half_bits sum = {.value = *scale * 0.0f};
        sums[0] = 0;
        sums[1] = (int32_t)sum.bits;
        return;
    }
    *scale = max.value / 127.0f;
    const __m256 inverse = _mm256_set1_ps(127.0f / max.value);
    __m256i q[4];
    UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(x[i], inverse));
    }
    const __m256i packed =
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    const __m256i order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);
    const __m256i sorted = _mm256_permutevar8x32_epi32(packed, order);
    _mm256_storeu_si256((__m256i *)(void *)values, sorted);
    int halves[2];
    half_sums(sorted, halves);
    const union half_bits sum = {.value = *scale * (float)(halves[0] + halves[1])};
    sums[0] = (int32_t)(((uint32_t)halves[0] & 0xffffu) | (uint32_t)halves[1] << 16);
    sums[1] = (int32_t)sum.bits;
}

void quantise_q8__avx2(const float *x, uint32_t n, const struct quantised_rows *out)
{
    for (uint32_t b = 0; b < n / TILE_COLUMNS; b++) {
        quantise_block(x + (size_t)b * TILE_COLUMNS,
                       out->values + (size_t)b * TILE_COLUMNS,
                       &out->scales[b],
                       &out->sums[2 * (size_t)b]);
    }
}
