/* The tile registers: eight tables of at most 16 rows of 64 bytes, and the instruction that
 * multiplies two of them.  As inline assembly that says what memory it reads and writes: the
 * compilers' own intrinsics do not, and stores before them get lost.  In a build with REALM_SIMDE
 * the same by loops. */
#ifndef REALM_BACKEND_CPU_AMXINT8_TILES_H
#define REALM_BACKEND_CPU_AMXINT8_TILES_H

#include <stddef.h>
#include <stdint.h>

/* The shapes of the registers, as the processor reads them. */
struct tile_shapes {
    uint8_t palette; /* 1 */
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16]; /* of each register; the last eight are none */
    uint8_t rows[16];
};
_Static_assert(sizeof(struct tile_shapes) == 64, "as the processor reads it");

#if REALM_SIMDE

struct tile_register {
    uint8_t bytes[16][64];
};
static _Thread_local struct tile_register tile_registers[8];
static _Thread_local struct tile_shapes tile_now;

static inline void tiles_configure(const struct tile_shapes *shapes)
{
    tile_now = *shapes;
}

static inline void tiles_release(void)
{
    tile_now = (struct tile_shapes){0};
}

static inline void tile_set_zero(uint32_t tile)
{
    tile_registers[tile] = (struct tile_register){0};
}

static inline void tile_load_rows(uint32_t tile, const void *from, size_t stride)
{
    tile_set_zero(tile);
    for (uint32_t r = 0; r < tile_now.rows[tile]; r++) {
        for (uint32_t i = 0; i < tile_now.row_bytes[tile]; i++) {
            tile_registers[tile].bytes[r][i] = ((const uint8_t *)from)[r * stride + i];
        }
    }
}

static inline void tile_store_rows(uint32_t tile, void *to, size_t stride)
{
    for (uint32_t r = 0; r < tile_now.rows[tile]; r++) {
        for (uint32_t i = 0; i < tile_now.row_bytes[tile]; i++) {
            ((uint8_t *)to)[r * stride + i] = tile_registers[tile].bytes[r][i];
        }
    }
}

static inline void tile_add_dots(uint32_t sums, uint32_t a, uint32_t b)
{
    for (uint32_t r = 0; r < tile_now.rows[sums]; r++) {
        int32_t row[16];
        __builtin_memcpy(row, tile_registers[sums].bytes[r], sizeof row);
        for (uint32_t i = 0; i < tile_now.row_bytes[a]; i++) {
            for (uint32_t c = 0; c < tile_now.row_bytes[sums] / 4u; c++) {
                row[c] += (int8_t)tile_registers[a].bytes[r][i] *
                          (int8_t)tile_registers[b].bytes[i / 4][4 * c + i % 4];
            }
        }
        __builtin_memcpy(tile_registers[sums].bytes[r], row, sizeof row);
    }
}

#define TILE_ZERO(tile)               tile_set_zero(tile)
#define TILE_LOAD(tile, from, stride) tile_load_rows(tile, from, stride)
#define TILE_STORE(tile, to, stride)  tile_store_rows(tile, to, stride)
#define TILE_DOTS(sums, a, b)         tile_add_dots(sums, a, b)

#else

static inline void tiles_configure(const struct tile_shapes *shapes)
{
    __asm__ volatile("ldtilecfg %0" : : "m"(*shapes));
}

/* A thread that holds no tiles has 8 KiB less to be saved when it is stopped. */
static inline void tiles_release(void)
{
    __asm__ volatile("tilerelease");
}

/* Registers are named by literal numbers. */
#define TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile ::)

/* Rows `stride` bytes apart, of the register's shape. */
#define TILE_LOAD(tile, from, stride)                                                              \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(from), "r"(stride) : "memory")
#define TILE_STORE(tile, to, stride)                                                               \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(to), "r"(stride) : "memory")

/* sums[r][c] += the sum over i of a[r][i] * b[i / 4][4 c + i % 4]: signed bytes, 32-bit sums. */
#define TILE_DOTS(sums, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #sums ::)

#endif

#endif
