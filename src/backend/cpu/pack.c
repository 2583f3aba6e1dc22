#include "backend/cpu/pack.h"

#include "backend/cpu/pack_rows.h"

/* One line a type that can be multiplied by. */
static const struct packing {
    enum tensor_type type;
    enum tile_layout layout;
    pack_row_function pack_row;
} packings[] = {
    {TENSOR_Q4_0, TILE_Q4_0, pack_row_q4_0},
    {TENSOR_Q4_1, TILE_Q4_1, pack_row_q4_1},
    {TENSOR_Q5_0, TILE_Q5_0, pack_row_q5_0},
    {TENSOR_Q5_1, TILE_Q5_1, pack_row_q5_1},
    {TENSOR_Q8_0, TILE_Q8_0, pack_row_q8_0},
    {TENSOR_Q8_1, TILE_Q8_0, pack_row_q8_1},
    {TENSOR_Q2_K, TILE_Q2_K, pack_row_q2_k},
    {TENSOR_Q3_K, TILE_Q3_K, pack_row_q3_k},
    {TENSOR_Q4_K, TILE_Q4_K, pack_row_q4_k},
    {TENSOR_Q5_K, TILE_Q5_K, pack_row_q5_k},
    {TENSOR_Q6_K, TILE_Q6_K, pack_row_q6_k},
    {TENSOR_Q8_K, TILE_Q8_K, pack_row_q8_k},
    {TENSOR_F16, TILE_F16, pack_row_half},
    {TENSOR_BF16, TILE_BF16, pack_row_half},
    {TENSOR_F32, TILE_F32, pack_row_f32},
};

static const struct packing *find_packing(enum tensor_type type)
{
    for (size_t i = 0; i < sizeof packings / sizeof packings[0]; i++) {
        if (packings[i].type == type) {
            return &packings[i];
        }
    }
    return NULL;
}

bool pack_layout(enum tensor_type type, enum tile_layout *out)
{
    const struct packing *const packing = find_packing(type);
    if (packing == NULL) {
        return false;
    }
    *out = packing->layout;
    return true;
}

size_t pack_tile_bytes(enum tile_layout layout, uint32_t columns)
{
    switch (layout) {
    case TILE_F32:
        return (size_t)columns * TILE_ROWS * sizeof(float);
    case TILE_F16:
    case TILE_BF16:
        return ((size_t)columns + columns % 2) * TILE_ROWS * sizeof(uint16_t);
    default:
        break;
    }
    const size_t block_bytes = tile_block_bytes(layout);
    if (!tile_is_super(layout)) {
        return columns / TILE_COLUMNS * block_bytes;
    }
    return columns / TILE_SUPER_COLUMNS *
           (tile_head_bytes(layout) + TILE_SUPER_BLOCKS * block_bytes);
}

void pack_tiles(enum tensor_type type,
                const void *source,
                uint32_t rows,
                uint32_t columns,
                uint32_t first_tile,
                uint32_t n_tiles,
                uint8_t *tiles)
{
    const struct packing *const packing = find_packing(type);
    uint64_t row_bytes;
    if (packing == NULL || !tensor_type_row_bytes(type, columns, &row_bytes)) {
        return;
    }
    const size_t tile_bytes = pack_tile_bytes(packing->layout, columns);
    for (uint32_t t = first_tile; t < first_tile + n_tiles; t++) {
        for (uint32_t r = 0; r < TILE_ROWS; r++) {
            const uint64_t row = (uint64_t)t * TILE_ROWS + r;
            packing->pack_row(row < rows ? (const uint8_t *)source + row * row_bytes : NULL,
                              columns,
                              r,
                              tiles + t * tile_bytes);
        }
    }
}

void pack_row_half(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    for (uint32_t c = 0; c < columns; c += 2) {
        uint8_t *const out = tile + (size_t)c * TILE_ROWS * 2 + 4 * row;
        memset(out, 0, 4);
        if (blocks != NULL) {
            memcpy(out, blocks + 2 * (size_t)c, columns - c >= 2 ? 4 : 2);
        }
    }
}

void pack_row_f32(const uint8_t *blocks, uint32_t columns, uint32_t row, uint8_t *tile)
{
    for (uint32_t c = 0; c < columns; c++) {
        uint8_t *const out = tile + ((size_t)c * TILE_ROWS + row) * 4;
        if (blocks != NULL) {
            memcpy(out, blocks + 4 * (size_t)c, 4);
        } else {
            memset(out, 0, 4);
        }
    }
}

/* As the type's dequantisation rounds; a zero keeps its sign where there is no min. */
static void unpack_block(enum tile_layout layout, const struct tile_row_block *block, float *out)
{
    const bool has_min =
        layout == TILE_Q4_1 || layout == TILE_Q5_1 || layout == TILE_Q4_K || layout == TILE_Q5_K;
    for (uint32_t c = 0; c < TILE_COLUMNS; c++) {
        const uint32_t part = c / 16;
        const float scale = block->scale * (float)block->part_scale[part];
        out[c] = scale * (float)block->values[c];
        if (has_min) {
            out[c] += block->min;
        } else if (layout == TILE_Q2_K) {
            out[c] -= block->min_scale * (float)block->part_min[part];
        }
    }
}

static void unpack_floats(
    enum tile_layout layout, const uint8_t *tile, uint32_t columns, uint32_t row, float *out)
{
    for (uint32_t c = 0; c < columns; c++) {
        if (layout == TILE_F32) {
            memcpy(&out[c], tile + ((size_t)c * TILE_ROWS + row) * 4, 4);
            continue;
        }
        const uint8_t *const half =
            tile + ((size_t)(c / 2) * TILE_ROWS + row) * 4 + (size_t)(c % 2) * 2;
        const uint16_t bits = (uint16_t)(half[0] | half[1] << 8);
        const union half_bits brain = {.bits = (uint32_t)bits << 16};
        out[c] = layout == TILE_F16 ? half_to_float(bits) : brain.value;
    }
}

void pack_unpack_row(
    enum tile_layout layout, const uint8_t *tiles, uint32_t columns, uint32_t row, float *out)
{
    const uint8_t *const tile = tiles + row / TILE_ROWS * pack_tile_bytes(layout, columns);
    if (layout == TILE_F16 || layout == TILE_BF16 || layout == TILE_F32) {
        unpack_floats(layout, tile, columns, row % TILE_ROWS, out);
        return;
    }
    for (uint32_t b = 0; b < columns / TILE_COLUMNS; b++) {
        const uint8_t *head;
        const uint8_t *const block = tile_find_block(layout, tile, b, &head);
        struct tile_row_block values;
        tile_read_row_block(layout, head, block, row % TILE_ROWS, &values);
        unpack_block(layout, &values, out + (size_t)b * TILE_COLUMNS);
    }
}
