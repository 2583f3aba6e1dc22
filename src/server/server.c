#include "server/server.h"

#include "base/alloc.h"
#include "base/file.h"
#include "server/adapter_room.h"
#include "server/conn.h"
#include "server/json.h"
#include "server/response_store.h"
#include "server/state.h"
#include "server/ws_session.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_MAX_BODY_BYTES   ((uint64_t)32 << 20)
#define DEFAULT_CLIENT_TIMEOUT_S 30u
#define DEFAULT_DRAIN_TIMEOUT_S  30u
#define DEFAULT_PREPARE_THREADS  2u
#define DEFAULT_MAX_CONNECTIONS  16384u /* of WebSockets */
#define MAX_PATH_BYTES           4096u

static realm_status
write_port(const struct server *server, const char *path, struct realm_error *error)
{
    char line[16];
    struct file_writer *writer;
    (void)snprintf(line, sizeof line, "%s\n", strrchr(server->url, ':') + 1);
    REALM_TRY(file_writer_open(path, 0644, &writer, error));
    const realm_status status = file_writer_write(writer, line, strlen(line), error);
    if (status != REALM_OK) {
        file_writer_abandon(writer);
        return status;
    }
    return file_writer_commit(writer, error);
}

static realm_status
open_programs(struct server *server, const char *data_dir, struct realm_error *error)
{
    char folder[MAX_PATH_BYTES];
    char shelves[MAX_PATH_BYTES];
    const int n = snprintf(shelves, sizeof shelves, "%s/programs/shelves", data_dir);
    if (n < 0 || (size_t)n >= sizeof shelves) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "the path of the data folder is too long");
    }
    (void)snprintf(folder, sizeof folder, "%.*s", n - (int)strlen("/shelves"), shelves);
    const struct sandbox_options options = {.engine = server->engine, .folder = folder};
    REALM_TRY(file_make_folder(folder, 0700, error));
    REALM_TRY(sandbox_open(&options, &server->sandbox, error));
    return shelf_room_open(server->sandbox, shelves, &server->programs, error);
}

static realm_status
open_responses(struct server *server, const char *data_dir, struct realm_error *error)
{
    char folder[MAX_PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%s/responses", data_dir);
    return response_store_open(folder, &server->responses, error);
}

static realm_status
open_adapters(struct server *server, const char *data_dir, struct realm_error *error)
{
    char folder[MAX_PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%s/adapters", data_dir);
    return adapter_room_open(server->engine, folder, &server->adapters, error);
}

/* What tenants keep here. */
static realm_status
open_stores(struct server *server, const char *data_dir, struct realm_error *error)
{
    REALM_TRY(open_programs(server, data_dir, error));
    REALM_TRY(open_adapters(server, data_dir, error));
    return open_responses(server, data_dir, error);
}

static realm_status open_exporter(struct server *server,
                                  const struct server_options *options,
                                  struct realm_error *error)
{
    const struct exporter_options exporter = {.endpoint = options->otlp_endpoint,
                                              .headers = options->otlp_headers,
                                              .service_name = options->otlp_service_name};
    server->trace_ratio = (double)options->otlp_sample;
    const bool wanted = options->otlp_endpoint != NULL && options->otlp_endpoint[0] != '\0';
    return wanted ? exporter_open(&exporter, &server->exporter, error) : REALM_OK;
}

static realm_status
start(struct server *server, const struct server_options *options, struct realm_error *error)
{
    uint32_t n_threads =
        options->n_prepare_threads > 0 ? options->n_prepare_threads : DEFAULT_PREPARE_THREADS;
    n_threads = n_threads > SERVER_MAX_PREPARE_THREADS ? SERVER_MAX_PREPARE_THREADS : n_threads;
    json_use_our_allocator();
    for (uint32_t i = 0; i < options->n_cors_origins; i++) {
        REALM_TRY(cors_add(&server->cors, options->cors_origins[i], error));
    }
    REALM_TRY(tenant_registry_open(
        options->data_dir, options->extra_key, server->first_key, &server->registry, error));
    REALM_TRY(loop_bind(
        server, options->host != NULL ? options->host : "127.0.0.1", options->port, error));
    REALM_TRY(open_stores(server, options->data_dir, error));
    REALM_TRY(open_exporter(server, options, error));
    REALM_TRY(prepare_start(server, n_threads, error));
    return options->port_file != NULL ? write_port(server, options->port_file, error) : REALM_OK;
}

realm_status
server_start(const struct server_options *options, struct server **out, struct realm_error *error)
{
    *out = NULL;
    struct server *server = alloc_zeroed(ALLOC_SERVER, 1, sizeof *server);
    if (server == NULL) {
        return realm_error_out_of_memory(error, sizeof *server, "server");
    }
    server->engine = options->engine;
    server->max_body_bytes =
        options->max_body_bytes > 0 ? options->max_body_bytes : DEFAULT_MAX_BODY_BYTES;
    server->client_timeout_s =
        options->client_timeout_s > 0 ? options->client_timeout_s : DEFAULT_CLIENT_TIMEOUT_S;
    server->drain_timeout_s =
        options->drain_timeout_s > 0 ? options->drain_timeout_s : DEFAULT_DRAIN_TIMEOUT_S;
    server->tls_certificate = options->tls_certificate;
    server->tls_key = options->tls_key;
    server->max_connections =
        options->max_connections > 0 ? options->max_connections : DEFAULT_MAX_CONNECTIONS;
    server->max_tenant_connections = options->max_tenant_connections > 0
                                         ? options->max_tenant_connections
                                         : server->max_connections;
    const realm_status status = start(server, options, error);
    if (status != REALM_OK) {
        server_destroy(server);
        return status;
    }
    *out = server;
    return REALM_OK;
}

void server_destroy(struct server *server)
{
    if (server == NULL) {
        return;
    }
    prepare_stop(server);
    if (server->ready != NULL) {
        conn_take_ready(server);
    }
    /* Closing the connections ends their exchanges. */
    loop_unbind(server);
    while (server->ws_sessions != NULL) {
        ws_session_destroy(server->ws_sessions);
    }
    struct exchange *next;
    for (struct exchange *e = server->active; e != NULL; e = next) {
        next = e->next;
        exchange_destroy(e);
    }
    prepare_deinit(server);
    exporter_close(server->exporter);
    response_store_close(server->responses);
    adapter_room_close(server->adapters);
    shelf_room_close(server->programs);
    sandbox_close(server->sandbox);
    tenant_registry_close(server->registry);
    alloc_free(server);
}

const char *server_url(const struct server *server)
{
    return server->url;
}

const char *server_first_key(const struct server *server)
{
    return server->first_key;
}
