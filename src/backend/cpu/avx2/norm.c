#include "backend/cpu/avx2/vector.h"

static float sum_of_squares(const float *x, uint32_t n)
{
    __m256 sums[4] = {
        _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    uint32_t i = 0;
    for (; i + 32 <= n; i += 32) {
        for (uint32_t k = 0; k < 4; k++) {
            const __m256 v = _mm256_loadu_ps(x + i + 8 * k);
            sums[k] = _mm256_fmadd_ps(v, v, sums[k]);
        }
    }
    for (; i < n; i += 8) {
        const uint32_t left = n - i < 8 ? n - i : 8;
        const __m256 v = _mm256_maskload_ps(x + i, lanes_below(left));
        sums[0] = _mm256_fmadd_ps(v, v, sums[0]);
    }
    return sum_8(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
}

void rms_norm_f32__avx2(const float *x, const float *weight, uint32_t n, float epsilon, float *out)
{
    const __m128 mean = _mm_set_ss(sum_of_squares(x, n) / (float)n + epsilon);
    const __m256 factor = _mm256_set1_ps(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(mean)));
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + i), factor);
        _mm256_storeu_ps(out + i, _mm256_mul_ps(scaled, _mm256_loadu_ps(weight + i)));
    }
    if (i < n) {
        const __m256i mask = lanes_below(n - i);
        const __m256 scaled = _mm256_mul_ps(_mm256_maskload_ps(x + i, mask), factor);
        const __m256 result = _mm256_mul_ps(scaled, _mm256_maskload_ps(weight + i, mask));
        _mm256_maskstore_ps(out + i, mask, result);
    }
}
