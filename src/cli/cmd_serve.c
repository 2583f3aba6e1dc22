/* realm serve: models in, an address out, until a signal. */
#include "backend/backend.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "cli/serve_options.h"
#include "cli/term.h"
#include "engine/engine.h"
#include "server/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_NAME_BYTES 128u

/* The handler has nothing but static storage to find the server by. */
static struct server *running_server;

/* The first signal drains; it puts the usual effect back, so that a second one ends at once. */
static void on_signal(int number)
{
    (void)number;
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    /* NOLINTNEXTLINE(bugprone-signal-handler,cert-*): made to be called here, see server.h */
    server_stop(running_server);
}

static void on_hang_up(int number)
{
    (void)number;
    /* NOLINTNEXTLINE(bugprone-signal-handler,cert-*): made to be called here, see server.h */
    server_reload(running_server);
}

static void on_load(void *context, float part)
{
    progress_update(context, (uint64_t)(part * 1000.0F));
}

static realm_status load_model(const struct serve_options *serve,
                               struct engine *engine,
                               const char *name,
                               const char *path,
                               struct realm_error *error)
{
    struct progress bar;
    struct engine_model *model;
    char label[64];
    (void)snprintf(label, sizeof label, "loading %.40s", name);
    progress_begin(&bar, label, 1000, PROGRESS_PARTS);
    const struct engine_model_options options = {
        .context_length = serve->context_length,
        .kv_type = (enum kv_type)serve->kv_type,
        .kv_memory_bytes = serve->kv_memory_bytes,
        .progress = on_load,
        .progress_context = &bar,
    };
    const realm_status status = engine_load_model(engine, name, path, &options, &model, error);
    progress_end(&bar);
    if (status == REALM_OK) {
        log_info("model_loaded",
                 LOG_TEXT("model", name),
                 LOG_TEXT("path", path),
                 LOG_TEXT("kv_type", backend_kv_type_name(options.kv_type)),
                 LOG_U64("context_tokens", engine_model_context_length(model)),
                 LOG_U64("memory_mb", engine_model_memory_bytes(model) >> 20));
    }
    return status;
}

static realm_status load_argument(const struct serve_options *serve,
                                  struct engine *engine,
                                  const char *argument,
                                  struct realm_error *error)
{
    char name[MAX_NAME_BYTES];
    char path[PATHS_BYTES];
    const char *reference;
    REALM_TRY(paths_split_model(argument, name, sizeof name, &reference, error));
    REALM_TRY(paths_find_model(reference, path, error));
    return load_model(serve, engine, name, path, error);
}

static realm_status
load_models(const struct serve_options *serve, struct engine *engine, struct realm_error *error)
{
    if (serve->models.n == 0) {
        return load_argument(serve, engine, hub_catalogue_at(0)->name, error);
    }
    for (uint32_t i = 0; i < serve->models.n; i++) {
        REALM_TRY(load_argument(serve, engine, serve->models.items[i], error));
    }
    return REALM_OK;
}

/* The one thing people look for: where it is, what opens it, what to type. */
static void print_welcome(const struct server *server, struct engine *engine, const char *data_dir)
{
    const char *const bold = term_has_colour(stdout) ? "\033[1m" : "";
    const char *const plain = bold[0] != '\0' ? "\033[0m" : "";
    char first_key_path[PATHS_BYTES + 16];
    char shown[PATHS_BYTES + 32];
    (void)snprintf(first_key_path, sizeof first_key_path, "%s/first_key.txt", data_dir);
    if (server_first_key(server)[0] != '\0') {
        (void)snprintf(shown, sizeof shown, "%s", server_first_key(server));
        printf("Key:    %s%s%s\n        (shown once; also in %s)\n",
               bold,
               shown,
               plain,
               first_key_path);
    } else if (file_exists(first_key_path)) {
        (void)snprintf(shown, sizeof shown, "$(cat '%s')", first_key_path);
        printf("Key:    the one in %s\n", first_key_path);
    } else {
        (void)snprintf(shown, sizeof shown, "YOUR_KEY");
        printf("Key:    one of those you have (%s/realm.db holds their hashes only)\n", data_dir);
    }
    printf("URL:    %s%s/v1%s\n", bold, server_url(server), plain);
    printf("Try:    curl -N %s/v1/chat/completions -H \"Authorization: Bearer %s\" "
           "-H 'Content-Type: application/json' -d '{\"model\":\"%s\",\"stream\":true,"
           "\"messages\":[{\"role\":\"user\",\"content\":\"What is the capital of France?\"}]}'\n",
           server_url(server),
           shown,
           engine_model_name(engine_model_at(engine, 0)));
    printf("Ctrl-C lets running answers finish; a second one ends at once.\n");
    (void)fflush(stdout);
}

