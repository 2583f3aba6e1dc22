#include "backend/cpu/avx2/matmul_quantised.h"

INLINE void
q8_0(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q8_0, c, tile, NULL, row, t, n);
}

INLINE void
q8k(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q8_K, c, tile, NULL, row, t, n);
}

MATMUL_KERNEL(matmul_q8_q8_0_16x6__avx2, q8_0, 6)
MATMUL_KERNEL(matmul_q8_q8k_16x6__avx2, q8k, 6)
