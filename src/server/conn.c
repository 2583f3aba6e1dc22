#include "server/conn.h"

#include "server/route.h"

#include <libwebsockets.h>
#include <string.h>

#define HEAD_BYTES        ((size_t)2048)
#define WRITE_BYTES       ((size_t)16384)
#define MAX_DISCARD_BYTES ((uint64_t)1 << 30)
#define MAX_KEY_BYTES     256u

/* What libwebsockets keeps with a connection. */
struct conn {
    struct exchange *exchange; /* NULL between requests */
};

static struct server *server_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

static void await_client(const struct exchange *exchange)
{
    lws_set_timeout(
        exchange->wsi, PENDING_TIMEOUT_HTTP_CONTENT, (int)exchange->server->client_timeout_s);
}

static void await_engine(const struct exchange *exchange)
{
    lws_set_timeout(exchange->wsi, NO_PENDING_TIMEOUT, 0);
}

/* --- reading ------------------------------------------------------------------------------------
 */

/* Bearer key of the request, terminated; false: there is none. */
static bool read_key(struct lws *wsi, char out[MAX_KEY_BYTES])
{
    static const char scheme[] = "Bearer ";
    const size_t n_scheme = sizeof scheme - 1;
    char header[MAX_KEY_BYTES + sizeof scheme];
    const int n = lws_hdr_copy(wsi, header, sizeof header, WSI_TOKEN_HTTP_AUTHORIZATION);
    if (n <= (int)n_scheme || strncasecmp(header, scheme, n_scheme) != 0) {
        return false;
    }
    const size_t n_key = (size_t)n - n_scheme;
    if (n_key >= MAX_KEY_BYTES) {
        return false;
    }
    memcpy(out, header + n_scheme, n_key);
    out[n_key] = '\0';
    return true;
}

static bool authenticate(struct exchange *exchange)
{
    char key[MAX_KEY_BYTES];
    if (!read_key(exchange->wsi, key)) {
        exchange_fail(exchange,
                      REALM_UNAUTHENTICATED,
                      NULL,
                      "an API key is needed: send the header Authorization: Bearer rlm_...");
        return false;
    }
    if (!tenant_registry_accepts(exchange->server->registry, key, strlen(key), exchange->key_id)) {
        exchange_fail(exchange,
                      REALM_UNAUTHENTICATED,
                      NULL,
                      key_well_formed(key, strlen(key))
                          ? "the API key is not known"
                          : "the API key is not known; keys of this server have the form rlm_ and "
                            "49 letters and digits, the last 6 of which check the others");
        return false;
    }
    return true;
}

static uint64_t declared_length(struct lws *wsi)
{
    char text[24];
    uint64_t length = 0;
    if (lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0) {
        return 0;
    }
    for (size_t i = 0; text[i] >= '0' && text[i] <= '9'; i++) {
        length = length * 10 + (uint64_t)(text[i] - '0');
    }
    return length;
}

static void refuse_length(struct exchange *exchange, uint64_t length)
{
    exchange->problem.http_status = 413;
    exchange_fail(exchange,
                  REALM_INVALID_ARGUMENT,
                  "body_too_large",
                  "the body has %llu bytes and may have at most %llu",
                  (unsigned long long)length,
                  (unsigned long long)exchange->server->max_body_bytes);
}

