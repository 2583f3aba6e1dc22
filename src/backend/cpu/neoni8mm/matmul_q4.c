#include "backend/cpu/neoni8mm/dot_half.h"
#include "backend/cpu/neoni8mm/matmul.h"

INLINE void
q4_0(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q4_0, c, tile, row, t, n);
}

INLINE void
q4_1(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q4_1, c, tile, row, t, n);
}

INLINE void
q4k(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q4_K, c, tile, row, t, n);
}

MATMUL_KERNEL(matmul_q8_q4_0_16x4__neoni8mm, q4_0, 4)
MATMUL_KERNEL(matmul_q8_q4_1_16x4__neoni8mm, q4_1, 4)
MATMUL_KERNEL(matmul_q8_q4k_16x4__neoni8mm, q4k, 4)
