#include "kernels/weights.h"

#include "backend/cpu/half_inline.h"
#include "backend/cpu/pack.h"

#include <string.h>

const enum tensor_type weight_types[WEIGHT_N_TYPES] = {
    TENSOR_Q4_0,
    TENSOR_Q4_1,
    TENSOR_Q5_0,
    TENSOR_Q5_1,
    TENSOR_Q8_0,
    TENSOR_Q8_1,
    TENSOR_Q2_K,
    TENSOR_Q3_K,
    TENSOR_Q4_K,
    TENSOR_Q5_K,
    TENSOR_Q6_K,
    TENSOR_Q8_K,
    TENSOR_F16,
    TENSOR_BF16,
    TENSOR_F32,
};

/* Offsets of the F16 numbers in a block of the file. */
static const struct halves {
    enum tensor_type type;
    uint32_t n;
    uint32_t offsets[2];
} half_places[] = {
    {TENSOR_Q4_0, 1, {0, 0}},
    {TENSOR_Q4_1, 2, {0, 2}},
    {TENSOR_Q5_0, 1, {0, 0}},
    {TENSOR_Q5_1, 2, {0, 2}},
    {TENSOR_Q8_0, 1, {0, 0}},
    {TENSOR_Q8_1, 2, {0, 2}},
    {TENSOR_Q2_K, 2, {80, 82}},
    {TENSOR_Q3_K, 1, {108, 0}},
    {TENSOR_Q4_K, 2, {0, 2}},
    {TENSOR_Q5_K, 2, {0, 2}},
    {TENSOR_Q6_K, 1, {208, 0}},
};

static void put_half(uint8_t *out, float value)
{
    const uint16_t bits = half_from_float_clamped(value);
    memcpy(out, &bits, sizeof bits);
}

static void fill_floats(struct kernel_test *test, enum tensor_type type, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const union half_bits value = {.value = kernel_test_float(test)};
        const uint16_t top = (uint16_t)(value.bits >> 16);
        if (type == TENSOR_F32) {
            memcpy(out + 4 * i, &value, 4);
        } else if (type == TENSOR_BF16) {
            memcpy(out + 2 * i, &top, 2);
        } else {
            put_half(out + 2 * i, value.value);
        }
    }
}

static uint8_t pattern_byte(struct kernel_test *test, enum weight_pattern pattern)
{
    switch (pattern) {
    case WEIGHT_ALL_ONES:
        return 0xff;
    case WEIGHT_ALL_ZEROS:
        return 0;
    case WEIGHT_8_BIT_LOW:
        return 0x80;
    default:
        return (uint8_t)test_random_u64(&test->random);
    }
}

static void fill_block(struct kernel_test *test,
                       enum tensor_type type,
                       enum weight_pattern pattern,
                       uint8_t *block,
                       size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        block[i] = pattern_byte(test, pattern);
    }
    for (size_t i = 0; i < sizeof half_places / sizeof half_places[0]; i++) {
        for (uint32_t k = 0; half_places[i].type == type && k < half_places[i].n; k++) {
            put_half(block + half_places[i].offsets[k], kernel_test_float(test));
        }
    }
    if (type == TENSOR_Q8_K) {
        const float scale = kernel_test_float(test);
        memcpy(block, &scale, sizeof scale);
    }
}

struct test_weight test_weight_make(struct kernel_test *test,
                                    enum tensor_type type,
                                    uint32_t rows,
                                    uint32_t columns,
                                    enum weight_pattern pattern)
{
    const struct tensor_type_info *const info = tensor_type_find((uint32_t)type);
    struct test_weight w = {.type = type, .rows = rows, .columns = columns};
    if (!pack_layout(type, &w.layout)) {
        kernel_test_fail(test, "%s cannot be packed", info->name);
    }
    w.row_bytes = (size_t)columns / info->block_length * info->block_bytes;
    w.n_tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    w.tile_bytes = pack_tile_bytes(w.layout, columns);
    w.source = guarded_make(w.row_bytes * rows, 0);
    w.tiles = guarded_make(w.tile_bytes * w.n_tiles, PACK_SLACK_BYTES);
    if (info->quantised) {
        for (size_t i = 0; i < w.source.n_bytes; i += info->block_bytes) {
            fill_block(test, type, pattern, w.source.bytes + i, info->block_bytes);
        }
    } else {
        fill_floats(test, type, w.source.bytes, (size_t)rows * columns);
    }
    const uint32_t half = w.n_tiles / 2;
    pack_tiles(type, w.source.bytes, rows, columns, half, w.n_tiles - half, w.tiles.bytes);
    pack_tiles(type, w.source.bytes, rows, columns, 0, half, w.tiles.bytes);
    return w;
}

void test_weight_free(struct kernel_test *test, struct test_weight *weight)
{
    if (!guarded_free(&weight->tiles)) {
        kernel_test_fail(test, "packing wrote outside the tiles");
    }
    (void)guarded_free(&weight->source);
}
