/* out = weights x quantised activations: the definition.  One weight row, eight tokens at a time.
 */
#include "backend/cpu/scalar/matmul.h"
#include "backend/cpu/tile_inline.h"

#include <math.h>
#include <string.h>

#define TOKENS 8u

static float scaled_sum(const struct quantised_rows *x, size_t block)
{
    float sum;
    memcpy(&sum, &x->sums[2 * block + 1], sizeof sum);
    return sum;
}

/* The sum of half `half` of a block's values. */
static int32_t half_sum(const struct quantised_rows *x, size_t block, uint32_t half)
{
    return (int16_t)((uint32_t)x->sums[2 * block] >> (16 * half) & 0xffffu);
}

static int32_t dot16(const int8_t *w, const int8_t *x)
{
    int32_t sum = 0;
    for (uint32_t c = 0; c < 16; c++) {
        sum += w[c] * x[c];
    }
    return sum;
}

static inline float add_block(enum tile_layout layout,
                              const struct tile_row_block *w,
                              const struct quantised_rows *x,
                              size_t block,
                              float sum)
{
    const int8_t *const values = x->values + block * TILE_COLUMNS;
    const int32_t dot = w->part_scale[0] * dot16(w->values, values) +
                        w->part_scale[1] * dot16(w->values + 16, values + 16);
    sum = fmaf(w->scale * x->scales[block], (float)dot, sum);
    switch (layout) {
    case TILE_Q4_1:
    case TILE_Q5_1:
    case TILE_Q4_K:
    case TILE_Q5_K:
        return fmaf(w->min, scaled_sum(x, block), sum);
    case TILE_Q2_K: {
        const int32_t mins =
            w->part_min[0] * half_sum(x, block, 0) + w->part_min[1] * half_sum(x, block, 1);
        return fmaf(-(w->min_scale * x->scales[block]), (float)mins, sum);
    }
    default:
        return sum;
    }
}

static void write_out(const struct matmul_call *call, uint32_t t, uint32_t row, float sum)
{
    if (call->bias != NULL) {
        sum += call->bias[row];
    }
    if (call->residual != NULL) {
        sum += call->residual[t * call->residual_stride + row - call->first_out_row];
    }
    call->out[t * call->out_stride + row - call->first_out_row] = sum;
}

/* Row `row` of the weight for tokens [first, first + n). */
static inline void multiply_row(enum tile_layout layout,
                                const struct matmul_call *call,
                                uint32_t row,
                                uint32_t first,
                                uint32_t n)
{
    const uint8_t *const tile = call->tiles + row / TILE_ROWS * call->tile_bytes;
    const uint32_t n_blocks = call->columns / TILE_COLUMNS;
    float sums[TOKENS] = {0};
    for (uint32_t b = 0; b < n_blocks; b++) {
        const uint8_t *head;
        const uint8_t *const block = tile_find_block(layout, tile, b, &head);
        struct tile_row_block w;
        tile_read_row_block(layout, head, block, row % TILE_ROWS, &w);
        for (uint32_t t = 0; t < n; t++) {
            const size_t x_block = (size_t)(first + t) * n_blocks + b;
            sums[t] = add_block(layout, &w, call->quantised, x_block, sums[t]);
        }
    }
    for (uint32_t t = 0; t < n; t++) {
        write_out(call, first + t, row, sums[t]);
    }
}

static inline void multiply(enum tile_layout layout, const struct matmul_call *call)
{
    const uint64_t end = ((uint64_t)call->first_tile + call->n_tiles) * TILE_ROWS;
    const uint32_t last_row = end < call->n_weight_rows ? (uint32_t)end : call->n_weight_rows;
    for (uint32_t row = call->first_tile * TILE_ROWS; row < last_row; row++) {
        for (uint32_t t = 0; t < call->n_rows; t += TOKENS) {
            const uint32_t left = call->n_rows - t;
            multiply_row(layout, call, row, t, left < TOKENS ? left : TOKENS);
        }
    }
}

#define KERNEL(name, layout)                                                                       \
    void matmul_q8_##name##_1x8__scalar(const struct matmul_call *call)                            \
    {                                                                                              \
        multiply(layout, call);                                                                    \
    }

KERNEL(q4_0, TILE_Q4_0)
KERNEL(q4_1, TILE_Q4_1)
KERNEL(q5_0, TILE_Q5_0)
KERNEL(q5_1, TILE_Q5_1)
KERNEL(q8_0, TILE_Q8_0)
KERNEL(q2k, TILE_Q2_K)
KERNEL(q3k, TILE_Q3_K)
KERNEL(q4k, TILE_Q4_K)
KERNEL(q5k, TILE_Q5_K)
KERNEL(q6k, TILE_Q6_K)
KERNEL(q8k, TILE_Q8_K)
