#include "backend/machine.h"

#include <string.h>

/* Best first: the one that a NULL name takes. */
static const struct backend_machine *const machines[] = {
    &backend_machine_cpu,
};

#define N_MACHINES (sizeof machines / sizeof machines[0])

realm_status backend_create(const struct backend_options *options,
                            struct backend **out,
                            struct realm_error *error)
{
    *out = NULL;
    for (size_t i = 0; i < N_MACHINES; i++) {
        if (options->name == NULL || strcmp(options->name, machines[i]->name) == 0) {
            return machines[i]->create(options, out, error);
        }
    }
    return realm_error_set(error,
                           REALM_UNSUPPORTED,
                           "no backend \"%s\" in this build; there is: %s",
                           options->name,
                           backend_machine_cpu.name);
}

void backend_destroy(struct backend *backend)
{
    if (backend != NULL) {
        backend->machine->destroy(backend);
    }
}

const char *backend_name(const struct backend *backend)
{
    return backend->machine->name;
}

const char *backend_level(const struct backend *backend)
{
    return backend->machine->level(backend);
}

uint32_t backend_n_threads(const struct backend *backend)
{
    return backend->machine->n_threads(backend);
}

void backend_spread(struct backend *backend,
                    uint32_t n,
                    void (*job)(void *context, uint32_t i, uint32_t worker),
                    void *context)
{
    backend->machine->spread(backend, n, job, context);
}

realm_status backend_measure_limits(struct backend *backend,
                                    struct backend_limits *out,
                                    struct realm_error *error)
{
    return backend->machine->measure_limits(backend, out, error);
}

const char *backend_kv_type_name(enum kv_type type)
{
    static const char *const names[KV_N_TYPES] = {"f16", "bf16", "q8_0", "q8_0_q4_1"};
    return type < KV_N_TYPES ? names[type] : "unknown";
}

realm_status backend_prepare(struct backend *backend,
                             const struct plan *plan,
                             const struct weight_source *source,
                             const struct backend_model_options *options,
                             struct backend_model **out,
                             struct realm_error *error)
{
    *out = NULL;
    return backend->machine->prepare(backend, plan, source, options, out, error);
}

void backend_model_destroy(struct backend_model *model)
{
    if (model != NULL) {
        model->machine->model_destroy(model);
    }
}

uint64_t backend_model_weight_bytes(const struct backend_model *model)
{
    return model->weight_bytes;
}

uint64_t backend_model_kv_bytes(const struct backend_model *model)
{
    return model->kv_bytes;
}

uint64_t backend_model_scratch_bytes(const struct backend_model *model)
{
    return model->scratch_bytes;
}

realm_status backend_adapter_create(struct backend_model *model,
                                    const struct adapter_part *parts,
                                    uint32_t n_parts,
                                    uint32_t *out,
                                    struct realm_error *error)
{
    *out = ADAPTER_NONE;
    return model->machine->adapter_create(model, parts, n_parts, out, error);
}

void backend_adapter_destroy(struct backend_model *model, uint32_t adapter)
{
    model->machine->adapter_destroy(model, adapter);
}

uint64_t backend_adapter_bytes(const struct backend_model *model, uint32_t adapter)
{
    return model->machine->adapter_bytes(model, adapter);
}

realm_status
backend_submit(struct backend_model *model, const struct batch *batch, struct realm_error *error)
{
    return model->machine->submit(model, batch, error);
}

realm_status backend_wait(struct backend_model *model, struct realm_error *error)
{
    return model->machine->wait(model, error);
}

const float *backend_hidden(struct backend_model *model, uint32_t i, uint32_t *n_columns)
{
    return model->machine->hidden(model, i, n_columns);
}

float *backend_logits(struct backend_model *model, uint32_t i)
{
    return model->machine->logits(model, i);
}

void backend_profile_enable(struct backend_model *model, bool on)
{
    model->machine->profile_enable(model, on);
}

const struct backend_profile *backend_profile(const struct backend_model *model)
{
    return model->machine->profile(model);
}
