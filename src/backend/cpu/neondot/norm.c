#include "backend/cpu/neondot/vector.h"

static float sum_of_squares(const float *x, uint32_t n)
{
    float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (uint32_t k = 0; k < 4; k++) {
            const float32x4_t v = vld1q_f32(x + i + 4 * k);
            sums[k] = vfmaq_f32(sums[k], v, v);
        }
    }
    float rest = 0.0f;
    for (; i < n; i++) {
        rest += x[i] * x[i];
    }
    const float32x4_t sum = vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3]));
    return vaddvq_f32(sum) + rest;
}

void rms_norm_f32__neondot(
    const float *x, const float *weight, uint32_t n, float epsilon, float *out)
{
    const float32x2_t mean = vdup_n_f32(sum_of_squares(x, n) / (float)n + epsilon);
    const float factor = 1.0f / vget_lane_f32(vsqrt_f32(mean), 0);
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        vst1q_f32(out + i, vmulq_f32(vmulq_n_f32(vld1q_f32(x + i), factor), vld1q_f32(weight + i)));
    }
    for (; i < n; i++) {
        out[i] = x[i] * factor * weight[i];
    }
}
