/* Eight 6-bit scales and eight 6-bit mins in twelve bytes, as Q4_K and Q5_K have them: pairs 0-3 in
 * bytes 0-3 and 4-7; of pairs 4-7 the lower four bits share bytes 8-11 and the upper two lie on top
 * of bytes 0-7. */
#ifndef REALM_QUANT_K_SCALES_H
#define REALM_QUANT_K_SCALES_H

#include <stdint.h>

static inline void k_scales_read(const uint8_t packed[12], int j, uint8_t *scale, uint8_t *min)
{
    if (j < 4) {
        *scale = packed[j] & 63;
        *min = packed[j + 4] & 63;
    } else {
        *scale = (uint8_t)((packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4);
        *min = (uint8_t)(packed[j + 4] >> 4 | (packed[j] >> 6) << 4);
    }
}

static inline void
k_scales_write(uint8_t packed[12], const uint8_t scales[8], const uint8_t mins[8])
{
    for (int j = 0; j < 4; j++) {
        packed[j] = (uint8_t)(scales[j] | (scales[j + 4] >> 4) << 6);
        packed[j + 4] = (uint8_t)(mins[j] | (mins[j + 4] >> 4) << 6);
        packed[j + 8] = (uint8_t)((scales[j + 4] & 15) | (mins[j + 4] & 15) << 4);
    }
}

#endif
