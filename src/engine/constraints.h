/* A request's rule over its model's vocabulary. */
#ifndef REALM_ENGINE_CONSTRAINTS_H
#define REALM_ENGINE_CONSTRAINTS_H

#include "engine/engine_model.h"
#include "sample/constraint.h"

/* The model's vocabulary is prepared at the first call, which takes a while.  *out is the caller's;
 * NULL where the rule's kind is CONSTRAINT_NONE.  Errors are constraint_create's; any thread. */
REALM_MUST_CHECK realm_status constraints_start(struct engine_model *model,
                                                const struct constraint_rule *rule,
                                                struct constraint **out,
                                                struct realm_error *error);

#endif
