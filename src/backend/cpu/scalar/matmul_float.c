/* out = weights x F32 activations, for weights that are F16, BF16 or F32: the definition.  Even and
 * odd columns are summed apart, as vectors of column pairs do. */
#include "backend/cpu/half_inline.h"
#include "backend/cpu/scalar/matmul.h"

#include <math.h>
#include <string.h>

static float weight_at(enum tile_layout layout, const uint8_t *tile, uint32_t row, uint32_t c)
{
    float value;
    if (layout == TILE_F32) {
        memcpy(&value, tile + ((size_t)c * TILE_ROWS + row) * sizeof value, sizeof value);
        return value;
    }
    uint16_t bits;
    const size_t pair = (size_t)(c / 2) * TILE_ROWS + row;
    memcpy(&bits, tile + (2 * pair + c % 2) * sizeof bits, sizeof bits);
    const union half_bits brain = {.bits = (uint32_t)bits << 16};
    return layout == TILE_F16 ? half_to_float(bits) : brain.value;
}

static inline float dot_row(enum tile_layout layout,
                            const struct matmul_call *call,
                            const uint8_t *tile,
                            uint32_t row,
                            const float *x)
{
    float even = 0.0f;
    float odd = 0.0f;
    for (uint32_t c = 0; c < call->columns; c++) {
        const float w = weight_at(layout, tile, row, c);
        if (c % 2 == 0) {
            even = fmaf(w, x[c], even);
        } else {
            odd = fmaf(w, x[c], odd);
        }
    }
    return even + odd;
}

static inline void multiply(enum tile_layout layout, const struct matmul_call *call)
{
    const uint64_t end = ((uint64_t)call->first_tile + call->n_tiles) * TILE_ROWS;
    const uint32_t last_row = end < call->n_weight_rows ? (uint32_t)end : call->n_weight_rows;
    for (uint32_t row = call->first_tile * TILE_ROWS; row < last_row; row++) {
        const uint8_t *const tile = call->tiles + row / TILE_ROWS * call->tile_bytes;
        for (uint32_t t = 0; t < call->n_rows; t++) {
            float sum = dot_row(layout, call, tile, row % TILE_ROWS, call->x + t * call->x_stride);
            if (call->bias != NULL) {
                sum += call->bias[row];
            }
            if (call->residual != NULL) {
                sum += call->residual[t * call->residual_stride + row - call->first_out_row];
            }
            call->out[t * call->out_stride + row - call->first_out_row] = sum;
        }
    }
}

void matmul_f32_f16_1x1__scalar(const struct matmul_call *call)
{
    multiply(TILE_F16, call);
}

void matmul_f32_bf16_1x1__scalar(const struct matmul_call *call)
{
    multiply(TILE_BF16, call);
}

void matmul_f32_f32_1x1__scalar(const struct matmul_call *call)
{
    multiply(TILE_F32, call);
}
