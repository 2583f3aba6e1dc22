#include "backend/cpu/avx2/vector.h"

/* x / (1 + e^-y) * b */
static inline __m256 gated(__m256 x, __m256 minus_y, __m256 b)
{
    const __m256 one = _mm256_set1_ps(1.0f);
    return _mm256_mul_ps(_mm256_div_ps(x, _mm256_add_ps(one, exp_8(minus_y))), b);
}

static inline __m256 silu_mul_8(__m256 a, __m256 b)
{
    return gated(a, _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)), b);
}

static inline __m256 gelu_mul_8(__m256 a, __m256 b)
{
    const __m256 square = _mm256_mul_ps(a, a);
    const __m256 cubic = _mm256_mul_ps(_mm256_mul_ps(square, _mm256_set1_ps(GELU_CUBIC)), a);
    const __m256 inner = _mm256_add_ps(a, cubic);
    return gated(a, _mm256_mul_ps(inner, _mm256_set1_ps(-GELU_2Z)), b);
}

static inline __m256 add_8(__m256 a, __m256 b)
{
    return _mm256_add_ps(a, b);
}

typedef __m256 (*binary_8)(__m256 a, __m256 b);

static inline __attribute__((always_inline)) void
for_all(const float *a, const float *b, uint32_t n, float *out, binary_8 function)
{
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(out + i, function(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
    }
    if (i < n) {
        const __m256i mask = lanes_below(n - i);
        const __m256 x = _mm256_maskload_ps(a + i, mask);
        const __m256 y = _mm256_maskload_ps(b + i, mask);
        _mm256_maskstore_ps(out + i, mask, function(x, y));
    }
}

void silu_mul_f32__avx2(const float *a, const float *b, uint32_t n, float *out)
{
    for_all(a, b, n, out, silu_mul_8);
}

void gelu_mul_f32__avx2(const float *a, const float *b, uint32_t n, float *out)
{
    for_all(a, b, n, out, gelu_mul_8);
}

void add_f32__avx2(const float *a, const float *b, uint32_t n, float *out)
{
    for_all(a, b, n, out, add_8);
}
