#include "backend/cpu/model.h"
#include "base/alloc.h"

#include <math.h>

/* Radians a position adds to pair i; the formula is plan/op.h's. */
static double pair_radians(const struct rope_attributes *a, uint32_t i, const float *factors)
{
    const double power = -2.0 * (double)i / (double)a->rotated_columns;
    const double divisor = factors == NULL ? 1.0 : (double)factors[i];
    const double free = pow((double)a->base, power) / divisor;
    if (a->yarn_mix == 0.0f) {
        return free * (double)a->position_scale;
    }
    const double width = fmax(0.001, (double)a->yarn_ramp_high - (double)a->yarn_ramp_low);
    const double ramp = fmin(fmax(((double)i - (double)a->yarn_ramp_low) / width, 0.0), 1.0);
    const double mix = (double)a->yarn_mix * (1.0 - ramp);
    return free * mix + free * (double)a->position_scale * (1.0 - mix);
}

realm_status rope_tables_init(struct cpu_model *model, struct realm_error *error)
{
    for (uint32_t i = 0; i < model->program.n_ropes; i++) {
        struct rope_table *const table = &model->program.ropes[i];
        const size_t n_angles = (size_t)model->max_rows * table->n_pairs;
        table->radians = alloc_zeroed(ALLOC_SCRATCH, table->n_pairs, sizeof(double));
        table->cosines = alloc_zeroed(ALLOC_SCRATCH, n_angles, sizeof(float));
        table->sines = alloc_zeroed(ALLOC_SCRATCH, n_angles, sizeof(float));
        if (table->radians == NULL || table->cosines == NULL || table->sines == NULL) {
            return realm_error_out_of_memory(error, n_angles * 2 * sizeof(float), "rope angles");
        }
        const tensor_id factors = table->attributes.factors;
        for (uint32_t k = 0; k < table->n_pairs; k++) {
            table->radians[k] =
                pair_radians(&table->attributes,
                             k,
                             factors == TENSOR_NONE ? NULL : model->weights[factors].vector);
        }
    }
    return REALM_OK;
}

/* In double: the angle of a far position has no correct digits left in float. */
void row_rope_angles(const struct row_work *work, const struct row_op *op)
{
    (void)op;
    const struct program *const program = &work->model->program;
    const double position = (double)work->model->step.rows[work->row].position;
    for (uint32_t i = 0; i < program->n_ropes; i++) {
        const struct rope_table *const table = &program->ropes[i];
        float *const cosines = table->cosines + (size_t)work->row * table->n_pairs;
        float *const sines = table->sines + (size_t)work->row * table->n_pairs;
        const double magnitude = (double)table->attributes.magnitude;
        for (uint32_t k = 0; k < table->n_pairs; k++) {
            const double angle = position * table->radians[k];
            cosines[k] = (float)(magnitude * cos(angle));
            sines[k] = (float)(magnitude * sin(angle));
        }
    }
}

void row_rope(const struct row_work *work, const struct row_op *op)
{
    const struct rope_table *const table = &work->model->program.ropes[op->index];
    const struct rope_attributes *const attributes = &op->op->attributes.rope;
    const uint32_t columns = plan_tensor(work->model->plan, op->a)->columns;
    const size_t first_angle = (size_t)work->row * table->n_pairs;
    float *const x = row_address(work, op->a);
    for (uint32_t first = 0; first < columns; first += attributes->head_columns) {
        work->model->backend->kernels.rope(x + first,
                                           table->cosines + first_angle,
                                           table->sines + first_angle,
                                           table->n_pairs,
                                           attributes->pairing == ROPE_ADJACENT);
    }
}
