/* realm serve: models in, an address out, until a signal. */
#include "backend/backend.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "cli/term.h"
#include "engine/engine.h"
#include "server/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PORT   8080u
#define MAX_NAME_BYTES 128u

struct serve {
    struct arg_list models;
    const char *host;
    uint32_t port;
    const char *port_file;
    uint32_t n_threads;
    uint32_t context_length;
    uint64_t kv_memory_bytes;
    uint32_t itl_target_ms;
    uint32_t prompt_weight;
    uint32_t completion_weight;
    uint32_t max_waiting;
    bool no_prefix_cache;
    bool allow_root;
    uint32_t kv_type;
    const char *data;
    const char *key;
    const char *cpu_level;
    uint32_t drain_s;
    uint32_t client_timeout_s;
    const char *tls_certificate;
    const char *tls_key;
    struct arg_list cors_origins;
    const char *otlp_endpoint;
    float otlp_sample;
    uint32_t max_connections;
    uint32_t max_tenant_connections;
    uint32_t log_format;
    uint32_t log_level;
};

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

static realm_status load_model(const struct serve *serve,
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

/* NAME=PATH, or a PATH or cached name alone. */
static realm_status load_argument(const struct serve *serve,
                                  struct engine *engine,
                                  const char *argument,
                                  struct realm_error *error)
{
    char name[MAX_NAME_BYTES];
    char path[PATHS_BYTES];
    const char *const equals = strchr(argument, '=');
    const char *reference = argument;
    if (equals != NULL && !file_exists(argument)) {
        const size_t n = (size_t)(equals - argument);
        if (n == 0 || n >= sizeof name) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "--model %.80s: the name before = must have 1 to %u bytes",
                                   argument,
                                   MAX_NAME_BYTES - 1);
        }
        memcpy(name, argument, n);
        name[n] = '\0';
        reference = equals + 1;
    } else {
        paths_model_name(argument, name, sizeof name);
    }
    REALM_TRY(paths_find_model(reference, path, error));
    return load_model(serve, engine, name, path, error);
}

static realm_status
load_models(const struct serve *serve, struct engine *engine, struct realm_error *error)
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

static realm_status run_server(const struct serve *serve,
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
        .extra_key = serve->key,
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
static realm_status check_user(const struct serve *serve, struct realm_error *error)
{
    return geteuid() != 0 || serve->allow_root
               ? REALM_OK
               : realm_error_set(error,
                                 REALM_PERMISSION_DENIED,
                                 "the server does not run as root: start it as another user (it "
                                 "needs no rights beyond its own files), or, where root can do no "
                                 "harm, with --allow-root");
}

static realm_status serve_models(const struct serve *serve, struct realm_error *error)
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
    };
    struct engine *engine;
    log_configure((enum log_level)serve->log_level, (enum log_format)serve->log_format);
    REALM_TRY(engine_create(&engine_options, &engine, error));
    const realm_status status = run_server(serve, engine, data_dir, error);
    engine_destroy(engine);
    return status;
}

