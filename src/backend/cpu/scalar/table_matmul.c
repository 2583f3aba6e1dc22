#include "backend/cpu/scalar/matmul.h"

#define SET(layout, kernel)                                                                        \
    kernels->matmul[layout] = kernel;                                                              \
    kernels->matmul_name[layout] = #kernel

void cpu_kernels_scalar_matmul(struct cpu_kernels *kernels)
{
    SET(TILE_Q4_0, matmul_q8_q4_0_1x8__scalar);
    SET(TILE_Q4_1, matmul_q8_q4_1_1x8__scalar);
    SET(TILE_Q5_0, matmul_q8_q5_0_1x8__scalar);
    SET(TILE_Q5_1, matmul_q8_q5_1_1x8__scalar);
    SET(TILE_Q8_0, matmul_q8_q8_0_1x8__scalar);
    SET(TILE_Q2_K, matmul_q8_q2k_1x8__scalar);
    SET(TILE_Q3_K, matmul_q8_q3k_1x8__scalar);
    SET(TILE_Q4_K, matmul_q8_q4k_1x8__scalar);
    SET(TILE_Q5_K, matmul_q8_q5k_1x8__scalar);
    SET(TILE_Q6_K, matmul_q8_q6k_1x8__scalar);
    SET(TILE_Q8_K, matmul_q8_q8k_1x8__scalar);
    SET(TILE_F16, matmul_f32_f16_1x1__scalar);
    SET(TILE_BF16, matmul_f32_bf16_1x1__scalar);
    SET(TILE_F32, matmul_f32_f32_1x1__scalar);
    kernels->quantise = quantise_q8__scalar;
    kernels->peak_int8 = peak_int8__scalar;
}
