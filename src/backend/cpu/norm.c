#include "backend/cpu/model.h"

void row_norm(const struct row_work *work, const struct row_op *op)
{
    const struct cpu_model *const model = work->model;
    const uint32_t columns = plan_tensor(model->plan, op->a)->columns;
    const uint32_t group = op->op->attributes.norm.group;
    const float epsilon = op->op->attributes.norm.epsilon;
    const float *const weight = model->weights[op->op->weights[0]].vector;
    const float *const x = row_address(work, op->a);
    float *const out = row_address(work, op->out);
    for (uint32_t first = 0; first < columns; first += group) {
        model->backend->kernels.rms_norm(x + first, weight, group, epsilon, out + first);
    }
}
