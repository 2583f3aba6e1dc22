/* What the NEON matmul kernels share: four registers hold 4 columns of 16 rows, four rows each. */
#ifndef REALM_BACKEND_CPU_NEONDOT_MATMUL_H
#define REALM_BACKEND_CPU_NEONDOT_MATMUL_H

#include "backend/cpu/matmul_inline.h"

#include <arm_neon.h>

INLINE float32x4_t load_4_halves(const uint8_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

/* Sums of 16 rows of one token into out, with bias and residual. */
INLINE void
write_rows(const struct matmul_call *call, uint32_t t, uint32_t row, const float32x4_t sums[4])
{
    const uint32_t column = row - call->first_out_row;
    float *const out = call->out + t * call->out_stride + column;
    const float *const residual =
        call->residual != NULL ? call->residual + t * call->residual_stride + column : NULL;
    const uint32_t n = call->n_weight_rows - row;
    if (n >= TILE_ROWS) {
        UNROLL
        for (uint32_t v = 0; v < 4; v++) {
            float32x4_t sum = sums[v];
            if (call->bias != NULL) {
                sum = vaddq_f32(sum, vld1q_f32(call->bias + row + 4 * v));
            }
            if (residual != NULL) {
                sum = vaddq_f32(sum, vld1q_f32(residual + 4 * v));
            }
            vst1q_f32(out + 4 * v, sum);
        }
        return;
    }
    float rows[TILE_ROWS];
    UNROLL
    for (uint32_t v = 0; v < 4; v++) {
        vst1q_f32(rows + 4 * v, sums[v]);
    }
    write_some_rows(call, rows, row, n, residual, out);
}

void matmul_q8_q4_0_16x4__neondot(const struct matmul_call *call);
void matmul_q8_q4_1_16x4__neondot(const struct matmul_call *call);
void matmul_q8_q5_0_16x4__neondot(const struct matmul_call *call);
void matmul_q8_q5_1_16x4__neondot(const struct matmul_call *call);
void matmul_q8_q8_0_16x4__neondot(const struct matmul_call *call);
void matmul_q8_q2k_16x4__neondot(const struct matmul_call *call);
void matmul_q8_q3k_16x4__neondot(const struct matmul_call *call);
void matmul_q8_q4k_16x4__neondot(const struct matmul_call *call);
void matmul_q8_q5k_16x4__neondot(const struct matmul_call *call);
void matmul_q8_q6k_16x4__neondot(const struct matmul_call *call);
void matmul_q8_q8k_16x4__neondot(const struct matmul_call *call);
void matmul_f32_f16_16x3__neondot(const struct matmul_call *call);
void matmul_f32_bf16_16x3__neondot(const struct matmul_call *call);
void matmul_f32_f32_16x3__neondot(const struct matmul_call *call);
void quantise_q8__neondot(const float *x, uint32_t n, const struct quantised_rows *out);
uint64_t peak_int8__neondot(uint32_t rounds, int32_t *sink);

#endif
