/* Super-blocks of 256 values: every sub-block finds its own scale (and min), which are then told as
 * small integers under two (or one) F16 numbers of the super-block. */
#ifndef REALM_QUANT_K_SEARCH_H
#define REALM_QUANT_K_SEARCH_H

#include "quant/blocks.h"

#define K_MAX_SUB_BLOCKS 16

/* value = (scale * scales[s]) * level - (min * mins[s]), level in [0, high]. */
struct k_unsigned {
    f16_bits scale;
    f16_bits min;
    uint8_t scales[K_MAX_SUB_BLOCKS];
    uint8_t mins[K_MAX_SUB_BLOCKS];
    uint8_t levels[BLOCK_K];
};

/* n_sub: 8 or 16 sub-blocks; scale_high: greatest integer for scales and mins. */
void k_search_unsigned(const float *values,
                       const float *importance,
                       int n_sub,
                       int high,
                       int scale_high,
                       struct k_unsigned *out);

/* value = (scale * scales[s]) * level, level in [-half, half - 1]; 16 sub-blocks. */
struct k_signed {
    f16_bits scale;
    int8_t scales[K_MAX_SUB_BLOCKS];
    int8_t levels[BLOCK_K];
};

/* scales lie in [-scale_half, scale_half - 1]. */
void k_search_signed(
    const float *values, const float *importance, int half, int scale_half, struct k_signed *out);

#endif
