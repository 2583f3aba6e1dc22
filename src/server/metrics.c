/* GET /metrics: Prometheus text, version 0.0.4.  One family after the other, as the format wants
 * it; names follow vLLM's where there is one. */
#include "engine/adapters.h"
#include "server/handlers.h"
#include "server/state.h"

/* A number of a model, read from its engine_stats. */
struct family {
    const char *name;
    const char *type;
    const char *help;
    double (*read)(const struct engine_stats *stats);
};

#define READ_TENANT(name, expression)                                                              \
    static double name(const struct account_stats *stats)                                          \
    {                                                                                              \
        return (double)(expression);                                                               \
    }

READ_TENANT(read_tenant_prompt, stats->prompt_tokens)
READ_TENANT(read_tenant_cached, stats->cached_tokens)
READ_TENANT(read_tenant_completion, stats->completion_tokens)
READ_TENANT(read_tenant_preemptions, stats->preemptions)
READ_TENANT(read_tenant_rejected, stats->rejected)
READ_TENANT(read_tenant_pending, stats->pending)

#define READ(name, expression)                                                                     \
    static double name(const struct engine_stats *stats)                                           \
    {                                                                                              \
        return (double)(expression);                                                               \
    }

READ(read_steps, stats->steps)
READ(read_prompt_tokens, stats->prompt_tokens)
READ(read_cached_tokens, stats->cached_tokens)
READ(read_completion_tokens, stats->completion_tokens)
READ(read_finished, stats->requests_finished)
READ(read_cancelled, stats->requests_cancelled)
READ(read_failed, stats->requests_failed)
READ(read_preemptions, stats->preemptions)
READ(read_rows_ahead, stats->rows_ahead)
READ(read_rows_ahead_taken, stats->rows_ahead_taken)
READ(read_running, stats->running)
READ(read_waiting, stats->waiting)
READ(read_pages_used, stats->pages_used)
READ(read_pages_cached, stats->pages_cached)
READ(read_pages, stats->pages_total)
READ(read_usage,
     stats->pages_total > 0 ? (double)stats->pages_used / (double)stats->pages_total : 0.0)

static const struct family families[] = {
    {"realm_steps_total", "counter", "Steps run.", read_steps},
    {"realm_prompt_tokens_total", "counter", "Prompt tokens.", read_prompt_tokens},
    {"realm_prompt_tokens_cached_total",
     "counter",
     "Prompt tokens found in the prefix cache.",
     read_cached_tokens},
    {"realm_generation_tokens_total", "counter", "Completion tokens.", read_completion_tokens},
    {"realm_requests_finished_total", "counter", "Requests answered in full.", read_finished},
    {"realm_requests_cancelled_total",
     "counter",
     "Requests whose client went away.",
     read_cancelled},
    {"realm_requests_failed_total", "counter", "Requests that ended with an error.", read_failed},
    {"realm_preemptions_total", "counter", "Sequences preempted.", read_preemptions},
    {"realm_rows_ahead_total",
     "counter",
     "Next tokens of steering programs computed before they asked.",
     read_rows_ahead},
    {"realm_rows_ahead_taken_total",
     "counter",
     "Of these, those that the programs asked for then.",
     read_rows_ahead_taken},
    {"realm_sequences_running", "gauge", "Sequences that hold pages.", read_running},
    {"realm_sequences_waiting", "gauge", "Sequences that wait for a place.", read_waiting},
    {"realm_kv_pages_used", "gauge", "KV pages in use.", read_pages_used},
    {"realm_kv_pages_cached",
     "gauge",
     "KV pages in nobody's use whose content can be found.",
     read_pages_cached},
    {"realm_kv_pages", "gauge", "KV pages there are.", read_pages},
    {"realm_kv_cache_usage_ratio", "gauge", "Part of the KV pages in use.", read_usage},
};

static const struct {
    const char *name;
    const char *help;
} histograms[ENGINE_N_HISTOGRAMS] = {
    [ENGINE_TIME_TO_FIRST_TOKEN] = {"realm_time_to_first_token_seconds",
                                    "From a request's arrival at the engine to its first token."},
    [ENGINE_INTER_TOKEN_LATENCY] = {"realm_inter_token_latency_seconds",
                                    "Between two tokens of a sequence."},
    [ENGINE_REQUEST_LATENCY] = {"realm_e2e_request_latency_seconds",
                                "From a request's arrival at the engine to its last token."},
    [ENGINE_QUEUE_TIME] = {"realm_request_queue_time_seconds",
                           "From a request's arrival at the engine to its first step."},
    [ENGINE_STEP_TIME] = {"realm_step_seconds", "Time of a step."},
    [ENGINE_STEP_ROWS] = {"realm_step_tokens", "Tokens a step computed."},
    [ENGINE_STEP_SEQUENCES] = {"realm_step_sequences", "Sequences in a step."},
};