/* Looks at the head of a request: route, key, length.  Leaves an answer when something is wrong. */
static void check_head(struct exchange *exchange, int method, uint64_t length)
{
    const enum route_method route_method = method == LWSHUMETH_GET    ? ROUTE_GET
                                           : method == LWSHUMETH_POST ? ROUTE_POST
                                                                      : ROUTE_OTHER;
    exchange->route = route_find(exchange, route_method);
    if (exchange->route == NULL || (exchange->route->needs_key && !authenticate(exchange))) {
        return;
    }
    if (atomic_load(&exchange->server->stopping) && exchange->route->needs_key) {
        exchange_fail(exchange, REALM_UNAVAILABLE, NULL, "the server is shutting down");
    } else if (lws_hdr_total_length(exchange->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
        exchange->problem.http_status = 411;
        exchange_fail(exchange,
                      REALM_UNSUPPORTED,
                      "length_required",
                      "bodies need a Content-Length; chunked bodies are not read");
    } else if (length > exchange->server->max_body_bytes) {
        refuse_length(exchange, length);
    }
}

/* The whole request is here: answer, or hand over. */
static void finish_request(struct exchange *exchange)
{
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
}

static int on_head(struct lws *wsi, struct conn *conn)
{
    char *uri;
    int n_uri;
    const int method = lws_http_get_uri_and_method(wsi, &uri, &n_uri);
    struct exchange *const exchange = exchange_create(server_of(wsi), wsi);
    if (exchange == NULL || method < 0) {
        if (exchange != NULL) {
            exchange_destroy(exchange);
        }
        return -1;
    }
    conn->exchange = exchange;
    (void)snprintf(exchange->path, sizeof exchange->path, "%.*s", n_uri, uri);
    const uint64_t length = declared_length(wsi);
    check_head(exchange, method, length);
    if (length > MAX_DISCARD_BYTES) {
        return -1; /* not even worth reading to its end */
    }
    await_client(exchange);
    if (length == 0) {
        finish_request(exchange);
    }
    return 0;
}

static int on_body(struct exchange *exchange, const char *data, size_t n_bytes)
{
    exchange->n_body_bytes += n_bytes;
    await_client(exchange);
    /* A refused request is read to its end, so that the client gets to read the answer. */
    if (!exchange->complete && !strbuf_append(&exchange->body, data, n_bytes)) {
        exchange_fail(exchange, REALM_OUT_OF_MEMORY, NULL, "no memory for the body");
    }
    return exchange->n_body_bytes > MAX_DISCARD_BYTES ? -1 : 0;
}

/* --- writing ------------------------------------------------------------------------------------
 */

static int
add_header(struct lws *wsi, const char *name, const char *value, uint8_t **at, uint8_t *end)
{
    return lws_add_http_header_by_name(
        wsi, (const uint8_t *)name, (const uint8_t *)value, (int)strlen(value), at, end);
}

static int write_head(struct exchange *exchange)
{
    uint8_t buffer[LWS_PRE + HEAD_BYTES];
    uint8_t *const begin = buffer + LWS_PRE;
    uint8_t *const end = buffer + sizeof buffer;
    uint8_t *at = begin;
    struct lws *const wsi = exchange->wsi;
    /* A stream's length is not known: its end is the connection's. */
    const lws_filepos_t length =
        exchange->complete ? exchange->out.length : LWS_ILLEGAL_HTTP_CONTENT_LEN;
    int failed = lws_add_http_common_headers(
        wsi, (unsigned)exchange->http_status, exchange->content_type, length, &at, end);
    failed |= add_header(wsi, "x-request-id:", exchange->request_id, &at, end);
    failed |= add_header(wsi, "cache-control:", "no-store", &at, end);
    if (exchange->allow != NULL) {
        failed |= add_header(wsi, "allow:", exchange->allow, &at, end);
    }
    if (exchange->http_status == 503 || exchange->http_status == 429) {
        failed |= add_header(wsi, "retry-after:", "1", &at, end);
    }
    if (exchange->http_status == 401) {
        failed |= add_header(wsi, "www-authenticate:", "Bearer", &at, end);
    }
    failed |= lws_finalize_write_http_header(wsi, begin, &at, end);
    exchange->headers_sent = true;
    return failed != 0 ? -1 : 0;
}

static int end_exchange(struct lws *wsi, struct conn *conn)
{
    struct exchange *const exchange = conn->exchange;
    struct server *const server = exchange->server;
    server->answers[exchange->http_status / 100 % 6]++;
    exchange_log(exchange);
    conn->exchange = NULL;
    exchange_destroy(exchange);
    return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
}

static int on_writable(struct lws *wsi, struct conn *conn)
{
    struct exchange *const exchange = conn->exchange;
    if (exchange == NULL || !exchange_pull(exchange)) {
        return 0;
    }
    if (exchange->out.failed) {
        return -1; /* no memory for the answer: a cut connection says so best */
    }
    if (!exchange->headers_sent) {
        if (write_head(exchange) != 0) {
            return -1;
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
        return end_exchange(wsi, conn);
    }
    if (exchange->out.length > 0 || exchange->complete ||
        completion_readable(exchange->completion)) {
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

/* --- libwebsockets ------------------------------------------------------------------------------
 */

static int
on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n_bytes)
{
    struct conn *const conn = user;
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return on_head(wsi, conn);
    case LWS_CALLBACK_HTTP_BODY:
        return conn->exchange != NULL ? on_body(conn->exchange, in, n_bytes) : -1;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        if (conn->exchange != NULL) {
            finish_request(conn->exchange);
        }
        return 0;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return on_writable(wsi, conn);
    case LWS_CALLBACK_CLOSED_HTTP:
        if (conn != NULL) {
            on_gone(conn);
        }
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED: {
        struct server *const server = server_of(wsi);
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
            if (exchange->wsi == NULL) {
                exchange->http_status = 499;
                exchange_log(exchange);
                exchange_destroy(exchange);
            }
        }
    }
}

void conn_wake_all(struct server *server)
{
    for (struct exchange *e = server->active; e != NULL; e = e->next) {
        if (e->wsi != NULL && !e->preparing &&
            (e->complete || e->out.length > 0 ||
             (e->completion != NULL && completion_readable(e->completion)))) {
            lws_callback_on_writable(e->wsi);
        }
    }
}
