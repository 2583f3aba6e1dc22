#include "quant/search.h"

#include "quant/quant.h"

#include <math.h>
#include <string.h>

/* Candidates reach CANDIDATE_REACH steps to either side. */
#define CANDIDATE_REACH 6
#define CANDIDATE_STEP  0.2f

/* Sums run in as many lanes, so that the compiler may use vectors: its order of additions is the
 * one written here. */
#define LANES 8

#define F16_GREATEST 65504.0f

int32_t quant_nearest(float value, int32_t low, int32_t high)
{
    if (!(value > (float)low)) { /* NaN too */
        return low;
    }
    return value >= (float)high ? high : (int32_t)lrintf(value);
}

uint16_t quant_min_bits(float min)
{
    if (isnan(min)) {
        return 0;
    }
    return quant_f32_to_f16(fminf(fmaxf(min, -F16_GREATEST), F16_GREATEST));
}

uint16_t quant_scale_bits(float scale)
{
    const uint16_t bits = quant_min_bits(scale);
    const int vanished = (bits & 0x7FFFu) == 0 && scale != 0 && !isnan(scale);
    return vanished ? (uint16_t)(bits | 1u) : bits;
}

float search_inverse(float scale)
{
    const float inverse = 1.0f / scale;
    return isfinite(inverse) ? inverse : 0;
}

/* quant_nearest for vectors: a number below 2^22 loses its fraction, to nearest even, when
 * 1.5 * 2^23 is added. */
static inline float nearest_lane(float value, float low, float high)
{
    const float shift = 0x1.8p23f;
    value = value > low ? value : low;
    value = value < high ? value : high;
    return (value + shift) - shift;
}

/* The values brought to a range near one, which no sum can leave, and their weights. */
struct samples {
    float x[SEARCH_MAX_VALUES];
    float w[SEARCH_MAX_VALUES];
    uint32_t n;
};

static void take_samples(struct samples *out,
                         const float *values,
                         const float *importance,
                         uint32_t n,
                         float subtracted,
                         float divisor)
{
    float greatest = 0;
    for (uint32_t i = 0; importance != NULL && i < n; i++) {
        greatest = importance[i] > greatest ? importance[i] : greatest;
    }
    const int weighted = importance != NULL && greatest > 0 && isfinite(greatest);
    out->n = n;
    for (uint32_t i = 0; i < n; i++) {
        out->x[i] = (values[i] - subtracted) / divisor;
        out->w[i] = weighted ? importance[i] / greatest : 1.0f;
    }
}

/* Weighted sums of what least squares needs, for the integers of one candidate. */
struct sums {
    double q;
    double qq;
    double xq;
};

/* Integers of (x + min) * inverse. */
static struct sums
sum_levels(const struct samples *samples, float min, float inverse, float low, float high)
{
    float q[LANES] = {0};
    float qq[LANES] = {0};
    float xq[LANES] = {0};
    for (uint32_t i = 0; i < samples->n; i += LANES) {
        for (uint32_t j = 0; j < LANES; j++) {
            const float x = samples->x[i + j];
            const float level = nearest_lane((x + min) * inverse, low, high);
            const float weighted = samples->w[i + j] * level;
            q[j] += weighted;
            qq[j] += weighted * level;
            xq[j] += weighted * x;
        }
    }
    struct sums sums = {0, 0, 0};
    for (uint32_t j = 0; j < LANES; j++) {
        sums.q += (double)q[j];
        sums.qq += (double)qq[j];
        sums.xq += (double)xq[j];
    }
    return sums;
}

float search_scale(
    const float *values, const float *importance, uint32_t n, int32_t low, int32_t high)
{
    float extreme = 0; /* the value of the greatest magnitude, with its sign */
    for (uint32_t i = 0; i < n; i++) {
        extreme = fabsf(values[i]) > fabsf(extreme) ? values[i] : extreme;
    }
    if (extreme == 0 || !isfinite(extreme)) {
        return 0;
    }
    struct samples samples;
    take_samples(&samples, values, importance, n, 0, extreme);
    double best_scale = 0;
    double best_gain = -1;
    /* The range reaches further down than up: the extreme, now 1, goes to its lower end, or to the
     * upper. */
    const float ends[2] = {(float)low, (float)high};
    for (uint32_t end = 0; end < 2; end++) {
        for (int32_t step = -CANDIDATE_REACH; step <= CANDIDATE_REACH; step++) {
            const float inverse = ends[end] + CANDIDATE_STEP * (float)step;
            const struct sums sums = sum_levels(&samples, 0, inverse, (float)low, (float)high);
            const double gain = sums.qq > 0 ? sums.xq * sums.xq / sums.qq : 0;
            if (gain > best_gain) {
                best_gain = gain;
                best_scale = sums.qq > 0 ? sums.xq / sums.qq : 0;
            }
        }
    }
    return (float)(best_scale * (double)extreme);
}

