/* F32, F16 (IEEE 754 binary16) and BF16 (the upper half of binary32). */
#include "quant/quant.h"
#include "quant/types.h"

#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float quant_f16_to_f32(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = half >> 10 & 31u;
    const uint32_t mantissa = half & 0x3FFu;
    if (exponent == 31) {
        return float_of(sign | 0x7F800000u | mantissa << 13);
    }
    if (exponent == 0) {
        /* Subnormal: mantissa * 2^-24, exact in F32. */
        const float magnitude = (float)mantissa * 0x1p-24f;
        return float_of(sign | bits_of(magnitude));
    }
    return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t quant_f32_to_f16(float value)
{
    const uint32_t bits = bits_of(value);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) {
        return (uint16_t)(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu)); /* NaN */
    }
    if (magnitude >= 0x477FF000u) {
        return sign | 0x7C00u; /* rounds to infinity */
    }
    if (magnitude < 0x38800000u) {
        /* Subnormal or zero: adding 0.5 puts the unit of 2^-24 at the last bit, rounded to nearest
         * even. */
        const float shifted = float_of(magnitude) + 0.5f;
        return (uint16_t)(sign | (bits_of(shifted) - 0x3F000000u));
    }
    const uint32_t rounded = magnitude + 0xFFFu + (magnitude >> 13 & 1u);
    return (uint16_t)(sign | (rounded - 0x38000000u) >> 13);
}

float quant_bf16_to_f32(uint16_t half)
{
    return float_of((uint32_t)half << 16);
}

uint16_t quant_f32_to_bf16(float value)
{
    const uint32_t bits = bits_of(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
        return (uint16_t)(bits >> 16 | 64u); /* a quiet NaN */
    }
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

void dequantise_f32(const void *blocks, float *out, size_t n)
{
    memcpy(out, blocks, n * sizeof *out);
}

void quantise_f32(const float *values, const float *importance, void *out, size_t n)
{
    (void)importance;
    memcpy(out, values, n * sizeof *values);
}

void dequantise_f16(const void *blocks, float *out, size_t n)
{
    const uint16_t *const halves = blocks;
    for (size_t i = 0; i < n; i++) {
        out[i] = quant_f16_to_f32(halves[i]);
    }
}

void quantise_f16(const float *values, const float *importance, void *out, size_t n)
{
    uint16_t *const halves = out;
    (void)importance;
    for (size_t i = 0; i < n; i++) {
        halves[i] = quant_f32_to_f16(values[i]);
    }
}

void dequantise_bf16(const void *blocks, float *out, size_t n)
{
    const uint16_t *const halves = blocks;
    for (size_t i = 0; i < n; i++) {
        out[i] = quant_bf16_to_f32(halves[i]);
    }
}

void quantise_bf16(const float *values, const float *importance, void *out, size_t n)
{
    uint16_t *const halves = out;
    (void)importance;
    for (size_t i = 0; i < n; i++) {
        halves[i] = quant_f32_to_bf16(values[i]);
    }
}
