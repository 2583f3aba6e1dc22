/* realm usage: what tenants have used, and what it cost. */
#include "base/clock.h"
#include "cli/command.h"
#include "cli/decimal.h"
#include "cli/json_out.h"
#include "cli/moment.h"
#include "cli/paths.h"
#include "tenant/usage.h"

#include <stdio.h>
#include <string.h>

static const char by_names[] = "tenant|model|key|day";

struct usage_options {
    const char *data;
    const char *tenant;
    const char *since;
    const char *until;
    uint32_t by;
    bool json;
    bool csv;
};

struct report {
    const struct usage_options *options;
    struct json_out json;
};

static void print_head(const struct usage_options *options)
{
    static const char *const heads[] = {"TENANT", "MODEL", "KEY", "DAY"};
    static const char *const names[] = {"tenant", "model", "key", "day"};
    if (options->csv) {
        printf("%s,requests,prompt_tokens,cached_tokens,completion_tokens,cost,currency\n",
               names[options->by]);
    } else if (!options->json) {
        printf("%-24s %10s %14s %14s %14s %14s\n",
               heads[options->by],
               "REQUESTS",
               "PROMPT",
               "CACHED",
               "COMPLETION",
               "COST");
    }
}

static void put_json(struct json_out *json,
                     const struct usage_options *options,
                     const struct usage_sum *sum,
                     const char *cost)
{
    static const char *const names[] = {"tenant", "model", "key", "day"};
    json_out_begin_object(json, NULL);
    json_out_text(json, names[options->by], sum->group);
    json_out_u64(json, "requests", sum->n_requests);
    json_out_u64(json, "prompt_tokens", sum->prompt_tokens);
    json_out_u64(json, "cached_tokens", sum->cached_tokens);
    json_out_u64(json, "completion_tokens", sum->completion_tokens);
    json_out_text(json, "cost", cost);
    json_out_text(json, "currency", sum->currency);
    json_out_end_object(json);
}

/* A field of CSV (RFC 4180). */
static void print_csv_text(const char *text)
{
    if (strpbrk(text, ",\"\n") == NULL) {
        printf("%s", text);
        return;
    }
    printf("\"");
    for (const char *at = text; *at != '\0'; at++) {
        printf(*at == '"' ? "\"\"" : "%c", *at);
    }
    printf("\"");
}

static realm_status
report_one(void *context, const struct usage_sum *sum, struct realm_error *error)
{
    struct report *const report = context;
    char cost[DECIMAL_BYTES];
    (void)error;
    decimal_write(sum->cost_micro, cost);
    if (report->options->json) {
        put_json(&report->json, report->options, sum, cost);
    } else if (report->options->csv) {
        print_csv_text(sum->group);
        printf(",%llu,%llu,%llu,%llu,%s,",
               (unsigned long long)sum->n_requests,
               (unsigned long long)sum->prompt_tokens,
               (unsigned long long)sum->cached_tokens,
               (unsigned long long)sum->completion_tokens,
               cost);
        print_csv_text(sum->currency);
        printf("\n");
    } else {
        printf("%-24s %10llu %14llu %14llu %14llu %14s %s\n",
               sum->group,
               (unsigned long long)sum->n_requests,
               (unsigned long long)sum->prompt_tokens,
               (unsigned long long)sum->cached_tokens,
               (unsigned long long)sum->completion_tokens,
               cost,
               sum->currency);
    }
    return REALM_OK;
}

static realm_status open_usage(const char *data, struct usage **out, struct realm_error *error)
{
    char folder[PATHS_BYTES];
    if (data != NULL) {
        return usage_open(data, out, error);
    }
    REALM_TRY(paths_data_folder(folder, error));
    return usage_open(folder, out, error);
}

static realm_status report(const struct usage_options *options, struct realm_error *error)
{
    struct report report = {.options = options};
    struct usage *usage;
    struct usage_question question = {
        .tenant = options->tenant, .until_ms = INT64_MAX, .by = (enum usage_by)options->by};
    REALM_TRY(moment_parse(options->since, clock_wall_ms(), &question.since_ms, error));
    if (options->until != NULL) {
        REALM_TRY(moment_parse(options->until, clock_wall_ms(), &question.until_ms, error));
    }
    REALM_TRY(open_usage(options->data, &usage, error));
    json_out_init(&report.json);
    json_out_begin_array(&report.json, NULL);
    print_head(options);
    const realm_status status = usage_each(usage, &question, report_one, &report, error);
    json_out_end_array(&report.json);
    usage_close(usage);
    if (status == REALM_OK && options->json) {
        return json_out_print(&report.json, error);
    }
    json_out_deinit(&report.json);
    return status;
}

realm_status cmd_usage(int argc, char **argv, struct realm_error *error)
{
    struct usage_options options = {.since = "30d"};
    const struct arg_option table[] = {
        {"tenant", 0, ARG_TEXT, &options.tenant, "NAME", "only this tenant's", 0, 0},
        {"since",
         0,
         ARG_TEXT,
         &options.since,
         "WHEN",
         "2026-01-31 (UTC), or 7d, 24h ago (30d)",
         0,
         0},
        {"until", 0, ARG_TEXT, &options.until, "WHEN", "before this moment (now)", 0, 0},
        {"by", 0, ARG_CHOICE, &options.by, by_names, "what is summed up (tenant)", 0, 0},
        {"csv", 0, ARG_FLAG, &options.csv, NULL, "for spreadsheets", 0, 0},
        {"json", 0, ARG_FLAG, &options.json, NULL, "for machines", 0, 0},
        {"data",
         0,
         ARG_TEXT,
         &options.data,
         "DIR",
         "the server's data (~/.local/share/realm)",
         0,
         0},
        {0}};
    const struct arg_command command = {
        .usage = "realm usage [options]",
        .summary = "Tokens that were used, and what they cost by the prices of their time.",
        .examples = "  realm usage --since 7d\n"
                    "  realm usage --tenant acme --since 2026-01-01 --by day --csv\n",
        .options = table,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    if (options.csv && options.json) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "--csv and --json exclude each other; give one");
    }
    return report(&options, error);
}
