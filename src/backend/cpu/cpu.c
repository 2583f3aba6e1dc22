#include "backend/cpu/adapter.h"
#include "backend/cpu/limits.h"
#include "backend/cpu/model.h"
#include "backend/cpu/select.h"
#include "base/alloc.h"

#include <string.h>

static realm_status
create(const struct backend_options *options, struct backend **out, struct realm_error *error)
{
    struct cpu_backend *const backend = alloc_zeroed(ALLOC_MODEL, 1, sizeof *backend);
    if (backend == NULL) {
        return realm_error_out_of_memory(error, sizeof *backend, "the CPU backend");
    }
    backend->base.machine = &backend_machine_cpu;
    realm_status status = cpu_select(options->level, &backend->kernels, error);
    if (status == REALM_OK) {
        status = pool_create(options->n_threads, &backend->pool, error);
    }
    if (status != REALM_OK) {
        alloc_free(backend);
        return status;
    }
    *out = &backend->base;
    return REALM_OK;
}

static void destroy(struct backend *base)
{
    struct cpu_backend *const backend = (struct cpu_backend *)base;
    pool_destroy(backend->pool);
    alloc_free(backend);
}

static const char *level(const struct backend *base)
{
    return ((const struct cpu_backend *)base)->kernels.level;
}

static uint32_t n_threads(const struct backend *base)
{
    return pool_n_members(((const struct cpu_backend *)base)->pool);
}

struct spread {
    void (*job)(void *context, uint32_t i, uint32_t worker);
    void *context;
    uint32_t n;
    struct pool_counter counter;
};

static void spread_member(void *context, const struct pool_member *member)
{
    struct spread *const spread = context;
    uint32_t begin;
    uint32_t end;
    while (pool_next(&spread->counter, spread->n, 1, &begin, &end)) {
        spread->job(spread->context, begin, member->index);
    }
}

static void spread(struct backend *base,
                   uint32_t n,
                   void (*job)(void *context, uint32_t i, uint32_t worker),
                   void *context)
{
    struct spread work = {.job = job, .context = context, .n = n};
    pool_run(((struct cpu_backend *)base)->pool, spread_member, &work);
}

static realm_status
measure_limits(struct backend *base, struct backend_limits *out, struct realm_error *error)
{
    struct cpu_backend *const backend = (struct cpu_backend *)base;
    return cpu_measure_limits(backend->pool, &backend->kernels, out, error);
}

/* A step has ended when submit returns: the calling thread is member 0 of the region. */
static realm_status wait_step(struct backend_model *model, struct realm_error *error)
{
    (void)model;
    (void)error;
    return REALM_OK;
}

static float *logits(struct backend_model *base, uint32_t i)
{
    struct cpu_model *const model = (struct cpu_model *)base;
    return model->logits + (size_t)i * plan_vocabulary(model->plan);
}

static const float *hidden(struct backend_model *base, uint32_t i, uint32_t *n_columns)
{
    const struct cpu_model *const model = (const struct cpu_model *)base;
    const tensor_id id = model->program.hidden;
    *n_columns = id != TENSOR_NONE ? plan_tensor(model->plan, id)->columns : 0;
    return id != TENSOR_NONE
               ? model->program.places[id].base + (size_t)i * model->program.places[id].stride
               : NULL;
}

static void profile_enable(struct backend_model *base, bool on)
{
    struct cpu_model *const model = (struct cpu_model *)base;
    if (on && !model->profiling) {
        memset(model->profile, 0, plan_n_ops(model->plan) * sizeof *model->profile);
    }
    model->profiling = on;
}

static const struct backend_profile *profile(const struct backend_model *base)
{
    return ((const struct cpu_model *)base)->profile;
}

const struct backend_machine backend_machine_cpu = {
    .name = "cpu",
    .create = create,
    .destroy = destroy,
    .level = level,
    .n_threads = n_threads,
    .spread = spread,
    .measure_limits = measure_limits,
    .prepare = cpu_prepare,
    .model_destroy = cpu_model_destroy,
    .adapter_create = cpu_adapter_create,
    .adapter_destroy = cpu_adapter_destroy,
    .adapter_bytes = cpu_adapter_bytes,
    .submit = cpu_submit,
    .wait = wait_step,
    .logits = logits,
    .hidden = hidden,
    .profile_enable = profile_enable,
    .profile = profile,
};
