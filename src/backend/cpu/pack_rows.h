/* Packing of one row into its tile, one function a family of types.  A row function fills its row's
 * bytes of the tile and touches no others.  Private to pack*.c. */
#ifndef REALM_BACKEND_CPU_PACK_ROWS_H
#define REALM_BACKEND_CPU_PACK_ROWS_H

#include "backend/cpu/tile_inline.h"

#include <string.h>

/* blocks: the row's, in the file's form; NULL: a row of zeros (padding of the last tile).
 * row: 0 .. 15 in the tile. */
typedef void (*pack_row_function)(const uint8_t *blocks,
                                  uint32_t columns,
                                  uint32_t row,
                                  uint8_t *tile);

void pack_row_q4_0(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_q4_1(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_q5_0(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_q5_1(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_q8_0(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_q8_1(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_q2_k(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_q3_k(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_q4_k(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_q5_k(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_q6_k(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_q8_k(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_half(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);
void pack_row_f32(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile);

static inline uint32_t pack_load32(const uint8_t *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline void pack_store32(uint8_t *bytes, uint32_t word)
{
    memcpy(bytes, &word, sizeof word);
}

/* 32 numbers of 4 bits, given as 8 words of 4 low nibbles each, into a block's 4-bit part. */
static inline void pack_nibbles(const uint32_t words[8], uint32_t row, uint8_t *nibbles)
{
    for (uint32_t i = 0; i < 4; i++) {
        pack_store32(nibbles + 64 * i + 4 * row, words[i] | words[i + 4] << 4);
    }
}

#endif
