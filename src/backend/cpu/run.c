/* A step: one parallel region in which all members walk the stages together. */
#include "backend/cpu/adapter.h"
#include "base/clock.h"

#include <string.h>

/* Stages of logits rows fall away in a step that wants none. */
static bool has_rows(const struct cpu_model *model, const struct stage *stage)
{
    return stage_rows(model, stage) > 0;
}

static void run_stage(const struct cpu_model *model,
                      const struct stage *stage,
                      const struct pool_member *member,
                      struct pool_counter *counter)
{
    switch (stage->kind) {
    case STAGE_ROWS:
        cpu_run_rows(model, stage, member, counter);
        break;
    case STAGE_MATMUL:
        cpu_run_matmul(model, stage, member, counter);
        break;
    case STAGE_ATTENTION:
        cpu_run_attention(model, stage, member, counter);
        break;
    }
}

/* Member 0, behind the stage's end. */
static void count_stage(struct cpu_model *model, const struct stage *stage)
{
    struct backend_profile *const profile = &model->profile[stage->profile_op];
    const uint64_t now_ns = clock_monotonic_ns();
    profile->ns += now_ns - model->step.stage_began_ns;
    model->step.stage_began_ns = now_ns;
    if (stage->kind == STAGE_MATMUL) {
        cpu_count_matmul(model, stage, profile);
    } else if (stage->kind == STAGE_ATTENTION) {
        cpu_count_attention(model, stage, profile);
    }
}

static void run_step(void *context, const struct pool_member *member)
{
    struct cpu_model *const model = context;
    const struct program *const program = &model->program;
    const bool counts = model->profiling && member->index == 0;
    if (model->step.batch->n_copies > 0) {
        struct pool_counter *const counter = &model->step.counters[program->n_stages];
        kv_store_copy_pages(&model->kv, model->step.batch, counter);
        pool_barrier(member);
    }
    if (counts) {
        model->step.stage_began_ns = clock_monotonic_ns();
    }
    for (uint32_t i = 0; i < program->n_stages; i++) {
        const struct stage *const stage = &program->stages[i];
        if (!has_rows(model, stage)) {
            continue;
        }
        if (stage_runs_alone(model, stage)) {
            cpu_run_rows_alone(model, stage, member);
        } else {
            run_stage(model, stage, member, &model->step.counters[i]);
            pool_barrier(member);
        }
        if (counts) {
            count_stage(model, stage);
        }
    }
}

realm_status
cpu_submit(struct backend_model *base, const struct batch *batch, struct realm_error *error)
{
    struct cpu_model *const model = (struct cpu_model *)base;
    REALM_TRY(cpu_batch_check(model, batch, error));
    model->step.batch = batch;
    cpu_plan_attention(model, batch);
    cpu_plan_adapters(model, batch);
    for (uint32_t i = 0; i <= model->program.n_stages; i++) {
        atomic_store_explicit(&model->step.counters[i].next, 0, memory_order_relaxed);
    }
    pool_run(model->backend->pool, run_step, model);
    model->step.batch = NULL;
    return REALM_OK;
}
