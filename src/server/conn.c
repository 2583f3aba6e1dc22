#include "server/conn.h"

#include "base/clock.h"
#include "server/answer_head.h"
#include "server/request_head.h"
#include "server/route.h"
#include "server/ws.h"
#include "server/ws_input.h"

#include <libwebsockets.h>
#include <string.h>

#define WRITE_BYTES       ((size_t)16384)
#define MAX_DISCARD_BYTES ((uint64_t)1 << 30)
/* A body may come as slowly as this on average. */
#define SLOWEST_BYTES_PER_S 65536u

/* What libwebsockets keeps with a connection. */
struct conn {
    struct exchange *exchange; /* NULL between requests */
};

static struct server *server_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/* The client has so long to send or to take something. */
static void await_client(const struct exchange *exchange)
{
    lws_set_timeout(
        exchange->wsi, PENDING_TIMEOUT_HTTP_CONTENT, (int)exchange->server->client_timeout_s);
}

static void await_engine(struct exchange *exchange)
{
    exchange->writing = false;
    lws_set_timeout(exchange->wsi, NO_PENDING_TIMEOUT, 0);
}

/* --- reading ------------------------------------------------------------------------------------
 */

static bool authenticate(struct exchange *exchange)
{
    char key[HEAD_KEY_BYTES];
    if (!head_read_key(exchange->wsi, key)) {
        exchange_fail(exchange,
                      REALM_UNAUTHENTICATED,
                      NULL,
                      "an API key is needed: send the header Authorization: Bearer rlm_...");
        return false;
    }
    return exchange_authenticate(exchange, key);
}

/* Where a request ends must be known before anything else about it counts: a body that is taken for
 * the next request would be somebody else's words.  The connection closes behind such an answer. */
static bool check_framing(struct exchange *exchange, const struct body_head *head, int method)
{
    const bool bodied =
        method == LWSHUMETH_POST || method == LWSHUMETH_PUT || method == LWSHUMETH_PATCH;
    exchange->last_of_connection = true;
    if (head->chunked || (bodied && !head->given)) {
        exchange->problem.http_status = 411;
        exchange_fail(exchange,
                      REALM_UNSUPPORTED,
                      "length_required",
                      "bodies need a Content-Length; chunked bodies are not read");
        return false;
    }
    if (head->given && !head->valid) {
        exchange_fail(exchange,
                      REALM_INVALID_ARGUMENT,
                      "invalid_length",
                      "the header Content-Length must be one whole number");
        return false;
    }
    exchange->last_of_connection = false;
    return true;
}

/* Some routes take more than others, and a tenant may have larger modules. */
static uint64_t max_body_bytes(const struct exchange *exchange)
{
    const uint64_t usual = exchange->server->max_body_bytes;
    const uint64_t own = exchange->route->module ? exchange->grant.programs.module_bytes
                                                 : exchange->route->max_body_bytes;
    return own > usual ? own : usual;
}

/* Before any of it is kept. */
static void check_length(struct exchange *exchange, uint64_t length)
{
    const uint64_t max_bytes = max_body_bytes(exchange);
    if (length <= max_bytes) {
        exchange->body.max_bytes = (size_t)max_bytes + 1;
        return;
    }
    exchange->problem.http_status = 413;
    exchange_fail(exchange,
                  REALM_INVALID_ARGUMENT,
                  "body_too_large",
                  "the body has %llu bytes and may have at most %llu%s",
                  (unsigned long long)length,
                  (unsigned long long)max_bytes,
                  exchange->route->module ? ": make the module smaller, or have the tenant's "
                                            "program_module_bytes raised"
                                          : "");
}

static enum route_method method_of(int method)
{
    switch (method) {
    case LWSHUMETH_GET:
    case LWSHUMETH_HEAD:
        return ROUTE_GET;
    case LWSHUMETH_POST:
        return ROUTE_POST;
    case LWSHUMETH_PUT:
        return ROUTE_PUT;
    case LWSHUMETH_PATCH:
        return ROUTE_PATCH;
    case LWSHUMETH_DELETE:
        return ROUTE_DELETE;
    default:
        return ROUTE_OTHER;
    }
}

