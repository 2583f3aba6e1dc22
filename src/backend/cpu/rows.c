/* Rows stages: members draw rows and take each through all operations of the stage while it is in
 * their cache. */
#include "backend/cpu/model.h"

/* Fewer rows than this for each member: cut by columns too, where the stage allows it. */
#define ROWS_PER_MEMBER    4u
#define MIN_PIECE_COLUMNS  256u
#define MAX_ROWS_AT_A_TIME 8u

typedef void (*row_function)(const struct row_work *work, const struct row_op *op);

static const row_function row_functions[ROW_N_KINDS] = {
    [ROW_ROPE_ANGLES] = row_rope_angles,
    [ROW_EMBED] = row_embed,
    [ROW_NORM] = row_norm,
    [ROW_ROPE] = row_rope,
    [ROW_KV_WRITE] = row_kv_write,
    [ROW_SILU_MUL] = row_binary,
    [ROW_GELU_MUL] = row_binary,
    [ROW_ADD] = row_binary,
    [ROW_SELECT] = row_select,
    [ROW_QUANTISE] = row_quantise,
};

static void run_row(const struct row_work *work, const struct stage *stage)
{
    const struct row_op *const ops = work->model->program.row_ops + stage->first_row_op;
    const struct row_op *const last = &ops[stage->n_row_ops - 1];
    if (last->kind == ROW_KV_WRITE) {
        row_kv_fetch(work, last);
    }
    for (uint32_t i = 0; i < stage->n_row_ops; i++) {
        row_functions[ops[i].kind](work, &ops[i]);
    }
}

/* Pieces a row is cut into; each but the last has *columns columns, a multiple of TILE_COLUMNS. */
static uint32_t cut_columns(const struct cpu_model *model,
                            const struct stage *stage,
                            uint32_t n_rows,
                            uint32_t n_members,
                            uint32_t *columns)
{
    *columns = 0;
    if (!stage->by_columns || n_rows >= ROWS_PER_MEMBER * n_members) {
        return 1;
    }
    const struct row_op *const first = &model->program.row_ops[stage->first_row_op];
    const uint32_t all = plan_tensor(model->plan, first->out)->columns;
    const uint32_t wanted = (ROWS_PER_MEMBER * n_members + n_rows - 1) / n_rows;
    uint32_t piece = (all + wanted - 1) / wanted;
    piece = piece < MIN_PIECE_COLUMNS ? MIN_PIECE_COLUMNS : piece;
    piece = (piece + TILE_COLUMNS - 1) & ~(TILE_COLUMNS - 1);
    if (piece >= all) {
        return 1;
    }
    *columns = piece;
    return (all + piece - 1) / piece;
}

void cpu_run_rows_alone(const struct cpu_model *model,
                        const struct stage *stage,
                        const struct pool_member *member)
{
    const struct member_memory *const memory = &model->members[member->index];
    struct row_work work = {.model = model, .locals = memory->locals, .alone = &memory->alone};
    for (; work.row < stage_rows(model, stage); work.row++) {
        run_row(&work, stage);
    }
}

void cpu_run_rows(const struct cpu_model *model,
                  const struct stage *stage,
                  const struct pool_member *member,
                  struct pool_counter *counter)
{
    const uint32_t n_rows = stage_rows(model, stage);
    uint32_t columns;
    const uint32_t n_pieces = cut_columns(model, stage, n_rows, member->n_members, &columns);
    const uint32_t n_items = n_rows * n_pieces;
    uint32_t grain = n_items / (ROWS_PER_MEMBER * member->n_members);
    grain = grain == 0 ? 1 : grain;
    grain = grain > MAX_ROWS_AT_A_TIME ? MAX_ROWS_AT_A_TIME : grain;
    const struct row_op *const first = &model->program.row_ops[stage->first_row_op];
    struct row_work work = {.model = model, .locals = model->members[member->index].locals};
    uint32_t begin;
    uint32_t end;
    while (pool_next(counter, n_items, grain, &begin, &end)) {
        for (uint32_t i = begin; i < end; i++) {
            work.row = i / n_pieces;
            if (n_pieces > 1) {
                const uint32_t all = plan_tensor(model->plan, first->out)->columns;
                work.first_column = i % n_pieces * columns;
                work.n_columns =
                    all - work.first_column < columns ? all - work.first_column : columns;
            }
            run_row(&work, stage);
        }
    }
}
