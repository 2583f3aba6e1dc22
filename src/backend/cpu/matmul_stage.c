/* Matmul stages: the tiles of all weights that share the input, times blocks of rows.  A block of
 * rows stays in a member's L2 cache while weights stream by once for each block.
 *
 * A gated stage's piece is some columns of gate and the same of up: they stay in the member's own
 * memory, are multiplied there, and only the quantised product is written. */
#include "backend/cpu/adapter.h"

#define ROW_BLOCK_BYTES   (256u * 1024u) /* of the input: half of an L2 cache */
#define ROW_BLOCK_UNIT    24u            /* a whole number of every kernel's token blocks */
#define PIECES_PER_MEMBER 6u
#define MAX_GATED_ROWS    1008u /* times 2 x 32 columns fit GATED_FLOATS; whole units */
#define MIN_PIECE_BYTES   8192u /* of weights: drawing a piece must cost little beside it */

/* How the stage is cut in this step. */
struct cut {
    uint32_t n_rows;
    uint32_t block_rows;
    uint32_t n_blocks;
    uint32_t piece_tiles;
    uint32_t first_piece[OP_MAX_WEIGHTS + 1]; /* of each weight, in one block; gated: of all */
};

static uint32_t divide_up(uint32_t n, uint32_t by)
{
    return (n + by - 1) / by;
}

static bool is_gated(const struct stage *stage)
{
    return stage->gated != QUANTISED_NONE;
}

/* Tiles of a piece: several pieces a member, none too small. */
static uint32_t
choose_piece(uint32_t n_tiles, size_t tile_bytes, uint32_t n_blocks, uint32_t n_members)
{
    const uint64_t all = (uint64_t)n_tiles * n_blocks;
    const uint64_t by_members = all / ((uint64_t)PIECES_PER_MEMBER * n_members) + 1;
    const uint64_t by_bytes = ((size_t)MIN_PIECE_BYTES + tile_bytes - 1) / tile_bytes;
    const uint64_t tiles = by_members > by_bytes ? by_members : by_bytes;
    return tiles < n_tiles ? (uint32_t)tiles : n_tiles;
}

/* Columns of the product of a gated stage. */
static uint32_t gated_columns(const struct cpu_model *model, const struct stage *stage)
{
    return model->program.quantised[stage->gated].columns;
}

static void cut_gated(const struct cpu_model *model,
                      const struct stage *stage,
                      uint32_t n_members,
                      struct cut *cut)
{
    const uint32_t rows = cut->n_rows < cut->block_rows ? cut->n_rows : cut->block_rows;
    const uint32_t unit = TILE_COLUMNS / TILE_ROWS;
    const uint32_t n_tiles = gated_columns(model, stage) / TILE_ROWS;
    const size_t tile_bytes = model->weights[stage->op->weights[0]].tile_bytes;
    const uint32_t fit = GATED_FLOATS / (2 * rows * TILE_COLUMNS) * unit;
    const uint32_t wanted = choose_piece(n_tiles, 2 * tile_bytes, cut->n_blocks, n_members);
    const uint32_t tiles = divide_up(wanted, unit) * unit;
    cut->piece_tiles = tiles < fit ? tiles : fit;
    cut->first_piece[stage->op->n_weights] = divide_up(n_tiles, cut->piece_tiles);
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
    if (is_gated(stage) && cut.block_rows > MAX_GATED_ROWS) {
        cut.block_rows = MAX_GATED_ROWS;
    }
    cut.n_blocks = divide_up(cut.n_rows, cut.block_rows);
    if (is_gated(stage)) {
        cut_gated(model, stage, n_members, &cut);
        return cut;
    }
    uint32_t n_tiles = 0;
    size_t tile_bytes = 1;
    for (uint32_t i = 0; i < op->n_weights; i++) {
        const struct cpu_weight *const weight = &model->weights[op->weights[i]];
        n_tiles += weight->n_tiles;
        tile_bytes = weight->tile_bytes > tile_bytes ? weight->tile_bytes : tile_bytes;
    }
    cut.piece_tiles = choose_piece(n_tiles, tile_bytes, cut.n_blocks, n_members);
    for (uint32_t i = 0; i < op->n_weights; i++) {
        const uint32_t n = divide_up(model->weights[op->weights[i]].n_tiles, cut.piece_tiles);
        cut.first_piece[i + 1] = cut.first_piece[i] + n;
    }
    return cut;
}

/* One weight's tiles [first_tile, + piece) for rows [first_row, + n_rows); piece says where the
 * result goes. */
static void run_piece(const struct cpu_model *model,
                      const struct stage *stage,
                      const struct quantised_rows *input,
                      const struct matmul_call *piece,
                      uint32_t which,
                      uint32_t first_row)
{
    const struct op *const op = stage->op;
    const struct cpu_weight *const weight = &model->weights[op->weights[which]];
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
    if (op->biases[which] != TENSOR_NONE) {
        call.bias = model->weights[op->biases[which]].vector;
    }
    model->backend->kernels.matmul[weight->layout](&call);
    cpu_adapter_add(model, stage, &call, which, first_row);
}

