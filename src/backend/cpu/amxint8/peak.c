#include "backend/cpu/amxint8/matmul.h"
#include "backend/cpu/amxint8/tiles.h"

#define STEPS 8u

/* Whole registers: 16 x 16 sums of 64 products. */
uint64_t peak_int8__amxint8(uint32_t rounds, int32_t *sink)
{
    struct tile_shapes shapes = {.palette = 1};
    for (uint32_t i = 0; i < 8; i++) {
        shapes.rows[i] = 16;
        shapes.row_bytes[i] = 64;
    }
    int32_t sums[16 * 16] = {*sink & 1};
    tiles_configure(&shapes);
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    TILE_LOAD(4, sums, (size_t)64);
    TILE_LOAD(5, sums, (size_t)64);
    TILE_LOAD(6, sums, (size_t)64);
    TILE_LOAD(7, sums, (size_t)64);
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t step = 0; step < STEPS; step++) {
            TILE_DOTS(0, 4, 6);
            TILE_DOTS(1, 4, 7);
            TILE_DOTS(2, 5, 6);
            TILE_DOTS(3, 5, 7);
        }
    }
    TILE_STORE(0, sums, (size_t)64);
    tiles_release();
    *sink = sums[0];
    return (uint64_t)rounds * STEPS * 4 * 16 * 16 * 64;
}
