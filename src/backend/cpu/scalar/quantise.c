#include "backend/cpu/scalar/matmul.h"

#include <string.h>

#define ROUNDER 12582912.0f /* adding 1.5 * 2^23 rounds to the nearest integer, ties to even */

/* The bits of the largest magnitude: as integers they are ordered like the numbers, NaN above all.
 */
static uint32_t largest_magnitude(const float *x)
{
    uint32_t largest = 0;
    for (uint32_t c = 0; c < TILE_COLUMNS; c++) {
        uint32_t bits;
        memcpy(&bits, &x[c], sizeof bits);
        bits &= 0x7fffffffu;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

static void quantise_block(const float *x, int8_t *values, float *scale, int32_t *sums)
{
    const uint32_t bits = largest_magnitude(x);
    float max;
    memcpy(&max, &bits, sizeof max);
    const bool finite = bits < 0x7f800000u;
    const bool zero = !finite || max < QUANTISE_MIN;
    const uint32_t nan_bits = 0x7fc00000u;
    *scale = zero ? 0.0f : max / 127.0f;
    if (!finite) {
        memcpy(scale, &nan_bits, sizeof *scale);
    }
    const float inverse = zero ? 0.0f : 127.0f / max;
    int32_t halves[2] = {0, 0};
    for (uint32_t c = 0; c < TILE_COLUMNS; c++) {
        const float scaled = zero ? 0.0f : x[c] * inverse;
        const int32_t value = (int32_t)((scaled + ROUNDER) - ROUNDER);
        values[c] = (int8_t)value;
        halves[c / 16] += value;
    }
    const float scaled_sum = *scale * (float)(halves[0] + halves[1]);
    sums[0] = (int32_t)(((uint32_t)halves[0] & 0xffffu) | (uint32_t)halves[1] << 16);
    memcpy(&sums[1], &scaled_sum, sizeof scaled_sum);
}

void quantise_q8__scalar(const float *x, uint32_t n, const struct quantised_rows *out)
{
    for (uint32_t b = 0; b < n / TILE_COLUMNS; b++) {
        quantise_block(x + (size_t)b * TILE_COLUMNS,
                       out->values + (size_t)b * TILE_COLUMNS,
                       &out->scales[b],
                       &out->sums[2 * (size_t)b]);
    }
}