static void write_head(struct strbuf *out, const char *name, const char *type, const char *help)
{
    strbuf_append_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value between quotes: backslash, quote and line feed are escaped. */
static void write_label(struct strbuf *out, const char *name, const char *value)
{
    strbuf_append_format(out, "%s=\"", name);
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '\\' || *c == '"') {
            strbuf_append(out, "\\", 1);
        }
        strbuf_append(out, *c == '\n' ? "\\n" : c, *c == '\n' ? 2 : 1);
    }
    strbuf_append(out, "\"", 1);
}

static void write_number(struct strbuf *out, const char *name, const char *model, double value)
{
    strbuf_append_format(out, "%s{", name);
    write_label(out, "model", model);
    strbuf_append_format(out, "} %.17g\n", value);
}

static void write_histogram(struct strbuf *out,
                            const char *name,
                            const char *model,
                            const struct engine_histogram *histogram)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i <= histogram->n_bounds; i++) {
        n += histogram->counts[i];
        strbuf_append_format(out, "%s_bucket{", name);
        write_label(out, "model", model);
        if (i < histogram->n_bounds) {
            strbuf_append_format(out, ",le=\"%g\"} ", histogram->bounds[i]);
        } else {
            strbuf_append_text(out, ",le=\"+Inf\"} ");
        }
        strbuf_append_format(out, "%llu\n", (unsigned long long)n);
    }
    strbuf_append_format(out, "%s_sum{", name);
    write_label(out, "model", model);
    strbuf_append_format(out, "} %.17g\n%s_count{", histogram->sum, name);
    write_label(out, "model", model);
    strbuf_append_format(out, "} %llu\n", (unsigned long long)n);
}

static void write_models(struct strbuf *out, struct engine *engine)
{
    struct engine_stats stats;
    const uint32_t n_models = engine_n_models(engine);
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++) {
        write_head(out, families[f].name, families[f].type, families[f].help);
        for (uint32_t i = 0; i < n_models; i++) {
            const struct engine_model *const model = engine_model_at(engine, i);
            engine_model_stats(model, &stats);
            write_number(out, families[f].name, engine_model_name(model), families[f].read(&stats));
        }
    }
    for (uint32_t h = 0; h < ENGINE_N_HISTOGRAMS; h++) {
        write_head(out, histograms[h].name, "histogram", histograms[h].help);
        for (uint32_t i = 0; i < n_models; i++) {
            const struct engine_model *const model = engine_model_at(engine, i);
            engine_model_stats(model, &stats);
            write_histogram(
                out, histograms[h].name, engine_model_name(model), &stats.histograms[h]);
        }
    }
}

static const struct {
    const char *name;
    const char *type;
    const char *help;
    double (*read)(const struct account_stats *stats);
} tenant_families[] = {
    {"realm_tenant_prompt_tokens_total", "counter", "Prompt tokens.", read_tenant_prompt},
    {"realm_tenant_prompt_tokens_cached_total",
     "counter",
     "Prompt tokens found in the prefix cache.",
     read_tenant_cached},
    {"realm_tenant_generation_tokens_total",
     "counter",
     "Completion tokens.",
     read_tenant_completion},
    {"realm_tenant_preemptions_total", "counter", "Sequences preempted.", read_tenant_preemptions},
    {"realm_tenant_requests_rejected_total",
     "counter",
     "Requests over the tenant's bound.",
     read_tenant_rejected},
    {"realm_tenant_requests", "gauge", "Requests running and waiting.", read_tenant_pending},
};

/* So many tenants have lines of their own, in order of their making; more would make the page
 * longer than anybody stores. */
#define MAX_TENANTS 256u

static void write_tenants(struct strbuf *out, const struct tenant_registry *registry)
{
    struct account_stats stats;
    for (size_t f = 0; f < sizeof tenant_families / sizeof tenant_families[0]; f++) {
        const struct account *account;
        write_head(out, tenant_families[f].name, tenant_families[f].type, tenant_families[f].help);
        for (uint32_t i = 0;
             i < MAX_TENANTS && (account = tenant_registry_account_at(registry, i)) != NULL;
             i++) {
            account_stats(account, &stats);
            strbuf_append_format(out, "%s{", tenant_families[f].name);
            write_label(out, "tenant", account_label(account));
            strbuf_append_format(out, "} %.17g\n", tenant_families[f].read(&stats));
        }
    }
}

/* --- programs ----------------------------------------------------------------------------------
 */

struct program_lines {
    struct strbuf *out;
    uint32_t n_tenants;
    void (*write)(struct strbuf *out, const char *tenant, const struct sandbox_stats *stats);
};

static void write_count(
    struct strbuf *out, const char *tenant, const char *label, const char *value, uint64_t n)
{
    strbuf_append_char(out, '{');
    write_label(out, "tenant", tenant);
    if (label != NULL) {
        strbuf_append_char(out, ',');
        write_label(out, label, value);
    }
    strbuf_append_format(out, "} %llu\n", (unsigned long long)n);
}

