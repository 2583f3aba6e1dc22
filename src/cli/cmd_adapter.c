/* realm adapter push, list, rm: a tenant's LoRA adapters on a server. */
#include "cli/adapter_file.h"
#include "cli/client_answer.h"
#include "cli/command.h"
#include "cli/subcommands.h"

#include <stdio.h>
#include <string.h>

#define MAX_ANSWER_BYTES ((size_t)16 << 20)
#define MAX_PATH_BYTES   ((size_t)1024)

/* /v1/adapters, or /v1/adapters/NAME, or that with ?model=MODEL. */
static void make_path(struct strbuf *path, const char *name, const char *model)
{
    strbuf_init(path, ALLOC_BASE, MAX_PATH_BYTES);
    strbuf_append_text(path, "/v1/adapters");
    if (name != NULL) {
        strbuf_append_char(path, '/');
        client_append_escaped(path, name);
    }
    if (model != NULL) {
        strbuf_append_text(path, "?model=");
        client_append_escaped(path, model);
    }
}

/* Calls the server and prints its answer; ends path. */
static realm_status call_server(struct client *client,
                                struct client_call call,
                                struct strbuf *path,
                                bool json,
                                void (*print)(const json_t *body),
                                struct realm_error *error)
{
    struct strbuf answer;
    const realm_status status = client_ask(client, call, path, MAX_ANSWER_BYTES, &answer, error);
    return client_print_answer(&answer, status, json, print, error);
}

static void print_pushed(const json_t *body)
{
    printf("%s@%s: %lld bytes, SHA-256 %.12s\n",
           client_text(body, "model"),
           client_text(body, "name"),
           client_number(body, "bytes"),
           client_text(body, "sha256"));
}

static realm_status push(int argc, char **argv, struct realm_error *error)
{
    struct client client = {.url_option = NULL};
    const char *model = NULL;
    bool json = false;
    const struct arg_option options[] = {
        {"model", 'm', ARG_TEXT, &model, "NAME", "the server's model it is for", 0, 0},
        {"json", 0, ARG_FLAG, &json, NULL, "the answer as JSON", 0, 0},
        CLIENT_OPTIONS(&client),
        {0},
    };
    const struct arg_command command = {
        .usage = "realm adapter push NAME FILE|FOLDER --model MODEL [options]",
        .summary = "Sends a LoRA adapter, a GGUF file or a folder of PEFT's, to a server, in "
                   "place of an older one of its name.",
        .examples = "  realm adapter push style style.gguf --model small\n"
                    "  realm adapter push style checkpoints/final --model small\n",
        .options = options,
        .min_operands = 2,
        .max_operands = 2,
    };
    struct arg_operands operands;
    struct adapter_file file;
    struct strbuf path;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    if (model == NULL) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "--model must name the server's model that the adapter is for");
    }
    REALM_TRY(adapter_file_open(operands.items[1], &file, error));
    make_path(&path, operands.items[0], model);
    const struct client_call call = {
        .method = "PUT", .body = file.bytes, .progress = operands.items[0]};
    const realm_status status = call_server(&client, call, &path, json, print_pushed, error);
    adapter_file_close(&file);
    return status;
}

static void print_list(const json_t *body)
{
    const json_t *const rows = json_object_get(body, "data");
    printf("%-32s %-32s %12s  %s\n", "ADAPTER", "MODEL", "BYTES", "LOADED");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *const row = json_array_get(rows, i);
        printf("%-32s %-32s %12lld  %s\n",
               client_text(row, "name"),
               client_text(row, "model"),
               client_number(row, "bytes"),
               json_is_true(json_object_get(row, "loaded")) ? "yes" : "no");
    }
}

static realm_status list(int argc, char **argv, struct realm_error *error)
{
    struct client client = {.url_option = NULL};
    bool json = false;
    const struct arg_option options[] = {
        {"json", 0, ARG_FLAG, &json, NULL, "the answer as JSON", 0, 0},
        CLIENT_OPTIONS(&client),
        {0},
    };
    const struct arg_command command = {
        .usage = "realm adapter list [options]",
        .summary = "Lists the adapters of a key's tenant on a server.",
        .examples = "  realm adapter list\n",
        .options = options,
    };
    struct arg_operands operands;
    struct strbuf path;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    make_path(&path, NULL, NULL);
    const struct client_call call = {.method = "GET"};
    return call_server(&client, call, &path, json, print_list, error);
}

static void print_removed(const json_t *body)
{
    printf("%s: removed\n", client_text(body, "name"));
}

static realm_status rm(int argc, char **argv, struct realm_error *error)
{
    struct client client = {.url_option = NULL};
    bool json = false;
    const struct arg_option options[] = {
        {"json", 0, ARG_FLAG, &json, NULL, "the answer as JSON", 0, 0},
        CLIENT_OPTIONS(&client),
        {0},
    };
    const struct arg_command command = {
        .usage = "realm adapter rm NAME [options]",
        .summary = "Removes an adapter from a server; what runs with it goes on.",
        .examples = "  realm adapter rm style\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct arg_operands operands;
    struct strbuf path;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    make_path(&path, operands.items[0], NULL);
    const struct client_call call = {.method = "DELETE"};
    return call_server(&client, call, &path, json, print_removed, error);
}

static const struct command_row subcommands[] = {
    {"push", push, "send an adapter to a server, for one of its models"},
    {"list", list, "the adapters on a server"},
    {"rm", rm, "remove an adapter from a server"},
    {0},
};

realm_status cmd_adapter(int argc, char **argv, struct realm_error *error)
{
    const struct subcommands commands = {
        .name = "adapter",
        .summary = "LoRA adapters of a tenant on a server (docs/guides/adapters.md).",
        .rows = subcommands,
        .examples = "  realm adapter push style style.gguf --model small\n"
                    "  realm adapter list\n"
                    "  realm adapter rm style\n",
    };
    return subcommands_run(&commands, argc, argv, error);
}
