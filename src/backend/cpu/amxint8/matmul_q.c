#include "backend/cpu/amxint8/matmul_quantised.h"

/* The same for all layouts of a kind: made once. */
#define CHUNK_FUNCTION(name, kind)                                                                 \
    static void name(struct pass *pass,                                                            \
                     const uint8_t *panel,                                                         \
                     uint32_t n_blocks,                                                            \
                     struct prefetch *share,                                                       \
                     uint32_t n_tokens,                                                            \
                     float sums[PART_TOKENS][TILE_ROWS])                                           \
    {                                                                                              \
        CHUNK_SWITCH(kind);                                                                        \
    }

CHUNK_FUNCTION(multiply_scaled, DOTS_SCALED)
CHUNK_FUNCTION(multiply_as_packed, DOTS_AS_PACKED)
CHUNK_FUNCTION(multiply_with_min, DOTS_WITH_MIN)
CHUNK_FUNCTION(multiply_of_parts, DOTS_OF_PARTS)
CHUNK_FUNCTION(multiply_of_parts_and_min, DOTS_OF_PARTS_AND_MIN)

#define LEAST           17u
#define LEAST_AS_PACKED 5u

TILES_KERNEL(matmul_q8_q4_0_16x16__amxint8,
             TILE_Q4_0,
             multiply_scaled,
             matmul_q8_q4_0_16x12__avx512vnni,
             LEAST)
TILES_KERNEL(matmul_q8_q4_1_16x16__amxint8,
             TILE_Q4_1,
             multiply_with_min,
             matmul_q8_q4_1_16x12__avx512vnni,
             LEAST)
TILES_KERNEL(matmul_q8_q5_0_16x16__amxint8,
             TILE_Q5_0,
             multiply_scaled,
             matmul_q8_q5_0_16x12__avx512vnni,
             LEAST)
TILES_KERNEL(matmul_q8_q5_1_16x16__amxint8,
             TILE_Q5_1,
             multiply_with_min,
             matmul_q8_q5_1_16x12__avx512vnni,
             LEAST)
TILES_KERNEL(matmul_q8_q8_0_16x16__amxint8,
             TILE_Q8_0,
             multiply_as_packed,
             matmul_q8_q8_0_16x12__avx512vnni,
             LEAST_AS_PACKED)
TILES_KERNEL(matmul_q8_q2k_16x16__amxint8,
             TILE_Q2_K,
             multiply_of_parts_and_min,
             matmul_q8_q2k_16x8__avx512vnni,
             LEAST)
TILES_KERNEL(matmul_q8_q3k_16x16__amxint8,
             TILE_Q3_K,
             multiply_of_parts,
             matmul_q8_q3k_16x8__avx512vnni,
             LEAST)
TILES_KERNEL(matmul_q8_q4k_16x16__amxint8,
             TILE_Q4_K,
             multiply_with_min,
             matmul_q8_q4k_16x12__avx512vnni,
             LEAST)
TILES_KERNEL(matmul_q8_q5k_16x16__amxint8,
             TILE_Q5_K,
             multiply_with_min,
             matmul_q8_q5k_16x12__avx512vnni,
             LEAST)
TILES_KERNEL(matmul_q8_q6k_16x16__amxint8,
             TILE_Q6_K,
             multiply_of_parts,
             matmul_q8_q6k_16x8__avx512vnni,
             LEAST)
TILES_KERNEL(matmul_q8_q8k_16x16__amxint8,
             TILE_Q8_K,
             multiply_scaled,
             matmul_q8_q8k_16x12__avx512vnni,
             LEAST)
