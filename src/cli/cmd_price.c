/* realm price: set, list, rm. */
#include "cli/decimal.h"
#include "cli/json_out.h"
#include "cli/paths.h"
#include "cli/store_command.h"
#include "cli/subcommands.h"

#include <stdio.h>
#include <string.h>

struct price_options {
    const char *data;
    const char *input;
    const char *cached;
    const char *output;
    const char *currency;
    bool json;
};

static realm_status read_price(const struct price_options *options,
                               const char *model,
                               struct price_record *out,
                               struct realm_error *error)
{
    *out = (struct price_record){.input = 0};
    if (options->input == NULL || options->output == NULL) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "a price needs --input and --output, for a million tokens each");
    }
    if (strlen(model) >= sizeof out->model || strlen(options->currency) >= sizeof out->currency) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the model's name or the currency is too long (%zu and %zu bytes)",
                               sizeof out->model - 1,
                               sizeof out->currency - 1);
    }
    (void)snprintf(out->model, sizeof out->model, "%s", model);
    (void)snprintf(out->currency, sizeof out->currency, "%s", options->currency);
    REALM_TRY(decimal_parse(options->input, &out->input, error));
    REALM_TRY(decimal_parse(options->output, &out->output, error));
    out->cached = out->input;
    return options->cached != NULL ? decimal_parse(options->cached, &out->cached, error) : REALM_OK;
}

static realm_status set(int argc, char **argv, struct realm_error *error)
{
    struct price_options options = {.currency = "USD"};
    const struct arg_option table[] = {
        {"input", 0, ARG_TEXT, &options.input, "AMOUNT", "for a million tokens of prompts", 0, 0},
        {"cached",
         0,
         ARG_TEXT,
         &options.cached,
         "AMOUNT",
         "for those found in the prefix cache (as --input)",
         0,
         0},
        {"output", 0, ARG_TEXT, &options.output, "AMOUNT", "for a million tokens of answers", 0, 0},
        {"currency", 0, ARG_TEXT, &options.currency, "CODE", "shown beside it (USD)", 0, 0},
        STORE_DATA_OPTION(options.data),
        {0}};
    const struct arg_command command = {
        .usage = "realm price set MODEL --input AMOUNT --output AMOUNT [options]",
        .summary = "Prices a model, for requests that end from now on.",
        .examples = "  realm price set smollm2 --input 0.15 --cached 0.075 --output 0.60\n",
        .options = table,
        .min_operands = 1,
        .max_operands = 1,
    };
    const char *model = NULL;
    struct store *store;
    struct price_record record;
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &model, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    realm_status status = read_price(&options, model, &record, error);
    if (status == REALM_OK) {
        status = store_set_price(store, paths_actor(), &record, error);
    }
    store_close(store);
    return status;
}

static realm_status
list_one(void *context, const struct price_record *record, struct realm_error *error)
{
    struct json_out *const json = context;
    char input[DECIMAL_BYTES];
    char cached[DECIMAL_BYTES];
    char output[DECIMAL_BYTES];
    (void)error;
    decimal_write((int64_t)record->input, input);
    decimal_write((int64_t)record->cached, cached);
    decimal_write((int64_t)record->output, output);
    if (json == NULL) {
        printf(
            "%-32s %12s %12s %12s  %s\n", record->model, input, cached, output, record->currency);
        return REALM_OK;
    }
    json_out_begin_object(json, NULL);
    json_out_text(json, "model", record->model);
    json_out_text(json, "currency", record->currency);
    json_out_text(json, "input", input);
    json_out_text(json, "cached", cached);
    json_out_text(json, "output", output);
    json_out_end_object(json);
    return REALM_OK;
}

static realm_status list(int argc, char **argv, struct realm_error *error)
{
    struct price_options options = {.data = NULL};
    const struct arg_option table[] = {
        STORE_DATA_OPTION(options.data), STORE_JSON_OPTION(options.json), {0}};
    const struct arg_command command = {.usage = "realm price list [options]",
                                        .summary = "The prices, for a million tokens.",
                                        .options = table};
    const char *operand = NULL;
    struct store *store;
    struct json_out json;
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &operand, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    json_out_init(&json);
    json_out_begin_array(&json, NULL);
    if (!options.json) {
        printf("%-32s %12s %12s %12s\n", "MODEL", "INPUT", "CACHED", "OUTPUT");
    }
    const realm_status status =
        store_each_price(store, list_one, options.json ? &json : NULL, error);
    json_out_end_array(&json);
    store_close(store);
    if (status == REALM_OK && options.json) {
        return json_out_print(&json, error);
    }
    json_out_deinit(&json);
    return status;
}

static realm_status rm(int argc, char **argv, struct realm_error *error)
{
    struct price_options options = {.data = NULL};
    const struct arg_option table[] = {STORE_DATA_OPTION(options.data), {0}};
    const struct arg_command command = {
        .usage = "realm price rm MODEL [options]",
        .summary = "Removes a model's price: its requests cost nothing from now on.",
        .options = table,
        .min_operands = 1,
        .max_operands = 1,
    };
    const char *model = NULL;
    struct store *store;
    REALM_TRY(store_command_begin(&command, argc, argv, &options.data, &model, &store, error));
    if (store == NULL) {
        return REALM_OK;
    }
    const realm_status status = store_remove_price(store, paths_actor(), model, error);
    store_close(store);
    return status;
}

static const struct command_row rows[] = {
    {"set", set, "price a model"},
    {"list", list, "the prices, for a million tokens"},
    {"rm", rm, "remove a price"},
    {0},
};

realm_status cmd_price(int argc, char **argv, struct realm_error *error)
{
    const struct subcommands commands = {
        .name = "price",
        .summary = "What tokens cost, by model; realm usage sums it up.",
        .rows = rows,
        .examples = "  realm price set smollm2 --input 0.15 --output 0.60\n"
                    "  realm price list\n",
    };
    return subcommands_run(&commands, argc, argv, error);
}
