/* The geometry of tiles (drawn in pack.h), and the reading of one row of one block: what the scalar
 * kernels and pack_unpack_row are made of. */
#ifndef REALM_BACKEND_CPU_TILE_INLINE_H
#define REALM_BACKEND_CPU_TILE_INLINE_H

#include "backend/cpu/half_inline.h"
#include "backend/cpu/kernels.h"

/* Bytes of a block of 32 columns, and offsets inside it.  What holds the numbers comes first. */
#define TILE_NIBBLES_BYTES 256u /* 4 bits of 16 x 32 numbers */
#define TILE_PAIRS_BYTES   128u /* 2 bits */
#define TILE_BITS_BYTES    64u  /* 1 bit */
#define TILE_BYTES_BYTES   512u /* 8 bits */
#define TILE_HALVES_BYTES  32u  /* one F16 a row */

/* Columns under one head: 32 where blocks stand alone (then the head is empty). */
#define TILE_SUPER_COLUMNS 256u
#define TILE_SUPER_BLOCKS  (TILE_SUPER_COLUMNS / TILE_COLUMNS)

static inline bool tile_is_super(enum tile_layout layout)
{
    return layout >= TILE_Q2_K && layout <= TILE_Q8_K;
}

/* Bytes before the blocks of 256 columns. */
static inline uint32_t tile_head_bytes(enum tile_layout layout)
{
    switch (layout) {
    case TILE_Q2_K:
    case TILE_Q4_K:
    case TILE_Q5_K:
    case TILE_Q8_K:
        return 64;
    case TILE_Q3_K:
    case TILE_Q6_K:
        return 32;
    default:
        return 0;
    }
}

/* Bytes of one block of 32 columns (integer layouts). */
static inline uint32_t tile_block_bytes(enum tile_layout layout)
{
    switch (layout) {
    case TILE_Q4_0:
        return TILE_NIBBLES_BYTES + TILE_HALVES_BYTES;
    case TILE_Q4_1:
        return TILE_NIBBLES_BYTES + 2 * TILE_HALVES_BYTES;
    case TILE_Q5_0:
        return TILE_NIBBLES_BYTES + TILE_BITS_BYTES + TILE_HALVES_BYTES;
    case TILE_Q5_1:
        return TILE_NIBBLES_BYTES + TILE_BITS_BYTES + 2 * TILE_HALVES_BYTES;
    case TILE_Q8_0:
        return TILE_BYTES_BYTES + TILE_HALVES_BYTES;
    case TILE_Q2_K:
        return TILE_PAIRS_BYTES + 32;
    case TILE_Q3_K:
        return TILE_PAIRS_BYTES + TILE_BITS_BYTES + 32;
    case TILE_Q4_K:
        return TILE_NIBBLES_BYTES + 32;
    case TILE_Q5_K:
        return TILE_NIBBLES_BYTES + TILE_BITS_BYTES + 32;
    case TILE_Q6_K:
        return TILE_NIBBLES_BYTES + TILE_PAIRS_BYTES + 32;
    case TILE_Q8_K:
        return TILE_BYTES_BYTES;
    default:
        return 0;
    }
}

/* One row's 32 numbers:
 *   number c = scale * part_scale[c / 16] * values[c]  + min - min_scale * part_min[c / 16]   */
struct tile_row_block {
    int8_t values[TILE_COLUMNS];
    int32_t part_scale[2];
    int32_t part_min[2];
    float scale;
    float min;
    float min_scale;
};

static inline float tile_half(const uint8_t *halves, uint32_t row)
{
    return half_to_float((uint16_t)(halves[2 * row] | halves[2 * row + 1] << 8));
}

/* Column c of `row`: nibbles, pairs of bits, single bits. */
static inline int32_t tile_nibble(const uint8_t *nibbles, uint32_t row, uint32_t c)
{
    return nibbles[c % 16 / 4 * 64 + 4 * row + c % 4] >> (c / 16 * 4) & 15;
}

static inline int32_t tile_pair(const uint8_t *pairs, uint32_t row, uint32_t c)
{
    return pairs[c / 16 * 64 + 4 * row + c % 4] >> (c % 16 / 4 * 2) & 3;
}

static inline int32_t tile_bit(const uint8_t *bits, uint32_t row, uint32_t c)
{
    return bits[4 * row + c % 4] >> (c / 4) & 1;
}

