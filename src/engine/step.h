/* One step of one model: pick, build, run, sample, emit.  Allocates nothing.  Engine thread only.
 */
#ifndef REALM_ENGINE_STEP_H
#define REALM_ENGINE_STEP_H

#include "engine/engine_model.h"

/* Ends sequences whose request was cancelled or has passed its deadline. */
void step_sweep(struct engine_model *model);
/* True: a step was run; false: nothing could run. */
bool step_run(struct engine_model *model);
/* Ends everything with CANCELLED. */
void step_end_all(struct engine_model *model);

#endif
