/* Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1: blocks of 32 columns.  In the file, byte j of 16 holds
 * columns j and j + 16, which is what a register's low and high nibbles want: four bytes move at a
 * time. */
#include "backend/cpu/pack_rows.h"

struct legacy {
    uint32_t source_bytes; /* of a block in the file */
    uint32_t high_bits;    /* offset of the fifth bits; 0: none */
    uint32_t numbers;      /* offset of the numbers */
    bool has_min;
};

static void pack_halves(const uint8_t *scales, bool has_min, uint32_t row, uint8_t *out)
{
    memcpy(out + 2 * row, scales, 2);
    if (has_min) {
        memcpy(out + TILE_HALVES_BYTES + 2 * row, scales + 2, 2);
    }
}

/* Bit c of the file's word is column c's; byte j, bit g of ours is column 4g + j's. */
static uint32_t spread_bits(uint32_t bits)
{
    uint32_t word = 0;
    for (uint32_t g = 0; g < 8; g++) {
        const uint32_t four = bits >> (4 * g) & 15u;
        word |= (four * 0x00204081u & 0x01010101u) << g;
    }
    return word;
}

static inline void pack_legacy_row(const uint8_t *blocks,
                                   uint32_t columns,
                                   uint32_t row,
                                   uint8_t *tile,
                                   enum tile_layout layout,
                                   struct legacy form)
{
    static const uint8_t zeros[32];
    const uint32_t block_bytes = tile_block_bytes(layout);
    for (uint32_t b = 0; b < columns / TILE_COLUMNS; b++) {
        const uint8_t *const source =
            blocks != NULL ? blocks + (size_t)b * form.source_bytes : zeros;
        uint8_t *out = tile + (size_t)b * block_bytes;
        for (uint32_t i = 0; i < 4; i++) {
            memcpy(out + 64 * i + 4 * row, source + form.numbers + 4 * i, 4);
        }
        out += TILE_NIBBLES_BYTES;
        if (form.high_bits != 0) {
            pack_store32(out + 4 * row, spread_bits(pack_load32(source + form.high_bits)));
            out += TILE_BITS_BYTES;
        }
        pack_halves(source, form.has_min, row, out);
    }
}

static inline void pack_bytes_row(const uint8_t *blocks,
                                  uint32_t columns,
                                  uint32_t row,
                                  uint8_t *tile,
                                  uint32_t source_bytes,
                                  uint32_t numbers)
{
    static const uint8_t zeros[36];
    for (uint32_t b = 0; b < columns / TILE_COLUMNS; b++) {
        const uint8_t *const source = blocks != NULL ? blocks + (size_t)b * source_bytes : zeros;
        uint8_t *const out = tile + (size_t)b * (TILE_BYTES_BYTES + TILE_HALVES_BYTES);
        for (uint32_t g = 0; g < 8; g++) {
            memcpy(out + 64 * g + 4 * row, source + numbers + 4 * g, 4);
        }
        pack_halves(source, false, row, out + TILE_BYTES_BYTES);
    }
}

void pack_row_q4_0(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    pack_legacy_row(blocks, columns, row, tile, TILE_Q4_0, (struct legacy){18, 0, 2, false});
}

void pack_row_q4_1(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    pack_legacy_row(blocks, columns, row, tile, TILE_Q4_1, (struct legacy){20, 0, 4, true});
}

void pack_row_q5_0(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    pack_legacy_row(blocks, columns, row, tile, TILE_Q5_0, (struct legacy){22, 2, 6, false});
}

void pack_row_q5_1(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    pack_legacy_row(blocks, columns, row, tile, TILE_Q5_1, (struct legacy){24, 4, 8, true});
}

void pack_row_q8_0(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    pack_bytes_row(blocks, columns, row, tile, 34, 2);
}

/* The file's sum of the block is not wanted: activations bring their own. */
void pack_row_q8_1(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    pack_bytes_row(blocks, columns, row, tile, 36, 4);
}
