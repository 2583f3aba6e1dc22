#include "backend/cpu/neondot/vector.h"

/* a / (1 + e^-y) * b */
static inline float32x4_t gated(float32x4_t a, float32x4_t minus_y, float32x4_t b)
{
    return vmulq_f32(vdivq_f32(a, vaddq_f32(vdupq_n_f32(1.0f), exp_4(minus_y))), b);
}

static inline float32x4_t silu_mul_4(float32x4_t a, float32x4_t b)
{
    return gated(a, vnegq_f32(a), b);
}

static inline float32x4_t gelu_mul_4(float32x4_t a, float32x4_t b)
{
    const float32x4_t cubic = vmulq_f32(vmulq_n_f32(vmulq_f32(a, a), GELU_CUBIC), a);
    return gated(a, vmulq_n_f32(vaddq_f32(a, cubic), -GELU_2Z), b);
}

static inline float32x4_t add_4(float32x4_t a, float32x4_t b)
{
    return vaddq_f32(a, b);
}

typedef float32x4_t (*binary_4)(float32x4_t a, float32x4_t b);

static inline __attribute__((always_inline)) void
for_all(const float *a, const float *b, uint32_t n, float *out, binary_4 function)
{
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        vst1q_f32(out + i, function(vld1q_f32(a + i), vld1q_f32(b + i)));
    }
    /* The rest goes through the same arithmetic, so that a column's bits do not depend on where a
     * row was cut. */
    if (i < n) {
        float x[4] = {0};
        float y[4] = {0};
        for (uint32_t k = i; k < n; k++) {
            x[k - i] = a[k];
            y[k - i] = b[k];
        }
        vst1q_f32(x, function(vld1q_f32(x), vld1q_f32(y)));
        for (uint32_t k = i; k < n; k++) {
            out[k] = x[k - i];
        }
    }
}

void silu_mul_f32__neondot(const float *a, const float *b, uint32_t n, float *out)
{
    for_all(a, b, n, out, silu_mul_4);
}

void gelu_mul_f32__neondot(const float *a, const float *b, uint32_t n, float *out)
{
    for_all(a, b, n, out, gelu_mul_4);
}

void add_f32__neondot(const float *a, const float *b, uint32_t n, float *out)
{
    for_all(a, b, n, out, add_4);
}
