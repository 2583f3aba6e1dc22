/* W3C trace context: the headers by which a request belongs to a trace that others began.
 * https://www.w3.org/TR/trace-context/ */
#ifndef REALM_TELEMETRY_TRACE_CONTEXT_H
#define REALM_TELEMETRY_TRACE_CONTEXT_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define TRACE_ID_BYTES     16u
#define SPAN_ID_BYTES      8u
#define TRACE_STATE_LENGTH 512u

/* Where one request stands in its trace. */
struct trace_context {
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t span_id[SPAN_ID_BYTES];   /* of the request's own span */
    uint8_t parent_id[SPAN_ID_BYTES]; /* of the caller's; zeros: the trace begins here */
    bool sampled;                     /* its spans are exported */
    char state[TRACE_STATE_LENGTH + 1];
};

/* A new trace, of which a share of sample_ratio (0 to 1) is sampled.  False: the system has no
 * randomness; *out is zeros then and not sampled. */
bool trace_context_begin(struct trace_context *out, double sample_ratio);
/* Makes the request part of the caller's trace, which says also whether it is sampled.  parent: of
 * the header traceparent; state: of tracestate, or NULL.  False: traceparent is not valid, and
 * nothing has changed.  A tracestate that is not valid is left out. */
bool trace_context_join(struct trace_context *context, const char *parent, const char *state);
/* out: 2 * n_bytes + 1 characters. */
void trace_write_hex(const uint8_t *id, size_t n_bytes, char *out);

#endif
