#include "backend/cpu/neondot/vector.h"

static void rotate_halves(float *head, const float *cosines, const float *sines, uint32_t n_pairs)
{
    uint32_t i = 0;
    for (; i + 4 <= n_pairs; i += 4) {
        const float32x4_t a = vld1q_f32(head + i);
        const float32x4_t b = vld1q_f32(head + n_pairs + i);
        const float32x4_t c = vld1q_f32(cosines + i);
        const float32x4_t s = vld1q_f32(sines + i);
        vst1q_f32(head + i, vfmsq_f32(vmulq_f32(a, c), b, s));
        vst1q_f32(head + n_pairs + i, vfmaq_f32(vmulq_f32(a, s), b, c));
    }
    for (; i < n_pairs; i++) {
        const float a = head[i];
        const float b = head[n_pairs + i];
        head[i] = a * cosines[i] - b * sines[i];
        head[n_pairs + i] = a * sines[i] + b * cosines[i];
    }
}

static void rotate_adjacent(float *head, const float *cosines, const float *sines, uint32_t n_pairs)
{
    uint32_t i = 0;
    for (; i + 4 <= n_pairs; i += 4) {
        const float32x4x2_t x = vld2q_f32(head + (size_t)2 * i);
        const float32x4_t c = vld1q_f32(cosines + i);
        const float32x4_t s = vld1q_f32(sines + i);
        const float32x4x2_t rotated = {
            {vfmsq_f32(vmulq_f32(x.val[0], c), x.val[1], s),
             vfmaq_f32(vmulq_f32(x.val[0], s), x.val[1], c)},
        };
        vst2q_f32(head + (size_t)2 * i, rotated);
    }
    for (; i < n_pairs; i++) {
        float *const pair = head + (size_t)2 * i;
        const float a = pair[0];
        const float b = pair[1];
        pair[0] = a * cosines[i] - b * sines[i];
        pair[1] = a * sines[i] + b * cosines[i];
    }
}

void rope_f32__neondot(
    float *head, const float *cosines, const float *sines, uint32_t n_pairs, bool adjacent)
{
    if (adjacent) {
        rotate_adjacent(head, cosines, sines, n_pairs);
    } else {
        rotate_halves(head, cosines, sines, n_pairs);
    }
}
