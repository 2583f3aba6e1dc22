/* Spans of time, for looking at a step's life: who did what, when, for how long.
 *
 *     const uint64_t start = trace_begin();
 *     ...
 *     trace_end("sample", start);
 *
 * Switched by the environment: REALM_TRACE=1 or a path of the file to write.  Each thread keeps its
 * newest spans in a ring of its own, taken at its first span; off, a span costs one load. */
#ifndef REALM_BASE_TRACE_H
#define REALM_BASE_TRACE_H

#include "base/status.h"

#define TRACE_SPANS_PER_THREAD 16384u

/* Reads REALM_TRACE: unset, empty or "0" is off; "1" writes to realm-trace.json in the current
 * folder; anything else is the path.  Before threads start. */
void trace_configure(void);

/* Now; 0: tracing is off.  Any thread. */
uint64_t trace_begin(void);
/* name: static storage.  Does nothing when start_ns is 0. */
void trace_end(const char *name, uint64_t start_ns);

/* Writes all spans in the trace event format that Chrome and Perfetto open; OK when tracing is off.
 * Any thread, also while others trace. */
REALM_MUST_CHECK realm_status trace_write(struct realm_error *error);

/* Frees the rings and switches off; no thread may trace any more. */
void trace_close(void);

#endif
