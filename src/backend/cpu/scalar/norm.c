#include "backend/cpu/scalar/vector.h"

#include <math.h>

void rms_norm_f32__scalar(
    const float *x, const float *weight, uint32_t n, float epsilon, float *out)
{
    float squares = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        squares += x[i] * x[i];
    }
    const float factor = 1.0f / sqrtf(squares / (float)n + epsilon);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = x[i] * factor * weight[i];
    }
}