/* Looks at the head of a request: route, key, length.  Leaves an answer when something is wrong. */
static void check_head(struct exchange *exchange, int method, uint64_t length)
{
    if (exchange->query.failed) {
        exchange->problem.http_status = 414;
        exchange_fail(
            exchange,
            REALM_INVALID_ARGUMENT,
            "query_too_long",
            "the parameters behind '?' are too long: one may have 1,000 bytes and all 4,000");
        return;
    }
    if (method == LWSHUMETH_OPTIONS && head_is_preflight(exchange) && route_exists(exchange)) {
        exchange->preflight = true; /* without a key: browsers send none */
        exchange_answer(exchange, 200);
        return;
    }
    exchange->route = route_find(exchange, method_of(method));
    if (exchange->route == NULL || (exchange->route->scopes != 0 && !authenticate(exchange))) {
        return;
    }
    if (atomic_load(&exchange->server->stopping) && exchange->route->scopes != 0) {
        exchange_fail(exchange, REALM_UNAVAILABLE, NULL, "the server is shutting down");
    } else {
        check_length(exchange, length);
    }
}

static int end_exchange(struct lws *wsi, struct conn *conn)
{
    struct exchange *const exchange = conn->exchange;
    struct server *const server = exchange->server;
    const bool last = exchange->last_of_connection;
    server->answers[exchange->http_status / 100 % 6]++;
    exchange_log(exchange);
    conn->exchange = NULL;
    exchange_destroy(exchange);
    return last || lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
}

/* The whole request is here: answer, or hand over. */
static int finish_request(struct conn *conn)
{
    struct exchange *const exchange = conn->exchange;
    if (exchange->received) {
        /* The library comes again when something follows a body before the answer, and would come
         * for ever: requests can be pipelined behind GET only. */
        return -1;
    }
    exchange->received = true;
    if (exchange->answered) {
        return end_exchange(exchange->wsi, conn);
    }
    if (exchange->complete) {
        lws_callback_on_writable(exchange->wsi);
    } else if (exchange->route->answer != NULL) {
        exchange->route->answer(exchange);
        lws_callback_on_writable(exchange->wsi);
    } else if (prepare_hand_over(exchange)) {
        await_engine(exchange);
    } else {
        exchange_fail(
            exchange, REALM_UNAVAILABLE, NULL, "too many requests are waiting; try again later");
        lws_callback_on_writable(exchange->wsi);
    }
    return 0;
}

/* A body has the time that a slow line needs; what is not wanted has only the client's. */
static uint64_t body_deadline(const struct exchange *exchange, uint64_t length)
{
    const uint64_t line_s = exchange->complete ? 0 : length / SLOWEST_BYTES_PER_S;
    return exchange->begin_ns +
           (exchange->server->client_timeout_s + line_s) * (uint64_t)1000000000;
}

static int on_head(struct lws *wsi, struct conn *conn)
{
    char *uri;
    int n_uri;
    const int method = lws_http_get_uri_and_method(wsi, &uri, &n_uri);
    struct exchange *const exchange = method < 0 ? NULL : exchange_create(server_of(wsi), wsi);
    if (exchange == NULL) {
        return -1;
    }
    conn->exchange = exchange;
    (void)snprintf(exchange->path, sizeof exchange->path, "%.*s", n_uri, uri);
    exchange->head_only = method == LWSHUMETH_HEAD;
    head_read_query(exchange);
    head_read_request_id(exchange);
    head_read_trace(exchange);
    (void)head_origin_refused(exchange); /* the browser keeps the answer from such a page */
    const struct body_head head = head_read_body(wsi);
    if (check_framing(exchange, &head, method)) {
        check_head(exchange, method, head.length);
    }
    exchange->body_deadline_ns = body_deadline(exchange, head.length);
    await_client(exchange);
    if (exchange->complete) {
        lws_callback_on_writable(wsi); /* the answer need not wait for the body */
    }
    if (exchange->last_of_connection) {
        return 0;
    }
    /* The library says when a body is complete, also that of a POST whose length is 0. */
    const bool body_follows = head.length > 0 || (head.given && method == LWSHUMETH_POST);
    return body_follows ? 0 : finish_request(conn);
}

