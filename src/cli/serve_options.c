#include "cli/serve_options.h"

#include "backend/backend.h"
#include "base/log.h"
#include "cli/paths.h"
#include "engine/engine.h"

static struct serve_options values = {
    .host = "127.0.0.1",
    .port = 8080,
    .itl_target_ms = 100,
    .prompt_weight = 1,
    .completion_weight = 2,
    .max_waiting = 1024,
    .drain_s = 30,
    .client_timeout_s = 30,
    .otlp_sample = 1,
    .max_connections = 16384,
    .log_level = LOG_INFO,
};

static const struct arg_option table[] = {
    {"config",
     0,
     ARG_TEXT,
     &values.config,
     "FILE",
     "settings in YAML (~/.config/realm/realm.yaml, if there)",
     0,
     0},
    {"model", 'm', ARG_LIST, &values.models, "NAME=PATH", "a model to serve; may come again", 0, 0},
    {"host", 0, ARG_TEXT, &values.host, "H", "address to listen on (127.0.0.1)", 0, 0},
    {"port", 0, ARG_U32, &values.port, "P", "port, 0: any free one (8080)", 0, 65535},
    {"port-file", 0, ARG_TEXT, &values.port_file, "FILE", "write the port here once bound", 0, 0},
    {"threads", 't', ARG_U32, &values.n_threads, "N", "compute threads (one per core)", 1, 1024},
    {"ctx",
     'c',
     ARG_U32,
     &values.context_length,
     "N",
     "tokens of one sequence (the model's, at most 8192)",
     16,
     1 << 24},
    {"kv-memory",
     0,
     ARG_SIZE,
     &values.kv_memory_bytes,
     "SIZE",
     "KV cache of each model, such as 512M (16,384 tokens)",
     0,
     0},
    {"adapter-memory",
     0,
     ARG_SIZE,
     &values.adapter_memory_bytes,
     "SIZE",
     "LoRA adapters of all tenants and models (1G)",
     0,
     0},
    {"itl-target-ms",
     0,
     ARG_U32,
     &values.itl_target_ms,
     "MS",
     "most between two tokens that new prompts may cost (100)",
     1,
     60000},
    {"prompt-weight",
     0,
     ARG_U32,
     &values.prompt_weight,
     "N",
     "what a prompt token counts when tenants take turns (1)",
     1,
     ENGINE_MAX_TOKEN_WEIGHT},
    {"completion-weight",
     0,
     ARG_U32,
     &values.completion_weight,
     "N",
     "what a token of an answer counts there (2)",
     1,
     ENGINE_MAX_TOKEN_WEIGHT},
    {"max-waiting",
     0,
     ARG_U32,
     &values.max_waiting,
     "N",
     "requests running and waiting, more get a 429 (1024)",
     1,
     1 << 20},
    {"no-prefix-cache",
     0,
     ARG_FLAG,
     &values.no_prefix_cache,
     NULL,
     "compute every prompt anew",
     0,
     0},
    {"kv-type", 0, ARG_CHOICE, &values.kv_type, KV_TYPE_NAMES, KV_TYPE_HELP, 0, 0},
    {"data", 0, ARG_TEXT, &values.data, "DIR", "keys are kept here (~/.local/share/realm)", 0, 0},
    {"allow-root", 0, ARG_FLAG, &values.allow_root, NULL, "run even as root", 0, 0},
    {"drain",
     0,
     ARG_U32,
     &values.drain_s,
     "S",
     "seconds running answers get at the end (30)",
     1,
     86400},
    {"client-timeout",
     0,
     ARG_U32,
     &values.client_timeout_s,
     "S",
     "seconds a client may be silent while it sends or takes (30)",
     1,
     86400},
    {"tls-cert",
     0,
     ARG_TEXT,
     &values.tls_certificate,
     "FILE",
     "certificate chain, PEM; read again on SIGHUP (plain HTTP)",
     0,
     0},
    {"tls-key", 0, ARG_TEXT, &values.tls_key, "FILE", "its private key, PEM", 0, 0},
    {"cors-origin",
     0,
     ARG_LIST,
     &values.cors_origins,
     "ORIGIN",
     "whose pages may call from browsers, or *; commas, may come again (none)",
     0,
     0},
    {"otlp-endpoint",
     0,
     ARG_TEXT,
     &values.otlp_endpoint,
     "URL",
     "collector that gets traces (OTEL_EXPORTER_OTLP_ENDPOINT)",
     0,
     0},
    {"otlp-sample",
     0,
     ARG_FLOAT,
     &values.otlp_sample,
     "RATIO",
     "of the traces that begin here, so many are sent (1)",
     0,
     1},
    {"max-connections",
     0,
     ARG_U32,
     &values.max_connections,
     "N",
     "WebSocket connections at once (16384)",
     1,
     1 << 20},
    {"max-tenant-connections",
     0,
     ARG_U32,
     &values.max_tenant_connections,
     "N",
     "so, of one tenant (as many)",
     1,
     1 << 20},
    {"cpu",
     0,
     ARG_TEXT,
     &values.cpu_level,
     "LEVEL",
     "highest CPU level, such as avx2 (REALM_CPU)",
     0,
     0},
    {"log-format",
     0,
     ARG_CHOICE,
     &values.log_format,
     "auto|text|json",
     "text on a terminal, else JSON (auto)",
     0,
     0},
    {"log-level", 0, ARG_CHOICE, &values.log_level, "error|warn|info|debug", "(info)", 0, 0},
    {0},
};

struct serve_options *serve_options(void)
{
    return &values;
}

const struct arg_option *serve_options_table(void)
{
    return table;
}

realm_status serve_options_read(struct arg_command *command,
                                int argc,
                                char **argv,
                                struct arg_operands *operands,
                                bool *help,
                                struct config *config,
                                struct realm_error *error)
{
    static const struct config_alias aliases[] = {
        {"data", "REALM_DATA_DIR"},
        {"otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"},
        {0},
    };
    static char usual[PATHS_BYTES];
    bool given[CONFIG_MAX_OPTIONS] = {false};
    _Static_assert(sizeof table / sizeof table[0] <= CONFIG_MAX_OPTIONS, "all have an origin");
    command->options = table;
    command->given = given;
    REALM_TRY(args_parse(command, argc, argv, operands, help, error));
    if (*help) {
        return REALM_OK;
    }
    config_take_arguments(config, given);
    config_take_environment(config, aliases);
    if (values.config == NULL && operands->n > 0) {
        values.config = operands->items[0];
    }
    if (values.config == NULL && paths_find_config(usual)) {
        values.config = usual;
    }
    return values.config != NULL ? config_take_file(config, values.config, "config", error)
                                 : REALM_OK;
}