/* NOLINTNEXTLINE(readability-function-size): a table of options and little else */
realm_status cmd_serve(int argc, char **argv, struct realm_error *error)
{
    struct serve serve = {
        .host = "127.0.0.1",
        .port = DEFAULT_PORT,
        .key = getenv("REALM_API_KEY"),
        .cpu_level = getenv("REALM_CPU"),
        .otlp_endpoint = getenv("OTEL_EXPORTER_OTLP_ENDPOINT"),
        .otlp_sample = 1,
        .log_level = LOG_INFO,
    };
    const struct arg_option options[] = {
        {"model",
         'm',
         ARG_LIST,
         &serve.models,
         "NAME=PATH",
         "a model to serve; may come again",
         0,
         0},
        {"host", 0, ARG_TEXT, &serve.host, "H", "address to listen on (127.0.0.1)", 0, 0},
        {"port", 0, ARG_U32, &serve.port, "P", "port, 0: any free one (8080)", 0, 65535},
        {"port-file",
         0,
         ARG_TEXT,
         &serve.port_file,
         "FILE",
         "write the port here once bound",
         0,
         0},
        {"threads", 't', ARG_U32, &serve.n_threads, "N", "compute threads (one per core)", 1, 1024},
        {"ctx",
         'c',
         ARG_U32,
         &serve.context_length,
         "N",
         "tokens of one sequence (the model's, at most 8192)",
         16,
         1 << 24},
        {"kv-memory",
         0,
         ARG_SIZE,
         &serve.kv_memory_bytes,
         "SIZE",
         "KV cache of each model, such as 512M (16,384 tokens)",
         0,
         0},
        {"itl-target-ms",
         0,
         ARG_U32,
         &serve.itl_target_ms,
         "MS",
         "most between two tokens that new prompts may cost (100)",
         1,
         60000},
        {"prompt-weight",
         0,
         ARG_U32,
         &serve.prompt_weight,
         "N",
         "what a prompt token counts when tenants take turns (1)",
         1,
         ENGINE_MAX_TOKEN_WEIGHT},
        {"completion-weight",
         0,
         ARG_U32,
         &serve.completion_weight,
         "N",
         "what a token of an answer counts there (2)",
         1,
         ENGINE_MAX_TOKEN_WEIGHT},
        {"max-waiting",
         0,
         ARG_U32,
         &serve.max_waiting,
         "N",
         "requests running and waiting, more get a 429 (1024)",
         1,
         1 << 20},
        {"no-prefix-cache",
         0,
         ARG_FLAG,
         &serve.no_prefix_cache,
         NULL,
         "compute every prompt anew",
         0,
         0},
        {"kv-type", 0, ARG_CHOICE, &serve.kv_type, KV_TYPE_NAMES, KV_TYPE_HELP, 0, 0},
        {"data",
         0,
         ARG_TEXT,
         &serve.data,
         "DIR",
         "keys are kept here (~/.local/share/realm)",
         0,
         0},
        {"allow-root", 0, ARG_FLAG, &serve.allow_root, NULL, "run even as root", 0, 0},
        {"drain",
         0,
         ARG_U32,
         &serve.drain_s,
         "S",
         "seconds running answers get at the end (30)",
         1,
         86400},
        {"client-timeout",
         0,
         ARG_U32,
         &serve.client_timeout_s,
         "S",
         "seconds a client may be silent while it sends or takes (30)",
         1,
         86400},
        {"tls-cert",
         0,
         ARG_TEXT,
         &serve.tls_certificate,
         "FILE",
         "certificate chain, PEM; read again on SIGHUP (plain HTTP)",
         0,
         0},
        {"tls-key", 0, ARG_TEXT, &serve.tls_key, "FILE", "its private key, PEM", 0, 0},
        {"cors-origin",
         0,
         ARG_LIST,
         &serve.cors_origins,
         "ORIGIN",
         "whose pages may call from browsers, or *; commas, may come again (none)",
         0,
         0},
        {"otlp-endpoint",
         0,
         ARG_TEXT,
         &serve.otlp_endpoint,
         "URL",
         "collector that gets traces (OTEL_EXPORTER_OTLP_ENDPOINT)",
         0,
         0},
        {"otlp-sample",
         0,
         ARG_FLOAT,
         &serve.otlp_sample,
         "RATIO",
         "of the traces that begin here, so many are sent (1)",
         0,
         1},
        {"max-connections",
         0,
         ARG_U32,
         &serve.max_connections,
         "N",
         "WebSocket connections at once (16384)",
         1,
         1 << 20},
        {"max-tenant-connections",
         0,
         ARG_U32,
         &serve.max_tenant_connections,
         "N",
         "so, of one tenant (as many)",
         1,
         1 << 20},
        {"cpu",
         0,
         ARG_TEXT,
         &serve.cpu_level,
         "LEVEL",
         "highest CPU level, such as avx2 (REALM_CPU)",
         0,
         0},
        {"log-format",
         0,
         ARG_CHOICE,
         &serve.log_format,
         "auto|text|json",
         "text on a terminal, else JSON (auto)",
         0,
         0},
        {"log-level", 0, ARG_CHOICE, &serve.log_level, "error|warn|info|debug", "(info)", 0, 0},
        {0},
    };
    const struct arg_command command = {
        .usage = "realm serve [--model NAME=PATH]... [options]",
        .summary = "Serves models over the OpenAI API.",
        .examples = "  realm serve                                   the default model\n"
                    "  realm serve -m smollm2 -m big=/models/big.gguf --port 9000\n"
                    "  REALM_API_KEY=secret realm serve --host 0.0.0.0   with a key of your own\n",
        .options = options,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    return serve_models(&serve, error);
}
