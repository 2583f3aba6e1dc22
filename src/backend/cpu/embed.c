#include "backend/cpu/model.h"
#include "backend/cpu/pack.h"

void row_embed(const struct row_work *work, const struct row_op *op)
{
    const struct cpu_model *const model = work->model;
    const struct cpu_weight *const weight = &model->weights[op->op->weights[0]];
    const uint32_t columns = plan_tensor(model->plan, op->out)->columns;
    const token_id token = model->step.batch->tokens[work->row];
    const float scale = op->op->attributes.embed.scale;
    float *const out = row_address(work, op->out);
    pack_unpack_row(weight->layout, weight->tiles, columns, token, out);
    if (scale != 1.0f) {
        for (uint32_t i = 0; i < columns; i++) {
            out[i] *= scale;
        }
    }
}
