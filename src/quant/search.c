#include "quant/search.h"

#include <math.h>
#include <stddef.h>

/* Candidates reach this many steps of a tenth of a level to either side. */
#define REACH 12

int32_t quant_nearest(float value, int32_t low, int32_t high)
{
    if (!(value > (float)low)) { /* NaN too */
        return low;
    }
    return value >= (float)high ? high : (int32_t)lrintf(value);
}

static double weight_at(const float *importance, uint32_t i)
{
    return importance != NULL ? (double)importance[i] : 1.0;
}

/* Least-squares scale for the integers that `inverse` gives; *gain: how much of the squares it
 * tells. */
static double fit_scale(const float *values,
                        const float *importance,
                        uint32_t n,
                        int32_t low,
                        int32_t high,
                        float inverse,
                        double *gain)
{
    double xq = 0;
    double qq = 0;
    for (uint32_t i = 0; i < n; i++) {
        const double q = quant_nearest(values[i] * inverse, low, high);
        const double w = weight_at(importance, i);
        xq += w * (double)values[i] * q;
        qq += w * q * q;
    }
    *gain = qq > 0 ? xq * xq / qq : 0;
    return qq > 0 ? xq / qq : 0;
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
    double best_scale = 0;
    double best_gain = -1;
    /* The range reaches further down than up: the extreme goes to its lower end, or to the upper.
     */
    const float ends[2] = {(float)low, (float)high};
    for (uint32_t end = 0; end < 2; end++) {
        for (int32_t step = -REACH; step <= REACH; step++) {
            const float inverse = (ends[end] + 0.1f * (float)step) / extreme;
            if (inverse == 0 || !isfinite(inverse)) {
                continue;
            }
            double gain;
            const double scale = fit_scale(values, importance, n, low, high, inverse, &gain);
            if (gain > best_gain) {
                best_gain = gain;
                best_scale = scale;
            }
        }
    }
    return (float)best_scale;
}

struct fit {
    double scale;
    double min; /* subtracted */
};

/* Squared error with the integers that the fit itself gives. */
static double
fit_error(const float *values, const float *importance, uint32_t n, int32_t high, struct fit fit)
{
    double error = 0;
    const double inverse = fit.scale > 0 ? 1 / fit.scale : 0;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t q = quant_nearest((float)(((double)values[i] + fit.min) * inverse), 0, high);
        const double off = fit.scale * q - fit.min - (double)values[i];
        error += weight_at(importance, i) * off * off;
    }
    return error;
}

/* Least squares for the integers that `start` gives. */
static struct fit refit(const float *values,
                        const float *importance,
                        uint32_t n,
                        int32_t high,
                        int min_is_free,
                        struct fit start)
{
    double w_sum = 0;
    double q_sum = 0;
    double qq = 0;
    double x_sum = 0;
    double xq = 0;
    for (uint32_t i = 0; i < n; i++) {
        const double x = (double)values[i];
        const double q = quant_nearest((float)((x + start.min) / start.scale), 0, high);
        const double w = weight_at(importance, i);
        w_sum += w;
        q_sum += w * q;
        qq += w * q * q;
        x_sum += w * x;
        xq += w * x * q;
    }
    const double determinant = w_sum * qq - q_sum * q_sum;
    if (!(determinant > 0)) {
        return start;
    }
    struct fit fit = {.scale = (w_sum * xq - x_sum * q_sum) / determinant,
                      .min = (q_sum * xq - qq * x_sum) / determinant};
    if (fit.min < 0 && !min_is_free) {
        fit = (struct fit){.scale = xq / qq, .min = 0};
    }
    return fit.scale > 0 ? fit : start;
}

float search_scale_min(const float *values,
                       const float *importance,
                       uint32_t n,
                       int32_t high,
                       int min_is_free,
                       float *min)
{
    float least = values[0];
    float most = values[0];
    for (uint32_t i = 1; i < n; i++) {
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
    if (!min_is_free && least > 0) {
        least = 0;
    }
    *min = -least;
    if (!(most > least) || !isfinite(most - least)) {
        return 0;
    }
    struct fit best = {.scale = (double)(most - least) / high, .min = -(double)least};
    double best_error = fit_error(values, importance, n, high, best);
    for (int32_t step = -REACH; step <= REACH; step++) {
        const double levels = high + 0.1 * step;
        if (levels < 0.5) {
            continue;
        }
        struct fit fit = {.scale = (double)(most - least) / levels, .min = -(double)least};
        /* Two rounds: the fit moves the integers once more. */
        for (int round = 0; round < 2; round++) {
            fit = refit(values, importance, n, high, min_is_free, fit);
            const double error = fit_error(values, importance, n, high, fit);
            if (error < best_error) {
                best_error = error;
                best = fit;
            }
        }
    }
    *min = (float)best.min;
    return (float)best.scale;
}
