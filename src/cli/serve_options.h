/* What realm serve can be told: by options, by environment variables, by a file.  One table, so
 * that none of them knows what the others do not.  One of each in the process. */
#ifndef REALM_CLI_SERVE_OPTIONS_H
#define REALM_CLI_SERVE_OPTIONS_H

#include "cli/args.h"
#include "cli/config.h"

struct serve_options {
    const char *config; /* the file to read; NULL: the usual one */
    struct arg_list models;
    const char *host;
    uint32_t port;
    const char *port_file;
    uint32_t n_threads;
    uint32_t context_length;
    uint64_t kv_memory_bytes;
    uint64_t adapter_memory_bytes;
    uint32_t itl_target_ms;
    uint32_t prompt_weight;
    uint32_t completion_weight;
    uint32_t max_waiting;
    bool no_prefix_cache;
    bool allow_root;
    uint32_t kv_type;
    const char *data;
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

/* The defaults, until somebody sets them.  Zero and NULL: what the option's help says. */
struct serve_options *serve_options(void);
/* Its table, ended by a row without a name. */
const struct arg_option *serve_options_table(void);
/* Sets them from argv, the environment and the file.  config: made by config_init of the table; it
 * must stay as long as the options are used.  *help: asked for, and nothing was read.
 * An error: argv is wrong, or the file cannot be read; all else is in config's problems. */
REALM_MUST_CHECK realm_status serve_options_read(struct arg_command *command,
                                                 int argc,
                                                 char **argv,
                                                 struct arg_operands *operands,
                                                 bool *help,
                                                 struct config *config,
                                                 struct realm_error *error);

#endif
