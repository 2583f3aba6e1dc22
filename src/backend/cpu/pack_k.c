/* Q2_K .. Q8_K: blocks of 256 columns, cut into eight of 32.  The file spreads the columns of a
 * block over the bits of shared bytes; here each block of 32 gets its own bytes. */
#include "backend/cpu/pack_rows.h"

#define Q2_K_BYTES 84u
#define Q3_K_BYTES 110u
#define Q4_K_BYTES 144u
#define Q5_K_BYTES 176u
#define Q6_K_BYTES 210u
#define Q8_K_BYTES 292u

static const uint8_t zero_block[Q8_K_BYTES];

/* The part that one row of one superblock has in the tile. */
struct super {
    const uint8_t *source;
    uint8_t *head;
    uint8_t *blocks; /* eight, block_bytes apart */
    uint32_t block_bytes;
};

static struct super find_super(enum tile_layout layout,
                               const uint8_t *blocks,
                               uint32_t source_bytes,
                               uint32_t i,
                               uint8_t *tile)
{
    const uint32_t block_bytes = tile_block_bytes(layout);
    const uint32_t head_bytes = tile_head_bytes(layout);
    uint8_t *const head = tile + (size_t)i * (head_bytes + TILE_SUPER_BLOCKS * block_bytes);
    return (struct super){
        .source = blocks != NULL ? blocks + (size_t)i * source_bytes : zero_block,
        .head = head,
        .blocks = head + head_bytes,
        .block_bytes = block_bytes,
    };
}

/* Bit b of 32 bytes, one a column: the fifth (third) bits of block b. */
static void pack_bits(const uint8_t *source, uint32_t b, uint32_t row, uint8_t *bits)
{
    uint32_t word = 0;
    for (uint32_t g = 0; g < 8; g++) {
        word |= (pack_load32(source + 4 * g) >> b & 0x01010101u) << g;
    }
    pack_store32(bits + 4 * row, word);
}

/* Bits 2k, 2k + 1 of 32 bytes, one a column. */
static void pack_pairs(const uint8_t *source, uint32_t k, uint32_t row, uint8_t *pairs)
{
    for (uint32_t half = 0; half < 2; half++) {
        uint32_t word = 0;
        for (uint32_t f = 0; f < 4; f++) {
            word |= (pack_load32(source + 16 * half + 4 * f) >> (2 * k) & 0x03030303u) << (2 * f);
        }
        pack_store32(pairs + 64 * half + 4 * row, word);
    }
}

/* The low or the high nibbles of 32 bytes. */
static void pack_nibbles_of(const uint8_t *source, bool high, uint32_t row, uint8_t *nibbles)
{
    uint32_t words[8];
    for (uint32_t g = 0; g < 8; g++) {
        words[g] = pack_load32(source + 4 * g) >> (high ? 4 : 0) & 0x0f0f0f0fu;
    }
    pack_nibbles(words, row, nibbles);
}

/* Six-bit scales and mins of Q4_K and Q5_K, from 12 bytes. */
static void pack_scales_mins(const uint8_t *s, uint32_t b, uint32_t row, uint8_t *out)
{
    if (b < 4) {
        out[row] = s[b] & 63u;
        out[16 + row] = s[b + 4] & 63u;
        return;
    }
    out[row] = (uint8_t)((s[b + 4] & 15u) | (unsigned)s[b - 4] >> 6 << 4);
    out[16 + row] = (uint8_t)((unsigned)s[b + 4] >> 4 | (unsigned)s[b] >> 6 << 4);
}

/* Six-bit scale i of 16 of Q3_K, from 12 bytes. */
static uint8_t q3_k_scale(const uint8_t *s, uint32_t i)
{
    const uint32_t low = (unsigned)s[i % 8] >> (i / 8 * 4) & 15u;
    const uint32_t high = (unsigned)s[8 + i % 4] >> (i / 4 * 2) & 3u;
    return (uint8_t)((low | high << 4) - 32u);
}

static void pack_head(const uint8_t *halves, uint32_t n, uint32_t row, uint8_t *head)
{
    for (uint32_t i = 0; i < n; i++) {
        memcpy(head + i * TILE_HALVES_BYTES + 2 * row, halves + 2 * i, 2);
    }
}

