#include "backend/cpu/avx512bf16/matmul.h"

void cpu_kernels_avx512bf16_matmul(struct cpu_kernels *kernels)
{
    kernels->matmul[TILE_BF16] = matmul_bf16_bf16_16x12__avx512bf16;
    kernels->matmul_name[TILE_BF16] = "matmul_bf16_bf16_16x12__avx512bf16";
}
