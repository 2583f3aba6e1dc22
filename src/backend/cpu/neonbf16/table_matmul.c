#include "backend/cpu/neonbf16/matmul.h"

void cpu_kernels_neonbf16_matmul(struct cpu_kernels *kernels)
{
    kernels->matmul[TILE_BF16] = matmul_bf16_bf16_16x4__neonbf16;
    kernels->matmul_name[TILE_BF16] = "matmul_bf16_bf16_16x4__neonbf16";
}
