/* Loops over the whole vocabulary, eight logits at once. */
#include "sample/chain.h"

#include <math.h>
#include <string.h>

#define BLOCK 512u
#define LANES 8u

/* Eight numbers at once, as every machine we run on can take them in one or two registers.  What
 * takes one by one is the same arithmetic, so that a vocabulary's rest weighs the same. */
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t lane_mask __attribute__((vector_size(LANES * sizeof(int32_t))));

static inline void load(const float *from, uint32_t n, float otherwise, lanes *out)
{
    if (n >= LANES) {
        memcpy(out, from, sizeof *out);
        return;
    }
    for (uint32_t i = 0; i < LANES; i++) {
        (*out)[i] = i < n ? from[i] : otherwise;
    }
}

static inline void store(const lanes *x, uint32_t n, float *to)
{
    if (n >= LANES) {
        memcpy(to, x, sizeof *x);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        to[i] = (*x)[i];
    }
}

static inline void choose(const lane_mask *where, const lanes *yes, const lanes *no, lanes *out)
{
    *out = (lanes)(((lane_mask)*yes & *where) | ((lane_mask)*no & ~*where));
}

/* Maximum of the block and whether NaN is in it, which is no maximum. */
static inline float max_of_block(const float *block, uint32_t n, uint32_t *unordered)
{
    lanes max = (lanes){0} - INFINITY;
    lane_mask bad = {0};
    for (uint32_t i = 0; i < n; i += LANES) {
        lanes x;
        load(block + i, n - i, -INFINITY, &x);
        const lane_mask greater = x > max;
        choose(&greater, &x, &max, &max);
        bad |= x != x; /* NOLINT(misc-redundant-expression): NaN */
    }
    float best = max[0];
    for (uint32_t lane = 0; lane < LANES; lane++) {
        best = max[lane] > best ? max[lane] : best;
        *unordered |= (uint32_t)bad[lane];
    }
    return best;
}

SAMPLE_WIDE float logits_max(const float *logits, uint32_t n, token_id *token)
{
    float max = -INFINITY;
    token_id best = 0;
    uint32_t unordered = 0;
    /* The search inside runs only when a block wins. */
    for (uint32_t begin = 0; begin < n; begin += BLOCK) {
        const uint32_t n_block = n - begin < BLOCK ? n - begin : BLOCK;
        const float block_max = max_of_block(logits + begin, n_block, &unordered);
        if (block_max > max) {
            max = block_max;
            for (best = begin; logits[best] != block_max;) {
                best++;
            }
        }
    }
    *token = best;
    return unordered ? NAN : max;
}

/* exp(x) for x <= 0, relative error under 2e-7; 0 below -87 and for NaN.  Cody-Waite reduction,
 * degree-6 polynomial. */
static inline void exp_negative(const lanes *x, lanes *out)
{
    const lanes least = (lanes){0} - 87.0f;
    const lane_mask above = *x >= least;
    lanes clamped;
    choose(&above, x, &least, &clamped);
    const lanes shifted = clamped * 1.44269504f + 12582912.0f; /* nearest integer in the low bits */
    const lanes k = shifted - 12582912.0f;
    const lanes r = (clamped - k * 0.693145751953125f) - k * 1.42860677e-6f;
    lanes p = r * (1.0f / 720.0f) + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const lane_mask scale = ((lane_mask)shifted + 127) << 23; /* 2^k */
    p *= (lanes)scale;
    *out = (lanes)((lane_mask)p & above);
}

/* The weights of a block in eight sums, those to a double: many small ones keep their worth. */
static inline double sum_of_lanes(const lanes *sums)
{
    double sum = 0;
    for (uint32_t lane = 0; lane < LANES; lane++) {
        sum += (double)(*sums)[lane];
    }
    return sum;
}

SAMPLE_WIDE double logits_sum(const float *logits, uint32_t n, float max)
{
    double sum = 0;
    for (uint32_t begin = 0; begin < n; begin += BLOCK) {
        const uint32_t end = n - begin < BLOCK ? n : begin + BLOCK;
        lanes sums = {0};
        for (uint32_t i = begin; i < end; i += LANES) {
            lanes x;
            load(logits + i, end - i, -INFINITY, &x);
            x -= max;
            exp_negative(&x, &x);
            sums += x;
        }
        sum += sum_of_lanes(&sums);
    }
    return sum;
}

SAMPLE_WIDE double weights_from_logits(float *logits, uint32_t n, float max, float scale)
{
    double sum = 0;
    for (uint32_t begin = 0; begin < n; begin += BLOCK) {
        const uint32_t end = n - begin < BLOCK ? n : begin + BLOCK;
        lanes sums = {0};
        for (uint32_t i = begin; i < end; i += LANES) {
            lanes x;
            load(logits + i, end - i, -INFINITY, &x);
            x = (x - max) * scale;
            exp_negative(&x, &x);
            store(&x, end - i, logits + i);
            sums += x;
        }
        sum += sum_of_lanes(&sums);
    }
    return sum;
}
