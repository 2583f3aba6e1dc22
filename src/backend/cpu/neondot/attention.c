#include "backend/cpu/half_inline.h"
#include "backend/cpu/neondot/vector.h"

typedef float32x4_t vec;
#define VEC_FLOATS 4u
#define BLOCK      4u /* with the keys and a factor, 21 of 32 registers */
#define CHAINS     16u

#define vec_zero()       vdupq_n_f32(0.0f)
#define vec_set          vdupq_n_f32
#define vec_load         vld1q_f32
#define vec_store        vst1q_f32
#define vec_add          vaddq_f32
#define vec_sub          vsubq_f32
#define vec_mul          vmulq_f32
#define vec_max          vmaxq_f32
#define vec_fma(a, b, c) vfmaq_f32(c, a, b)
#define vec_exp          exp_4
#define vec_sum          vaddvq_f32
#define vec_largest      vmaxvq_f32
#define vec_halves(p)    vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))
#define vec_half(p)      vcvt_f32_f16(vreinterpret_f16_u16(vld1_dup_u16(p)))
#define vec_bf16(p)      vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))
#define vec_bytes        bytes_4
#define vec_nibbles      nibbles_4

static inline float32x4_t bytes_4(const int8_t *bytes)
{
    int32_t four;
    __builtin_memcpy(&four, bytes, sizeof four);
    const int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

/* Parts 0 and 1 are the low bits, 2 and 3 the high ones. */
static inline float32x4_t nibbles_4(const uint8_t *bytes, uint32_t part)
{
    const uint8x8_t both = vld1_u8(bytes);
    const uint8x8_t bits = part < 2 ? vand_u8(both, vdup_n_u8(15)) : vshr_n_u8(both, 4);
    const uint16x8_t wide = vmovl_u8(bits);
    const uint16x4_t four = part % 2 == 0 ? vget_low_u16(wide) : vget_high_u16(wide);
    return vcvtq_f32_u32(vmovl_u16(four));
}

#include "backend/cpu/attention_inline.h"

void attention_f32_f16__neondot(const struct attention_call *call)
{
    attend_all(call, KV_F16);
}

void attention_f32_bf16__neondot(const struct attention_call *call)
{
    attend_all(call, KV_BF16);
}

void attention_f32_q8_0__neondot(const struct attention_call *call)
{
    attend_all(call, KV_Q8_0);
}

void attention_f32_q8_0_q4_1__neondot(const struct attention_call *call)
{
    attend_all(call, KV_Q8_0_Q4_1);
}

void kv_write_f16__neondot(const float *key,
                           const float *value,
                           uint32_t head_columns,
                           uint32_t slot,
                           uint8_t *keys,
                           uint8_t *values)
{
    const uint32_t value_columns = kv_value_columns(head_columns);
    uint16_t *const key_halves = (uint16_t *)(void *)keys + slot;
    uint16_t *const value_halves = (uint16_t *)(void *)values + (size_t)slot * value_columns;
    const float32x4_t most = vdupq_n_f32(HALF_MAX);
    const float32x4_t least = vdupq_n_f32(-HALF_MAX);
    uint32_t c = 0;
    for (; c + 4 <= head_columns; c += 4) {
        const float32x4_t k = vmaxq_f32(vminq_f32(vld1q_f32(key + c), most), least);
        const float32x4_t v = vmaxq_f32(vminq_f32(vld1q_f32(value + c), most), least);
        uint16_t column[4];
        vst1_u16(column, vreinterpret_u16_f16(vcvt_f16_f32(k)));
        for (uint32_t i = 0; i < 4; i++) {
            key_halves[(size_t)(c + i) * KV_PAGE_TOKENS] = column[i];
        }
        vst1_u16(value_halves + c, vreinterpret_u16_f16(vcvt_f16_f32(v)));
    }
    for (; c < value_columns; c++) {
        if (c < head_columns) {
            key_halves[(size_t)c * KV_PAGE_TOKENS] = half_from_float_clamped(key[c]);
        }
        value_halves[c] = c < head_columns ? half_from_float_clamped(value[c]) : 0;
    }
}
