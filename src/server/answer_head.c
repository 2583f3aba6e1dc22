#include "server/answer_head.h"

#include "server/state.h"

#include <libwebsockets.h>
#include <string.h>

#define HEAD_BYTES ((size_t)2048)
/* What a page may read of an answer beside its body. */
#define EXPOSED_HEADERS                                                                            \
    "x-request-id, x-realm-request-id, retry-after, x-ratelimit-limit-requests, "                  \
    "x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, "       \
    "x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
/* Any header may come from a page: clients send many of their own.  "*" leaves out the first. */
#define ALLOWED_HEADERS "authorization, *"
#define PREFLIGHT_AGE_S "7200" /* browsers keep it no longer */

static int
add_header(struct lws *wsi, const char *name, const char *value, uint8_t **at, uint8_t *end)
{
    return lws_add_http_header_by_name(
        wsi, (const uint8_t *)name, (const uint8_t *)value, (int)strlen(value), at, end);
}

/* x-ratelimit-{limit,remaining,reset}-{requests,tokens}, as OpenAI tells them. */
static int write_rate(struct exchange *exchange,
                      const char *what,
                      const struct quota_rate *rate,
                      uint8_t **at,
                      uint8_t *end)
{
    char name[48];
    char value[24];
    if (rate->limit == 0) {
        return 0;
    }
    (void)snprintf(name, sizeof name, "x-ratelimit-limit-%s:", what);
    (void)snprintf(value, sizeof value, "%u", rate->limit);
    int failed = add_header(exchange->wsi, name, value, at, end);
    (void)snprintf(name, sizeof name, "x-ratelimit-remaining-%s:", what);
    (void)snprintf(value, sizeof value, "%u", rate->remaining);
    failed |= add_header(exchange->wsi, name, value, at, end);
    (void)snprintf(name, sizeof name, "x-ratelimit-reset-%s:", what);
    (void)snprintf(value, sizeof value, "%llums", (unsigned long long)rate->reset_ms);
    return failed | add_header(exchange->wsi, name, value, at, end);
}

static int write_limits(struct exchange *exchange, uint8_t **at, uint8_t *end)
{
    const struct quota_standing *const standing = &exchange->standing;
    int failed = write_rate(exchange, "requests", &standing->requests, at, end);
    failed |= write_rate(exchange, "tokens", &standing->tokens, at, end);
    if (exchange->http_status == 503 || exchange->http_status == 429) {
        char seconds[24];
        const uint64_t wait_s = (standing->retry_after_ms + 999) / 1000;
        (void)snprintf(
            seconds, sizeof seconds, "%llu", (unsigned long long)(wait_s > 0 ? wait_s : 1));
        failed |= add_header(exchange->wsi, "retry-after:", seconds, at, end);
    }
    return failed;
}

/* The client's id is its own affair: it may come twice, so what is kept of a request has ours. */
static int write_ids(struct exchange *exchange, uint8_t **at, uint8_t *end)
{
    const char *const clients = exchange->client_request_id;
    const char *const ours = exchange->request_id;
    return add_header(
               exchange->wsi, "x-request-id:", clients[0] != '\0' ? clients : ours, at, end) |
           add_header(exchange->wsi, "x-realm-request-id:", ours, at, end);
}

/* What a browser wants to know before it gives the answer to a page of another origin. */
static int write_cors(struct exchange *exchange, uint8_t **at, uint8_t *end)
{
    struct lws *const wsi = exchange->wsi;
    const struct cors *const cors = &exchange->server->cors;
    int failed = 0;
    if (cors_enabled(cors) && !cors->any) {
        failed |= add_header(wsi, "vary:", "origin", at, end);
    }
    if (exchange->allow_origin == NULL) {
        return failed;
    }
    failed |= add_header(wsi, "access-control-allow-origin:", exchange->allow_origin, at, end);
    if (exchange->preflight) {
        failed |= add_header(wsi, "access-control-allow-methods:", exchange->allow, at, end);
        failed |= add_header(wsi, "access-control-allow-headers:", ALLOWED_HEADERS, at, end);
        return failed | add_header(wsi, "access-control-max-age:", PREFLIGHT_AGE_S, at, end);
    }
    return failed | add_header(wsi, "access-control-expose-headers:", EXPOSED_HEADERS, at, end);
}

static bool is_stream(const struct exchange *exchange)
{
    return strcmp(exchange->content_type, "text/event-stream") == 0;
}

int answer_head_write(struct exchange *exchange)
{
    uint8_t buffer[LWS_PRE + HEAD_BYTES];
    uint8_t *const begin = buffer + LWS_PRE;
    uint8_t *const end = buffer + sizeof buffer;
    uint8_t *at = begin;
    struct lws *const wsi = exchange->wsi;
    /* A stream's length is not known, or not always when its head is written: its end is the
     * connection's. */
    const lws_filepos_t length = exchange->complete && !is_stream(exchange)
                                     ? exchange->out.length
                                     : LWS_ILLEGAL_HTTP_CONTENT_LEN;
    int failed = lws_add_http_common_headers(
        wsi, (unsigned)exchange->http_status, exchange->content_type, length, &at, end);
    failed |= write_ids(exchange, &at, end);
    failed |= write_cors(exchange, &at, end);
    failed |= add_header(wsi, "cache-control:", "no-store", &at, end);
    if (exchange->allow[0] != '\0') {
        failed |= add_header(wsi, "allow:", exchange->allow, &at, end);
    }
    if (exchange->last_of_connection) {
        failed |= add_header(wsi, "connection:", "close", &at, end);
    }
    failed |= write_limits(exchange, &at, end);
    if (exchange->http_status == 401) {
        failed |= add_header(wsi, "www-authenticate:", "Bearer", &at, end);
    }
    if (exchange->upgrade) {
        memcpy(begin, "HTTP/1.1", 8); /* the library does not know the version yet */
    }
    failed |= lws_finalize_write_http_header(wsi, begin, &at, end);
    exchange->headers_sent = true;
    return failed != 0 ? -1 : 0;
}
