#include "backend/cpu/neoni8mm/dot_half.h"
#include "backend/cpu/neoni8mm/matmul.h"

INLINE void
q2k(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q2_K, c, tile, row, t, n);
}

INLINE void
q3k(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q3_K, c, tile, row, t, n);
}

INLINE void
q6k(const struct matmul_call *c, const uint8_t *tile, uint32_t row, uint32_t t, uint32_t n)
{
    multiply_tokens(TILE_Q6_K, c, tile, row, t, n);
}

MATMUL_KERNEL(matmul_q8_q2k_16x4__neoni8mm, q2k, 4)
MATMUL_KERNEL(matmul_q8_q3k_16x4__neoni8mm, q3k, 4)
MATMUL_KERNEL(matmul_q8_q6k_16x4__neoni8mm, q6k, 4)
