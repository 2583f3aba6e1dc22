#include "backend/cpu/avx512vnni/vector.h"

/* a / (1 + e^-y) * b */
static inline __m512 gated(__m512 a, __m512 minus_y, __m512 b)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_mul_ps(_mm512_div_ps(a, _mm512_add_ps(one, exp_16(minus_y))), b);
}

static inline __m512 silu_mul_16(__m512 a, __m512 b)
{
    return gated(a, _mm512_mul_ps(a, _mm512_set1_ps(-1.0f)), b);
}

static inline __m512 gelu_mul_16(__m512 a, __m512 b)
{
    const __m512 square = _mm512_mul_ps(a, a);
    const __m512 cubic = _mm512_mul_ps(_mm512_mul_ps(square, _mm512_set1_ps(GELU_CUBIC)), a);
    const __m512 inner = _mm512_add_ps(a, cubic);
    return gated(a, _mm512_mul_ps(inner, _mm512_set1_ps(-GELU_2Z)), b);
}

typedef __m512 (*binary_16)(__m512 a, __m512 b);

/* Whole vectors; returns how many columns they are. */
static inline __attribute__((always_inline)) uint32_t
for_most(const float *a, const float *b, uint32_t n, float *out, binary_16 function)
{
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        _mm512_storeu_ps(out + i, function(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i)));
    }
    return i;
}

void silu_mul_f32__avx512vnni(const float *a, const float *b, uint32_t n, float *out)
{
    const uint32_t done = for_most(a, b, n, out, silu_mul_16);
    silu_mul_f32__avx2(a + done, b + done, n - done, out + done);
}

void gelu_mul_f32__avx512vnni(const float *a, const float *b, uint32_t n, float *out)
{
    const uint32_t done = for_most(a, b, n, out, gelu_mul_16);
    gelu_mul_f32__avx2(a + done, b + done, n - done, out + done);
}
