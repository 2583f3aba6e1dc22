#include "server/exchange.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "server/route.h"
#include "server/state.h"
#include "server/tracing.h"

#include <stdio.h>
#include <string.h>

#define MAX_ANSWER_BYTES ((size_t)1 << 30)
/* A stream's frames are gathered up to this before they are written. */
#define PULL_BYTES      ((size_t)16384)
#define MAX_QUERY_BYTES ((size_t)4096)

static void make_request_id(char id[REQUEST_ID_LENGTH + 1])
{
    uint8_t random[REQUEST_ID_LENGTH / 2] = {0};
    /* Without randomness the id is zeros: it identifies nothing, and the answer goes on. */
    (void)!random_bytes(random, sizeof random, NULL);
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(id + 2 * i, 3, "%02x", random[i]);
    }
}

struct exchange *exchange_create(struct server *server, struct lws *wsi)
{
    struct exchange *const exchange = alloc_zeroed(ALLOC_SERVER, 1, sizeof *exchange);
    if (exchange == NULL) {
        return NULL;
    }
    exchange->server = server;
    exchange->wsi = wsi;
    exchange->begin_ns = clock_monotonic_ns();
    exchange->http_status = 200;
    exchange->content_type = "application/json";
    make_request_id(exchange->request_id);
    tracing_begin(exchange);
    strbuf_init(&exchange->body, ALLOC_SERVER, (size_t)server->max_body_bytes + 1);
    strbuf_init(&exchange->out, ALLOC_SERVER, MAX_ANSWER_BYTES);
    strbuf_init(&exchange->query, ALLOC_SERVER, MAX_QUERY_BYTES);
    exchange->frames.out = &exchange->out;
    exchange->next = server->active;
    if (server->active != NULL) {
        server->active->previous = exchange;
    }
    server->active = exchange;
    return exchange;
}

bool exchange_abandoned(const struct exchange *exchange)
{
    return exchange->wsi == NULL && exchange->ws == NULL;
}

bool exchange_authenticate(struct exchange *exchange, const char *key)
{
    struct tenant_caller caller;
    struct realm_error error;
    const realm_status status = tenant_registry_authenticate(
        exchange->server->registry, key, strlen(key), exchange->route->scopes, &caller, &error);
    memcpy(exchange->key_id, caller.key_id, sizeof exchange->key_id);
    if (status != REALM_OK) {
        exchange_fail(exchange, status, NULL, "%s", error.message);
        return false;
    }
    memcpy(exchange->tenant, caller.tenant, sizeof exchange->tenant);
    exchange->tenant_id = caller.tenant_id;
    exchange->scopes = caller.scopes;
    exchange->account = caller.account; /* both references are the exchange's now */
    exchange->grant = caller.grant;
    return true;
}

static struct source_usage usage_of(const struct exchange *exchange)
{
    struct source_usage usage = {.model = "", .end_user = ""};
    if (exchange->source != NULL) {
        exchange->source->type->usage(exchange->source, &usage);
    }
    return usage;
}

/* What was made for a client that went away is counted, too. */
static void drain_source(struct exchange *exchange)
{
    struct source *const source = exchange->source;
    while (source != NULL && source->type->counts_what_is_pulled && !exchange->complete &&
           !source->failed) {
        strbuf_clear(&exchange->out);
        if (source->type->pull(source, &exchange->frames, PULL_BYTES) != SOURCE_MORE) {
            return;
        }
    }
}

/* Tells tenant and ledger what was used. */
static void settle(struct exchange *exchange)
{
    if (!exchange->ticket.admitted) {
        return;
    }
    drain_source(exchange);
    const struct source_usage usage = usage_of(exchange);
    struct usage_entry entry = {
        .time_ms = clock_wall_ms(),
        .status = (uint32_t)exchange->http_status,
        .prompt_tokens = usage.prompt_tokens,
        .cached_tokens = usage.cached_tokens,
        .completion_tokens = usage.completion_tokens,
        .duration_ms = (clock_monotonic_ns() - exchange->begin_ns) / 1000000u,
    };
    (void)snprintf(entry.id, sizeof entry.id, "%s", exchange->request_id);
    (void)snprintf(entry.tenant, sizeof entry.tenant, "%s", exchange->tenant);
    (void)snprintf(entry.key, sizeof entry.key, "%s", exchange->key_id);
    (void)snprintf(entry.model, sizeof entry.model, "%s", usage.model);
    tenant_settle(&exchange->grant, &exchange->ticket, &entry);
}

realm_status exchange_admit(struct exchange *exchange, const struct tenant_demand *demand)
{
    struct realm_error error;
    const realm_status status =
        tenant_admit(&exchange->grant, demand, &exchange->ticket, &exchange->standing, &error);
    return status == REALM_OK ? REALM_OK
                              : problem_set(&exchange->problem, status, "", "%s", error.message);
}

