/* Picked sequences to the batch that the backend reads.  Engine thread only. */
#ifndef REALM_ENGINE_BATCH_BUILD_H
#define REALM_ENGINE_BATCH_BUILD_H

#include "engine/engine_model.h"

/* Fills model->batch from model->picked and gives each sequence that wants logits its logits_index.
 */
void batch_build(struct engine_model *model);

#endif
