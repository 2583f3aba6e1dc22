/* The I/O thread's loop: the only file that runs libwebsockets' service. */
#include "base/clock.h"
#include "base/log.h"
#include "server/conn.h"
#include "server/server.h"
#include "server/tls.h"
#include "server/ws.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define MAX_HEADER_BYTES 8192u
#define KEEP_ALIVE_S     60
#define MAX_HEAD_S       10u /* for the head of a request */
#define MAX_DESCRIPTORS  65536u
/* Beside WebSockets: HTTP connections, files, databases. */
#define OTHER_DESCRIPTORS 1024u
#define DRAIN_POLL_US     50000
#define EXPIRE_POLL_US    1000000
#define PING_S            30 /* of silence on a WebSocket */
#define HANG_UP_S         45

static void forward_log(int level, const char *line)
{
    char text[256];
    (void)snprintf(text, sizeof text, "%s", line);
    text[strcspn(text, "\n")] = '\0';
    if (level == LLL_ERR) {
        log_warn("http_library", LOG_TEXT("says", text));
    } else {
        log_debug("http_library", LOG_TEXT("says", text));
    }
}

static void raise_descriptors(const struct server *server)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    if (limit.rlim_cur < MAX_DESCRIPTORS) {
        limit.rlim_cur = limit.rlim_max < MAX_DESCRIPTORS ? limit.rlim_max : MAX_DESCRIPTORS;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < (rlim_t)server->max_connections + OTHER_DESCRIPTORS) {
        log_warn("few_descriptors",
                 LOG_U64("descriptors", limit.rlim_cur),
                 LOG_U64("max_connections", server->max_connections),
                 LOG_TEXT("remedy",
                          "raise the hard limit (ulimit -n, LimitNOFILE=) or lower "
                          "--max-connections"));
    }
}

static realm_status use_tls(const struct server *server,
                            struct lws_context_creation_info *info,
                            struct realm_error *error)
{
    if (server->tls_certificate == NULL || server->tls_key == NULL) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "TLS needs both --tls-cert and --tls-key");
    }
    REALM_TRY(tls_load(NULL, server->tls_certificate, server->tls_key, error));
    info->ssl_cert_filepath = server->tls_certificate;
    info->ssl_private_key_filepath = server->tls_key;
    info->options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    return REALM_OK;
}

/* Connections that are open keep what they were made with. */
static void reload(const struct server *server)
{
    struct realm_error error;
    if (server->tls_context == NULL) {
        return;
    }
    if (tls_load(server->tls_context, server->tls_certificate, server->tls_key, &error) ==
        REALM_OK) {
        log_info("certificate_reloaded", LOG_TEXT("path", server->tls_certificate));
    } else {
        log_error("certificate_kept", LOG_TEXT("reason", error.message));
    }
}

realm_status
loop_bind(struct server *server, const char *host, uint32_t port, struct realm_error *error)
{
    lws_set_log_level(LLL_ERR | LLL_WARN, forward_log);
    const bool any_host = strcmp(host, "0.0.0.0") == 0;
    /* The library finds a connection by its descriptor in a table that has room for all. */
    raise_descriptors(server);
    static const lws_retry_bo_t silence = {.secs_since_valid_ping = PING_S,
                                           .secs_since_valid_hangup = HANG_UP_S};
    struct lws_context_creation_info info = {
        .port = (int)port,
        .iface = any_host ? NULL : host,
        .protocols = conn_protocols(),
        .user = server,
        .gid = -1, /* stay who we are */
        .uid = -1,
        .max_http_header_data = MAX_HEADER_BYTES,
        .timeout_secs = server->client_timeout_s,
        .timeout_secs_ah_idle =
            server->client_timeout_s < MAX_HEAD_S ? server->client_timeout_s : MAX_HEAD_S,
        .keepalive_timeout = KEEP_ALIVE_S,
        .retry_and_idle_policy = &silence,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
                   LWS_SERVER_OPTION_DISABLE_IPV6 | LWS_SERVER_OPTION_VALIDATE_UTF8,
    };
    if (server->tls_certificate != NULL || server->tls_key != NULL) {
        REALM_TRY(use_tls(server, &info, error));
    }
    server->lws = lws_create_context(&info);
    if (server->lws == NULL) {
        return realm_error_set(error, REALM_UNAVAILABLE, "the HTTP library could not be started");
    }
    struct lws_vhost *const vhost = lws_create_vhost(server->lws, &info);
    if (vhost == NULL) {
        return realm_error_set(error,
                               REALM_UNAVAILABLE,
                               "cannot listen on %s, port %u: the port is taken or the address is "
                               "not this machine's; choose another with --port or --host",
                               host,
                               port);
    }
    (void)snprintf(server->url,
                   sizeof server->url,
                   "%s://%s:%d",
                   server->tls_certificate != NULL ? "https" : "http",
                   any_host ? "127.0.0.1" : host,
                   lws_get_vhost_listen_port(vhost));
    return REALM_OK;
}