void exchange_destroy(struct exchange *exchange)
{
    if (exchange->previous != NULL) {
        exchange->previous->next = exchange->next;
    } else {
        exchange->server->active = exchange->next;
    }
    if (exchange->next != NULL) {
        exchange->next->previous = exchange->previous;
    }
    settle(exchange);
    tracing_end(exchange);
    exchange_drop_source(exchange);
    account_release(exchange->account);
    tenant_grant_release(&exchange->grant);
    strbuf_deinit(&exchange->body);
    strbuf_deinit(&exchange->out);
    strbuf_deinit(&exchange->query);
    alloc_free(exchange);
}

void exchange_drop_source(struct exchange *exchange)
{
    if (exchange->source != NULL) {
        exchange->source->type->destroy(exchange->source);
        exchange->source = NULL;
    }
}

void exchange_answer_problem(struct exchange *exchange)
{
    exchange->failed = true;
    exchange->http_status = problem_http_status(&exchange->problem);
    exchange->complete = true;
    if (exchange->frames.form == FRAMES_LINES) {
        return; /* behind what is in `out`, and told in the connection's own way */
    }
    exchange->content_type = "application/json";
    strbuf_clear(&exchange->out);
    problem_write(&exchange->problem, &exchange->out);
}

void exchange_fail(
    struct exchange *exchange, realm_status status, const char *code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)realm_error_setv(&exchange->problem.error, status, format, arguments);
    va_end(arguments);
    exchange->problem.code = code;
    exchange_answer_problem(exchange);
}

void exchange_answer(struct exchange *exchange, int http_status)
{
    exchange->http_status = http_status;
    exchange->complete = true;
}

const char *exchange_query(const struct exchange *exchange, const char *name)
{
    const size_t n_name = strlen(name);
    const char *at = exchange->query.text;
    const char *const end = at + exchange->query.length;
    for (; at < end; at += strlen(at) + 1) {
        if (strncmp(at, name, n_name) == 0 && (at[n_name] == '=' || at[n_name] == '\0')) {
            return at + n_name + (at[n_name] == '=');
        }
    }
    return NULL;
}

/* The source failed: before the first byte it is an HTTP error, later a last frame. */
static void pull_failure(struct exchange *exchange)
{
    exchange->problem = exchange->source->problem;
    if (!exchange->headers_sent || exchange->frames.form == FRAMES_LINES) {
        exchange_answer_problem(exchange);
        return;
    }
    exchange->failed = true;
    frames_begin(&exchange->frames, exchange->route->error_event);
    problem_write(&exchange->problem, &exchange->out);
    frames_end(&exchange->frames);
    exchange->complete = true;
}

/* What a program takes is not known when it is admitted: it counts as it comes. */
static void count_so_far(struct exchange *exchange)
{
    const struct source_usage usage = usage_of(exchange);
    tenant_raise(
        &exchange->grant, &exchange->ticket, usage.prompt_tokens + usage.completion_tokens);
}

void exchange_count_running(struct server *server)
{
    for (struct exchange *e = server->active; e != NULL; e = e->next) {
        if (!e->preparing && e->source != NULL) {
            count_so_far(e);
        }
    }
}

bool exchange_pull(struct exchange *exchange)
{
    if (exchange->preparing) {
        return false;
    }
    struct source *const source = exchange->source;
    if (!exchange->complete && source != NULL) {
        const enum source_progress progress =
            source->type->pull(source, &exchange->frames, PULL_BYTES);
        count_so_far(exchange);
        if (source->failed) {
            pull_failure(exchange);
        } else {
            exchange->complete = progress == SOURCE_DONE;
        }
    }
    return exchange->complete || exchange->out.length > 0;
}

void exchange_log(const struct exchange *exchange)
{
    const struct source_usage usage = usage_of(exchange);
    char trace_id[2 * TRACE_ID_BYTES + 1] = "";
    if (exchange->trace != NULL) {
        trace_write_hex(exchange->trace->trace_id, TRACE_ID_BYTES, trace_id);
    }
    log_info("request",
             LOG_TEXT("id", exchange->request_id),
             LOG_TEXT("client_request_id", exchange->client_request_id),
             LOG_TEXT("trace_id", trace_id),
             LOG_TEXT("path", exchange->path),
             LOG_I64("status", exchange->http_status),
             LOG_TEXT("tenant", exchange->tenant),
             LOG_TEXT("key", exchange->key_id),
             LOG_TEXT("model", usage.model),
             LOG_TEXT("user", usage.end_user),
             LOG_U64("body_bytes", exchange->n_body_bytes),
             LOG_U64("prompt_tokens", usage.prompt_tokens),
             LOG_U64("completion_tokens", usage.completion_tokens),
             LOG_BOOL("gone", exchange_abandoned(exchange)),
             LOG_U64("ms", (clock_monotonic_ns() - exchange->begin_ns) / 1000000u));
}
