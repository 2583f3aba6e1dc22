/* Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1: blocks of 32 values with one scale each. */
#include "quant/blocks.h"
#include "quant/quant.h"
#include "quant/search.h"
#include "quant/types.h"

#include <math.h>
#include <string.h>

#define N BLOCK_LEGACY

static const float *importance_at(const float *importance, size_t first)
{
    return importance != NULL ? importance + first : NULL;
}

/* --- 4 and 5 bits -------------------------------------------------------------------------------
 */

static void pack_low(const uint8_t levels[N], uint8_t low[16])
{
    for (int j = 0; j < 16; j++) {
        low[j] = (uint8_t)((levels[j] & 15) | (levels[j + 16] & 15) << 4);
    }
}

static void pack_high(const uint8_t levels[N], uint8_t high[4])
{
    memset(high, 0, 4);
    for (int j = 0; j < N; j++) {
        high[j / 8] = (uint8_t)(high[j / 8] | (levels[j] >> 4 & 1) << j % 8);
    }
}

static uint8_t low_level(const uint8_t low[16], int j)
{
    return j < 16 ? low[j] & 15 : low[j - 16] >> 4;
}

static uint8_t full_level(const uint8_t low[16], const uint8_t high[4], int j)
{
    return (uint8_t)(low_level(low, j) | (high[j / 8] >> j % 8 & 1) << 4);
}

/* Levels 0 .. 2 half - 1, of which `half` stands for zero; returns the scale's bits. */
static f16_bits
choose_signed(const float *values, const float *importance, int32_t half, uint8_t levels[N])
{
    const float scale = search_scale(values, importance, N, -half, half - 1);
    const f16_bits bits = quant_scale_bits(scale);
    const float rounded = quant_f16_to_f32(bits);
    const float inverse = search_inverse(rounded);
    for (int j = 0; j < N; j++) {
        levels[j] = (uint8_t)(quant_nearest(values[j] * inverse, -half, half - 1) + half);
    }
    return bits;
}

/* Levels 0 .. high, value = scale * level + min. */
static void choose_with_min(const float *values,
                            const float *importance,
                            int32_t high,
                            uint8_t levels[N],
                            f16_bits *scale_bits,
                            f16_bits *min_bits)
{
    float subtracted;
    const float scale = search_scale_min(values, importance, N, high, 1, &subtracted);
    *scale_bits = quant_scale_bits(scale);
    *min_bits = quant_min_bits(-subtracted);
    const float rounded = quant_f16_to_f32(*scale_bits);
    const float min = quant_f16_to_f32(*min_bits);
    const float inverse = search_inverse(rounded);
    for (int j = 0; j < N; j++) {
        levels[j] = (uint8_t)quant_nearest((values[j] - min) * inverse, 0, high);
    }
}

void dequantise_q4_0(const void *blocks, float *out, size_t n)
{
    const struct block_q4_0 *block = blocks;
    for (size_t i = 0; i < n; i += N, block++) {
        const float scale = quant_f16_to_f32(block->scale);
        for (int j = 0; j < N; j++) {
            out[i + (size_t)j] = scale * (float)(low_level(block->low, j) - 8);
        }
    }
}

void quantise_q4_0(const float *values, const float *importance, void *out, size_t n)
{
    struct block_q4_0 *block = out;
    for (size_t i = 0; i < n; i += N, block++) {
        uint8_t levels[N];
        block->scale = choose_signed(values + i, importance_at(importance, i), 8, levels);
        pack_low(levels, block->low);
    }
}

void dequantise_q4_1(const void *blocks, float *out, size_t n)
{
    const struct block_q4_1 *block = blocks;
    for (size_t i = 0; i < n; i += N, block++) {
        const float scale = quant_f16_to_f32(block->scale);
        const float min = quant_f16_to_f32(block->min);
        for (int j = 0; j < N; j++) {
            out[i + (size_t)j] = scale * (float)low_level(block->low, j) + min;
        }
    }
}

