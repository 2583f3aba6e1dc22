#include "backend/cpu/avx2/vector.h"

static void rotate_halves(float *head, const float *cosines, const float *sines, uint32_t n_pairs)
{
    uint32_t i = 0;
    for (; i + 8 <= n_pairs; i += 8) {
        const __m256 a = _mm256_loadu_ps(head + i);
        const __m256 b = _mm256_loadu_ps(head + n_pairs + i);
        const __m256 c = _mm256_loadu_ps(cosines + i);
        const __m256 s = _mm256_loadu_ps(sines + i);
        _mm256_storeu_ps(head + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        _mm256_storeu_ps(head + n_pairs + i, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
    }
    if (i < n_pairs) { /* masked stores take tens of cycles on some processors: the odd end only */
        const __m256i mask = lanes_below(n_pairs - i);
        const __m256 a = _mm256_maskload_ps(head + i, mask);
        const __m256 b = _mm256_maskload_ps(head + n_pairs + i, mask);
        const __m256 c = _mm256_maskload_ps(cosines + i, mask);
        const __m256 s = _mm256_maskload_ps(sines + i, mask);
        _mm256_maskstore_ps(head + i, mask, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        _mm256_maskstore_ps(head + n_pairs + i, mask, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
    }
}

/* Four pairs of columns x by cosines c and sines s: each goes to both columns of its pair. */
static inline __m256 rotate_four(__m256 x, __m256 c, __m256 s)
{
    const __m256i both = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    const __m256 swapped = _mm256_permute_ps(x, 0xb1);
    const __m256 cosines = _mm256_permutevar8x32_ps(c, both);
    const __m256 sines = _mm256_permutevar8x32_ps(s, both);
    /* even columns a c - b s, odd ones b c + a s */
    return _mm256_fmaddsub_ps(x, cosines, _mm256_mul_ps(swapped, sines));
}

static void rotate_adjacent(float *head, const float *cosines, const float *sines, uint32_t n_pairs)
{
    uint32_t i = 0;
    for (; i + 4 <= n_pairs; i += 4) {
        const __m256 c = _mm256_castps128_ps256(_mm_loadu_ps(cosines + i));
        const __m256 s = _mm256_castps128_ps256(_mm_loadu_ps(sines + i));
        _mm256_storeu_ps(head + 2 * i, rotate_four(_mm256_loadu_ps(head + 2 * i), c, s));
    }
    if (i < n_pairs) {
        const __m256i mask = lanes_below(2 * (n_pairs - i));
        const __m256i half_mask = lanes_below(n_pairs - i);
        const __m256 c = _mm256_maskload_ps(cosines + i, half_mask);
        const __m256 s = _mm256_maskload_ps(sines + i, half_mask);
        const __m256 x = _mm256_maskload_ps(head + 2 * i, mask);
        _mm256_maskstore_ps(head + 2 * i, mask, rotate_four(x, c, s));
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
