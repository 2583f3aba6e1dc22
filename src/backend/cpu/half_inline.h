/* F16 and BF16 <-> F32 one at a time, for kernels without instructions for it and for their odd
 * ends. */
#ifndef REALM_BACKEND_CPU_HALF_INLINE_H
#define REALM_BACKEND_CPU_HALF_INLINE_H

#include <stdint.h>

#define HALF_MAX 65504.0f

union half_bits {
    uint32_t bits;
    float value;
};

static inline float half_to_float(uint16_t half)
{
    const union half_bits rebias = {.bits = (254u - 15u) << 23}; /* 2^112 */
    union half_bits out = {.bits = (uint32_t)(half & 0x7fffu) << 13};
    out.value *= rebias.value; /* exact, subnormal halves included */
    if ((half & 0x7c00u) == 0x7c00u) {
        out.bits |= 0x7f800000u;
    }
    out.bits |= (uint32_t)(half & 0x8000u) << 16;
    return out.value;
}

/* Nearest even; magnitudes over HALF_MAX become HALF_MAX, NaN a quiet NaN. */
static inline uint16_t half_from_float_clamped(float value)
{
    union half_bits in = {.value = value};
    const uint16_t sign = (uint16_t)(in.bits >> 16 & 0x8000u);
    in.bits &= 0x7fffffffu;
    if (in.bits > 0x7f800000u) {
        return (uint16_t)(sign | 0x7e00u);
    }
    if (in.value > HALF_MAX) {
        return (uint16_t)(sign | 0x7bffu);
    }
    if (in.bits < 0x38800000u) { /* subnormal half: let the adder round at 2^-24 */
        in.value += 0.5f;
        return (uint16_t)(sign | (in.bits - 0x3f000000u));
    }
    const uint32_t odd = in.bits >> 13 & 1u;
    return (uint16_t)(sign | (in.bits + 0x0fffu + odd - (112u << 23)) >> 13);
}

static inline float bf16_to_float(uint16_t bf16)
{
    const union half_bits out = {.bits = (uint32_t)bf16 << 16};
    return out.value;
}

/* Nearest even; magnitudes over the largest BF16 become it, NaN a quiet NaN. */
static inline uint16_t bf16_from_float_clamped(float value)
{
    const union half_bits in = {.value = value};
    const uint16_t sign = (uint16_t)(in.bits >> 16 & 0x8000u);
    const uint32_t magnitude = in.bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return (uint16_t)(sign | 0x7fc0u);
    }
    const uint32_t rounded = (magnitude + 0x7fffu + (magnitude >> 16 & 1u)) >> 16;
    return (uint16_t)(sign | (rounded < 0x7f80u ? rounded : 0x7f7fu));
}

#endif
