#include "backend/cpu/avx512vnni/vector.h"

static float sum_of_squares(const float *x, uint32_t n)
{
    __m512 sums[4] = {
        _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    uint32_t i = 0;
    for (; i + 64 <= n; i += 64) {
        for (uint32_t k = 0; k < 4; k++) {
            const __m512 v = _mm512_loadu_ps(x + i + (size_t)16 * k);
            sums[k] = _mm512_fmadd_ps(v, v, sums[k]);
        }
    }
    __m256 rest = _mm256_setzero_ps();
    for (; i < n; i += 8) {
        const __m256 v = _mm256_maskload_ps(x + i, lanes_below(n - i < 8 ? n - i : 8));
        rest = _mm256_fmadd_ps(v, v, rest);
    }
    const __m512 low = _mm512_add_ps(sums[0], sums[1]);
    return sum_16(_mm512_add_ps(low, _mm512_add_ps(sums[2], sums[3]))) + sum_8(rest);
}

void rms_norm_f32__avx512vnni(
    const float *x, const float *weight, uint32_t n, float epsilon, float *out)
{
    const __m128 mean = _mm_set_ss(sum_of_squares(x, n) / (float)n + epsilon);
    const float factor = 1.0f / _mm_cvtss_f32(_mm_sqrt_ss(mean));
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(factor));
        _mm512_storeu_ps(out + i, _mm512_mul_ps(scaled, _mm512_loadu_ps(weight + i)));
    }
    for (; i < n; i += 8) {
        const __m256i mask = lanes_below(n - i < 8 ? n - i : 8);
        const __m256 v = _mm256_maskload_ps(x + i, mask);
        const __m256 scaled = _mm256_mul_ps(v, _mm256_set1_ps(factor));
        const __m256 result = _mm256_mul_ps(scaled, _mm256_maskload_ps(weight + i, mask));
        _mm256_maskstore_ps(out + i, mask, result);
    }
}
