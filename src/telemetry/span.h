/* Spans of one request in the JSON of OTLP, as the exporter sends them on. */
#ifndef REALM_TELEMETRY_SPAN_H
#define REALM_TELEMETRY_SPAN_H

#include "base/strbuf.h"
#include "telemetry/trace_context.h"

enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2 }; /* numbers of OTLP */

/* Spans with commas between them. */
struct span_list {
    struct strbuf text;
    uint32_t n_spans;
};

struct span {
    const struct trace_context *context;
    const uint8_t *id;     /* [SPAN_ID_BYTES] */
    const uint8_t *parent; /* so; zeros: none */
    const char *name;
    enum span_kind kind;
    uint64_t begin_unix_ns;
    uint64_t end_unix_ns;
    bool failed;
};

/* NULL: no memory. */
struct span_list *span_list_create(void);
/* NULL is fine. */
void span_list_destroy(struct span_list *list);

/* Begins a span; its attributes follow, then span_end. */
void span_begin(struct span_list *list, const struct span *span);
/* Left out where the value is "" or NULL. */
void span_text(struct span_list *list, const char *key, const char *value);
/* An array of one text; so, too. */
void span_texts(struct span_list *list, const char *key, const char *value);
void span_number(struct span_list *list, const char *key, uint64_t value);
void span_end(struct span_list *list);

#endif
