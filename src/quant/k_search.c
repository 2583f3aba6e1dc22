#include "quant/k_search.h"

#include "quant/quant.h"
#include "quant/search.h"

#include <math.h>
#include <stddef.h>

static const float *importance_of(const float *importance, int first)
{
    return importance != NULL ? importance + first : NULL;
}

static void
set_levels_unsigned(const float *values, int n, float scale, float min, int high, uint8_t *levels)
{
    const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < n; i++) {
        levels[i] = (uint8_t)quant_nearest((values[i] + min) * inverse, 0, high);
    }
}

/* The integers of a sub-block's scale and min: their neighbours are tried too, since rounding a
 * scale may ask for another min. */
static void choose_pair(const float *values,
                        const float *importance,
                        int n,
                        int high,
                        int scale_high,
                        const float wanted[2],
                        struct k_unsigned *out,
                        int s)
{
    const float scale_unit = quant_f16_to_f32(out->scale);
    const float min_unit = quant_f16_to_f32(out->min);
    const int scale = quant_nearest(wanted[0] * search_inverse(scale_unit), 0, scale_high);
    const int min = quant_nearest(wanted[1] * search_inverse(min_unit), 0, scale_high);
    double best_error = INFINITY;
    for (int i = scale - 1; i <= scale + 1; i++) {
        for (int j = min - 1; j <= min + 1; j++) {
            if (i < 0 || i > scale_high || j < 0 || j > scale_high) {
                continue;
            }
            const double error = search_error(values,
                                              importance,
                                              (uint32_t)n,
                                              scale_unit * (float)i,
                                              min_unit * (float)j,
                                              0,
                                              high);
            if (error < best_error) {
                best_error = error;
                out->scales[s] = (uint8_t)i;
                out->mins[s] = (uint8_t)j;
            }
        }
    }
    set_levels_unsigned(values,
                        n,
                        scale_unit * (float)out->scales[s],
                        min_unit * (float)out->mins[s],
                        high,
                        out->levels + s * n);
}

void k_search_unsigned(const float *values,
                       const float *importance,
                       int n_sub,
                       int high,
                       int scale_high,
                       struct k_unsigned *out)
{
    const int n = BLOCK_K / n_sub;
    float pairs[K_MAX_SUB_BLOCKS][2];
    float greatest[2] = {0, 0};
    *out = (struct k_unsigned){.scale = 0};
    for (int s = 0; s < n_sub; s++) {
        pairs[s][0] = search_scale_min(
            values + s * n, importance_of(importance, s * n), (uint32_t)n, high, 0, &pairs[s][1]);
        for (int k = 0; k < 2; k++) {
            greatest[k] = pairs[s][k] > greatest[k] ? pairs[s][k] : greatest[k];
        }
    }
    out->scale = quant_scale_bits(greatest[0] / (float)scale_high);
    out->min = quant_scale_bits(greatest[1] / (float)scale_high);
    for (int s = 0; s < n_sub; s++) {
        choose_pair(values + s * n,
                    importance_of(importance, s * n),
                    n,
                    high,
                    scale_high,
                    pairs[s],
                    out,
                    s);
    }
}

static void set_levels_signed(const float *values, int n, float scale, int half, int8_t *levels)
{
    const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < n; i++) {
        levels[i] = (int8_t)quant_nearest(values[i] * inverse, -half, half - 1);
    }
}

void k_search_signed(
    const float *values, const float *importance, int half, int scale_half, struct k_signed *out)
{
    const int n = 16;
    float scales[K_MAX_SUB_BLOCKS];
    float extreme = 0;
    *out = (struct k_signed){.scale = 0};
    for (int s = 0; s < K_MAX_SUB_BLOCKS; s++) {
        scales[s] = search_scale(
            values + s * n, importance_of(importance, s * n), (uint32_t)n, -half, half - 1);
        extreme = fabsf(scales[s]) > fabsf(extreme) ? scales[s] : extreme;
    }
    /* The range of the integers reaches one further down: the extreme takes its lower end. */
    out->scale = quant_scale_bits(-extreme / (float)scale_half);
    const float unit = quant_f16_to_f32(out->scale);
    for (int s = 0; s < K_MAX_SUB_BLOCKS; s++) {
        const float *const weights = importance_of(importance, s * n);
        const int nearest =
            quant_nearest(scales[s] * search_inverse(unit), -scale_half, scale_half - 1);
        double best_error = INFINITY;
        for (int i = nearest - 1; i <= nearest + 1; i++) {
            if (i < -scale_half || i >= scale_half) {
                continue;
            }
            const double error = search_error(
                values + s * n, weights, (uint32_t)n, unit * (float)i, 0, -half, half - 1);
            if (error < best_error) {
                best_error = error;
                out->scales[s] = (int8_t)i;
            }
        }
        set_levels_signed(
            values + s * n, n, unit * (float)out->scales[s], half, out->levels + s * n);
    }
}
