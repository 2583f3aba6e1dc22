#include "backend/cpu/neondot/dot_half.h"

INLINE void
q8_0(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q8_0, c, tile, row, t, n);
}

INLINE void
q8k(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q8_K, c, tile, row, t, n);
}

MATMUL_KERNEL(matmul_q8_q8_0_16x4__neondot, q8_0, 4)
MATMUL_KERNEL(matmul_q8_q8k_16x4__neondot, q8k, 4)
