/* Weights into tiles, the form in which kernels read them: TILE_ROWS rows side by side, cut into
 * blocks of 32 columns, so that a kernel streams a tile from its first byte to its last.  One
 * layout serves all instruction sets.  A tile is as large as the file's blocks, or up to 4 % larger
 * (k-quants keep 8-bit part scales).
 *
 * A vector register of 64 bytes holds 4 neighbouring columns of all 16 rows: byte 4 r + j is row r,
 * column 4 g + j of the block, and g = 0 .. 7 is the *group*.  (Two 32-byte registers, four 16-byte
 * ones.)
 *
 *              row 0          row 1               row 15
 *   8 bits   | c0 c1 c2 c3 | c0 c1 c2 c3 | ... | c0 c1 c2 c3 |      group 0,  then groups 1 .. 7:
 * 512 bytes
 *
 *   4 bits   256 bytes: register i holds group i in the low nibbles and group i + 4 (columns + 16)
 * in the high ones 2 bits   128 bytes: register k holds groups 4k .. 4k + 3 in bits 0-1, 2-3, 4-5,
 * 6-7 1 bit    64 bytes: bit g of each byte belongs to group g
 *
 * A block of 32 columns, 16 rows (F16 scales are [16 rows]; part scales of Q2_K, Q3_K and Q6_K are
 * [16 rows][2 halves of 16 columns]; those of Q4_K and Q5_K [16 rows]):
 *
 *   Q4_0   4 bits | scale F16                              288 bytes   number = scale * (q - 8)
 *   Q4_1   4 bits | scale F16 | min F16                    320         scale * q + min
 *   Q5_0   4 bits | fifth bits | scale F16                 352         scale * (q - 16)
 *   Q5_1   4 bits | fifth bits | scale F16 | min F16       384         scale * q + min
 *   Q8_0   8 bits, signed | scale F16                      544         scale * q
 *
 * Under a head for 256 columns (eight blocks follow it):
 *
 *   Q2_K   head scale F16 | min scale F16      block 2 bits | bytes: part scale + 16 * part min
 *   Q3_K   head scale F16                      block 2 bits | third bits | part scales, signed
 *   Q4_K   head scale F16 | min scale F16      block 4 bits | part scales | part mins
 *   Q5_K   head scale F16 | min scale F16      block 4 bits | fifth bits | part scales | part mins
 *   Q6_K   head scale F16                      block 4 bits | bits 4-5 | part scales, signed
 *   Q8_K   head scale F32                      block 8 bits, signed
 *
 * F16, BF16: [columns / 2][16 rows][2]; F32: [columns][16 rows].
 *
 * All functions: any thread, no state. */
#ifndef REALM_BACKEND_CPU_PACK_H
#define REALM_BACKEND_CPU_PACK_H

#include "backend/cpu/kernels.h"
#include "gguf/tensor_type.h"

/* The layout of a tensor type; false: not a type that can be multiplied by. */
bool pack_layout(enum tensor_type type, enum tile_layout *out);

/* Bytes of one tile.  columns: a multiple of the type's block length.  Below 2^38 for any columns.
 */
size_t pack_tile_bytes(enum tile_layout layout, uint32_t columns);

/* Packs tiles [first_tile, first_tile + n_tiles) of a weight; different ranges may be packed at the
 * same time. source: rows x columns in the file's blocks, row-major, of a type that pack_layout
 * knows. tiles: of the whole weight. */
void pack_tiles(enum tensor_type type,
                const void *source,
                uint32_t rows,
                uint32_t columns,
                uint32_t first_tile,
                uint32_t n_tiles,
                uint8_t *tiles);

/* One row back as floats, bit-equal to dequantising the file's row. */
void pack_unpack_row(
    enum tile_layout layout, const uint8_t *tiles, uint32_t columns, uint32_t row, float *out);

#endif