void loop_unbind(struct server *server)
{
    /* Who came in before is let out: a lock here would be the second one of its holder. */
    atomic_store(&server->unbound, true);
    while (atomic_load(&server->n_waking) > 0) {
        thread_yield();
    }
    if (server->lws != NULL) {
        lws_context_destroy(server->lws);
        server->lws = NULL;
    }
}

void loop_wake(void *context)
{
    struct server *const server = context;
    if (atomic_exchange(&server->wake_asked, true)) {
        return;
    }
    (void)atomic_fetch_add(&server->n_waking, 1);
    if (!atomic_load(&server->unbound)) {
        lws_cancel_service(server->lws);
    }
    (void)atomic_fetch_sub(&server->n_waking, 1);
}

void loop_heard(struct server *server)
{
    atomic_store(&server->wake_asked, false);
}

/* While draining: true once nothing is left, or the time is over. */
static bool drained(struct server *server)
{
    const uint64_t now_ns = clock_monotonic_ns();
    if (server->drain_deadline_ns == 0) {
        server->drain_deadline_ns = now_ns + (uint64_t)server->drain_timeout_s * 1000000000u;
        (void)engine_drain(server->engine);
        log_info("draining", LOG_U64("at_most_s", server->drain_timeout_s));
    }
    if (server->active == NULL && !ws_busy(server)) {
        return true;
    }
    if (now_ns > server->drain_deadline_ns) {
        log_warn("drain_timeout");
        return true;
    }
    return false;
}

static void wake_again(lws_sorted_usec_list_t *timer)
{
    (void)timer; /* its only work is to end the wait */
}

realm_status server_run(struct server *server, struct realm_error *error)
{
    thread_come_soon(); /* to pass tokens on while steps have all cores */
    lws_sorted_usec_list_t timer = {.list = {.next = NULL}};
    for (;;) {
        if (atomic_load(&server->stopping)) {
            if (drained(server)) {
                break;
            }
            lws_sul_schedule(server->lws, 0, &timer, wake_again, DRAIN_POLL_US);
        }
        if (atomic_exchange(&server->reloading, false)) {
            reload(server);
        }
        if (ws_expire(server) && !atomic_load(&server->stopping)) {
            lws_sul_schedule(server->lws, 0, &timer, wake_again, EXPIRE_POLL_US);
        }
        if (lws_service(server->lws, 0) < 0) {
            return realm_error_set(error, REALM_IO, "the event loop failed");
        }
    }
    lws_sul_schedule(server->lws, 0, &timer, wake_again, LWS_SET_TIMER_USEC_CANCEL);
    return REALM_OK;
}

void server_stop(struct server *server)
{
    atomic_store(&server->stopping, true);
    loop_wake(server);
}

void server_reload(struct server *server)
{
    atomic_store(&server->reloading, true);
    loop_wake(server);
}
