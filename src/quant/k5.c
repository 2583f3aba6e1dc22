/* Q5_K: Q4_K with a fifth bit of value 32 s + l at bit s of high[l]. */
#include "quant/k_scales.h"
#include "quant/k_search.h"
#include "quant/quant.h"
#include "quant/types.h"

void dequantise_q5_k(const void *blocks, float *out, size_t n)
{
    const struct block_q5_k *block = blocks;
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
                const int low = block->low[s / 2 * 32 + l] >> s % 2 * 4 & 15;
                const int level = low | (block->high[l] >> s & 1) << 4;
                out[i + (size_t)(32 * s + l)] = sub_scale * (float)level - sub_min;
            }
        }
    }
}

void quantise_q5_k(const float *values, const float *importance, void *out, size_t n)
{
    struct block_q5_k *block = out;
    for (size_t i = 0; i < n; i += BLOCK_K, block++) {
        struct k_unsigned found;
        k_search_unsigned(
            values + i, importance != NULL ? importance + i : NULL, 8, 31, 63, &found);
        *block = (struct block_q5_k){.scale = found.scale, .min = found.min};
        k_scales_write(block->scales, found.scales, found.mins);
        for (int v = 0; v < BLOCK_K; v++) {
            uint8_t *const low = &block->low[v / 64 * 32 + v % 32];
            uint8_t *const high = &block->high[v % 32];
            *low = (uint8_t)(*low | (found.levels[v] & 15) << v / 32 % 2 * 4);
            *high = (uint8_t)(*high | found.levels[v] >> 4 << v / 32);
        }
    }
}
