/* The server's inside. */
#ifndef REALM_SERVER_STATE_H
#define REALM_SERVER_STATE_H

#include "base/queue.h"
#include "base/thread.h"
#include "engine/engine.h"
#include "sandbox/shelf.h"
#include "server/cors.h"
#include "server/exchange.h"
#include "server/server.h"
#include "telemetry/exporter.h"
#include "tenant/tenant.h"

#include <stdatomic.h>

#define SERVER_MAX_PREPARE_THREADS 8u
#define SERVER_URL_LENGTH          128u

struct lws_context;
struct adapter_room;
struct response_store;

/* Threads that work on exchanges, one each at a time. */
struct prepare_pool {
    struct server *server;
    struct queue *waiting; /* of struct exchange */
    struct mutex lock;     /* waiting has one consumer at a time */
    struct thread threads[SERVER_MAX_PREPARE_THREADS];
    uint32_t n_threads;
};

struct server {
    struct engine *engine;
    struct sandbox *sandbox;
    struct shelf_room *programs;
    struct adapter_room *adapters;
    struct response_store *responses;
    struct tenant_registry *registry;
    char first_key[KEY_TEXT_LENGTH + 1];
    char url[SERVER_URL_LENGTH];
    uint64_t max_body_bytes;
    uint32_t client_timeout_s;
    uint32_t drain_timeout_s;
    uint32_t max_connections; /* of WebSockets */
    uint32_t max_tenant_connections;
    struct cors cors;
    struct exporter *exporter; /* of spans; NULL: none are */
    double trace_ratio;        /* of the traces that begin here: how many are sampled */
    struct lws_context *lws;
    struct prepare_pool prepare;
    struct prepare_pool prepare_slow; /* for routes that may take seconds */
    struct queue *ready;              /* back to the I/O thread */
    const char *tls_certificate;      /* NULL: plain HTTP */
    const char *tls_key;
    struct ssl_ctx_st *tls_context; /* the HTTP library's */
    _Atomic bool stopping;
    _Atomic bool reloading;
    _Atomic bool wake_asked;   /* and not heard by the I/O thread yet */
    _Atomic bool unbound;      /* lws must not be touched any more */
    _Atomic uint32_t n_waking; /* threads within loop_wake */
    /* I/O thread: */
    struct exchange *active;
    struct ws_session *ws_sessions;
    uint32_t n_ws_sessions;
    uint64_t drain_deadline_ns; /* 0: not draining */
    uint64_t answers[6];        /* by hundreds of the HTTP status */
};

/* prepare.c.  The pools were zero. */
REALM_MUST_CHECK realm_status prepare_start(struct server *server,
                                            uint32_t n_threads,
                                            struct realm_error *error);
/* Every exchange is back in server->ready then. */
void prepare_stop(struct server *server);
void prepare_deinit(struct server *server);
/* False: too much waits already; the exchange stays the caller's. */
bool prepare_hand_over(struct exchange *exchange);

/* loop.c */
REALM_MUST_CHECK realm_status loop_bind(struct server *server,
                                        const char *host,
                                        uint32_t port,
                                        struct realm_error *error);
/* Makes the I/O thread of the server `context` look at everything; any thread, also a signal
 * handler.  Costs an exchange while an earlier call has not been heard. */
void loop_wake(void *context);
/* The I/O thread has heard: what is asked from now on needs another look. */
void loop_heard(struct server *server);
/* Closes every connection.  The engine and guests may still call loop_wake, without effect. */
void loop_unbind(struct server *server);

#endif
