/* realm key: create, list, set, disable, enable, revoke, rotate. */
#include "base/clock.h"
#include "cli/json_out.h"
#include "cli/limit_options.h"
#include "cli/paths.h"
#include "cli/store_command.h"
#include "cli/subcommands.h"

#include <stdio.h>
#include <string.h>

#define SECONDS_A_DAY   86400
#define DEFAULT_GRACE_S 3600u

struct key_options {
    const char *data;
    const char *tenant;
    const char *name;
    const char *scopes;
    uint32_t days;
    uint32_t grace_s;
    struct limit_options limits;
    bool json;
};

static const struct key_options defaults = {
    .tenant = "default", .name = "", .scopes = "inference", .grace_s = DEFAULT_GRACE_S};

static const char *state_of(const struct key_record *record)
{
    if (record->disabled) {
        return "disabled";
    }
    return record->expires_s != 0 && record->expires_s <= clock_wall_s() ? "expired" : "";
}

static void put_json(struct json_out *out,
                     const struct key_record *record,
                     const char *tenant,
                     const char *text)
{
    char scopes[SCOPES_TEXT_BYTES];
    tenant_scopes_write(record->scopes, scopes);
    json_out_begin_object(out, NULL);
    json_out_text(out, "id", record->id);
    json_out_text(out, "tenant", tenant);
    json_out_text(out, "name", record->name);
    json_out_text(out, "scopes", scopes);
    json_out_i64(out, "created", record->created_s);
    json_out_i64(out, "expires", record->expires_s);
    json_out_bool(out, "disabled", record->disabled);
    limit_options_put_json(&record->limits, true, out);
    if (text != NULL) {
        json_out_text(out, "key", text);
    }
    json_out_end_object(out);
}

/* The key itself, the only time. */
static realm_status show_new(const struct key_options *options,
                             const struct key_record *record,
                             const char *tenant,
                             const char *text,
                             struct realm_error *error)
{
    if (options->json) {
        struct json_out out;
        json_out_init(&out);
        put_json(&out, record, tenant, text);
        return json_out_print(&out, error);
    }
    printf("%s\n", text);
    (void)fprintf(stderr, "key %s of tenant %s: shown once, keep it\n", record->id, tenant);
    return REALM_OK;
}

/* What it may use, without the key. */
static realm_status show_limits(const struct key_options *options,
                                const struct key_record *record,
                                struct realm_error *error)
{
    if (options->json) {
        struct json_out out;
        json_out_init(&out);
        json_out_begin_object(&out, NULL);
        json_out_text(&out, "id", record->id);
        json_out_text(&out, "name", record->name);
        json_out_i64(&out, "expires", record->expires_s);
        limit_options_put_json(&record->limits, true, &out);
        json_out_end_object(&out);
        return json_out_print(&out, error);
    }
    printf("%s  %s\n", record->id, record->name);
    limit_options_print(&record->limits, true);
    return REALM_OK;
}

static realm_status make(struct store *store,
                         const struct key_options *options,
                         struct key_record *record,
                         char text[KEY_TEXT_LENGTH + 1],
                         struct realm_error *error)
{
    struct tenant_record tenant;
    REALM_TRY(tenant_scopes_parse(options->scopes, &record->scopes, error));
    REALM_TRY(store_find_tenant(store, options->tenant, &tenant, error));
    record->tenant = tenant.id;
    record->expires_s =
        options->days > 0 ? clock_wall_s() + (int64_t)options->days * SECONDS_A_DAY : 0;
    (void)snprintf(record->name, sizeof record->name, "%s", options->name);
    REALM_TRY(limit_options_apply(&options->limits, &record->limits, error));
    return tenant_make_key(store, paths_actor(), record, text, error);
}

