/* realm tenant: create, list, show, set, delete. */
#include "base/clock.h"
#include "cli/json_out.h"
#include "cli/paths.h"
#include "cli/subcommands.h"
#include "tenant/tenant.h"

#include <stdio.h>
#include <string.h>

#define KEEP UINT32_MAX /* the option was not given */

/* Options of the commands; each shows those it takes. */
struct tenant_options {
    const char *data;
    struct tenant_limits limits;
    uint32_t priority; /* of the choice: low, normal, high */
    bool disable;
    bool enable;
    bool yes;
    bool json;
};

static const struct tenant_options nothing_given = {
    .limits = {.weight = KEEP, .max_running = KEEP, .max_waiting = KEEP, .max_pages = KEEP},
    .priority = KEEP,
};

static const char priority_names[] = "low|normal|high";

static realm_status
open_store(const struct tenant_options *options, struct store **out, struct realm_error *error)
{
    char folder[PATHS_BYTES];
    if (options->data != NULL) {
        return tenant_store_open(options->data, out, error);
    }
    REALM_TRY(paths_data_folder(folder, error));
    return tenant_store_open(folder, out, error);
}

static void take(uint32_t given, uint32_t *limit)
{
    if (given != KEEP) {
        *limit = given;
    }
}

static void apply(const struct tenant_options *options, struct tenant_record *record)
{
    take(options->limits.weight, &record->limits.weight);
    take(options->limits.max_running, &record->limits.max_running);
    take(options->limits.max_waiting, &record->limits.max_waiting);
    take(options->limits.max_pages, &record->limits.max_pages);
    if (options->priority != KEEP) {
        record->limits.priority = (int32_t)options->priority - 1;
    }
    record->disabled = options->disable || (record->disabled && !options->enable);
}

static const char *priority_name(int32_t priority)
{
    return priority < 0 ? "low" : priority > 0 ? "high" : "normal";
}

static void put_json(struct json_out *out, const struct tenant_record *record)
{
    const struct tenant_limits *const l = &record->limits;
    json_out_begin_object(out, NULL);
    json_out_text(out, "name", record->name);
    json_out_i64(out, "created", record->created_s);
    json_out_bool(out, "disabled", record->disabled);
    json_out_u64(out, "weight", l->weight == 0 ? 1 : l->weight);
    json_out_text(out, "priority", priority_name(l->priority));
    json_out_u64(out, "max_running", l->max_running);
    json_out_u64(out, "max_waiting", l->max_waiting);
    json_out_u64(out, "max_pages", l->max_pages);
    json_out_end_object(out);
}

static void put_limit(const char *name, uint32_t value)
{
    if (value == 0) {
        printf("  %-12s no limit\n", name);
    } else {
        printf("  %-12s %u\n", name, value);
    }
}

static realm_status show(const struct tenant_options *options,
                         const struct tenant_record *record,
                         struct realm_error *error)
{
    if (options->json) {
        struct json_out out;
        json_out_init(&out);
        put_json(&out, record);
        return json_out_print(&out, error);
    }
    printf("%s%s\n", record->name, record->disabled ? " (disabled)" : "");
    printf("  %-12s %u\n", "weight", record->limits.weight == 0 ? 1 : record->limits.weight);
    printf("  %-12s %s\n", "priority", priority_name(record->limits.priority));
    put_limit("max running", record->limits.max_running);
    put_limit("max waiting", record->limits.max_waiting);
    put_limit("max pages", record->limits.max_pages);
    return REALM_OK;
}

/* Parses; *record gets the tenant that the operand names, when `wanted`.  The store is open on
 * success and not for help. */
