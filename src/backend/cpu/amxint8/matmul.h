/* The kernels of level amxint8. */
#ifndef REALM_BACKEND_CPU_AMXINT8_MATMUL_H
#define REALM_BACKEND_CPU_AMXINT8_MATMUL_H

#include "backend/cpu/kernels.h"

void matmul_q8_q4_0_16x16__amxint8(const struct matmul_call *call);
void matmul_q8_q4_1_16x16__amxint8(const struct matmul_call *call);
void matmul_q8_q5_0_16x16__amxint8(const struct matmul_call *call);
void matmul_q8_q5_1_16x16__amxint8(const struct matmul_call *call);
void matmul_q8_q8_0_16x16__amxint8(const struct matmul_call *call);
void matmul_q8_q2k_16x16__amxint8(const struct matmul_call *call);
void matmul_q8_q3k_16x16__amxint8(const struct matmul_call *call);
void matmul_q8_q4k_16x16__amxint8(const struct matmul_call *call);
void matmul_q8_q5k_16x16__amxint8(const struct matmul_call *call);
void matmul_q8_q6k_16x16__amxint8(const struct matmul_call *call);
void matmul_q8_q8k_16x16__amxint8(const struct matmul_call *call);
uint64_t peak_int8__amxint8(uint32_t rounds, int32_t *sink);

#endif
