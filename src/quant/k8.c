/* Q8_K: 256 values under one F32 scale, with the sums of each 16. */
#include "quant/blocks.h"
#include "quant/quant.h"
#include "quant/search.h"
#include "quant/types.h"

#include <math.h>

void dequantise_q8_k(const void *blocks, float *out, size_t n)
{
    const struct block_q8_k *block = blocks;
    for (size_t i = 0; i < n; i += BLOCK_K, block++) {
        for (size_t v = 0; v < BLOCK_K; v++) {
            out[i + v] = block->scale * (float)block->values[v];
        }
    }
}

void quantise_q8_k(const float *values, const float *importance, void *out, size_t n)
{
    struct block_q8_k *block = out;
    (void)importance;
    for (size_t i = 0; i < n; i += BLOCK_K, block++) {
        float extreme = 0;
        for (size_t v = 0; v < BLOCK_K; v++) {
            extreme = fabsf(values[i + v]) > extreme ? fabsf(values[i + v]) : extreme;
        }
        *block = (struct block_q8_k){.scale = fminf(extreme, 0x1.FFFFFEp127f) / 127.0f};
        const float inverse = search_inverse(block->scale);
        for (size_t v = 0; v < BLOCK_K; v++) {
            block->values[v] = (int8_t)quant_nearest(values[i + v] * inverse, -127, 127);
            block->sums[v / 16] = (int16_t)(block->sums[v / 16] + block->values[v]);
        }
    }
}