void quantise_q4_1(const float *values, const float *importance, void *out, size_t n)
{
    struct block_q4_1 *block = out;
    for (size_t i = 0; i < n; i += N, block++) {
        uint8_t levels[N];
        choose_with_min(
            values + i, importance_at(importance, i), 15, levels, &block->scale, &block->min);
        pack_low(levels, block->low);
    }
}

void dequantise_q5_0(const void *blocks, float *out, size_t n)
{
    const struct block_q5_0 *block = blocks;
    for (size_t i = 0; i < n; i += N, block++) {
        const float scale = quant_f16_to_f32(block->scale);
        for (int j = 0; j < N; j++) {
            out[i + (size_t)j] = scale * (float)(full_level(block->low, block->high, j) - 16);
        }
    }
}

void quantise_q5_0(const float *values, const float *importance, void *out, size_t n)
{
    struct block_q5_0 *block = out;
    for (size_t i = 0; i < n; i += N, block++) {
        uint8_t levels[N];
        block->scale = choose_signed(values + i, importance_at(importance, i), 16, levels);
        pack_low(levels, block->low);
        pack_high(levels, block->high);
    }
}

void dequantise_q5_1(const void *blocks, float *out, size_t n)
{
    const struct block_q5_1 *block = blocks;
    for (size_t i = 0; i < n; i += N, block++) {
        const float scale = quant_f16_to_f32(block->scale);
        const float min = quant_f16_to_f32(block->min);
        for (int j = 0; j < N; j++) {
            out[i + (size_t)j] = scale * (float)full_level(block->low, block->high, j) + min;
        }
    }
}

void quantise_q5_1(const float *values, const float *importance, void *out, size_t n)
{
    struct block_q5_1 *block = out;
    for (size_t i = 0; i < n; i += N, block++) {
        uint8_t levels[N];
        choose_with_min(
            values + i, importance_at(importance, i), 31, levels, &block->scale, &block->min);
        pack_low(levels, block->low);
        pack_high(levels, block->high);
    }
}

/* --- 8 bits -------------------------------------------------------------------------------------
 */

/* The extreme goes to 127: with so many levels a search gains nothing. */
static f16_bits choose_bytes(const float values[N], int8_t out[N])
{
    float extreme = 0;
    for (int j = 0; j < N; j++) {
        extreme = fabsf(values[j]) > extreme ? fabsf(values[j]) : extreme;
    }
    const f16_bits bits = quant_scale_bits(extreme / 127.0f);
    const float rounded = quant_f16_to_f32(bits);
    const float inverse = search_inverse(rounded);
    for (int j = 0; j < N; j++) {
        out[j] = (int8_t)quant_nearest(values[j] * inverse, -127, 127);
    }
    return bits;
}

void dequantise_q8_0(const void *blocks, float *out, size_t n)
{
    const struct block_q8_0 *block = blocks;
    for (size_t i = 0; i < n; i += N, block++) {
        const float scale = quant_f16_to_f32(block->scale);
        for (size_t j = 0; j < N; j++) {
            out[i + j] = scale * (float)block->values[j];
        }
    }
}

void quantise_q8_0(const float *values, const float *importance, void *out, size_t n)
{
    struct block_q8_0 *block = out;
    (void)importance;
    for (size_t i = 0; i < n; i += N, block++) {
        block->scale = choose_bytes(values + i, block->values);
    }
}

void dequantise_q8_1(const void *blocks, float *out, size_t n)
{
    const struct block_q8_1 *block = blocks;
    for (size_t i = 0; i < n; i += N, block++) {
        const float scale = quant_f16_to_f32(block->scale);
        for (size_t j = 0; j < N; j++) {
            out[i + j] = scale * (float)block->values[j];
        }
    }
}

void quantise_q8_1(const float *values, const float *importance, void *out, size_t n)
{
    struct block_q8_1 *block = out;
    (void)importance;
    for (size_t i = 0; i < n; i += N, block++) {
        block->scale = choose_bytes(values + i, block->values);
        int32_t sum = 0;
        for (size_t j = 0; j < N; j++) {
            sum += block->values[j];
        }
        block->sum = quant_min_bits((float)sum * quant_f16_to_f32(block->scale));
    }
}
