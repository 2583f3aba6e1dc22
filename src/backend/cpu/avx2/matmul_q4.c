#include "backend/cpu/avx2/matmul_quantised.h"

INLINE void
q4_0(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q4_0, c, tile, NULL, row, t, n);
}

INLINE void
q4_1(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q4_1, c, tile, NULL, row, t, n);
}

INLINE void
q4k(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q4_K, c, tile, NULL, row, t, n);
}

PANEL_KERNEL(matmul_q8_q4_0_16x6__avx2, TILE_Q4_0, q4_0)
PANEL_KERNEL(matmul_q8_q4_1_16x6__avx2, TILE_Q4_1, q4_1)
PANEL_KERNEL(matmul_q8_q4k_16x6__avx2, TILE_Q4_K, q4k)
