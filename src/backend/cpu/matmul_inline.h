/* What the matmul kernels of all instruction sets share: how a call is walked, and what a layout
 * asks of the arithmetic.  All of it vanishes by inlining with constant arguments. */
#ifndef REALM_BACKEND_CPU_MATMUL_INLINE_H
#define REALM_BACKEND_CPU_MATMUL_INLINE_H

#include "backend/cpu/kernels.h"
#include "backend/cpu/tile_inline.h"

/* MATMUL_ROLLED, defined before this header: loops stay loops, and token counts variables.  For
 * AVX-512 made of SIMDe functions, whose unrolled kernels take compilers many minutes. */
#if defined(MATMUL_ROLLED)
#define UNROLL
#define INLINE static inline
#elif defined(__clang__)
#define UNROLL _Pragma("unroll")
#define INLINE static inline __attribute__((always_inline))
#else
#define UNROLL _Pragma("GCC unroll 16")
#define INLINE static inline __attribute__((always_inline))
#endif

/* A single pass over a tile asks for weights this far ahead. */
#define PREFETCH_BYTES 2048

INLINE void prefetch_block(const uint8_t *block, uint32_t n_bytes)
{
    UNROLL
    for (uint32_t i = 0; i < n_bytes; i += 64) {
        __builtin_prefetch(block + PREFETCH_BYTES + i, 0, 3);
    }
}

/* Of several passes over a tile, each asks memory for its share of the next tile, so that memory
 * works all the time and not during the first pass only. */
struct prefetch {
    const uint8_t *from;
    uint32_t bytes; /* with each block of columns */
};

INLINE struct prefetch share_prefetch(const struct matmul_call *call,
                                      const uint8_t *tile,
                                      uint32_t block_bytes,
                                      uint32_t t0,
                                      uint32_t n_tokens)
{
    return (struct prefetch){
        .from = tile + call->tile_bytes + call->tile_bytes * t0 / call->n_rows,
        .bytes = (block_bytes * n_tokens + call->n_rows - 1) / call->n_rows,
    };
}

INLINE void prefetch_share(struct prefetch *share)
{
    for (uint32_t i = 0; i < share->bytes; i += 64) {
        __builtin_prefetch(share->from + i, 0, 3);
    }
    share->from += share->bytes;
}

/* What is subtracted from the unsigned numbers of a tile. */
INLINE int offset_of(enum tile_layout layout)
{
    switch (layout) {
    case TILE_Q3_K:
        return 4;
    case TILE_Q4_0:
        return 8;
    case TILE_Q5_0:
        return 16;
    case TILE_Q6_K:
        return 32;
    default:
        return 0;
    }
}

/* The halves of a block have integer scales of their own. */
INLINE bool has_parts(enum tile_layout layout)
{
    return layout == TILE_Q2_K || layout == TILE_Q3_K || layout == TILE_Q6_K;
}

INLINE bool has_float_min(enum tile_layout layout)
{
    return layout == TILE_Q4_1 || layout == TILE_Q5_1 || layout == TILE_Q4_K || layout == TILE_Q5_K;
}

INLINE bool is_8_bit(enum tile_layout layout)
{
    return layout == TILE_Q8_0 || layout == TILE_Q8_K;
}

/* Has fifth bits. */
INLINE bool is_5_bit(enum tile_layout layout)
{
    return layout == TILE_Q5_0 || layout == TILE_Q5_1 || layout == TILE_Q5_K;
}

/* The last tile's n rows of one token, with bias and residual (or NULL) of its first row. */
static inline void write_some_rows(const struct matmul_call *call,
                                   const float *sums,
                                   uint32_t row,
                                   uint32_t n,
                                   const float *residual,
                                   float *out)
{
    for (uint32_t r = 0; r < n; r++) {
        const float sum = call->bias != NULL ? sums[r] + call->bias[row + r] : sums[r];
        out[r] = residual != NULL ? sum + residual[r] : sum;
    }
}

/* Token rows of the next part, when n_left are to be cut into parts of at most `most`, nearly
 * equal. */
INLINE uint32_t next_part(uint32_t n_left, uint32_t most)
{
    const uint32_t n_parts = (n_left + most - 1) / most;
    return (n_left + n_parts - 1) / n_parts;
}

#if defined(MATMUL_ROLLED)
#define MATMUL_SWITCH(tokens_function, most) tokens_function(call, tile, row, t, n)
#else
#define MATMUL_CASE(tokens_function, most, n)                                                      \
    case n:                                                                                        \
        if ((n) <= (most)) {                                                                       \
            tokens_function(call, tile, row, t, (n) <= (most) ? (n) : 1);                          \
        }                                                                                          \
        break
#define MATMUL_SWITCH(tokens_function, most)                                                       \
    switch (n) {                                                                                   \
        MATMUL_CASE(tokens_function, most, 1);                                                     \
        MATMUL_CASE(tokens_function, most, 2);                                                     \
        MATMUL_CASE(tokens_function, most, 3);                                                     \
        MATMUL_CASE(tokens_function, most, 4);                                                     \
        MATMUL_CASE(tokens_function, most, 5);                                                     \
        MATMUL_CASE(tokens_function, most, 6);                                                     \
        MATMUL_CASE(tokens_function, most, 7);                                                     \
        MATMUL_CASE(tokens_function, most, 8);                                                     \
        MATMUL_CASE(tokens_function, most, 9);                                                     \
        MATMUL_CASE(tokens_function, most, 10);                                                    \
        MATMUL_CASE(tokens_function, most, 11);                                                    \
        MATMUL_CASE(tokens_function, most, 12);                                                    \
    default:                                                                                       \
        break;                                                                                     \
    }
#endif

/* A kernel: the call's tiles one by one, each over all token rows.  tokens_function (call, tile,
 * first weight row, first token, tokens) is inlined once for each number of tokens up to `most`,
 * which is 12 at most. */
#define MATMUL_KERNEL(name, tokens_function, most)                                                 \
    void name(const struct matmul_call *call)                                                      \
    {                                                                                              \
        for (uint32_t i = 0; i < call->n_tiles; i++) {                                             \
            const uint32_t row = (call->first_tile + i) * TILE_ROWS;                               \
            const uint8_t *const tile = call->tiles + (call->first_tile + i) * call->tile_bytes;   \
            uint32_t n;                                                                            \
            for (uint32_t t = 0; t < call->n_rows; t += n) {                                       \
                n = next_part(call->n_rows - t, most);                                             \
                MATMUL_SWITCH(tokens_function, most);                                              \
            }                                                                                      \
        }                                                                                          \
    }

#endif
