/* realm adapter push, list, rm: a tenant's LoRA adapters on a server. */
#include "cli/adapter_file.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/subcommands.h"

#include <jansson.h>
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

/* Calls the server and prints the answer as it came (json), or by `print`.  Ends path. */
static realm_status call_server(struct client *client,
                                struct client_call call,
                                struct strbuf *path,
                                bool json,
                                void (*print)(const json_t *body),
                                struct realm_error *error)
{
    struct strbuf answer;
    strbuf_init(&answer, ALLOC_BASE, MAX_ANSWER_BYTES);
    realm_status status =
        path->failed ? realm_error_set(error, REALM_INVALID_ARGUMENT, "the name is too long")
                     : client_open(client, error);
    if (status == REALM_OK) {
        call.path = path->text;
        status = client_call(client, &call, &answer, error);
    }
    json_t *const body =
        status == REALM_OK ? json_loadb(answer.text, answer.length, 0, NULL) : NULL;
    if (status == REALM_OK && body == NULL) {
        status = realm_error_set(
            error, REALM_INVALID_FORMAT, "the server's answer is not JSON; is it a Realm server?");
    } else if (status == REALM_OK && json) {
        printf("%s\n", answer.text);
    } else if (status == REALM_OK) {
        print(body);
    }
    json_decref(body);
    strbuf_deinit(&answer);
    strbuf_deinit(path);
    return status;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *const text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static long long bytes_of(const json_t *object)
{
    return (long long)json_integer_value(json_object_get(object, "bytes"));
}

static void print_pushed(const json_t *body)
{
    printf("%s@%s: %lld bytes, SHA-256 %.12s\n",
           text_of(body, "model"),
           text_of(body, "name"),
           bytes_of(body),
           text_of(body, "sha256"));
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
               text_of(row, "name"),
               text_of(row, "model"),
               bytes_of(row),
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
    printf("%s: removed\n", text_of(body, "name"));
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
