/* The trace of one exchange: its place in the caller's trace, and its spans once it has ended.
 * Nothing of it happens where no collector is named.  I/O thread. */
#ifndef REALM_SERVER_TRACING_H
#define REALM_SERVER_TRACING_H

#include "server/exchange.h"

/* Begins exchange->trace, if traces are exported. */
void tracing_begin(struct exchange *exchange);
/* Exports the spans, if they are wanted, and frees exchange->trace.  The source is still there. */
void tracing_end(struct exchange *exchange);

#endif
