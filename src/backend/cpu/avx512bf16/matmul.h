/* The kernels of level avx512bf16. */
#ifndef REALM_BACKEND_CPU_AVX512BF16_MATMUL_H
#define REALM_BACKEND_CPU_AVX512BF16_MATMUL_H

#include "backend/cpu/kernels.h"

void matmul_bf16_bf16_16x12__avx512bf16(const struct matmul_call *call);

#endif
