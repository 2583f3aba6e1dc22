/* Up to sixteen blocks at a time: their largest magnitudes first, all divisions at once, then the
 * numbers block by block, and all sums at once.  The same operations as AVX2's, so the same bits.
 */
#include "backend/cpu/avx512vnni/matmul.h"

#define BLOCKS 16u

/* What the blocks of a chunk are known by until they are written; a lane, or two words, a block. */
struct chunk {
    _Alignas(64) int32_t largest[BLOCKS]; /* magnitudes as integer bits: NaN is above all numbers */
    _Alignas(64) float inverse[BLOCKS];   /* what numbers are multiplied by */
    _Alignas(64) int32_t halves[2 * BLOCKS]; /* sums of 16 values */
};

#if REALM_SIMDE /* lacks these */
INLINE void write_words(void *out, uint32_t n, __m512i words)
{
    int32_t all[16];
    _mm512_storeu_si512(all, words);
    for (uint32_t i = 0; i < n; i++) {
        ((int32_t *)out)[i] = all[i];
    }
}

INLINE __m512i round_to_ints(__m512 x)
{
    const __m512i low = _mm512_castsi256_si512(_mm256_cvtps_epi32(low_8(x)));
    return _mm512_inserti64x4(low, _mm256_cvtps_epi32(high_8(x)), 1);
}
#else
/* The first n of sixteen, n <= 16. */
INLINE void write_words(void *out, uint32_t n, __m512i words)
{
    _mm512_mask_storeu_epi32(out, (__mmask16)((1u << n) - 1), words);
}

INLINE __m512i round_to_ints(__m512 x)
{
    return _mm512_cvtps_epi32(x);
}
#endif

INLINE int32_t largest_bits(const float *block)
{
    const __m512i sign = _mm512_set1_epi32(0x7fffffff);
    const __m512i a = _mm512_and_si512(load_64(block), sign);
    const __m512i both = _mm512_max_epi32(a, _mm512_and_si512(load_64(block + 16), sign));
    const __m256i eight =
        _mm256_max_epi32(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1));
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
}

/* Sixteen numbers to bytes. */
INLINE void write_bytes(const float *x, __m512 factor, int8_t *out)
{
    const __m512i rounded = round_to_ints(_mm512_mul_ps(_mm512_loadu_ps(x), factor));
    _mm_storeu_si128((__m128i *)(void *)out, _mm512_cvtsepi32_epi8(rounded));
}

/* Sums of the four runs of 16 bytes. */
INLINE void write_run_sums(__m512i values, int32_t *out)
{
    const __m512i fours = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), values);
    const __m512i eights = _mm512_add_epi32(fours, _mm512_srli_epi64(fours, 32));
    const __m512i runs = _mm512_add_epi32(eights, _mm512_unpackhi_epi64(eights, eights));
    const __m512i first = _mm512_maskz_compress_epi32(0x1111, runs);
    _mm_storeu_si128((__m128i *)(void *)out, _mm512_castsi512_si128(first));
}

/* Scales, and sums as kernels read them: pairs of int16, and the float. */
INLINE void
write_sums(const struct chunk *chunk, uint32_t n, __m512 scale, float *scales, int32_t *sums)
{
    const __m512i even =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    const __m512i low = _mm512_load_si512(chunk->halves);
    const __m512i high = _mm512_load_si512(chunk->halves + 16);
    const __m512i first = _mm512_permutex2var_epi32(low, even, high);
    const __m512i second = _mm512_permutex2var_epi32(low, odd, high);
    const __m512i pairs = _mm512_or_si512(_mm512_and_si512(first, _mm512_set1_epi32(0xffff)),
                                          _mm512_slli_epi32(second, 16));
    const __m512i floats =
        _mm512_castps_si512(_mm512_mul_ps(scale, to_floats(_mm512_add_epi32(first, second))));
    const __m512i front = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i back = _mm512_add_epi32(front, _mm512_set1_epi32(8));
    write_words(scales, n, _mm512_castps_si512(scale));
    write_words(sums, 2 * n < 16 ? 2 * n : 16, _mm512_permutex2var_epi32(pairs, front, floats));
    write_words(
        sums + 16, 2 * n < 16 ? 0 : 2 * n - 16, _mm512_permutex2var_epi32(pairs, back, floats));
}

/* n blocks; false: a block among them is all but zero or not finite, and nothing was written. */
INLINE bool quantise_chunk(const float *x, uint32_t n, int8_t *values, float *scales, int32_t *sums)
{
    struct chunk chunk;
    _mm512_store_ps(chunk.largest, _mm512_set1_ps(1.0f));
    for (uint32_t b = 0; b < n; b++) {
        chunk.largest[b] = largest_bits(x + (size_t)b * TILE_COLUMNS);
    }
    const __m512i bits = _mm512_load_si512(chunk.largest);
    const __m512 max = _mm512_castsi512_ps(bits);
    const __m512 most = _mm512_set1_ps(127.0f);
    if (_mm512_cmp_ps_mask(max, _mm512_set1_ps(QUANTISE_MIN), _CMP_GE_OQ) != 0xffff ||
        _mm512_cmpge_epi32_mask(bits, _mm512_set1_epi32(0x7f800000)) != 0) {
        return false;
    }
    _mm512_store_ps(chunk.inverse, _mm512_div_ps(most, max));
    for (uint32_t b = 0; b < n; b++) {
        const __m512 factor = _mm512_set1_ps(chunk.inverse[b]);
        const size_t first = (size_t)b * TILE_COLUMNS;
        write_bytes(x + first, factor, values + first);
        write_bytes(x + first + 16, factor, values + first + 16);
    }
    uint32_t b = 0;
    for (; b + 2 <= n; b += 2) {
        write_run_sums(load_64(values + (size_t)b * TILE_COLUMNS), chunk.halves + 2 * b);
    }
    if (b < n) {
        const __m256i last = _mm256_loadu_si256((const void *)(values + (size_t)b * TILE_COLUMNS));
        write_run_sums(_mm512_inserti64x4(_mm512_setzero_si512(), last, 0), chunk.halves + 2 * b);
    }
    write_sums(&chunk, n, _mm512_div_ps(max, most), scales, sums);
    return true;
}

void quantise_q8__avx512vnni(const float *x, uint32_t n, const struct quantised_rows *out)
{
    const uint32_t n_blocks = n / TILE_COLUMNS;
    uint32_t n_chunk;
    for (uint32_t b = 0; b < n_blocks; b += n_chunk) {
        n_chunk = n_blocks - b < BLOCKS ? n_blocks - b : BLOCKS;
        const struct quantised_rows chunk = {
            .values = out->values + (size_t)b * TILE_COLUMNS,
            .scales = out->scales + b,
            .sums = out->sums + 2 * (size_t)b,
        };
        const float *const from = x + (size_t)b * TILE_COLUMNS;
        if (!quantise_chunk(from, n_chunk, chunk.values, chunk.scales, chunk.sums)) {
            quantise_q8__avx2(from, n_chunk * TILE_COLUMNS, &chunk);
        }
    }
}
