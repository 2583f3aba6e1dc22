/* Packing: a row unpacked is the file's row dequantised, bit for bit; tiles are no larger than they
 * may be. */
#include "backend/cpu/pack.h"

#include "kernels/weights.h"
#include "quant/quant.h"

#include <string.h>

static void check_rows(struct kernel_test *test, const struct test_weight *w)
{
    const struct quant_type *const quant = quant_find(w->type);
    struct guarded wanted = guarded_make(w->columns * sizeof(float), 0);
    struct guarded got = guarded_make(w->columns * sizeof(float), 0);
    for (uint32_t row = 0; row < w->rows; row++) {
        quant->dequantise_row(
            w->source.bytes + row * w->row_bytes, (void *)wanted.bytes, w->columns);
        pack_unpack_row(w->layout, w->tiles.bytes, w->columns, row, (void *)got.bytes);
        if (memcmp(wanted.bytes, got.bytes, wanted.n_bytes) != 0) {
            kernel_test_fail(test, "%s: row %u of %u", tensor_type_name(w->type), row, w->rows);
        }
    }
    if (!guarded_free(&got)) {
        kernel_test_fail(test, "%s: wrote behind the row", tensor_type_name(w->type));
    }
    (void)guarded_free(&wanted);
}

void test_pack(struct kernel_test *test)
{
    if (!kernel_test_begin(test, "pack")) {
        return;
    }
    static const uint32_t rows[] = {1, 15, 16, 17, 50};
    for (uint32_t i = 0; i < WEIGHT_N_TYPES; i++) {
        const struct tensor_type_info *const info = tensor_type_find((uint32_t)weight_types[i]);
        for (uint32_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
            const uint32_t columns = info->block_length * (1 + 2 * k);
            for (int pattern = 0; pattern < WEIGHT_N_PATTERNS; pattern++) {
                struct test_weight w = test_weight_make(
                    test, info->type, rows[k], columns, (enum weight_pattern)pattern);
                check_rows(test, &w);
                if (info->quantised && w.tile_bytes > w.row_bytes * TILE_ROWS * 26 / 25) {
                    kernel_test_fail(test, "%s: tiles of %zu bytes", info->name, w.tile_bytes);
                }
                test_weight_free(test, &w);
            }
        }
    }
}