static realm_status create(int argc, char **argv, struct realm_error *error)
{
    struct key_options options = defaults;
    const struct arg_option rest[] = {
        {"tenant", 0, ARG_TEXT, &options.tenant, "NAME", "whose it is (default)", 0, 0},
        {"name", 0, ARG_TEXT, &options.name, "TEXT", "what it is for, to find it again", 0, 0},
        {"scopes",
         0,
         ARG_TEXT,
         &options.scopes,
         "LIST",
         "of inference,programs,admin,metrics; or all (inference)",
         0,
         0},
        {"expires", 0, ARG_U32, &options.days, "DAYS", "ends by itself (never)", 1, 36500},
        STORE_DATA_OPTION(options.data),
        STORE_JSON_OPTION(options.json),
        {0}};
    struct arg_option table[LIMIT_OPTIONS_MAX];
    limit_options_make(&options.limits, true, rest, table);
    const struct arg_command command = {
        .usage = "realm key create [options]",
        .summary = "Makes a key and shows it, once; only its hash is kept.",
        .examples = "  realm key create --tenant acme --name ci --expires 90\n"
                    "  realm key create --tenant acme --requests-per-minute 10 --models smollm2\n"
                    "  realm key create --scopes metrics\n",
        .options = table,
    };
    const char *operand = NULL;
    struct store *store;
    struct key_record record = {.tenant = 0};
    char text[KEY_TEXT_LENGTH + 1];
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &operand, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    const realm_status status = make(store, &options, &record, text, error);
    store_close(store);
    return status == REALM_OK ? show_new(&options, &record, options.tenant, text, error) : status;
}

struct listing {
    const char *only; /* tenant; NULL: all */
    struct json_out *json;
};

static realm_status
list_one(void *context, const struct key_record *record, struct realm_error *error)
{
    struct listing *const listing = context;
    char scopes[SCOPES_TEXT_BYTES];
    (void)error;
    if (listing->only != NULL && strcmp(listing->only, record->tenant_name) != 0) {
        return REALM_OK;
    }
    tenant_scopes_write(record->scopes, scopes);
    if (listing->json != NULL) {
        put_json(listing->json, record, record->tenant_name, NULL);
    } else {
        printf("%-8s  %-20s %-20s %-34s %s\n",
               record->id,
               record->tenant_name,
               record->name,
               scopes,
               state_of(record));
    }
    return REALM_OK;
}

static realm_status list(int argc, char **argv, struct realm_error *error)
{
    struct key_options options = {.tenant = NULL};
    const struct arg_option table[] = {
        {"tenant", 0, ARG_TEXT, &options.tenant, "NAME", "only this tenant's", 0, 0},
        STORE_DATA_OPTION(options.data),
        STORE_JSON_OPTION(options.json),
        {0}};
    const struct arg_command command = {.usage = "realm key list [options]",
                                        .summary = "The keys, by their ids.",
                                        .options = table};
    struct listing listing;
    const char *operand = NULL;
    struct store *store;
    struct json_out json;
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &operand, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    json_out_init(&json);
    json_out_begin_array(&json, NULL);
    listing = (struct listing){.only = options.tenant, .json = options.json ? &json : NULL};
    if (!options.json) {
        printf("%-8s  %-20s %-20s %-34s\n", "KEY", "TENANT", "NAME", "SCOPES");
    }
    const realm_status status = store_each_key(store, list_one, &listing, error);
    json_out_end_array(&json);
    store_close(store);
    if (status == REALM_OK && options.json) {
        return json_out_print(&json, error);
    }
    json_out_deinit(&json);
    return status;
}

/* Commands on one key. */
static realm_status on_key(const char *usage,
                           const char *summary,
                           int argc,
                           char **argv,
                           realm_status (*act)(struct store *store,
                                               struct key_record *record,
                                               struct realm_error *error),
                           struct realm_error *error)
{
    struct key_options options = defaults;
    const struct arg_option table[] = {STORE_DATA_OPTION(options.data), {0}};
    const struct arg_command command = {
        .usage = usage, .summary = summary, .options = table, .min_operands = 1, .max_operands = 1};
    const char *id = NULL;
    struct store *store;
    struct key_record record;
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &id, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    realm_status status = store_find_key(store, id, &record, error);
    if (status == REALM_OK) {
        status = act(store, &record, error);
    }
    store_close(store);
    return status;
}

static realm_status
act_disable(struct store *store, struct key_record *record, struct realm_error *error)
{
    record->disabled = true;
    return store_set_key(store, paths_actor(), record, error);
}

static realm_status
act_enable(struct store *store, struct key_record *record, struct realm_error *error)
{
    record->disabled = false;
    return store_set_key(store, paths_actor(), record, error);
}

static realm_status
act_revoke(struct store *store, struct key_record *record, struct realm_error *error)
{
    return store_remove_key(store, paths_actor(), record->id, error);
}

