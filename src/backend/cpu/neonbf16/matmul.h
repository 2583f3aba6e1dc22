/* The kernels of level neonbf16. */
#ifndef REALM_BACKEND_CPU_NEONBF16_MATMUL_H
#define REALM_BACKEND_CPU_NEONBF16_MATMUL_H

#include "backend/cpu/kernels.h"

void matmul_bf16_bf16_16x4__neonbf16(const struct matmul_call *call);

#endif
