/* What clients call a model: its name, or "MODEL@NAME" for the model with an adapter of the
 * tenant's. */
#ifndef REALM_SERVER_MODEL_NAME_H
#define REALM_SERVER_MODEL_NAME_H

#include "server/adapter_room.h"
#include "server/problem.h"

/* adapters: NULL: there are none.  adapter: one reference, the caller's; NULL: the model alone.  A
 * model whose own name has an '@' goes before an adapter.  NOT_FOUND, with the problem: nothing of
 * that name for this owner. Prepare threads: the tenant's adapters may have to be read from disk.
 */
REALM_MUST_CHECK realm_status model_name_find(struct engine *engine,
                                              struct adapter_room *adapters,
                                              const struct adapter_owner *owner,
                                              const char *name,
                                              struct engine_model **model,
                                              struct engine_adapter **adapter,
                                              struct problem *problem);

#endif