/* Number c of `row` without its scale. */
static inline int32_t
tile_number(enum tile_layout layout, const uint8_t *block, uint32_t row, uint32_t c)
{
    switch (layout) {
    case TILE_Q4_0:
        return tile_nibble(block, row, c) - 8;
    case TILE_Q4_1:
    case TILE_Q4_K:
        return tile_nibble(block, row, c);
    case TILE_Q5_0:
        return (tile_nibble(block, row, c) | tile_bit(block + 256, row, c) << 4) - 16;
    case TILE_Q5_1:
    case TILE_Q5_K:
        return tile_nibble(block, row, c) | tile_bit(block + 256, row, c) << 4;
    case TILE_Q2_K:
        return tile_pair(block, row, c);
    case TILE_Q3_K:
        return (tile_pair(block, row, c) | tile_bit(block + 128, row, c) << 2) - 4;
    case TILE_Q6_K:
        return (tile_nibble(block, row, c) | tile_pair(block + 256, row, c) << 4) - 32;
    default:
        return (int8_t)block[c / 4 * 64 + 4 * row + c % 4];
    }
}

/* Scales of a block that stands alone: they follow the numbers. */
static inline void tile_read_legacy_scales(enum tile_layout layout,
                                           const uint8_t *block,
                                           uint32_t row,
                                           struct tile_row_block *out)
{
    const bool has_min = layout == TILE_Q4_1 || layout == TILE_Q5_1;
    const uint8_t *const scales =
        block + tile_block_bytes(layout) - (has_min ? 2 : 1) * TILE_HALVES_BYTES;
    out->scale = tile_half(scales, row);
    out->min = has_min ? tile_half(scales + TILE_HALVES_BYTES, row) : 0.0f;
}

static inline void tile_read_super_scales(enum tile_layout layout,
                                          const uint8_t *head,
                                          const uint8_t *block,
                                          uint32_t row,
                                          struct tile_row_block *out)
{
    const uint8_t *const parts = block + tile_block_bytes(layout) - 32; /* not Q8_K's */
    union half_bits bits;
    switch (layout) {
    case TILE_Q4_K:
    case TILE_Q5_K:
        out->scale = tile_half(head, row) * (float)parts[row];
        out->min = -(tile_half(head + TILE_HALVES_BYTES, row) * (float)parts[16 + row]);
        return;
    case TILE_Q2_K:
        out->scale = tile_half(head, row);
        out->min_scale = tile_half(head + TILE_HALVES_BYTES, row);
        for (uint32_t i = 0; i < 2; i++) {
            out->part_scale[i] = parts[2 * row + i] & 15;
            out->part_min[i] = parts[2 * row + i] >> 4;
        }
        return;
    case TILE_Q3_K:
    case TILE_Q6_K:
        out->scale = tile_half(head, row);
        out->part_scale[0] = (int8_t)parts[2 * row];
        out->part_scale[1] = (int8_t)parts[2 * row + 1];
        return;
    default: /* Q8_K: F32 */
        bits.bits = (uint32_t)head[4 * row] | (uint32_t)head[4 * row + 1] << 8 |
                    (uint32_t)head[4 * row + 2] << 16 | (uint32_t)head[4 * row + 3] << 24;
        out->scale = bits.value;
        return;
    }
}

static inline void tile_read_row_block(enum tile_layout layout,
                                       const uint8_t *head,
                                       const uint8_t *block,
                                       uint32_t row,
                                       struct tile_row_block *out)
{
    for (uint32_t c = 0; c < TILE_COLUMNS; c++) {
        out->values[c] = (int8_t)tile_number(layout, block, row, c);
    }
    out->part_scale[0] = out->part_scale[1] = 1;
    out->part_min[0] = out->part_min[1] = 0;
    out->min = 0.0f;
    out->min_scale = 0.0f;
    if (tile_is_super(layout)) {
        tile_read_super_scales(layout, head, block, row, out);
    } else {
        tile_read_legacy_scales(layout, block, row, out);
    }
}

/* Where block b of a tile lies, and the head above it. */
static inline const uint8_t *
tile_find_block(enum tile_layout layout, const uint8_t *tile, uint32_t b, const uint8_t **head)
{
    const size_t block_bytes = tile_block_bytes(layout);
    if (!tile_is_super(layout)) {
        *head = tile;
        return tile + b * block_bytes;
    }
    const size_t head_bytes = tile_head_bytes(layout);
    *head = tile + b / TILE_SUPER_BLOCKS * (head_bytes + TILE_SUPER_BLOCKS * block_bytes);
    return *head + head_bytes + b % TILE_SUPER_BLOCKS * block_bytes;
}

#endif
