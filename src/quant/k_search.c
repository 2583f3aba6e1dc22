#include "quant/k_search.h"

#include "quant/quant.h"
#include "quant/search.h"

#include <math.h>
#include <stddef.h>

/* A sub-block of the super-block. */
struct part {
    const float *values;
    const float *importance; /* or NULL */
    uint32_t n;
    size_t first; /* where it lies in the super-block */
};

static struct part part_at(const float *values, const float *importance, uint32_t n, size_t index)
{
    const size_t first = index * n;
    return (struct part){.values = values + first,
                         .importance = importance != NULL ? importance + first : NULL,
                         .n = n,
                         .first = first};
}

static void
set_levels(const struct part *part, float scale, float min, int low, int high, int32_t *levels)
{
    const float inverse = search_inverse(scale);
    for (uint32_t i = 0; i < part->n; i++) {
        levels[i] = quant_nearest((part->values[i] + min) * inverse, low, high);
    }
}

/* The integers of a sub-block's scale and min: their neighbours are tried too, since rounding a
 * scale may ask for another min. */
static void choose_pair(const struct part *part,
                        int high,
                        int scale_high,
                        const float wanted[2],
                        struct k_unsigned *out,
                        size_t s)
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
            const double error = search_error(part->values,
                                              part->importance,
                                              part->n,
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
}

static void set_unsigned(const struct part *part, int high, struct k_unsigned *out, size_t s)
{
    int32_t levels[SEARCH_MAX_VALUES];
    const float scale = quant_f16_to_f32(out->scale) * (float)out->scales[s];
    const float min = quant_f16_to_f32(out->min) * (float)out->mins[s];
    set_levels(part, scale, min, 0, high, levels);
    for (uint32_t i = 0; i < part->n; i++) {
        out->levels[part->first + i] = (uint8_t)levels[i];
    }
}

void k_search_unsigned(const float *values,
                       const float *importance,
                       int n_sub,
                       int high,
                       int scale_high,
                       struct k_unsigned *out)
{
    const uint32_t n = BLOCK_K / (uint32_t)n_sub;
    float pairs[K_MAX_SUB_BLOCKS][2];
    float greatest[2] = {0, 0};
    *out = (struct k_unsigned){.scale = 0};
    for (size_t s = 0; s < (size_t)n_sub; s++) {
        const struct part part = part_at(values, importance, n, s);
        pairs[s][0] = search_scale_min(part.values, part.importance, n, high, 0, &pairs[s][1]);
        for (int k = 0; k < 2; k++) {
            greatest[k] = pairs[s][k] > greatest[k] ? pairs[s][k] : greatest[k];
        }
    }
    out->scale = quant_scale_bits(greatest[0] / (float)scale_high);
    out->min = quant_scale_bits(greatest[1] / (float)scale_high);
    for (size_t s = 0; s < (size_t)n_sub; s++) {
        const struct part part = part_at(values, importance, n, s);
        choose_pair(&part, high, scale_high, pairs[s], out, s);
        set_unsigned(&part, high, out, s);
    }
}

/* The integer of a sub-block's scale, near `wanted`. */
static int8_t
choose_scale(const struct part *part, int half, int scale_half, float unit, float wanted)
{
    const int nearest = quant_nearest(wanted * search_inverse(unit), -scale_half, scale_half - 1);
    double best_error = INFINITY;
    int best = 0;
    for (int i = nearest - 1; i <= nearest + 1; i++) {
        if (i < -scale_half || i >= scale_half) {
            continue;
        }
        const double error = search_error(
            part->values, part->importance, part->n, unit * (float)i, 0, -half, half - 1);
        if (error < best_error) {
            best_error = error;
            best = i;
        }
    }
    return (int8_t)best;
}

static void set_signed(const struct part *part, int half, struct k_signed *out, size_t s)
{
    int32_t levels[SEARCH_MAX_VALUES];
    const float scale = quant_f16_to_f32(out->scale) * (float)out->scales[s];
    set_levels(part, scale, 0, -half, half - 1, levels);
    for (uint32_t i = 0; i < part->n; i++) {
        out->levels[part->first + i] = (int8_t)levels[i];
    }
}

void k_search_signed(
    const float *values, const float *importance, int half, int scale_half, struct k_signed *out)
{
    const uint32_t n = BLOCK_K / K_MAX_SUB_BLOCKS;
    float scales[K_MAX_SUB_BLOCKS];
    float extreme = 0;
    *out = (struct k_signed){.scale = 0};
    for (size_t s = 0; s < K_MAX_SUB_BLOCKS; s++) {
        const struct part part = part_at(values, importance, n, s);
        scales[s] = search_scale(part.values, part.importance, n, -half, half - 1);
        extreme = fabsf(scales[s]) > fabsf(extreme) ? scales[s] : extreme;
    }
    /* The range of the integers reaches one further down: the extreme takes its lower end. */
    out->scale = quant_scale_bits(-extreme / (float)scale_half);
    const float unit = quant_f16_to_f32(out->scale);
    for (size_t s = 0; s < K_MAX_SUB_BLOCKS; s++) {
        const struct part part = part_at(values, importance, n, s);
        out->scales[s] = choose_scale(&part, half, scale_half, unit, scales[s]);
        set_signed(&part, half, out, s);
    }
}
