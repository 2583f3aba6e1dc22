/* What the last runs of a program left behind, for its owner to look at: a ring of texts with a
 * ceiling.  Counted: the shelf holds one reference, each run that will write one more.  Any thread;
 * nothing here waits. */
#ifndef REALM_SANDBOX_RUN_LOG_H
#define REALM_SANDBOX_RUN_LOG_H

#include "base/strbuf.h"

#define RUN_LOG_MAX_RECORDS 64u
#define RUN_LOG_MAX_BYTES   ((size_t)262144)

struct run_log;

/* NULL: out of memory. */
struct run_log *run_log_create(void);
void run_log_retain(struct run_log *log);
/* NULL is fine. */
void run_log_release(struct run_log *log);
/* Copies a record, one JSON value; the oldest ones make room.  One that cannot be kept is dropped.
 */
void run_log_add(struct run_log *log, const char *record, size_t n_bytes);
/* Appends the last max_records as a JSON array, the newest first. */
void run_log_write(struct run_log *log, uint32_t max_records, struct strbuf *out);

#endif
