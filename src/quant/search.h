/* Finding the scale (and min) with which a few values are told best by small integers: candidates
 * around the plain choice, each improved by least squares for the integers it gives, the least
 * squared error wins.  Any float may stand among the values: NaN and infinity give some block, not
 * a good one. */
#ifndef REALM_QUANT_SEARCH_H
#define REALM_QUANT_SEARCH_H

#include <stdint.h>

/* At most this many values at once, a multiple of eight. */
#define SEARCH_MAX_VALUES 32

/* Nearest integer in [low, high]; ties to even; NaN gives low. */
int32_t quant_nearest(float value, int32_t low, int32_t high);

/* F16 bits of a scale, never infinite: the largest number instead; and never zero for another
 * number, since the smallest one may still tell something.  NaN gives zero. */
uint16_t quant_scale_bits(float scale);
/* F16 bits of a min: like a scale's, but may vanish. */
uint16_t quant_min_bits(float min);

/* 1 / scale; 0 where that is no number of use, so that every level becomes zero. */
float search_inverse(float scale);

/* value ~ scale * q, q in [low, high].  importance: n weights or NULL.  Returns the scale (0: all
 * values are). */
float search_scale(
    const float *values, const float *importance, uint32_t n, int32_t low, int32_t high);

/* value ~ scale * q - *min, q in [0, high], *min >= 0 when min_is_free is not set (k-quants), any
 * sign when it is. */
float search_scale_min(const float *values,
                       const float *importance,
                       uint32_t n,
                       int32_t high,
                       int min_is_free,
                       float *min);

/* Squared error of the best integers in [low, high] under value ~ scale * q - min. */
double search_error(const float *values,
                    const float *importance,
                    uint32_t n,
                    float scale,
                    float min,
                    int32_t low,
                    int32_t high);

#endif
