/* What a loaded adapter consists of; only the engine's own files read this. */
#ifndef REALM_ENGINE_ADAPTER_STATE_H
#define REALM_ENGINE_ADAPTER_STATE_H

#include "engine/account_state.h"
#include "engine/adapters.h"
#include "engine/engine_model.h"

#include <stdatomic.h>

/* Ids of adapters begin here, so that none is taken for ADAPTER_NONE in a page's digest. */
#define ENGINE_FIRST_ADAPTER_ID (UINT64_C(1) << 32)

struct engine_adapter {
    _Atomic uint32_t owners;
    /* Constant: */
    struct engine_model *model;
    uint8_t domain[ACCOUNT_DOMAIN_BYTES];
    char name[ENGINE_ADAPTER_NAME_BYTES];
    uint64_t id;     /* of this load: page digests have it */
    uint32_t number; /* of the model's backend */
    uint64_t n_bytes;
    /* Under the engine's adapters_mutex: */
    struct engine *engine; /* NULL: it has been destroyed, with the weights */
    bool named;
    struct engine_adapter *next;
};

/* For batches and digests; NULL: none. */
static inline uint32_t adapter_number(const struct engine_adapter *adapter)
{
    return adapter != NULL ? adapter->number : ADAPTER_NONE;
}

static inline uint64_t adapter_id(const struct engine_adapter *adapter)
{
    return adapter != NULL ? adapter->id : ADAPTER_NONE;
}

/* INVALID_ARGUMENT: it is another model's, or another domain's.  NULL is fine. */
REALM_MUST_CHECK realm_status adapter_check(const struct engine_adapter *adapter,
                                            const struct engine_model *model,
                                            const struct account *account,
                                            struct realm_error *error);
/* The engine goes: so do the weights of all; those that are still held stay as names of nothing. */
void adapters_close(struct engine *engine);

#endif
