#include "server/ws.h"

#include "base/clock.h"
#include "server/handlers.h"
#include "server/state.h"

#include <libwebsockets.h>
#include <string.h>

#define WRITE_BYTES       ((size_t)16384)
#define MAX_STRANGE_BYTES ((size_t)4096) /* of a message before its sender has shown a key */
#define MAX_IDLE_BUFFER   ((size_t)65536)
#define TIMEOUT_REASON    PENDING_TIMEOUT_USER_REASON_BASE

static void allow_time(const struct ws_session *session)
{
    lws_set_timeout(session->wsi, TIMEOUT_REASON, (int)session->server->client_timeout_s);
}

/* Where nothing is under way, a client may be silent: pings find out whether it is there. */
static void allow_silence(const struct ws_session *session)
{
    if (session->key[0] != '\0' && session->incoming.length == 0 && !session->closing) {
        lws_set_timeout(session->wsi, NO_PENDING_TIMEOUT, 0);
    }
}

bool ws_accept(struct exchange *exchange, const char *key)
{
    struct server *const server = exchange->server;
    uint32_t n_of_tenant = 0;
    for (const struct ws_session *s = server->ws_sessions; s != NULL && key[0] != '\0';
         s = s->next) {
        n_of_tenant += s->tenant_id == exchange->tenant_id;
    }
    if (server->n_ws_sessions >= server->max_connections ||
        n_of_tenant >= server->max_tenant_connections) {
        exchange_fail(exchange,
                      REALM_RESOURCE_EXHAUSTED,
                      "too_many_connections",
                      "the server has as many WebSocket connections as it takes");
        return false;
    }
    struct ws_session *const session = ws_session_create(exchange, key);
    if (session == NULL) {
        return false;
    }
    session->wsi = exchange->wsi;
    lws_set_opaque_user_data(session->wsi, session);
    return true;
}

void ws_forget(struct lws *wsi)
{
    struct ws_session *const session = lws_get_opaque_user_data(wsi);
    lws_set_opaque_user_data(wsi, NULL);
    if (session != NULL) {
        ws_session_drop(session);
    }
}

static int close_with(const struct ws_session *session, enum lws_close_status status)
{
    lws_close_reason(session->wsi, status, NULL, 0);
    return -1;
}

static int on_receive(struct ws_session *session, const char *data, size_t n_bytes)
{
    struct lws *const wsi = session->wsi;
    struct strbuf *const incoming = &session->incoming;
    const size_t max_bytes =
        session->key[0] != '\0' ? (size_t)session->server->max_body_bytes : MAX_STRANGE_BYTES;
    if (lws_frame_is_binary(wsi)) {
        return close_with(session, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE);
    }
    if (incoming->length + n_bytes > max_bytes) {
        return close_with(session, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE);
    }
    if (incoming->length == 0 && session->key[0] != '\0') {
        allow_time(session); /* for the whole message */
    }
    if (!strbuf_append(incoming, data, n_bytes)) {
        return close_with(session, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION);
    }
    if (lws_remaining_packet_payload(wsi) > 0 || !lws_is_final_fragment(wsi)) {
        return 0;
    }
    ws_session_receive(session);
    if (incoming->capacity > MAX_IDLE_BUFFER) {
        strbuf_deinit(incoming);
    }
    strbuf_clear(incoming);
    allow_silence(session);
    if (session->control.failed) {
        return close_with(session, LWS_CLOSE_STATUS_POLICY_VIOLATION); /* asks and never reads */
    }
    lws_callback_on_writable(wsi);
    return 0;
}

/* Sends one piece of a message. */
static int on_writable(struct ws_session *session)
{
    struct strbuf *const out = &session->outgoing;
    uint8_t buffer[LWS_PRE + WRITE_BYTES];
    if (session->n_outgoing_sent == out->length && !ws_session_next(session)) {
        allow_silence(session);
        return session->closing ? close_with(session, LWS_CLOSE_STATUS_POLICY_VIOLATION) : 0;
    }
    if (session->failed || out->failed) {
        return close_with(session, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION);
    }
    const size_t left = out->length - session->n_outgoing_sent;
    const size_t n = left < WRITE_BYTES ? left : WRITE_BYTES;
    memcpy(buffer + LWS_PRE, out->text + session->n_outgoing_sent, n);
    const int flags = lws_write_ws_flags(LWS_WRITE_TEXT, session->n_outgoing_sent == 0, n == left);
    /* The library combines its enumerators into flags. */
    // NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange)
    if (lws_write(session->wsi, buffer + LWS_PRE, n, (enum lws_write_protocol)flags) < 0) {
        return -1;
    }
    session->n_outgoing_sent += n;
    if (n == left && out->capacity > MAX_IDLE_BUFFER) {
        strbuf_deinit(out);
        session->n_outgoing_sent = 0;
    }
    if (session->incoming.length == 0) {
        allow_time(session); /* to take what was written */
    }
    lws_callback_on_writable(session->wsi);
    return 0;
}

void answer_ws(struct exchange *exchange)
{
    exchange->problem.http_status = 426;
    exchange_fail(exchange,
                  REALM_INVALID_ARGUMENT,
                  "upgrade_required",
                  "a WebSocket is served here: ask for it with Upgrade: websocket");
}

int ws_on_event(struct lws *wsi, int reason, const char *data, size_t n_bytes)
{
    struct ws_session *const session = lws_get_opaque_user_data(wsi);
    switch ((enum lws_callback_reasons)reason) {
    case LWS_CALLBACK_ESTABLISHED:
        if (session == NULL) {
            return -1;
        }
        allow_time(session);
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return session != NULL ? on_receive(session, data, n_bytes) : -1;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return session != NULL ? on_writable(session) : -1;
    case LWS_CALLBACK_CLOSED:
        ws_forget(wsi);
        return 0;
    default:
        return 0;
    }
}

void ws_wake(struct ws_request *request)
{
    const struct ws_session *const session = request->session;
    if (session->wsi == NULL) {
        ws_request_gather(request);
    } else if (ws_session_readable(session)) {
        lws_callback_on_writable(session->wsi);
    }
}

bool ws_expire(struct server *server)
{
    const uint64_t now_ns = clock_monotonic_ns();
    struct ws_session *next;
    bool left = false;
    for (struct ws_session *s = server->ws_sessions; s != NULL; s = next) {
        next = s->next;
        if (s->wsi == NULL && now_ns >= s->expires_ns) {
            ws_session_destroy(s);
        } else {
            left |= s->wsi == NULL;
        }
    }
    return left;
}

bool ws_busy(const struct server *server)
{
    for (const struct ws_session *s = server->ws_sessions; s != NULL; s = s->next) {
        if (s->wsi != NULL && ws_session_readable(s)) {
            return true;
        }
    }
    return false;
}
