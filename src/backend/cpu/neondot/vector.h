/* What the NEON kernels on rows of F32 share. */
#ifndef REALM_BACKEND_CPU_NEONDOT_VECTOR_H
#define REALM_BACKEND_CPU_NEONDOT_VECTOR_H

#include "backend/cpu/exp_inline.h"
#include "backend/cpu/kernels.h"

#include <arm_neon.h>

/* exp_scalar of four. */
static inline float32x4_t exp_4(float32x4_t x)
{
    const float32x4_t clamped = vminq_f32(x, vdupq_n_f32(EXP_MAX)); /* NaN stays */
    const float32x4_t n = vrndnq_f32(vmulq_n_f32(clamped, EXP_LOG2E));
    float32x4_t r = vfmsq_n_f32(clamped, n, EXP_LN2_HI);
    r = vfmsq_n_f32(r, n, EXP_LN2_LO);
    float32x4_t p = vfmaq_n_f32(vdupq_n_f32(EXP_P3), r, EXP_P4);
    p = vfmaq_f32(vdupq_n_f32(EXP_P2), p, r);
    p = vfmaq_f32(vdupq_n_f32(EXP_P1), p, r);
    p = vfmaq_f32(vdupq_n_f32(EXP_P0), p, r);
    const float32x4_t tail = vfmaq_f32(r, vmulq_f32(r, r), p);
    const float32x4_t e = vaddq_f32(vdupq_n_f32(1.0f), tail);
    const int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    const float32x4_t result = vmulq_f32(e, vreinterpretq_f32_s32(power));
    const uint32x4_t tiny = vcltq_f32(x, vdupq_n_f32(EXP_MIN));
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(result), tiny));
}

void rms_norm_f32__neondot(
    const float *x, const float *weight, uint32_t n, float epsilon, float *out);
void rope_f32__neondot(
    float *head, const float *cosines, const float *sines, uint32_t n_pairs, bool adjacent);
void silu_mul_f32__neondot(const float *a, const float *b, uint32_t n, float *out);
void gelu_mul_f32__neondot(const float *a, const float *b, uint32_t n, float *out);
void add_f32__neondot(const float *a, const float *b, uint32_t n, float *out);
void attention_f32_f16__neondot(const struct attention_call *call);
void attention_f32_bf16__neondot(const struct attention_call *call);
void attention_f32_q8_0__neondot(const struct attention_call *call);
void attention_f32_q8_0_q4_1__neondot(const struct attention_call *call);
void kv_write_f16__neondot(const float *key,
                           const float *value,
                           uint32_t head_columns,
                           uint32_t slot,
                           uint8_t *keys,
                           uint8_t *values);

#endif
