/* What a machine's folder gives to registry.c: one table.  A backend and a model begin with these
 * heads; what follows is the machine's own. */
#ifndef REALM_BACKEND_MACHINE_H
#define REALM_BACKEND_MACHINE_H

#include "backend/backend.h"

struct backend_machine {
    const char *name;
    realm_status (*create)(const struct backend_options *options,
                           struct backend **out,
                           struct realm_error *error);
    void (*destroy)(struct backend *backend);
    const char *(*level)(const struct backend *backend);
    uint32_t (*n_threads)(const struct backend *backend);
    void (*spread)(struct backend *backend,
                   uint32_t n,
                   void (*job)(void *context, uint32_t i, uint32_t worker),
                   void *context);
    realm_status (*measure_limits)(struct backend *backend,
                                   struct backend_limits *out,
                                   struct realm_error *error);

    realm_status (*prepare)(struct backend *backend,
                            const struct plan *plan,
                            const struct weight_source *source,
                            const struct backend_model_options *options,
                            struct backend_model **out,
                            struct realm_error *error);
    void (*model_destroy)(struct backend_model *model);
    realm_status (*adapter_create)(struct backend_model *model,
                                   const struct adapter_part *parts,
                                   uint32_t n_parts,
                                   uint32_t *out,
                                   struct realm_error *error);
    void (*adapter_destroy)(struct backend_model *model, uint32_t adapter);
    uint64_t (*adapter_bytes)(const struct backend_model *model, uint32_t adapter);
    realm_status (*submit)(struct backend_model *model,
                           const struct batch *batch,
                           struct realm_error *error);
    realm_status (*wait)(struct backend_model *model, struct realm_error *error);
    float *(*logits)(struct backend_model *model, uint32_t i);
    const float *(*hidden)(struct backend_model *model, uint32_t i, uint32_t *n_columns);
    void (*profile_enable)(struct backend_model *model, bool on);
    const struct backend_profile *(*profile)(const struct backend_model *model);
};

struct backend {
    const struct backend_machine *machine;
};

struct backend_model {
    const struct backend_machine *machine;
    uint64_t weight_bytes;
    uint64_t kv_bytes;
    uint64_t scratch_bytes;
};

/* The machines of this build. */
extern const struct backend_machine backend_machine_cpu;

#endif