static realm_status run_server(const struct serve_options *serve,
                               struct engine *engine,
                               const char *data_dir,
                               struct realm_error *error)
{
    const struct server_options options = {
        .engine = engine,
        .host = serve->host,
        .port = serve->port,
        .data_dir = data_dir,
        .port_file = serve->port_file,
        .extra_key = getenv("REALM_API_KEY"),
        .drain_timeout_s = serve->drain_s,
        .client_timeout_s = serve->client_timeout_s,
        .tls_certificate = serve->tls_certificate,
        .tls_key = serve->tls_key,
        .cors_origins = serve->cors_origins.items,
        .n_cors_origins = serve->cors_origins.n,
        .otlp_endpoint = serve->otlp_endpoint,
        .otlp_headers = getenv("OTEL_EXPORTER_OTLP_HEADERS"),
        .otlp_service_name = getenv("OTEL_SERVICE_NAME"),
        .otlp_sample = serve->otlp_sample,
        .max_connections = serve->max_connections,
        .max_tenant_connections = serve->max_tenant_connections,
    };
    struct server *server;
    /* Bound first: a taken port is told before the models are read. */
    REALM_TRY(server_start(&options, &server, error));
    realm_status status = load_models(serve, engine, error);
    if (status == REALM_OK) {
        print_welcome(server, engine, data_dir);
        running_server = server;
        (void)signal(SIGINT, on_signal);
        (void)signal(SIGTERM, on_signal);
        (void)signal(SIGHUP, on_hang_up);
        status = server_run(server, error);
        (void)signal(SIGINT, SIG_DFL);
        (void)signal(SIGTERM, SIG_DFL);
        (void)signal(SIGHUP, SIG_IGN);
        running_server = NULL;
        log_info("stopped");
    }
    server_destroy(server);
    return status;
}

/* What breaks out of the sandbox, or into the server, should find no more than a user's rights. */
static realm_status check_user(const struct serve_options *serve, struct realm_error *error)
{
    return geteuid() != 0 || serve->allow_root
               ? REALM_OK
               : realm_error_set(error,
                                 REALM_PERMISSION_DENIED,
                                 "the server does not run as root: start it as another user (it "
                                 "needs no rights beyond its own files), or, where root can do no "
                                 "harm, with --allow-root");
}

/* config_path: NULL: there is no file. */
static realm_status
serve_models(const struct serve_options *serve, const char *config_path, struct realm_error *error)
{
    char data_dir[PATHS_BYTES];
    REALM_TRY(check_user(serve, error));
    if (serve->data != NULL) {
        (void)snprintf(data_dir, sizeof data_dir, "%s", serve->data);
    } else {
        REALM_TRY(paths_data_folder(data_dir, error));
    }
    const struct engine_options engine_options = {
        .n_threads = serve->n_threads,
        .cpu_level = serve->cpu_level,
        .max_waiting = serve->max_waiting,
        .itl_target_ms = serve->itl_target_ms,
        .prompt_weight = serve->prompt_weight,
        .completion_weight = serve->completion_weight,
        .no_prefix_cache = serve->no_prefix_cache,
        .max_adapter_bytes = serve->adapter_memory_bytes,
    };
    struct engine *engine;
    log_configure((enum log_level)serve->log_level, (enum log_format)serve->log_format);
    if (config_path != NULL) {
        log_info("configuration read", LOG_TEXT("file", config_path));
    }
    REALM_TRY(engine_create(&engine_options, &engine, error));
    const realm_status status = run_server(serve, engine, data_dir, error);
    engine_destroy(engine);
    return status;
}

realm_status cmd_serve(int argc, char **argv, struct realm_error *error)
{
    struct arg_command command = {
        .usage = "realm serve [--model NAME=PATH]... [options]",
        .summary =
            "Serves models over the OpenAI API.  Each option is also a key of the file (realm\n"
            "config example) and an environment variable, --kv-memory REALM_KV_MEMORY.",
        .examples = "  realm serve                                   the default model\n"
                    "  realm serve -m smollm2 -m big=/models/big.gguf --port 9000\n"
                    "  realm serve --config /etc/realm.yaml --port 9000\n"
                    "  REALM_API_KEY=secret realm serve --host 0.0.0.0   with a key of your own\n",
    };
    struct arg_operands operands;
    struct config config;
    bool help;
    config_init(&config, serve_options_table());
    realm_status status =
        serve_options_read(&command, argc, argv, &operands, &help, &config, error);
    if (status == REALM_OK && help) {
        args_print_help(&command);
    } else if (status == REALM_OK) {
        status = config_refuse_problems(&config, error);
        status = status == REALM_OK ? serve_models(serve_options(), config.path, error) : status;
    }
    config_deinit(&config);
    return status;
}