static int on_body(struct exchange *exchange, const char *data, size_t n_bytes)
{
    exchange->n_body_bytes += n_bytes;
    if (exchange->received || clock_monotonic_ns() > exchange->body_deadline_ns) {
        return -1;
    }
    /* A refused request is read to its end, so that the client gets to read the answer. */
    if (!exchange->complete && !strbuf_append(&exchange->body, data, n_bytes)) {
        exchange_fail(exchange, REALM_OUT_OF_MEMORY, NULL, "no memory for the body");
    }
    return exchange->n_body_bytes > MAX_DISCARD_BYTES ? -1 : 0;
}

/* --- writing ------------------------------------------------------------------------------------
 */

/* All of the answer is written. */
static int end_answer(struct lws *wsi, struct conn *conn)
{
    if (!conn->exchange->received && !conn->exchange->last_of_connection) {
        conn->exchange->answered = true; /* finish_request ends it */
        return 0;
    }
    return end_exchange(wsi, conn);
}

static int on_writable(struct lws *wsi, struct conn *conn)
{
    struct exchange *const exchange = conn->exchange;
    if (exchange == NULL || exchange->answered) {
        return 0;
    }
    if (!exchange_pull(exchange)) {
        await_engine(exchange); /* events came, but an answer in one piece is not whole yet */
        return 0;
    }
    if (exchange->out.failed) {
        return -1; /* no memory for the answer: a cut connection says so best */
    }
    if (!exchange->headers_sent) {
        if (answer_head_write(exchange) != 0) {
            return -1;
        }
        if (exchange->head_only) {
            return end_answer(wsi, conn);
        }
        lws_callback_on_writable(wsi);
        return 0;
    }
    uint8_t buffer[LWS_PRE + WRITE_BYTES];
    const size_t n = exchange->out.length < WRITE_BYTES ? exchange->out.length : WRITE_BYTES;
    const bool last = exchange->complete && n == exchange->out.length;
    memcpy(buffer + LWS_PRE, exchange->out.text, n);
    if (lws_write(wsi, buffer + LWS_PRE, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < 0) {
        return -1;
    }
    strbuf_consume(&exchange->out, n);
    if (last) {
        return end_answer(wsi, conn);
    }
    if (exchange->out.length > 0 || exchange->complete ||
        (exchange->source != NULL && exchange->source->type->readable(exchange->source))) {
        await_client(exchange);
        lws_callback_on_writable(wsi);
    } else {
        await_engine(exchange);
    }
    return 0;
}

static void on_gone(struct conn *conn)
{
    struct exchange *const exchange = conn->exchange;
    if (exchange == NULL) {
        return;
    }
    conn->exchange = NULL;
    exchange->wsi = NULL;
    if (!exchange->preparing) {
        exchange->http_status = 499;
        exchange_log(exchange);
        exchange_destroy(exchange);
    }
}

/* True: the connection may become a WebSocket, and has a session. */
static bool accept_websocket(struct exchange *exchange, const char *protocol)
{
    char key[HEAD_KEY_BYTES] = "";
    char *uri;
    int n_uri;
    const int method = lws_http_get_uri_and_method(exchange->wsi, &uri, &n_uri);
    if (strcasecmp(protocol, "websocket") != 0 || method != LWSHUMETH_GET ||
        n_uri != (int)strlen(WS_PATH) || memcmp(uri, WS_PATH, strlen(WS_PATH)) != 0) {
        exchange->problem.http_status = 501;
        exchange_fail(exchange,
                      REALM_UNSUPPORTED,
                      "upgrade_refused",
                      "the connection cannot be upgraded to %.20s here; send HTTP/1.1 without "
                      "Upgrade, or a WebSocket to " WS_PATH,
                      protocol);
        return false;
    }
    if (head_origin_refused(exchange)) {
        exchange_fail(exchange,
                      REALM_PERMISSION_DENIED,
                      "origin_not_allowed",
                      "pages of this origin may not use the server (--cors-origin)");
        return false;
    }
    (void)snprintf(exchange->path, sizeof exchange->path, "%s", WS_PATH);
    exchange->route = route_find(exchange, ROUTE_GET);
    const bool has_key = lws_hdr_total_length(exchange->wsi, WSI_TOKEN_HTTP_AUTHORIZATION) > 0;
    if (exchange->route == NULL || (has_key && !authenticate(exchange))) {
        return false;
    }
    (void)(has_key && head_read_key(exchange->wsi, key));
    return ws_accept(exchange, key);
}

/* Clients that would rather speak another protocol than ours are told so; some always ask for
 * HTTP/2. */
static int on_upgrade(struct lws *wsi, const char *protocol)
{
    struct conn conn = {.exchange = exchange_create(server_of(wsi), wsi)};
    if (conn.exchange == NULL) {
        return -1;
    }
    if (accept_websocket(conn.exchange, protocol)) {
        exchange_destroy(conn.exchange);
        return 0;
    }
    conn.exchange->upgrade = true;
    conn.exchange->last_of_connection = true;
    (void)on_writable(wsi, &conn); /* the head */
    (void)on_writable(wsi, &conn); /* the body */
    if (conn.exchange != NULL) {
        exchange_destroy(conn.exchange);
    }
    return -1;
}

/* --- libwebsockets ------------------------------------------------------------------------------
 */

static int
on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n_bytes)
{
    struct conn *const conn = user;
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return on_head(wsi, conn);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return on_upgrade(wsi, in);
    case LWS_CALLBACK_HTTP_BODY:
        return conn->exchange != NULL ? on_body(conn->exchange, in, n_bytes) : -1;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return conn->exchange != NULL ? finish_request(conn) : -1;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return on_writable(wsi, conn);
    case LWS_CALLBACK_CLOSED_HTTP:
        if (conn != NULL) {
            on_gone(conn);
        }
        ws_forget(wsi);
        return 0;
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLOSED:
        return ws_on_event(wsi, (int)reason, in, n_bytes);
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        server_of(wsi)->tls_context = user;
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED: {
        struct server *const server = server_of(wsi);
        loop_heard(server); /* before the look, or what comes after it is missed */
        conn_take_ready(server);
        conn_wake_all(server);
        return 0;
    }
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, n_bytes);
    }
}