static void
write_instances(struct strbuf *out, const char *tenant, const struct sandbox_stats *stats)
{
    strbuf_append_text(out, "realm_sandbox_instances");
    write_count(out, tenant, NULL, NULL, stats->instances);
}

static void write_runs(struct strbuf *out, const char *tenant, const struct sandbox_stats *stats)
{
    const struct {
        const char *outcome;
        uint64_t n;
    } outcomes[] = {{"succeeded", stats->succeeded},
                    {"failed", stats->failed},
                    {"cancelled", stats->cancelled}};
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        strbuf_append_text(out, "realm_sandbox_runs_total");
        write_count(out, tenant, "outcome", outcomes[i].outcome, outcomes[i].n);
    }
}

static void
write_breaches(struct strbuf *out, const char *tenant, const struct sandbox_stats *stats)
{
    const char *limit;
    for (uint32_t i = 0; (limit = sandbox_limit_name(i)) != NULL; i++) {
        if (stats->breaches[i] > 0) {
            strbuf_append_text(out, "realm_sandbox_breaches_total");
            write_count(out, tenant, "limit", limit, stats->breaches[i]);
        }
    }
}

static void
write_host_calls(struct strbuf *out, const char *tenant, const struct sandbox_stats *stats)
{
    strbuf_append_text(out, "realm_sandbox_host_calls_total");
    write_count(out, tenant, NULL, NULL, stats->host_calls);
}

static void visit_tenant(void *context, const char *label, const struct sandbox_stats *stats)
{
    struct program_lines *const lines = context;
    if (lines->n_tenants++ < MAX_TENANTS) {
        lines->write(lines->out, label, stats);
    }
}

static void write_programs(struct strbuf *out, struct shelf_room *programs)
{
    static const struct {
        const char *name;
        const char *type;
        const char *help;
        void (*write)(struct strbuf *out, const char *tenant, const struct sandbox_stats *stats);
    } program_families[] = {
        {"realm_sandbox_instances", "gauge", "Programs running.", write_instances},
        {"realm_sandbox_runs_total", "counter", "Programs' runs by their end.", write_runs},
        {"realm_sandbox_breaches_total",
         "counter",
         "Runs ended, and modules refused, by a limit.",
         write_breaches},
        {"realm_sandbox_host_calls_total", "counter", "Calls of guests.", write_host_calls},
    };
    for (size_t f = 0; f < sizeof program_families / sizeof program_families[0]; f++) {
        struct program_lines lines = {.out = out, .write = program_families[f].write};
        write_head(
            out, program_families[f].name, program_families[f].type, program_families[f].help);
        shelf_room_each(programs, visit_tenant, &lines);
    }
}

static void write_adapters(struct strbuf *out, struct engine *engine)
{
    uint32_t n_adapters;
    const uint64_t n_bytes = engine_adapters_bytes(engine, &n_adapters);
    write_head(out, "realm_adapters", "gauge", "LoRA adapters loaded.");
    strbuf_append_format(out, "realm_adapters %u\n", n_adapters);
    write_head(out, "realm_adapter_bytes", "gauge", "Memory of the loaded adapters.");
    strbuf_append_format(out, "realm_adapter_bytes %llu\n", (unsigned long long)n_bytes);
}

static void write_answers(struct strbuf *out, const struct server *server)
{
    write_head(out, "realm_http_answers_total", "counter", "HTTP answers by class of status.");
    for (uint32_t i = 2; i < 6; i++) {
        strbuf_append_format(out,
                             "realm_http_answers_total{class=\"%uxx\"} %llu\n",
                             i,
                             (unsigned long long)server->answers[i]);
    }
}

static void write_exporter(struct strbuf *out, const struct exporter *exporter)
{
    struct exporter_counts counts = {.sent = 0};
    if (exporter != NULL) {
        counts = exporter_read_counts(exporter);
    }
    write_head(out, "realm_spans_sent_total", "counter", "Spans that the collector has taken.");
    strbuf_append_format(out, "realm_spans_sent_total %llu\n", (unsigned long long)counts.sent);
    write_head(out,
               "realm_spans_dropped_total",
               "counter",
               "Spans that were dropped: the collector did not take them, or not as fast.");
    strbuf_append_format(
        out, "realm_spans_dropped_total %llu\n", (unsigned long long)counts.dropped);
}

void answer_metrics(struct exchange *exchange)
{
    struct server *const server = exchange->server;
    write_models(&exchange->out, server->engine);
    write_tenants(&exchange->out, server->registry);
    write_programs(&exchange->out, server->programs);
    write_adapters(&exchange->out, server->engine);
    write_answers(&exchange->out, server);
    write_exporter(&exchange->out, server->exporter);
    exchange->content_type = "text/plain; version=0.0.4; charset=utf-8";
    exchange->complete = true;
}
