/* The HTTP server: OpenAI's API over the engine.
 *
 * One I/O thread (the caller of server_run) owns sockets and connections; prepare threads turn
 * bodies into requests; results come back as events and are pulled when the socket can take them.
 */
#ifndef REALM_SERVER_SERVER_H
#define REALM_SERVER_SERVER_H

#include "base/status.h"

struct server;
struct engine;

/* Zero means default in every field but the first. */
struct server_options {
    struct engine *engine; /* outlives the server */
    const char *host;      /* NULL: 127.0.0.1 */
    uint32_t port;         /* 0: any free one */
    const char *data_dir;
    const char *port_file;       /* the port is written here once it is bound; NULL: nowhere */
    const char *tls_certificate; /* PEM files, both or none; outlive the server; NULL: plain HTTP */
    const char *tls_key;
    const char *extra_key;           /* accepted beside the stored keys; NULL: none */
    uint64_t max_body_bytes;         /* 0: 32 MiB */
    uint32_t n_prepare_threads;      /* 0: 2 */
    uint32_t client_timeout_s;       /* for sending a request and for taking an answer; 0: 30 */
    uint32_t max_connections;        /* of WebSockets, resumable ones too; 0: 16,384 */
    uint32_t max_tenant_connections; /* so, of one tenant; 0: as many */
    const char *const *cors_origins; /* [n_cors_origins]: see cors_add; only read at the start */
    uint32_t n_cors_origins;
    const char *otlp_endpoint; /* where spans go, see telemetry/exporter.h; NULL: nowhere */
    const char *otlp_headers;
    const char *otlp_service_name;
    float otlp_sample;        /* of new traces, 0 to 1: how many; only with an endpoint */
    uint32_t drain_timeout_s; /* for running requests after server_stop; 0: 30 */
};

/* Binds the port and opens the keys; nothing is served before server_run.
 * UNAVAILABLE: the port is taken or the host is unknown (both are named). */
REALM_MUST_CHECK realm_status server_start(const struct server_options *options,
                                           struct server **out,
                                           struct realm_error *error);
/* Serves on this thread until server_stop and the drain after it are over. */
REALM_MUST_CHECK realm_status server_run(struct server *server, struct realm_error *error);
/* Refuses new requests, lets running ones finish, then ends server_run.  Async-signal-safe. */
void server_stop(struct server *server);
/* Reads the certificate and its key again, for new connections.  Async-signal-safe. */
void server_reload(struct server *server);
void server_destroy(struct server *server);

/* "http://127.0.0.1:8080". */
const char *server_url(const struct server *server);
/* The key made at this start, or "" when there were keys already. */
const char *server_first_key(const struct server *server);

#endif
