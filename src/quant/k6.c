/* Q6_K: 16 sub-blocks of 16 values, 8-bit scales.  Levels -32 .. 31 are stored plus 32.  Of each
 * half of 128 values, value 32 g + l has its lower four bits in nibble g / 2 of byte 32 (g % 2) + l
 * and its upper two at bit 2 g of high[l]. */
#include "quant/k_search.h"
#include "quant/quant.h"
#include "quant/types.h"

void dequantise_q6_k(const void *blocks, float *out, size_t n)
{
    const struct block_q6_k *block = blocks;
    for (size_t i = 0; i < n; i += BLOCK_K, block++) {
        const float scale = quant_f16_to_f32(block->scale);
        for (int v = 0; v < BLOCK_K; v++) {
            const int half = v / 128;
            const int g = v % 128 / 32;
            const int l = v % 32;
            const int low = block->low[64 * half + 32 * (g % 2) + l] >> g / 2 * 4 & 15;
            const int high = block->high[32 * half + l] >> 2 * g & 3;
            const int8_t sub = block->scales[v / 16];
            const float sub_scale = scale * (float)sub;
            out[i + (size_t)v] = sub_scale * (float)((low | high << 4) - 32);
        }
    }
}

void quantise_q6_k(const float *values, const float *importance, void *out, size_t n)
{
    struct block_q6_k *block = out;
    for (size_t i = 0; i < n; i += BLOCK_K, block++) {
        struct k_signed found;
        k_search_signed(values + i, importance != NULL ? importance + i : NULL, 32, 128, &found);
        *block = (struct block_q6_k){.scale = found.scale};
        for (int s = 0; s < 16; s++) {
            block->scales[s] = found.scales[s];
        }
        for (int v = 0; v < BLOCK_K; v++) {
            const int half = v / 128;
            const int g = v % 128 / 32;
            const int level = found.levels[v] + 32;
            uint8_t *const low = &block->low[64 * half + 32 * (g % 2) + v % 32];
            uint8_t *const high = &block->high[32 * half + v % 32];
            *low = (uint8_t)(*low | (level & 15) << g / 2 * 4);
            *high = (uint8_t)(*high | level >> 4 << 2 * g);
        }
    }
}
