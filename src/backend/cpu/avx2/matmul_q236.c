#include "backend/cpu/avx2/matmul_quantised.h"

INLINE void
q2k(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q2_K, c, tile, NULL, row, t, n);
}

INLINE void
q3k(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q3_K, c, tile, NULL, row, t, n);
}

INLINE void
q6k(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q6_K, c, tile, NULL, row, t, n);
}

PANEL_KERNEL(matmul_q8_q2k_16x6__avx2, TILE_Q2_K, q2k)
PANEL_KERNEL(matmul_q8_q3k_16x6__avx2, TILE_Q3_K, q3k)
PANEL_KERNEL(matmul_q8_q6k_16x6__avx2, TILE_Q6_K, q6k)
