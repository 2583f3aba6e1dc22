/* Sends spans to a collector by OTLP over HTTP, as JSON, from a thread of its own.
 *
 * What cannot be sent is dropped and counted: nobody ever waits for a collector. */
#ifndef REALM_TELEMETRY_EXPORTER_H
#define REALM_TELEMETRY_EXPORTER_H

#include "telemetry/span.h"

struct exporter;

struct exporter_options {
    const char *endpoint;     /* "http://127.0.0.1:4318": /v1/traces is below it */
    const char *headers;      /* "name=value,name=value", values percent-encoded; NULL: none */
    const char *service_name; /* NULL: "realm" */
};

struct exporter_counts {
    uint64_t sent; /* spans */
    uint64_t dropped;
};

/* INVALID_ARGUMENT: the endpoint is no http or https URL, or a header is none. */
REALM_MUST_CHECK realm_status exporter_open(const struct exporter_options *options,
                                            struct exporter **out,
                                            struct realm_error *error);
/* Sends what waits, for 5 seconds at most (a request under way may take one more to be cut), and
 * ends the thread.  NULL is fine. */
void exporter_close(struct exporter *exporter);

/* Takes the list.  Any thread; never waits. */
void exporter_offer(struct exporter *exporter, struct span_list *list);
/* Any thread. */
struct exporter_counts exporter_read_counts(const struct exporter *exporter);

#endif
