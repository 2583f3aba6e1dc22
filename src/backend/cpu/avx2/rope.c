#include "backend/cpu/avx2/vector.h"

static void rotate_halves(float *head, const float *cosines, const float *sines, uint32_t n_pairs)
{
    for (uint32_t i = 0; i < n_pairs; i += 8) {
        const __m256i mask = lanes_below(n_pairs - i < 8 ? n_pairs - i : 8);
        const __m256 a = _mm256_maskload_ps(head + i, mask);
        const __m256 b = _mm256_maskload_ps(head + n_pairs + i, mask);
        const __m256 c = _mm256_maskload_ps(cosines + i, mask);
        const __m256 s = _mm256_maskload_ps(sines + i, mask);
        _mm256_maskstore_ps(head + i, mask, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        _mm256_maskstore_ps(head + n_pairs + i, mask, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
    }
}

/* Four pairs a register: each cosine and sine goes to both columns of its pair. */
static void rotate_adjacent(float *head, const float *cosines, const float *sines, uint32_t n_pairs)
{
    const __m256i both = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    for (uint32_t i = 0; i < n_pairs; i += 4) {
        const uint32_t left = n_pairs - i < 4 ? n_pairs - i : 4;
        const __m256i mask = lanes_below(2 * left);
        const __m256i half_mask = lanes_below(left);
        const __m256 x = _mm256_maskload_ps(head + 2 * i, mask);
        const __m256 swapped = _mm256_permute_ps(x, 0xb1);
        const __m256 c = _mm256_permutevar8x32_ps(_mm256_maskload_ps(cosines + i, half_mask), both);
        const __m256 s = _mm256_permutevar8x32_ps(_mm256_maskload_ps(sines + i, half_mask), both);
        /* even columns a c - b s, odd ones b c + a s */
        const __m256 rotated = _mm256_fmaddsub_ps(x, c, _mm256_mul_ps(swapped, s));
        _mm256_maskstore_ps(head + 2 * i, mask, rotated);
    }
}

void rope_f32__avx2(
    float *head, const float *cosines, const float *sines, uint32_t n_pairs, bool adjacent)
{
    if (adjacent) {
        rotate_adjacent(head, cosines, sines, n_pairs);
    } else {
        rotate_halves(head, cosines, sines, n_pairs);
    }
}
