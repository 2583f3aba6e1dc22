#include "telemetry/span.h"

#include <string.h>

#define MAX_LIST_BYTES ((size_t)65536)
#define STATUS_ERROR   2

struct span_list *span_list_create(void)
{
    struct span_list *const list = alloc_zeroed(ALLOC_SERVER, 1, sizeof *list);
    if (list != NULL) {
        strbuf_init(&list->text, ALLOC_SERVER, MAX_LIST_BYTES);
    }
    return list;
}

void span_list_destroy(struct span_list *list)
{
    if (list != NULL) {
        strbuf_deinit(&list->text);
        alloc_free(list);
    }
}

static void append_id(struct strbuf *out, const char *name, const uint8_t *id, size_t n_bytes)
{
    char hex[2 * TRACE_ID_BYTES + 1];
    trace_write_hex(id, n_bytes, hex);
    strbuf_append_format(out, "\"%s\":\"%s\",", name, hex);
}

void span_begin(struct span_list *list, const struct span *span)
{
    static const uint8_t none[SPAN_ID_BYTES];
    struct strbuf *const out = &list->text;
    strbuf_append_text(out, list->n_spans++ > 0 ? ",{" : "{");
    append_id(out, "traceId", span->context->trace_id, TRACE_ID_BYTES);
    append_id(out, "spanId", span->id, SPAN_ID_BYTES);
    if (memcmp(span->parent, none, sizeof none) != 0) {
        append_id(out, "parentSpanId", span->parent, SPAN_ID_BYTES);
    }
    if (span->context->state[0] != '\0') {
        strbuf_append_text(out, "\"traceState\":");
        strbuf_append_json(out, span->context->state, strlen(span->context->state));
        strbuf_append_char(out, ',');
    }
    strbuf_append_text(out, "\"name\":");
    strbuf_append_json(out, span->name, strlen(span->name));
    strbuf_append_format(out,
                         ",\"kind\":%d,\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\"",
                         (int)span->kind,
                         (unsigned long long)span->begin_unix_ns,
                         (unsigned long long)span->end_unix_ns);
    if (span->failed) {
        strbuf_append_format(out, ",\"status\":{\"code\":%d}", STATUS_ERROR);
    }
    strbuf_append_text(out, ",\"attributes\":[");
}

/* The next attribute up to its value. */
static void append_key(struct strbuf *out, const char *key)
{
    const bool first = out->length == 0 || out->text[out->length - 1] == '[';
    strbuf_append_format(out, "%s{\"key\":\"%s\",\"value\":", first ? "" : ",", key);
}

void span_text(struct span_list *list, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        append_key(&list->text, key);
        strbuf_append_text(&list->text, "{\"stringValue\":");
        strbuf_append_json(&list->text, value, strlen(value));
        strbuf_append_text(&list->text, "}}");
    }
}

void span_texts(struct span_list *list, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        append_key(&list->text, key);
        strbuf_append_text(&list->text, "{\"arrayValue\":{\"values\":[{\"stringValue\":");
        strbuf_append_json(&list->text, value, strlen(value));
        strbuf_append_text(&list->text, "}]}}}");
    }
}

void span_number(struct span_list *list, const char *key, uint64_t value)
{
    append_key(&list->text, key);
    strbuf_append_format(&list->text, "{\"intValue\":\"%llu\"}}", (unsigned long long)value);
}

void span_end(struct span_list *list)
{
    strbuf_append_text(&list->text, "]}");
}
