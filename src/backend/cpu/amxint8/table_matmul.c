#include "backend/cpu/amxint8/matmul.h"

#define SET(layout, kernel)                                                                        \
    kernels->matmul[layout] = kernel;                                                              \
    kernels->matmul_name[layout] = #kernel

void cpu_kernels_amxint8_matmul(struct cpu_kernels *kernels)
{
    SET(TILE_Q4_0, matmul_q8_q4_0_16x16__amxint8);
    SET(TILE_Q4_1, matmul_q8_q4_1_16x16__amxint8);
    SET(TILE_Q5_0, matmul_q8_q5_0_16x16__amxint8);
    SET(TILE_Q5_1, matmul_q8_q5_1_16x16__amxint8);
    SET(TILE_Q8_0, matmul_q8_q8_0_16x16__amxint8);
    SET(TILE_Q2_K, matmul_q8_q2k_16x16__amxint8);
    SET(TILE_Q3_K, matmul_q8_q3k_16x16__amxint8);
    SET(TILE_Q4_K, matmul_q8_q4k_16x16__amxint8);
    SET(TILE_Q5_K, matmul_q8_q5k_16x16__amxint8);
    SET(TILE_Q6_K, matmul_q8_q6k_16x16__amxint8);
    SET(TILE_Q8_K, matmul_q8_q8k_16x16__amxint8);
    kernels->peak_int8 = peak_int8__amxint8;
}
