#include "backend/cpu/avx2/matmul_quantised.h"

INLINE void
q5_0(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q5_0, c, tile, NULL, row, t, n);
}

INLINE void
q5_1(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q5_1, c, tile, NULL, row, t, n);
}

INLINE void
q5k(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q5_K, c, tile, NULL, row, t, n);
}

PANEL_KERNEL(matmul_q8_q5_0_16x6__avx2, TILE_Q5_0, q5_0)
PANEL_KERNEL(matmul_q8_q5_1_16x6__avx2, TILE_Q5_1, q5_1)
PANEL_KERNEL(matmul_q8_q5k_16x6__avx2, TILE_Q5_K, q5k)