static realm_status begin(const struct arg_command *command,
                          int argc,
                          char **argv,
                          const struct tenant_options *options,
                          const char **name,
                          struct store **store,
                          struct realm_error *error)
{
    struct arg_operands operands;
    bool help;
    *store = NULL;
    REALM_TRY(args_parse(command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(command);
        return REALM_OK;
    }
    *name = operands.n > 0 ? operands.items[0] : NULL;
    return open_store(options, store, error);
}

#define DATA_OPTION                                                                                \
    {"data", 0, ARG_TEXT, &options.data, "DIR", "the server's data (~/.local/share/realm)", 0, 0}
#define JSON_OPTION {"json", 0, ARG_FLAG, &options.json, NULL, "for machines", 0, 0}
#define LIMIT_OPTIONS                                                                              \
    {"weight",                                                                                     \
     0,                                                                                            \
     ARG_U32,                                                                                      \
     &options.limits.weight,                                                                       \
     "N",                                                                                          \
     "share when the machine is short (1)",                                                        \
     1,                                                                                            \
     1000},                                                                                        \
        {"priority", 0, ARG_CHOICE, &options.priority, priority_names, "higher goes first", 0, 0}, \
        {"max-running",                                                                            \
         0,                                                                                        \
         ARG_U32,                                                                                  \
         &options.limits.max_running,                                                              \
         "N",                                                                                      \
         "sequences at once; 0: no limit",                                                         \
         0,                                                                                        \
         1 << 20},                                                                                 \
        {"max-waiting",                                                                            \
         0,                                                                                        \
         ARG_U32,                                                                                  \
         &options.limits.max_waiting,                                                              \
         "N",                                                                                      \
         "requests beyond those that may run; 0: no limit",                                        \
         0,                                                                                        \
         1 << 20},                                                                                 \
        {"max-pages",                                                                              \
         0,                                                                                        \
         ARG_U32,                                                                                  \
         &options.limits.max_pages,                                                                \
         "N",                                                                                      \
         "KV pages of 16 tokens at once; 0: no limit",                                             \
         0,                                                                                        \
         1 << 30}

static realm_status create(int argc, char **argv, struct realm_error *error)
{
    struct tenant_options options = nothing_given;
    const struct arg_option table[] = {LIMIT_OPTIONS, DATA_OPTION, JSON_OPTION, {0}};
    const struct arg_command command = {
        .usage = "realm tenant create NAME [options]",
        .summary = "Makes a tenant; keys for it come from realm key create.",
        .examples = "  realm tenant create acme --weight 2 --max-running 16\n",
        .options = table,
        .min_operands = 1,
        .max_operands = 1,
    };
    const char *name = NULL;
    struct store *store;
    REALM_TRY(begin(&command, argc, argv, &options, &name, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    struct tenant_record record = {.id = 0};
    realm_status status = tenant_name_check(name, error);
    if (status == REALM_OK) {
        (void)snprintf(record.name, sizeof record.name, "%s", name);
        apply(&options, &record);
        status = tenant_make(store, &record, error);
    }
    store_close(store);
    return status == REALM_OK ? show(&options, &record, error) : status;
}

static realm_status
list_one(void *context, const struct tenant_record *record, struct realm_error *error)
{
    (void)error;
    struct json_out *const json = context;
    if (json != NULL) {
        put_json(json, record);
    } else {
        printf("%-24s %6u  %-8s %s\n",
               record->name,
               record->limits.weight == 0 ? 1 : record->limits.weight,
               priority_name(record->limits.priority),
               record->disabled ? "disabled" : "");
    }
    return REALM_OK;
}

static realm_status list(int argc, char **argv, struct realm_error *error)
{
    struct tenant_options options = nothing_given;
    const struct arg_option table[] = {DATA_OPTION, JSON_OPTION, {0}};
    const struct arg_command command = {
        .usage = "realm tenant list [options]", .summary = "The tenants.", .options = table};
    const char *name = NULL;
    struct store *store;
    REALM_TRY(begin(&command, argc, argv, &options, &name, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    struct json_out json;
    json_out_init(&json);
    json_out_begin_array(&json, NULL);
    if (!options.json) {
        printf("%-24s %6s  %-8s\n", "TENANT", "WEIGHT", "PRIORITY");
    }
    const realm_status status =
        store_each_tenant(store, list_one, options.json ? &json : NULL, error);
    json_out_end_array(&json);
    store_close(store);
    if (status == REALM_OK && options.json) {
        return json_out_print(&json, error);
    }
    json_out_deinit(&json);
    return status;
}

static realm_status show_command(int argc, char **argv, struct realm_error *error)
{
    struct tenant_options options = nothing_given;
    const struct arg_option table[] = {DATA_OPTION, JSON_OPTION, {0}};
    const struct arg_command command = {
        .usage = "realm tenant show NAME [options]",
        .summary = "One tenant and its limits.",
        .options = table,
        .min_operands = 1,
        .max_operands = 1,
    };
    const char *name = NULL;
    struct store *store;
    struct tenant_record record;
    REALM_TRY(begin(&command, argc, argv, &options, &name, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    const realm_status status = store_find_tenant(store, name, &record, error);
    store_close(store);
    return status == REALM_OK ? show(&options, &record, error) : status;
}

static realm_status set(int argc, char **argv, struct realm_error *error)
{
    struct tenant_options options = nothing_given;
    const struct arg_option table[] = {
        LIMIT_OPTIONS,
        {"disable", 0, ARG_FLAG, &options.disable, NULL, "refuse its keys", 0, 0},
        {"enable", 0, ARG_FLAG, &options.enable, NULL, "take them again", 0, 0},
        DATA_OPTION,
        JSON_OPTION,
        {0}};
    const struct arg_command command = {
        .usage = "realm tenant set NAME [options]",
        .summary = "Changes limits; acts at once on a running server.",
        .examples = "  realm tenant set acme --max-running 4 --priority low\n"
                    "  realm tenant set acme --disable\n",
        .options = table,
        .min_operands = 1,
        .max_operands = 1,
    };
    const char *name = NULL;
    struct store *store;
    struct tenant_record record;
    REALM_TRY(begin(&command, argc, argv, &options, &name, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    realm_status status = store_find_tenant(store, name, &record, error);
    if (status == REALM_OK) {
        apply(&options, &record);
        status = store_set_tenant(store, &record, error);
    }
    store_close(store);
    return status == REALM_OK ? show(&options, &record, error) : status;
}

static realm_status delete(int argc, char **argv, struct realm_error *error)
{
    struct tenant_options options = nothing_given;
    const struct arg_option table[] = {
        {"yes", 0, ARG_FLAG, &options.yes, NULL, "really", 0, 0}, DATA_OPTION, {0}};
    const struct arg_command command = {
        .usage = "realm tenant delete NAME --yes",
        .summary = "Removes a tenant with all its keys.",
        .options = table,
        .min_operands = 1,
        .max_operands = 1,
    };
    const char *name = NULL;
    struct store *store;
    struct tenant_record record;
    REALM_TRY(begin(&command, argc, argv, &options, &name, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    realm_status status = store_find_tenant(store, name, &record, error);
    if (status == REALM_OK && !options.yes) {
        status = realm_error_set(error,
                                 REALM_INVALID_ARGUMENT,
                                 "this removes %s and all its keys for good; say --yes",
                                 record.name);
    }
    if (status == REALM_OK) {
        status = store_remove_tenant(store, record.id, error);
    }
    store_close(store);
    return status;
}

static const struct command_row rows[] = {
    {"create", create, "make a tenant"},
    {"list", list, "the tenants"},
    {"show", show_command, "one tenant and its limits"},
    {"set", set, "change limits, disable, enable"},
    {"delete", delete, "remove a tenant with its keys"},
    {0},
};

realm_status cmd_tenant(int argc, char **argv, struct realm_error *error)
{
    const struct subcommands commands = {
        .name = "tenant",
        .summary = "The customers of the server, and what each may have.",
        .rows = rows,
        .examples = "  realm tenant create acme --weight 2\n"
                    "  realm key create --tenant acme\n"
                    "  realm tenant set acme --max-running 8\n",
    };
    return subcommands_run(&commands, argc, argv, error);
}