void pack_row_q2_k(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    for (uint32_t i = 0; i < columns / TILE_SUPER_COLUMNS; i++) {
        const struct super s = find_super(TILE_Q2_K, blocks, Q2_K_BYTES, i, tile);
        pack_head(s.source + 80, 2, row, s.head);
        for (uint32_t b = 0; b < TILE_SUPER_BLOCKS; b++) {
            uint8_t *const out = s.blocks + (size_t)b * s.block_bytes;
            pack_pairs(s.source + 16 + b / 4 * 32, b % 4, row, out);
            memcpy(out + TILE_PAIRS_BYTES + 2 * row, s.source + 2 * b, 2);
        }
    }
}

void pack_row_q3_k(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    for (uint32_t i = 0; i < columns / TILE_SUPER_COLUMNS; i++) {
        const struct super s = find_super(TILE_Q3_K, blocks, Q3_K_BYTES, i, tile);
        pack_head(s.source + 108, 1, row, s.head);
        for (uint32_t b = 0; b < TILE_SUPER_BLOCKS; b++) {
            uint8_t *const out = s.blocks + (size_t)b * s.block_bytes;
            pack_pairs(s.source + 32 + b / 4 * 32, b % 4, row, out);
            pack_bits(s.source, b, row, out + TILE_PAIRS_BYTES);
            uint8_t *const parts = out + TILE_PAIRS_BYTES + TILE_BITS_BYTES;
            parts[2 * row] = q3_k_scale(s.source + 96, 2 * b);
            parts[2 * row + 1] = q3_k_scale(s.source + 96, 2 * b + 1);
        }
    }
}

void pack_row_q4_k(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    for (uint32_t i = 0; i < columns / TILE_SUPER_COLUMNS; i++) {
        const struct super s = find_super(TILE_Q4_K, blocks, Q4_K_BYTES, i, tile);
        pack_head(s.source, 2, row, s.head);
        for (uint32_t b = 0; b < TILE_SUPER_BLOCKS; b++) {
            uint8_t *const out = s.blocks + (size_t)b * s.block_bytes;
            pack_nibbles_of(s.source + 16 + b / 2 * 32, b % 2 == 1, row, out);
            pack_scales_mins(s.source + 4, b, row, out + TILE_NIBBLES_BYTES);
        }
    }
}

void pack_row_q5_k(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    for (uint32_t i = 0; i < columns / TILE_SUPER_COLUMNS; i++) {
        const struct super s = find_super(TILE_Q5_K, blocks, Q5_K_BYTES, i, tile);
        pack_head(s.source, 2, row, s.head);
        for (uint32_t b = 0; b < TILE_SUPER_BLOCKS; b++) {
            uint8_t *const out = s.blocks + (size_t)b * s.block_bytes;
            pack_nibbles_of(s.source + 48 + b / 2 * 32, b % 2 == 1, row, out);
            pack_bits(s.source + 16, b, row, out + TILE_NIBBLES_BYTES);
            pack_scales_mins(s.source + 4, b, row, out + TILE_NIBBLES_BYTES + TILE_BITS_BYTES);
        }
    }
}

void pack_row_q6_k(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    for (uint32_t i = 0; i < columns / TILE_SUPER_COLUMNS; i++) {
        const struct super s = find_super(TILE_Q6_K, blocks, Q6_K_BYTES, i, tile);
        pack_head(s.source + 208, 1, row, s.head);
        for (uint32_t b = 0; b < TILE_SUPER_BLOCKS; b++) {
            uint8_t *const out = s.blocks + (size_t)b * s.block_bytes;
            /* Blocks 0 and 1 of four in the low nibbles, 2 and 3 in the high ones. */
            const uint8_t *const low = s.source + b / 4 * 64 + b % 2 * 32;
            pack_nibbles_of(low, b % 4 >= 2, row, out);
            pack_pairs(s.source + 128 + b / 4 * 32, b % 4, row, out + TILE_NIBBLES_BYTES);
            memcpy(
                out + TILE_NIBBLES_BYTES + TILE_PAIRS_BYTES + 2 * row, s.source + 192 + 2 * b, 2);
        }
    }
}

void pack_row_q8_k(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    for (uint32_t i = 0; i < columns / TILE_SUPER_COLUMNS; i++) {
        const struct super s = find_super(TILE_Q8_K, blocks, Q8_K_BYTES, i, tile);
        memcpy(s.head + 4 * row, s.source, 4);
        for (uint32_t b = 0; b < TILE_SUPER_BLOCKS; b++) {
            uint8_t *const out = s.blocks + (size_t)b * s.block_bytes;
            for (uint32_t g = 0; g < 8; g++) {
                memcpy(out + 64 * g + 4 * row, s.source + 4 + 32 * b + 4 * g, 4);
            }
        }
    }
}
