/* Q4_K: 8 sub-blocks of 32 values, 6-bit scales and mins.  Of each 64 values, byte l of 32 holds
 * value l below and value l + 32 above. */
#include "quant/k_scales.h"
#include "quant/k_search.h"
#include "quant/quant.h"
#include "quant/types.h"

void dequantise_q4_k(const void *blocks, float *out, size_t n)
{
    const struct block_q4_k *block = blocks;
    for (size_t i = 0; i < n; i += BLOCK_K, block++) {
        const float scale = quant_f16_to_f32(block->scale);
        const float min = quant_f16_to_f32(block->min);
        for (int s = 0; s < 8; s++) {
            uint8_t scale_level;
            uint8_t min_level;
            k_scales_read(block->scales, s, &scale_level, &min_level);
            const float sub_scale = scale * (float)scale_level;
            const float sub_min = min * (float)min_level;
            for (int l = 0; l < 32; l++) {
                const int level = block->low[s / 2 * 32 + l] >> s % 2 * 4 & 15;
                out[i + (size_t)(32 * s + l)] = sub_scale * (float)level - sub_min;
            }
        }
    }
}

void quantise_q4_k(const float *values, const float *importance, void *out, size_t n)
{
    struct block_q4_k *block = out;
    for (size_t i = 0; i < n; i += BLOCK_K, block++) {
        struct k_unsigned found;
        k_search_unsigned(
            values + i, importance != NULL ? importance + i : NULL, 8, 15, 63, &found);
        *block = (struct block_q4_k){.scale = found.scale, .min = found.min};
        k_scales_write(block->scales, found.scales, found.mins);
        for (int v = 0; v < BLOCK_K; v++) {
            uint8_t *const byte = &block->low[v / 64 * 32 + v % 32];
            *byte = (uint8_t)(*byte | found.levels[v] << v / 32 % 2 * 4);
        }
    }
}
