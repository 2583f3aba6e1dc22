/* realm tenant: create, list, show, set, delete. */
#include "cli/json_out.h"
#include "cli/limit_options.h"
#include "cli/paths.h"
#include "cli/store_command.h"
#include "cli/subcommands.h"

#include <stdio.h>
#include <string.h>

/* Options of the commands; each shows those it takes. */
struct tenant_options {
    const char *data;
    struct limit_options limits;
    bool disable;
    bool enable;
    bool yes;
    bool json;
};

static realm_status
apply(const struct tenant_options *options, struct tenant_record *record, struct realm_error *error)
{
    record->disabled = options->disable || (record->disabled && !options->enable);
    return limit_options_apply(&options->limits, &record->limits, error);
}

static void put_json(struct json_out *out, const struct tenant_record *record)
{
    json_out_begin_object(out, NULL);
    json_out_text(out, "name", record->name);
    json_out_i64(out, "created", record->created_s);
    json_out_bool(out, "disabled", record->disabled);
    limit_options_put_json(&record->limits, false, out);
    json_out_end_object(out);
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
    limit_options_print(&record->limits, false);
    return REALM_OK;
}

static realm_status create(int argc, char **argv, struct realm_error *error)
{
    struct tenant_options options = {.data = NULL};
    const struct arg_option rest[] = {
        STORE_DATA_OPTION(options.data), STORE_JSON_OPTION(options.json), {0}};
    struct arg_option table[LIMIT_OPTIONS_MAX];
    limit_options_make(&options.limits, false, rest, table);
    const struct arg_command command = {
        .usage = "realm tenant create NAME [options]",
        .summary = "Makes a tenant; keys for it come from realm key create.",
        .examples = "  realm tenant create acme --weight 2 --max-concurrent 16\n"
                    "  realm tenant create trial --tokens-per-day 100000 --models smollm2\n",
        .options = table,
        .min_operands = 1,
        .max_operands = 1,
    };
    const char *name = NULL;
    struct store *store;
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &name, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    struct tenant_record record = {.id = 0};
    realm_status status = tenant_name_check(name, error);
    if (status == REALM_OK) {
        (void)snprintf(record.name, sizeof record.name, "%s", name);
        status = apply(&options, &record, error);
    }
    if (status == REALM_OK) {
        status = tenant_make(store, paths_actor(), &record, error);
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
        printf("%-24s %6llu  %8d  %s\n",
               record->name,
               (unsigned long long)(record->limits.weight == 0 ? 1 : record->limits.weight),
               record->limits.priority,
               record->disabled ? "disabled" : "");
    }
    return REALM_OK;
}

static realm_status list(int argc, char **argv, struct realm_error *error)
{
    struct tenant_options options = {.data = NULL};
    const struct arg_option table[] = {
        STORE_DATA_OPTION(options.data), STORE_JSON_OPTION(options.json), {0}};
    const struct arg_command command = {
        .usage = "realm tenant list [options]", .summary = "The tenants.", .options = table};
    const char *name = NULL;
    struct store *store;
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &name, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    struct json_out json;
    json_out_init(&json);
    json_out_begin_array(&json, NULL);
    if (!options.json) {
        printf("%-24s %6s  %8s\n", "TENANT", "WEIGHT", "PRIORITY");
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
    struct tenant_options options = {.data = NULL};
    const struct arg_option table[] = {
        STORE_DATA_OPTION(options.data), STORE_JSON_OPTION(options.json), {0}};
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
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &name, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    const realm_status status = store_find_tenant(store, name, &record, error);
    store_close(store);
    return status == REALM_OK ? show(&options, &record, error) : status;
}

static realm_status set(int argc, char **argv, struct realm_error *error)
{
    struct tenant_options options = {.data = NULL};
    const struct arg_option rest[] = {
        {"disable", 0, ARG_FLAG, &options.disable, NULL, "refuse its keys", 0, 0},
        {"enable", 0, ARG_FLAG, &options.enable, NULL, "take them again", 0, 0},
        STORE_DATA_OPTION(options.data),
        STORE_JSON_OPTION(options.json),
        {0}};
    struct arg_option table[LIMIT_OPTIONS_MAX];
    limit_options_make(&options.limits, false, rest, table);
    const struct arg_command command = {
        .usage = "realm tenant set NAME [options]",
        .summary = "Changes limits; acts at once on a running server.",
        .examples = "  realm tenant set acme --requests-per-minute 60 --priority low\n"
                    "  realm tenant set acme --tokens-per-day 0        no limit any more\n"
                    "  realm tenant set acme --disable\n",
        .options = table,
        .min_operands = 1,
        .max_operands = 1,
    };
    const char *name = NULL;
    struct store *store;
    struct tenant_record record;
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &name, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    realm_status status = store_find_tenant(store, name, &record, error);
    if (status == REALM_OK) {
        status = apply(&options, &record, error);
    }
    if (status == REALM_OK) {
        status = store_set_tenant(store, paths_actor(), &record, error);
    }
    store_close(store);
    return status == REALM_OK ? show(&options, &record, error) : status;
}

static realm_status delete(int argc, char **argv, struct realm_error *error)
{
    struct tenant_options options = {.data = NULL};
    const struct arg_option table[] = {{"yes", 0, ARG_FLAG, &options.yes, NULL, "really", 0, 0},
                                       STORE_DATA_OPTION(options.data),
                                       {0}};
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
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &name, &store, error));
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
        status = store_remove_tenant(store, paths_actor(), &record, error);
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