static realm_status disable(int argc, char **argv, struct realm_error *error)
{
    return on_key("realm key disable ID",
                  "Refuses a key until it is enabled.",
                  argc,
                  argv,
                  act_disable,
                  error);
}

static realm_status enable(int argc, char **argv, struct realm_error *error)
{
    return on_key(
        "realm key enable ID", "Takes a disabled key again.", argc, argv, act_enable, error);
}

static realm_status revoke(int argc, char **argv, struct realm_error *error)
{
    return on_key("realm key revoke ID", "Removes a key for good.", argc, argv, act_revoke, error);
}

static realm_status set(int argc, char **argv, struct realm_error *error)
{
    struct key_options options = {.name = NULL};
    const struct arg_option rest[] = {
        {"name", 0, ARG_TEXT, &options.name, "TEXT", "what it is for", 0, 0},
        {"expires", 0, ARG_U32, &options.days, "DAYS", "ends by itself, from now", 1, 36500},
        STORE_DATA_OPTION(options.data),
        STORE_JSON_OPTION(options.json),
        {0}};
    struct arg_option table[LIMIT_OPTIONS_MAX];
    limit_options_make(&options.limits, true, rest, table);
    const struct arg_command command = {
        .usage = "realm key set ID [options]",
        .summary = "Changes what a key may use, beside what its tenant may; acts at once.",
        .examples = "  realm key set 1f0c88aa --tokens-per-day 20000\n"
                    "  realm key set 1f0c88aa --models smollm2,gemma3\n",
        .options = table,
        .min_operands = 1,
        .max_operands = 1,
    };
    const char *id = NULL;
    struct store *store;
    struct key_record record;
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &id, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    realm_status status = store_find_key(store, id, &record, error);
    if (status == REALM_OK) {
        status = limit_options_apply(&options.limits, &record.limits, error);
    }
    if (status == REALM_OK) {
        if (options.name != NULL) {
            (void)snprintf(record.name, sizeof record.name, "%s", options.name);
        }
        if (options.days > 0) {
            record.expires_s = clock_wall_s() + (int64_t)options.days * SECONDS_A_DAY;
        }
        status = store_set_key(store, paths_actor(), &record, error);
    }
    store_close(store);
    return status == REALM_OK ? show_limits(&options, &record, error) : status;
}

static realm_status rotate(int argc, char **argv, struct realm_error *error)
{
    struct key_options options = defaults;
    const struct arg_option table[] = {
        {"grace", 0, ARG_U32, &options.grace_s, "S", "seconds both keys hold (3600)", 0, 1 << 30},
        STORE_DATA_OPTION(options.data),
        STORE_JSON_OPTION(options.json),
        {0}};
    const struct arg_command command = {
        .usage = "realm key rotate ID [options]",
        .summary = "Makes a successor with the same rights; the old key ends after the grace.",
        .examples = "  realm key rotate 1f0c88aa --grace 86400\n",
        .options = table,
        .min_operands = 1,
        .max_operands = 1,
    };
    const char *id = NULL;
    struct store *store;
    struct key_record fresh;
    char text[KEY_TEXT_LENGTH + 1];
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &id, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    const realm_status status =
        tenant_rotate_key(store, paths_actor(), id, options.grace_s, &fresh, text, error);
    store_close(store);
    return status == REALM_OK ? show_new(&options, &fresh, fresh.tenant_name, text, error) : status;
}

static const struct command_row rows[] = {
    {"create", create, "make a key; it is shown once"},
    {"list", list, "the keys, by their ids"},
    {"set", set, "change what it may use"},
    {"disable", disable, "refuse a key until it is enabled"},
    {"enable", enable, "take it again"},
    {"revoke", revoke, "remove a key for good"},
    {"rotate", rotate, "a successor; the old key ends after a while"},
    {0},
};

realm_status cmd_key(int argc, char **argv, struct realm_error *error)
{
    const struct subcommands commands = {
        .name = "key",
        .summary = "API keys: made and shown once, kept as hashes.",
        .rows = rows,
        .examples = "  realm key create --tenant acme --name laptop\n"
                    "  realm key list\n"
                    "  realm key rotate 1f0c88aa --grace 86400\n",
    };
    return subcommands_run(&commands, argc, argv, error);
}
