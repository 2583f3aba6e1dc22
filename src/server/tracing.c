#include "server/tracing.h"

#include "base/clock.h"
#include "base/random.h"
#include "server/route.h"
#include "server/state.h"

#include <stdio.h>
#include <string.h>

#define MAX_NAME_BYTES 160u

/* What is being written. */
struct tracing {
    const struct exchange *exchange;
    struct span_list *list;
    struct source_usage usage;
    uint64_t to_unix_ns; /* from the monotonic clock */
    uint64_t end_ns;
};

void tracing_begin(struct exchange *exchange)
{
    if (exchange->server->exporter != NULL) {
        exchange->trace = alloc_zeroed(ALLOC_SERVER, 1, sizeof *exchange->trace);
    }
    if (exchange->trace != NULL &&
        !trace_context_begin(exchange->trace, exchange->server->trace_ratio)) {
        alloc_free(exchange->trace);
        exchange->trace = NULL;
    }
}

/* As the semantic conventions of gen_ai call what the route does; "" where they have no word. */
static const char *operation_of(const struct exchange *exchange)
{
    static const char *const operations[][2] = {
        {"/v1/chat/completions", "chat"},
        {"/v1/responses", "chat"},
        {"/v1/completions", "text_completion"},
        {"/v1/embeddings", "embeddings"},
    };
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (strcmp(exchange->route->path, operations[i][0]) == 0) {
            return operations[i][1];
        }
    }
    return "";
}

static void write_gen_ai(struct tracing *tracing)
{
    const struct source_usage *const usage = &tracing->usage;
    if (usage->model[0] == '\0') {
        return;
    }
    span_text(tracing->list, "gen_ai.operation.name", operation_of(tracing->exchange));
    span_text(tracing->list, "gen_ai.provider.name", "realm");
    span_text(tracing->list, "gen_ai.request.model", usage->model);
    span_text(tracing->list, "gen_ai.response.model", usage->model);
    span_texts(tracing->list, "gen_ai.response.finish_reasons", usage->finish_reason);
    span_number(tracing->list, "gen_ai.usage.input_tokens", usage->prompt_tokens);
    span_number(tracing->list, "gen_ai.usage.output_tokens", usage->completion_tokens);
    span_number(tracing->list, "realm.cached_tokens", usage->cached_tokens);
}

static void write_request(struct tracing *tracing)
{
    const struct exchange *const exchange = tracing->exchange;
    const char *const method = route_method_name(exchange->route->method);
    char name[MAX_NAME_BYTES];
    char status[8];
    (void)snprintf(name, sizeof name, "%s %s", method, exchange->route->path);
    (void)snprintf(status, sizeof status, "%d", exchange->http_status);
    const bool failed = exchange->http_status >= 500 || exchange->failed;
    span_begin(tracing->list,
               &(struct span){.context = exchange->trace,
                              .id = exchange->trace->span_id,
                              .parent = exchange->trace->parent_id,
                              .name = name,
                              .kind = SPAN_SERVER,
                              .begin_unix_ns = exchange->begin_ns + tracing->to_unix_ns,
                              .end_unix_ns = tracing->end_ns + tracing->to_unix_ns,
                              .failed = exchange->http_status >= 500});
    span_text(tracing->list, "http.request.method", method);
    span_text(tracing->list, "http.route", exchange->route->path);
    span_text(tracing->list, "url.path", exchange->path);
    span_text(
        tracing->list, "url.scheme", exchange->server->tls_certificate != NULL ? "https" : "http");
    span_text(tracing->list,
              "network.protocol.name",
              exchange->frames.form == FRAMES_LINES ? "websocket" : "http");
    span_number(tracing->list, "http.response.status_code", (uint64_t)exchange->http_status);
    span_text(tracing->list, "error.type", failed ? status : "");
    span_text(tracing->list, "realm.tenant", exchange->tenant);
    span_text(tracing->list, "realm.key", exchange->key_id);
    span_text(tracing->list, "realm.request_id", exchange->request_id);
    write_gen_ai(tracing);
    span_end(tracing->list);
}

/* One phase of the request in the engine, if it was reached.  end_ns 0: it was not left before the
 * request ended. */
static void write_phase(struct tracing *tracing,
                        const char *name,
                        uint64_t begin_ns,
                        uint64_t end_ns,
                        uint64_t n_tokens)
{
    uint8_t id[SPAN_ID_BYTES];
    if (begin_ns == 0 || random_bytes(id, sizeof id, NULL) != REALM_OK) {
        return;
    }
    span_begin(tracing->list,
               &(struct span){.context = tracing->exchange->trace,
                              .id = id,
                              .parent = tracing->exchange->trace->span_id,
                              .name = name,
                              .kind = SPAN_INTERNAL,
                              .begin_unix_ns = begin_ns + tracing->to_unix_ns,
                              .end_unix_ns =
                                  (end_ns != 0 ? end_ns : tracing->end_ns) + tracing->to_unix_ns});
    span_number(tracing->list, "realm.tokens", n_tokens);
    span_end(tracing->list);
}

static void export_spans(const struct exchange *exchange)
{
    struct tracing tracing = {
        .exchange = exchange,
        .list = span_list_create(),
        .usage = {.model = "", .end_user = ""},
        .end_ns = clock_monotonic_ns(),
    };
    if (tracing.list == NULL) {
        return;
    }
    tracing.to_unix_ns = (uint64_t)clock_wall_ms() * 1000000u - tracing.end_ns;
    if (exchange->source != NULL) {
        exchange->source->type->usage(exchange->source, &tracing.usage);
    }
    const struct source_usage *const usage = &tracing.usage;
    const struct generation_moments *const moments = &usage->moments;
    write_request(&tracing);
    write_phase(&tracing, "queue", moments->submitted_ns, moments->entered_ns, 0);
    write_phase(&tracing,
                "prefill",
                moments->entered_ns,
                moments->started_ns,
                usage->prompt_tokens - usage->cached_tokens);
    write_phase(
        &tracing, "decode", moments->started_ns, moments->ended_ns, usage->completion_tokens);
    exporter_offer(exchange->server->exporter, tracing.list);
}

void tracing_end(struct exchange *exchange)
{
    /* Strangers cannot make us send anything. */
    if (exchange->trace != NULL && exchange->trace->sampled && exchange->account != NULL &&
        exchange->route != NULL) {
        export_spans(exchange);
    }
    alloc_free(exchange->trace);
    exchange->trace = NULL;
}
