/* How a run ended, in a status and in words. */
#ifndef REALM_SANDBOX_OUTCOME_H
#define REALM_SANDBOX_OUTCOME_H

#include "sandbox/instance.h"

/* Fills instance->end from what is known: cancelled, a limit, a trap, the result.  Ends trap and
 * error. */
void outcome_tell(struct instance *instance);

#endif
