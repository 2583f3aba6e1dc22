/* The scalar matmul family: what defines every result.  Private to scalar/. */
#ifndef REALM_BACKEND_CPU_SCALAR_MATMUL_H
#define REALM_BACKEND_CPU_SCALAR_MATMUL_H

#include "backend/cpu/kernels.h"

void matmul_q8_q4_0_1x8__scalar(const struct matmul_call *call);
void matmul_q8_q4_1_1x8__scalar(const struct matmul_call *call);
void matmul_q8_q5_0_1x8__scalar(const struct matmul_call *call);
void matmul_q8_q5_1_1x8__scalar(const struct matmul_call *call);
void matmul_q8_q8_0_1x8__scalar(const struct matmul_call *call);
void matmul_q8_q2k_1x8__scalar(const struct matmul_call *call);
void matmul_q8_q3k_1x8__scalar(const struct matmul_call *call);
void matmul_q8_q4k_1x8__scalar(const struct matmul_call *call);
void matmul_q8_q5k_1x8__scalar(const struct matmul_call *call);
void matmul_q8_q6k_1x8__scalar(const struct matmul_call *call);
void matmul_q8_q8k_1x8__scalar(const struct matmul_call *call);
void matmul_f32_f16_1x1__scalar(const struct matmul_call *call);
void matmul_f32_bf16_1x1__scalar(const struct matmul_call *call);
void matmul_f32_f32_1x1__scalar(const struct matmul_call *call);
void quantise_q8__scalar(const float *x, uint32_t n, const struct quantised_rows *out);
uint64_t peak_int8__scalar(uint32_t rounds, int32_t *sink);

#endif
