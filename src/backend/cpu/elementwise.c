#include "backend/cpu/model.h"

#include <string.h>

/* Columns that this piece of work covers. */
static uint32_t work_columns(const struct row_work *work, tensor_id id)
{
    return work->n_columns > 0 ? work->n_columns : plan_tensor(work->model->plan, id)->columns;
}

void row_binary(const struct row_work *work, const struct row_op *op)
{
    const struct cpu_kernels *const kernels = &work->model->backend->kernels;
    const float *const a = row_address(work, op->a) + work->first_column;
    const float *const b = row_address(work, op->b) + work->first_column;
    float *const out = row_address(work, op->out) + work->first_column;
    const uint32_t n = work_columns(work, op->out);
    binary_kernel(kernels, op->kind)(a, b, n, out);
}

void row_select(const struct row_work *work, const struct row_op *op)
{
    struct row_work from = *work;
    from.row = work->model->step.batch->logits_rows[work->row];
    const uint32_t columns = plan_tensor(work->model->plan, op->out)->columns;
    memcpy(row_address(work, op->out), row_address(&from, op->a), columns * sizeof(float));
}

void row_quantise(const struct row_work *work, const struct row_op *op)
{
    const struct quantised_buffer *const buffer = &work->model->program.quantised[op->index];
    const struct quantised_rows *const rows = work->alone != NULL ? work->alone : &buffer->rows;
    struct quantised_rows out = quantised_from(rows, buffer->columns, work->row);
    out.values += work->first_column;
    out.scales += work->first_column / TILE_COLUMNS;
    out.sums += work->first_column / (TILE_COLUMNS / 2);
    const float *const x = row_address(work, op->a) + work->first_column;
    work->model->backend->kernels.quantise(x, work_columns(work, op->a), &out);
}
