#include "backend/cpu/neoni8mm/dot_half.h"
#include "backend/cpu/neoni8mm/matmul.h"

INLINE void
q5_0(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q5_0, c, tile, row, t, n);
}

INLINE void
q5_1(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q5_1, c, tile, row, t, n);
}

INLINE void
q5k(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q5_K, c, tile, row, t, n);
}

MATMUL_KERNEL(matmul_q8_q5_0_16x4__neoni8mm, q5_0, 4)
MATMUL_KERNEL(matmul_q8_q5_1_16x4__neoni8mm, q5_1, 4)
MATMUL_KERNEL(matmul_q8_q5k_16x4__neoni8mm, q5k, 4)
