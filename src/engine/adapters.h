/* Adapters that are loaded: LoRA weights that sequences of one model may name.
 *
 * An adapter belongs to the accounts of one domain, which find it by its name; nobody else can.
 * Counted: the name holds one reference, and so does whoever has found it, each request and each
 * session that uses it.  A name that is removed, or given to another adapter, is gone at once; the
 * memory goes with the last reference, so that what runs ends with the weights it began with.
 *
 * All functions are for any thread. */
#ifndef REALM_ENGINE_ADAPTERS_H
#define REALM_ENGINE_ADAPTERS_H

#include "base/bytes.h"
#include "engine/engine.h"

#define ENGINE_ADAPTER_NAME_BYTES 64u /* with the zero byte */

struct engine_adapter;

/* Reads, checks and packs an adapter's file (model/adapter.h) for a model and gives it the name, in
 * place of an older one.  bytes: used during the call; at an address that is a multiple of 4.
 * account: NULL: the engine's own.
 * Errors of adapter_open and backend_adapter_create; INVALID_ARGUMENT: a name that is empty or too
 * long; RESOURCE_EXHAUSTED: all adapters together would take more than max_adapter_bytes. */
REALM_MUST_CHECK realm_status engine_adapter_load(struct engine *engine,
                                                  struct engine_model *model,
                                                  const struct account *account,
                                                  const char *name,
                                                  struct bytes bytes,
                                                  struct realm_error *error);
/* NOT_FOUND: the account has none of that name for the model. */
REALM_MUST_CHECK realm_status engine_adapter_remove(struct engine *engine,
                                                    struct engine_model *model,
                                                    const struct account *account,
                                                    const char *name,
                                                    struct realm_error *error);
/* With a reference more, for the caller; NULL: as NOT_FOUND above. */
struct engine_adapter *engine_adapter_find(struct engine *engine,
                                           const struct engine_model *model,
                                           const struct account *account,
                                           const char *name);
void engine_adapter_retain(struct engine_adapter *adapter);
/* NULL is fine; also after engine_destroy. */
void engine_adapter_release(struct engine_adapter *adapter);

const struct engine_model *engine_adapter_model(const struct engine_adapter *adapter);
/* Memory of all that are loaded, nameless ones that are still used among them. */
uint64_t engine_adapters_bytes(struct engine *engine, uint32_t *n_adapters);

#endif