/* Piece `piece` of the block of rows from first_row on, into the stage's result. */
static void run_plain(const struct cpu_model *model,
                      const struct stage *stage,
                      const struct cut *cut,
                      const struct quantised_rows *input,
                      uint32_t piece,
                      uint32_t first_row)
{
    const struct op *const op = stage->op;
    const struct place *const out = &model->program.places[stage->out];
    uint32_t which = 0;
    uint32_t first_column = 0;
    while (piece >= cut->first_piece[which + 1]) {
        first_column += plan_tensor(model->plan, op->weights[which])->rows;
        which++;
    }
    const uint32_t first_tile = (piece - cut->first_piece[which]) * cut->piece_tiles;
    const uint32_t tiles_left = model->weights[op->weights[which]].n_tiles - first_tile;
    const uint32_t rows_left = cut->n_rows - first_row;
    struct matmul_call call = {
        .first_tile = first_tile,
        .n_tiles = tiles_left < cut->piece_tiles ? tiles_left : cut->piece_tiles,
        .n_rows = rows_left < cut->block_rows ? rows_left : cut->block_rows,
        .out = out->base + first_row * out->stride + first_column,
        .out_stride = out->stride,
    };
    if (stage->residual != TENSOR_NONE) {
        const struct place *const residual = &model->program.places[stage->residual];
        call.residual = residual->base + first_row * residual->stride + first_column;
        call.residual_stride = residual->stride;
    }
    run_piece(model, stage, input, &call, which, first_row);
}

/* Multiplies and quantises columns [first_column, + n) of rows [first_row, + n_rows): gate and up
 * lie side by side in each row of `both`. */
static void write_product(const struct cpu_model *model,
                          const struct stage *stage,
                          float *both,
                          uint32_t first_column,
                          uint32_t n,
                          uint32_t first_row,
                          uint32_t n_rows)
{
    const struct cpu_kernels *const kernels = &model->backend->kernels;
    const struct quantised_buffer *const buffer = &model->program.quantised[stage->gated];
    const binary_function multiply = binary_kernel(kernels, stage->gate);
    for (uint32_t r = 0; r < n_rows; r++) {
        float *const gate = both + (size_t)r * 2 * n;
        struct quantised_rows out = quantised_from(&buffer->rows, buffer->columns, first_row + r);
        out.values += first_column;
        out.scales += first_column / TILE_COLUMNS;
        out.sums += first_column / (TILE_COLUMNS / 2);
        multiply(gate, gate + n, n, gate);
        kernels->quantise(gate, n, &out);
    }
}

static void run_gated(const struct cpu_model *model,
                      const struct stage *stage,
                      const struct cut *cut,
                      const struct quantised_rows *input,
                      float *both,
                      uint32_t piece,
                      uint32_t first_row)
{
    const uint32_t all = gated_columns(model, stage) / TILE_ROWS;
    const uint32_t first_tile = piece * cut->piece_tiles;
    const uint32_t tiles_left = all - first_tile;
    const uint32_t n_tiles = tiles_left < cut->piece_tiles ? tiles_left : cut->piece_tiles;
    const uint32_t rows_left = cut->n_rows - first_row;
    const uint32_t n_rows = rows_left < cut->block_rows ? rows_left : cut->block_rows;
    const uint32_t n_columns = n_tiles * TILE_ROWS;
    for (uint32_t half = 0; half < 2; half++) {
        /* One weight may hold both, up below gate. */
        const bool one = stage->op->n_weights == 1;
        const uint32_t begin = first_tile + (one ? half * all : 0);
        const struct matmul_call call = {
            .first_tile = begin,
            .n_tiles = n_tiles,
            .n_rows = n_rows,
            .out = both + (size_t)half * n_columns,
            .out_stride = (size_t)2 * n_columns,
            .first_out_row = begin * TILE_ROWS,
        };
        run_piece(model, stage, input, &call, one ? 0 : half, first_row);
    }
    write_product(model, stage, both, first_tile * TILE_ROWS, n_columns, first_row, n_rows);
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
    const struct cut cut = cut_matmul(model, stage, member->n_members);
    const uint32_t n_pieces = cut.first_piece[stage->op->n_weights];
    const struct quantised_rows *const input = quantised_input(model, stage, member);
    float *const both = model->members[member->index].gated;
    if (cpu_stage_adapted(model, stage)) {
        cpu_adapter_project(model, stage, member, input);
    }
    uint32_t item;
    uint32_t end;
    while (pool_next(counter, n_pieces * cut.n_blocks, 1, &item, &end)) {
        const uint32_t first_row = item / n_pieces * cut.block_rows;
        if (is_gated(stage)) {
            run_gated(model, stage, &cut, input, both, item % n_pieces, first_row);
        } else {
            run_plain(model, stage, &cut, input, item % n_pieces, first_row);
        }
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
