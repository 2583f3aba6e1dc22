/* Q3_K: 16 sub-blocks of 16 values, 6-bit scales.  Levels -4 .. 3 are stored plus 4: two bits as in
 * Q2_K, the third in `high`. Scales are stored plus 32: the lower four bits of scale j in nibble j
 * / 8 of byte j % 8, the upper two in byte 8 + j % 4 at bit 2 (j / 4). */
#include "quant/k_search.h"
#include "quant/quant.h"
#include "quant/types.h"

static int read_scale(const uint8_t packed[12], int j)
{
    const int low = packed[j % 8] >> j / 8 * 4 & 15;
    const int high = packed[8 + j % 4] >> j / 4 * 2 & 3;
    return (low | high << 4) - 32;
}

static void write_scale(uint8_t packed[12], int j, int scale)
{
    const int stored = scale + 32;
    packed[j % 8] = (uint8_t)(packed[j % 8] | (stored & 15) << j / 8 * 4);
    packed[8 + j % 4] = (uint8_t)(packed[8 + j % 4] | stored >> 4 << j / 4 * 2);
}

void dequantise_q3_k(const void *blocks, float *out, size_t n)
{
    const struct block_q3_k *block = blocks;
    for (size_t i = 0; i < n; i += BLOCK_K, block++) {
        const float scale = quant_f16_to_f32(block->scale);
        for (int v = 0; v < BLOCK_K; v++) {
            const int low = block->low[v / 128 * 32 + v % 32] >> v % 128 / 32 * 2 & 3;
            const int high = block->high[v % 32] >> v / 32 & 1;
            const float sub_scale = scale * (float)read_scale(block->scales, v / 16);
            out[i + (size_t)v] = sub_scale * (float)((low | high << 2) - 4);
        }
    }
}

void quantise_q3_k(const float *values, const float *importance, void *out, size_t n)
{
    struct block_q3_k *block = out;
    for (size_t i = 0; i < n; i += BLOCK_K, block++) {
        struct k_signed found;
        k_search_signed(values + i, importance != NULL ? importance + i : NULL, 4, 32, &found);
        *block = (struct block_q3_k){.scale = found.scale};
        for (int s = 0; s < 16; s++) {
            write_scale(block->scales, s, found.scales[s]);
        }
        for (int v = 0; v < BLOCK_K; v++) {
            const int level = found.levels[v] + 4;
            uint8_t *const low = &block->low[v / 128 * 32 + v % 32];
            uint8_t *const high = &block->high[v % 32];
            *low = (uint8_t)(*low | (level & 3) << v % 128 / 32 * 2);
            *high = (uint8_t)(*high | level >> 2 << v / 32);
        }
    }
}
