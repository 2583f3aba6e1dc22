#include "backend/cpu/exp_inline.h"
#include "backend/cpu/scalar/vector.h"

void silu_mul_f32__scalar(const float *a, const float *b, uint32_t n, float *out)
{
    for (uint32_t i = 0; i < n; i++) {
        out[i] = a[i] / (1.0f + exp_scalar(-a[i])) * b[i];
    }
}

void gelu_mul_f32__scalar(const float *a, const float *b, uint32_t n, float *out)
{
    for (uint32_t i = 0; i < n; i++) {
        const float x = a[i];
        const float minus_2z = -GELU_2Z * (x + GELU_CUBIC * x * x * x);
        out[i] = x / (1.0f + exp_scalar(minus_2z)) * b[i];
    }
}

void add_f32__scalar(const float *a, const float *b, uint32_t n, float *out)
{
    for (uint32_t i = 0; i < n; i++) {
        out[i] = a[i] + b[i];
    }
}
