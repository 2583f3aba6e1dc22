/* Q2_K: 16 sub-blocks of 16 values, 4-bit scales and mins.  Of each half of 128 values, byte l of
 * its 32 bytes holds values l, l + 32, l + 64, l + 96 from the lowest bits up. */
#include "quant/k_search.h"
#include "quant/quant.h"
#include "quant/types.h"

void dequantise_q2_k(const void *blocks, float *out, size_t n)
{
    const struct block_q2_k *block = blocks;
    for (size_t i = 0; i < n; i += BLOCK_K, block++) {
        const float scale = quant_f16_to_f32(block->scale);
        const float min = quant_f16_to_f32(block->min);
        for (int v = 0; v < BLOCK_K; v++) {
            const uint8_t packed = block->scales[v / 16];
            const int level = block->low[v / 128 * 32 + v % 32] >> v % 128 / 32 * 2 & 3;
            const float sub_scale = scale * (float)(packed & 15);
            const float sub_min = min * (float)(packed >> 4);
            out[i + (size_t)v] = sub_scale * (float)level - sub_min;
        }
    }
}

void quantise_q2_k(const float *values, const float *importance, void *out, size_t n)
{
    struct block_q2_k *block = out;
    for (size_t i = 0; i < n; i += BLOCK_K, block++) {
        struct k_unsigned found;
        k_search_unsigned(
            values + i, importance != NULL ? importance + i : NULL, 16, 3, 15, &found);
        *block = (struct block_q2_k){.scale = found.scale, .min = found.min};
        for (int s = 0; s < 16; s++) {
            block->scales[s] = (uint8_t)(found.scales[s] | found.mins[s] << 4);
        }
        for (int v = 0; v < BLOCK_K; v++) {
            uint8_t *const byte = &block->low[v / 128 * 32 + v % 32];
            *byte = (uint8_t)(*byte | found.levels[v] << v % 128 / 32 * 2);
        }
    }
}
