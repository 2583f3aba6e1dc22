/* Matmul stages: the tiles of all weights that share the input, times blocks of rows.  A block of
 * rows stays in a member's L2 cache while weights stream by once for each block. */
#include "backend/cpu/adapter.h"

#define ROW_BLOCK_BYTES   (256u * 1024u) /* of the input: half of an L2 cache */
#define ROW_BLOCK_UNIT    24u            /* a whole number of every kernel's token blocks */
#define PIECES_PER_MEMBER 6u
#define MIN_PIECE_BYTES   8192u /* of weights: drawing a piece must cost little beside it */

/* How the stage is cut in this step. */
struct cut {
    uint32_t n_rows;
    uint32_t block_rows;
    uint32_t n_blocks;
    uint32_t piece_tiles;
    uint32_t first_piece[OP_MAX_WEIGHTS + 1]; /* of each weight, in one block */
};

static uint32_t divide_up(uint32_t n, uint32_t by)
{
    return (n + by - 1) / by;
}

static struct cut
cut_matmul(const struct cpu_model *model, const struct stage *stage, uint32_t n_members)
{
    const struct op *const op = stage->op;
    const uint32_t columns = plan_tensor(model->plan, op->inputs[0])->columns;
    struct cut cut = {.n_rows = stage_rows(model, stage)};
    const uint32_t row_bytes =
        stage->quantised == QUANTISED_NONE ? columns * 4 : columns + columns / 8 * 3;
    const uint32_t fit = ROW_BLOCK_BYTES / row_bytes / ROW_BLOCK_UNIT * ROW_BLOCK_UNIT;
    cut.block_rows = fit < ROW_BLOCK_UNIT ? ROW_BLOCK_UNIT : fit;
    cut.n_blocks = divide_up(cut.n_rows, cut.block_rows);
    uint32_t n_tiles = 0;
    size_t tile_bytes = 1;
    for (uint32_t i = 0; i < op->n_weights; i++) {
        const struct cpu_weight *const weight = &model->weights[op->weights[i]];
        n_tiles += weight->n_tiles;
        tile_bytes = weight->tile_bytes > tile_bytes ? weight->tile_bytes : tile_bytes;
    }
    const uint64_t all = (uint64_t)n_tiles * cut.n_blocks;
    const uint64_t by_members = all / ((uint64_t)PIECES_PER_MEMBER * n_members) + 1;
    const uint64_t by_bytes = ((size_t)MIN_PIECE_BYTES + tile_bytes - 1) / tile_bytes;
    const uint64_t tiles = by_members > by_bytes ? by_members : by_bytes;
    cut.piece_tiles = tiles < n_tiles ? (uint32_t)tiles : n_tiles;
    for (uint32_t i = 0; i < op->n_weights; i++) {
        const uint32_t n = divide_up(model->weights[op->weights[i]].n_tiles, cut.piece_tiles);
        cut.first_piece[i + 1] = cut.first_piece[i] + n;
    }
    return cut;
}

/* One weight's tiles [first_tile, + piece) for rows [first_row, + n_rows). */
static void run_piece(const struct cpu_model *model,
                      const struct stage *stage,
                      const struct quantised_rows *input,
                      const struct matmul_call *piece,
                      uint32_t which,
                      uint32_t first_column,
                      uint32_t first_row)
{
    const struct op *const op = stage->op;
    const struct cpu_weight *const weight = &model->weights[op->weights[which]];
    const struct place *const out = &model->program.places[stage->out];
    struct matmul_call call = *piece;
    call.tiles = weight->tiles;
    call.tile_bytes = weight->tile_bytes;
    call.n_weight_rows = plan_tensor(model->plan, op->weights[which])->rows;
    call.columns = plan_tensor(model->plan, op->weights[which])->columns;
    struct quantised_rows quantised;
    if (layout_is_integer(weight->layout)) {
        quantised = quantised_from(input, call.columns, first_row);
        call.quantised = &quantised;
    } else {
        const struct place *const x = &model->program.places[op->inputs[0]];
        call.x = x->base + first_row * x->stride;
        call.x_stride = x->stride;
    }
    call.out = out->base + first_row * out->stride + first_column;
    call.out_stride = out->stride;
    if (op->biases[which] != TENSOR_NONE) {
        call.bias = model->weights[op->biases[which]].vector;
    }
    if (stage->residual != TENSOR_NONE) {
        const struct place *const residual = &model->program.places[stage->residual];
        call.residual = residual->base + first_row * residual->stride + first_column;
        call.residual_stride = residual->stride;
    }
    model->backend->kernels.matmul[weight->layout](&call);
    cpu_adapter_add(model, stage, &call, which, first_row);
}

/* Row 0 of the input's quantised form; NULL: no weight reads it. */
static const struct quantised_rows *quantised_input(const struct cpu_model *model,
                                                    const struct stage *stage,
                                                    const struct pool_member *member)
{
    if (stage->quantised == QUANTISED_NONE) {
        return NULL;
    }
    if (stage > model->program.stages && stage_runs_alone(model, stage - 1)) {
        return &model->members[member->index].alone;
    }
    return &model->program.quantised[stage->quantised].rows;
}

void cpu_run_matmul(const struct cpu_model *model,
                    const struct stage *stage,
                    const struct pool_member *member,
                    struct pool_counter *counter)
{
    const struct op *const op = stage->op;
    const struct cut cut = cut_matmul(model, stage, member->n_members);
    const uint32_t n_pieces = cut.first_piece[op->n_weights];
    const struct quantised_rows *const input = quantised_input(model, stage, member);
    if (cpu_stage_adapted(model, stage)) {
        cpu_adapter_project(model, stage, member, input);
    }
    uint32_t item;
    uint32_t end;
    while (pool_next(counter, n_pieces * cut.n_blocks, 1, &item, &end)) {
        const uint32_t first_row = item / n_pieces * cut.block_rows;
        const uint32_t piece = item % n_pieces;
        uint32_t which = 0;
        uint32_t first_column = 0;
        while (piece >= cut.first_piece[which + 1]) {
            first_column += plan_tensor(model->plan, op->weights[which])->rows;
            which++;
        }
        const uint32_t first_tile = (piece - cut.first_piece[which]) * cut.piece_tiles;
        const uint32_t tiles_left = model->weights[op->weights[which]].n_tiles - first_tile;
        const uint32_t rows_left = cut.n_rows - first_row;
        const struct matmul_call call = {
            .first_tile = first_tile,
            .n_tiles = tiles_left < cut.piece_tiles ? tiles_left : cut.piece_tiles,
            .n_rows = rows_left < cut.block_rows ? rows_left : cut.block_rows,
        };
        run_piece(model, stage, input, &call, which, first_column, first_row);
    }
}

void cpu_count_matmul(const struct cpu_model *model,
                      const struct stage *stage,
                      struct backend_profile *profile)
{
    const struct op *const op = stage->op;
    const struct cut cut = cut_matmul(model, stage, 1);
    for (uint32_t i = 0; i < op->n_weights; i++) {
        const struct plan_tensor *const weight = plan_tensor(model->plan, op->weights[i]);
        const struct cpu_weight *const packed = &model->weights[op->weights[i]];
        profile->weight_bytes += (uint64_t)packed->tile_bytes * packed->n_tiles * cut.n_blocks;
        profile->multiply_adds += (uint64_t)weight->rows * weight->columns * cut.n_rows;
    }
    cpu_count_adapters(model, stage, profile);
}
