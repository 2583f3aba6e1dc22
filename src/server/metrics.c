/* GET /metrics: Prometheus text, version 0.0.4. */
#include "server/handlers.h"
#include "server/state.h"

static void
write_metric(struct strbuf *out, const char *name, const char *type, const char *help, double value)
{
    strbuf_append_format(
        out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, value);
}

void answer_metrics(struct exchange *exchange)
{
    struct server *const server = exchange->server;
    struct strbuf *const out = &exchange->out;
    struct engine_stats stats;
    engine_stats(server->engine, &stats);
    const struct {
        const char *name;
        const char *type;
        const char *help;
        double value;
    } rows[] = {
        {"realm_steps_total", "counter", "Steps run.", (double)stats.steps},
        {"realm_step_seconds_total", "counter", "Time in steps.", (double)stats.step_ns / 1e9},
        {"realm_prompt_tokens_total", "counter", "Prompt tokens.", (double)stats.prompt_tokens},
        {"realm_prompt_tokens_cached_total",
         "counter",
         "Prompt tokens found in the prefix cache.",
         (double)stats.cached_tokens},
        {"realm_generation_tokens_total",
         "counter",
         "Completion tokens.",
         (double)stats.completion_tokens},
        {"realm_requests_finished_total",
         "counter",
         "Requests answered in full.",
         (double)stats.requests_finished},
        {"realm_requests_cancelled_total",
         "counter",
         "Requests whose client went away.",
         (double)stats.requests_cancelled},
        {"realm_requests_failed_total",
         "counter",
         "Requests that ended with an error.",
         (double)stats.requests_failed},
        {"realm_preemptions_total", "counter", "Sequences preempted.", (double)stats.preemptions},
        {"realm_sequences_running", "gauge", "Sequences that hold pages.", stats.running},
        {"realm_sequences_waiting", "gauge", "Sequences that wait for pages.", stats.waiting},
        {"realm_kv_pages_used", "gauge", "KV pages in use.", stats.pages_used},
        {"realm_kv_pages_cached",
         "gauge",
         "KV pages in nobody's use whose content can be found.",
         stats.pages_cached},
        {"realm_kv_pages", "gauge", "KV pages there are.", stats.pages_total},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_metric(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    }
    strbuf_append_text(out,
                       "# HELP realm_http_answers_total HTTP answers by class of status.\n"
                       "# TYPE realm_http_answers_total counter\n");
    for (uint32_t i = 2; i < 6; i++) {
        strbuf_append_format(out,
                             "realm_http_answers_total{class=\"%uxx\"} %llu\n",
                             i,
                             (unsigned long long)server->answers[i]);
    }
    exchange->content_type = "text/plain; version=0.0.4; charset=utf-8";
    exchange->complete = true;
}
