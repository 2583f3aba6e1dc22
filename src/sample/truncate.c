/* Weights and their truncation without sorting. */
#include "sample/chain.h"

#include <math.h>
#include <string.h>

double weights_sum(const float *weights, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += (double)weights[i];
    }
    return sum;
}

/* --- selection ----------------------------------------------------------------------------------
 */

/* A key of 31 bits per token, taken in falling order. */
typedef uint32_t (*key_function)(float weight, float parameter);

static inline uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint32_t key_weight(float weight, float parameter)
{
    (void)parameter;
    return float_bits(weight);
}

/* Typical: nearest to the entropy first. */
static uint32_t key_typical(float weight, float log_sum_minus_entropy)
{
    return INT32_MAX - float_bits(fabsf(logf(weight) - log_sum_minus_entropy));
}

#define RADIX_BITS 11u
#define RADIX_BINS (1u << RADIX_BITS)

struct selection {
    key_function key;
    float parameter;
    bool by_count; /* limit counts tokens; else it is a sum of weights */
    double limit;
};

static uint32_t selection_bits(const struct selection *selection, float weight)
{
    return selection->key(weight, selection->parameter);
}

/* One digit of the threshold: keys with the given prefix fall into bins; the bin in which the limit
 * is reached is the digit.  *above: what the tokens of higher keys amount to. */
static uint32_t select_digit(const struct selection *selection,
                             const float *weights,
                             uint32_t n,
                             uint32_t prefix,
                             uint32_t prefix_mask,
                             uint32_t shift,
                             double *above)
{
    double bins[RADIX_BINS];
    memset(bins, 0, sizeof bins);
    for (uint32_t i = 0; i < n; i++) {
        if (weights[i] == 0.0f) {
            continue;
        }
        const uint32_t bits = selection_bits(selection, weights[i]);
        if ((bits & prefix_mask) == prefix) {
            bins[bits >> shift & (RADIX_BINS - 1)] += selection->by_count ? 1 : (double)weights[i];
        }
    }
    uint32_t lowest = 0;
    for (uint32_t bin = RADIX_BINS; bin-- > 0;) {
        if (bins[bin] == 0) {
            continue;
        }
        lowest = bin;
        if (*above + bins[bin] >= selection->limit) {
            return bin;
        }
        *above += bins[bin];
    }
    /* The limit is beyond everything (rounding): the last bin belongs to it. */
    *above -= bins[lowest];
    return lowest;
}

/* Keeps tokens in falling order of keys until the limit is reached; equal keys by rising id. */
static double keep_until(const struct selection *selection, float *weights, uint32_t n)
{
    double above = 0;
    uint32_t threshold = 0;
    uint32_t mask = 0;
    static const uint32_t shifts[3] = {21, 10, 0};
    for (uint32_t digit = 0; digit < 3; digit++) {
        const uint32_t bin =
            select_digit(selection, weights, n, threshold, mask, shifts[digit], &above);
        threshold |= bin << shifts[digit];
        mask |= (RADIX_BINS - 1) << shifts[digit];
    }
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (weights[i] == 0.0f) {
            continue;
        }
        const uint32_t bits = selection_bits(selection, weights[i]);
        if (bits < threshold || (bits == threshold && above >= selection->limit)) {
            weights[i] = 0;
            continue;
        }
        if (bits == threshold) {
            above += selection->by_count ? 1 : (double)weights[i];
        }
        sum += (double)weights[i];
    }
    return sum;
}

double truncate_top_k(float *weights, uint32_t n, uint32_t k, double sum)
{
    if (k == 0 || k >= n) {
        return sum;
    }
    const struct selection selection = {.key = key_weight, .by_count = true, .limit = k};
    return keep_until(&selection, weights, n);
}

double truncate_top_p(float *weights, uint32_t n, double part, double sum)
{
    if (part <= 0 || part >= 1) {
        return sum;
    }
    const struct selection selection = {.key = key_weight, .limit = part * sum};
    return keep_until(&selection, weights, n);
}

double truncate_typical(float *weights, uint32_t n, double part, double sum)
{
    if (part <= 0 || part >= 1) {
        return sum;
    }
    double weighted_logs = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (weights[i] > 0.0f) {
            weighted_logs += (double)(weights[i] * logf(weights[i]));
        }
    }
    /* -log p - H = -(log w - log sum) + (weighted_logs / sum - log sum) */
    const struct selection selection = {
        .key = key_typical, .parameter = (float)(weighted_logs / sum), .limit = part * sum};
    return keep_until(&selection, weights, n);
}

double truncate_min_p(float *weights, uint32_t n, float part)
{
    token_id best;
    const float threshold = logits_max(weights, n, &best) * part;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        weights[i] = weights[i] >= threshold ? weights[i] : 0.0f;
        sum += (double)weights[i];
    }
    return sum;
}

double weights_temper(float *weights, uint32_t n, float temperature)
{
    token_id best;
    const float max = logits_max(weights, n, &best);
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (weights[i] > 0.0f) {
            weights[i] = powf(weights[i] / max, 1.0f / temperature);
            sum += (double)weights[i];
        }
    }
    return sum;
}

token_id weights_draw(const float *weights, uint32_t n, double sum, double part)
{
    const double target = part * sum;
    double running = 0;
    token_id last = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (weights[i] == 0.0f) {
            continue;
        }
        running += (double)weights[i];
        last = i;
        if (running > target) {
            return i;
        }
    }
    return last; /* rounding: the end of the sum */
}