struct fit {
    double scale;
    double min; /* subtracted */
    double error;
};

/* Sums that are the same for every candidate. */
struct moments {
    double w;
    double x;
    double xx;
};

static struct moments sum_moments(const struct samples *samples)
{
    struct moments sums = {0, 0, 0};
    for (uint32_t i = 0; i < samples->n; i++) {
        const double w = (double)samples->w[i];
        const double x = (double)samples->x[i];
        sums.w += w;
        sums.x += w * x;
        sums.xx += w * x * x;
    }
    return sums;
}

/* Least squares for the integers that `start` gives; min is kept from falling under least_min. */
static struct fit refit(const struct samples *samples,
                        const struct moments *all,
                        int32_t high,
                        double least_min,
                        const struct fit *start)
{
    const struct sums s =
        sum_levels(samples, (float)start->min, (float)(1 / start->scale), 0, (float)high);
    const double determinant = all->w * s.qq - s.q * s.q;
    struct fit fit = *start;
    if (determinant > 0) {
        fit.scale = (all->w * s.xq - all->x * s.q) / determinant;
        fit.min = (s.q * s.xq - s.qq * all->x) / determinant;
    }
    if (fit.min < least_min && s.qq > 0) {
        fit.min = least_min;
        fit.scale = (s.xq + fit.min * s.q) / s.qq;
    }
    fit.error = fit.scale * fit.scale * s.qq + fit.min * fit.min * all->w + all->xx -
                2 * fit.scale * fit.min * s.q - 2 * fit.scale * s.xq + 2 * fit.min * all->x;
    return fit;
}

float search_scale_min(const float *values,
                       const float *importance,
                       uint32_t n,
                       int32_t high,
                       int min_is_free,
                       float *min)
{
    float least = min_is_free ? INFINITY : 0;
    float most = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
    const float range = most - least;
    if (!(range > 0) || !isfinite(range)) {
        *min = isfinite(least) ? -least : 0;
        return 0;
    }
    struct samples samples; /* from 0 to 1 */
    take_samples(&samples, values, importance, n, least, range);
    const struct moments all = sum_moments(&samples);
    const double least_min = min_is_free ? -INFINITY : (double)least / (double)range;
    /* The plain choice stays unless another one is better by more than the sums' rounding. */
    struct fit best = {.scale = 1.0 / high, .min = 0, .error = INFINITY};
    best = refit(&samples, &all, high, least_min, &best);
    const double margin = 1e-7 * all.w;
    for (int32_t step = -CANDIDATE_REACH; step <= CANDIDATE_REACH; step++) {
        const double levels = high + (double)CANDIDATE_STEP * step;
        struct fit fit = {.scale = 1 / levels, .min = 0};
        /* Two rounds: the fit moves the integers once more. */
        for (int round = 0; round < 2 && fit.scale > 0; round++) {
            fit = refit(&samples, &all, high, least_min, &fit);
            if (fit.error < best.error - margin && fit.scale > 0) {
                best = fit;
            }
        }
    }
    *min = (float)(best.min * (double)range - (double)least);
    return (float)(best.scale * (double)range);
}

double search_error(const float *values,
                    const float *importance,
                    uint32_t n,
                    float scale,
                    float min,
                    int32_t low,
                    int32_t high)
{
    const float inverse = search_inverse(scale);
    float error[LANES] = {0};
    for (uint32_t i = 0; i < n; i += LANES) {
        for (uint32_t j = 0; j < LANES; j++) {
            const float x = values[i + j];
            const float level = nearest_lane((x + min) * inverse, (float)low, (float)high);
            const float off = scale * level - min - x;
            error[j] += (importance != NULL ? importance[i + j] : 1.0f) * off * off;
        }
    }
    double sum = 0;
    for (uint32_t j = 0; j < LANES; j++) {
        sum += (double)error[j];
    }
    return sum;
}
