#include "backend/cpu/neondot/matmul.h"

INLINE void quantise_block(const float *in, int8_t *values, float *scale, int32_t *sums)
{
    float32x4_t x[8];
    uint32x4_t largest = vdupq_n_u32(0);
    UNROLL
    for (uint32_t i = 0; i < 8; i++) {
        x[i] = vld1q_f32(in + 4 * i);
        /* As integers magnitudes are ordered like the numbers, NaN above all. */
        largest = vmaxq_u32(largest, vreinterpretq_u32_f32(vabsq_f32(x[i])));
    }
    const union half_bits max = {.bits = vmaxvq_u32(largest)};
    const union half_bits nan = {.bits = 0x7fc00000u};
    if (max.bits >= 0x7f800000u || max.value < QUANTISE_MIN) {
        *scale = max.bits >= 0x7f800000u ? nan.value : 0.0f;
        vst1q_s8(values, vdupq_n_s8(0));
        vst1q_s8(values + 16, vdupq_n_s8(0));
        const union half_bits sum = {.value = *scale * 0.0f};
        sums[0] = 0;
        sums[1] = (int32_t)sum.bits;
        return;
    }
    *scale = max.value / 127.0f;
    const float inverse = 127.0f / max.value;
    int32_t halves[2];
    UNROLL
    for (uint32_t half = 0; half < 2; half++) {
        int16x8_t wide[2];
        UNROLL
        for (uint32_t i = 0; i < 2; i++) {
            const uint32_t k = 4 * half + 2 * i;
            const int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(x[k], inverse));
            const int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(x[k + 1], inverse));
            wide[i] = vcombine_s16(vmovn_s32(low), vmovn_s32(high));
        }
        const int8x16_t bytes = vcombine_s8(vmovn_s16(wide[0]), vmovn_s16(wide[1]));
        vst1q_s8(values + 16 * half, bytes);
        halves[half] = vaddlvq_s8(bytes);
    }
    const union half_bits sum = {.value = *scale * (float)(halves[0] + halves[1])};
    sums[0] = (int32_t)(((uint32_t)halves[0] & 0xffffu) | (uint32_t)halves[1] << 16);
    sums[1] = (int32_t)sum.bits;
}

void quantise_q8__neondot(const float *x, uint32_t n, const struct quantised_rows *out)
{
    for (uint32_t b = 0; b < n / TILE_COLUMNS; b++) {
        quantise_block(x + (size_t)b * TILE_COLUMNS,
                       out->values + (size_t)b * TILE_COLUMNS,
                       &out->scales[b],
                       &out->sums[2 * (size_t)b]);
    }
}
