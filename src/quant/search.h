/* Finding the scale (and min) with which a few values are told best by small integers: candidates
 * around the plain choice, each improved by least squares for the integers it gives, the least
 * squared error wins. */
#ifndef REALM_QUANT_SEARCH_H
#define REALM_QUANT_SEARCH_H

#include <stdint.h>

/* Nearest integer in [low, high]; ties to even.  Any value is fine: NaN gives some integer of the
 * range. */
int32_t quant_nearest(float value, int32_t low, int32_t high);

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

#endif