const struct lws_protocols *conn_protocols(void)
{
    static const struct lws_protocols protocols[] = {
        {.name = "http", .callback = on_event, .per_session_data_size = sizeof(struct conn)},
        {.name = "realm.v1", .callback = on_event, .per_session_data_size = sizeof(struct conn)},
        {.name = NULL},
    };
    return protocols;
}

void conn_take_ready(struct server *server)
{
    void *items[64];
    uint32_t n;
    while ((n = queue_take(server->ready, items, 64)) > 0) {
        for (uint32_t i = 0; i < n; i++) {
            struct exchange *const exchange = items[i];
            exchange->preparing = false;
            if (exchange_abandoned(exchange)) {
                exchange->http_status = 499;
                exchange_log(exchange);
                exchange_destroy(exchange);
            } else if (exchange->ws != NULL) {
                ws_input_hand_over(exchange->ws);
            }
        }
    }
}

static bool has_something(const struct exchange *exchange)
{
    return !exchange->preparing &&
           (exchange->complete || exchange->out.length > 0 ||
            (exchange->source != NULL && exchange->source->type->readable(exchange->source)));
}

void conn_wake_all(struct server *server)
{
    struct exchange *next;
    for (struct exchange *e = server->active; e != NULL; e = next) {
        next = e->next; /* a WebSocket's exchange may end here */
        if (!has_something(e)) {
            continue;
        }
        if (e->ws != NULL) {
            ws_wake(e->ws);
        } else if (e->wsi != NULL) {
            if (!e->writing) {
                e->writing = true;
                await_client(e);
            }
            lws_callback_on_writable(e->wsi);
        }
    }
}
