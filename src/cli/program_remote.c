/* realm program push, list, rm, logs, activate, default; run and show of what lies on a server. */
#include "cli/program_remote.h"

#include "base/file.h"
#include "cli/client_answer.h"
#include "cli/program.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAX_MODULE_BYTES ((size_t)256 << 20)
#define MAX_ANSWER_BYTES ((size_t)64 << 20)
#define MAX_PATH_BYTES   ((size_t)1024)

/* --- one call ----------------------------------------------------------------------------------
 */

/* /v1/programs, then /NAME and what follows it. */
static void make_path(struct strbuf *path, const char *name, const char *rest)
{
    strbuf_init(path, ALLOC_BASE, MAX_PATH_BYTES);
    strbuf_append_text(path, "/v1/programs");
    if (name != NULL) {
        strbuf_append_char(path, '/');
        client_append_escaped(path, name);
    }
    strbuf_append_text(path, rest);
}

static void write_time(long long seconds, char out[32])
{
    const time_t time = (time_t)seconds;
    struct tm parts;
    out[0] = '\0';
    if (gmtime_r(&time, &parts) != NULL) {
        (void)strftime(out, 32, "%Y-%m-%d %H:%M:%SZ", &parts);
    }
}

/* --- push --------------------------------------------------------------------------------------
 */

static void print_pushed(const json_t *body)
{
    printf("%s: version %lld, %lld bytes, SHA-256 %.12s\n",
           client_text(body, "name"),
           client_number(body, "version"),
           client_number(body, "bytes"),
           client_text(body, "sha256"));
}

realm_status program_push(int argc, char **argv, struct realm_error *error)
{
    struct client client = {.url_option = NULL};
    bool keep_active = false;
    bool json = false;
    const struct arg_option options[] = {
        {"no-activate", 0, ARG_FLAG, &keep_active, NULL, "keep it; another one stays active", 0, 0},
        {"json", 0, ARG_FLAG, &json, NULL, "the answer as JSON", 0, 0},
        CLIENT_OPTIONS(&client),
        {0},
    };
    const struct arg_command command = {
        .usage = "realm program push NAME FILE [options]",
        .summary = "Sends a module to a server, as the next version of a program.",
        .examples =
            "  realm program push chat chat.wasm\n"
            "  realm program push chat chat.wasm --no-activate --url http://10.0.0.5:8080\n",
        .options = options,
        .min_operands = 2,
        .max_operands = 2,
    };
    struct arg_operands operands;
    struct strbuf path;
    struct strbuf answer;
    char *module = NULL;
    size_t n_bytes = 0;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    REALM_TRY(file_read(operands.items[1], MAX_MODULE_BYTES, &module, &n_bytes, error));
    make_path(&path, operands.items[0], keep_active ? "?activate=false" : "");
    const struct client_call call = {
        .method = "PUT",
        .body = {.data = (const uint8_t *)module, .length = n_bytes},
        .progress = operands.items[0],
    };
    const realm_status status = client_ask(&client, call, &path, MAX_ANSWER_BYTES, &answer, error);
    alloc_free(module);
    return client_print_answer(&answer, status, json, print_pushed, error);
}

/* --- list, show --------------------------------------------------------------------------------
 */

static void print_list(const json_t *body)
{
    const json_t *const rows = json_object_get(body, "data");
    printf("%-24s %7s %9s  %-20s %s\n", "PROGRAM", "ACTIVE", "VERSIONS", "UPDATED", "DEFAULT");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *const row = json_array_get(rows, i);
        char updated[32];
        write_time(client_number(row, "updated"), updated);
        printf("%-24s %7lld %9lld  %-20s %s\n",
               client_text(row, "name"),
               client_number(row, "active_version"),
               client_number(row, "versions"),
               updated,
               json_is_true(json_object_get(row, "default")) ? "yes" : "");
    }
}

realm_status program_list(int argc, char **argv, struct realm_error *error)
{
    struct client client = {.url_option = NULL};
    bool json = false;
    const struct arg_option options[] = {
        {"json", 0, ARG_FLAG, &json, NULL, "the answer as JSON", 0, 0},
        CLIENT_OPTIONS(&client),
        {0},
    };
    const struct arg_command command = {
        .usage = "realm program list [options]",
        .summary = "Lists the programs of a key's tenant on a server.",
        .examples = "  realm program list\n",
        .options = options,
    };
    struct arg_operands operands;
    struct strbuf path;
    struct strbuf answer;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    make_path(&path, NULL, "");
    const struct client_call call = {.method = "GET"};
    const realm_status status = client_ask(&client, call, &path, MAX_ANSWER_BYTES, &answer, error);
    return client_print_answer(&answer, status, json, print_list, error);
}

realm_status program_remote_show(struct client *client, const char *name, struct realm_error *error)
{
    struct strbuf path;
    struct strbuf answer;
    make_path(&path, name, "");
    const struct client_call call = {.method = "GET"};
    const realm_status status = client_ask(client, call, &path, MAX_ANSWER_BYTES, &answer, error);
    return client_print_answer(&answer, status, true, NULL, error);
}

/* --- rm, activate, default ---------------------------------------------------------------------
 */

static void print_removed(const json_t *body)
{
    const long long version = client_number(body, "version");
    if (version > 0) {
        printf("%s: version %lld removed\n", client_text(body, "name"), version);
    } else {
        printf("%s: removed\n", client_text(body, "name"));
    }
}

realm_status program_rm(int argc, char **argv, struct realm_error *error)
{
    struct client client = {.url_option = NULL};
    uint32_t version = 0;
    bool json = false;
    const struct arg_option options[] = {
        {"version", 0, ARG_U32, &version, "N", "only this one (all)", 1, UINT32_MAX},
        {"json", 0, ARG_FLAG, &json, NULL, "the answer as JSON", 0, 0},
        CLIENT_OPTIONS(&client),
        {0},
    };
    const struct arg_command command = {
        .usage = "realm program rm NAME [options]",
        .summary = "Removes a program, or one version of it, from a server.",
        .examples = "  realm program rm chat\n  realm program rm chat --version 1\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct arg_operands operands;
    struct strbuf path;
    struct strbuf answer;
    char rest[32] = "";
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    if (version > 0) {
        (void)snprintf(rest, sizeof rest, "/versions/%u", version);
    }
    make_path(&path, operands.items[0], rest);
    const struct client_call call = {.method = "DELETE"};
    const realm_status status = client_ask(&client, call, &path, MAX_ANSWER_BYTES, &answer, error);
    return client_print_answer(&answer, status, json, print_removed, error);
}

static void print_active(const json_t *body)
{
    printf("%s: version %lld is active\n",
           client_text(body, "name"),
           client_number(body, "active_version"));
}

realm_status program_activate(int argc, char **argv, struct realm_error *error)
{
    struct client client = {.url_option = NULL};
    bool json = false;
    const struct arg_option options[] = {
        {"json", 0, ARG_FLAG, &json, NULL, "the answer as JSON", 0, 0},
        CLIENT_OPTIONS(&client),
        {0},
    };
    const struct arg_command command = {
        .usage = "realm program activate NAME VERSION [options]",
        .summary = "Makes a version the one that runs, also an older one (roll-back).",
        .examples = "  realm program activate chat 2\n",
        .options = options,
        .min_operands = 2,
        .max_operands = 2,
    };
    struct arg_operands operands;
    struct strbuf path;
    struct strbuf answer;
    char body[64];
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    const char *const version = operands.items[1];
    const size_t n = strlen(version);
    if (n == 0 || n > 9 || strspn(version, "0123456789") != n) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "\"%.40s\" is no version; `realm program show %.60s` lists them",
                               version,
                               operands.items[0]);
    }
    (void)snprintf(body, sizeof body, "{\"version\":%s}", version + strspn(version, "0"));
    make_path(&path, operands.items[0], "/activate");
    const struct client_call call = {
        .method = "POST", .body = {.data = (const uint8_t *)body, .length = strlen(body)}};
    const realm_status status = client_ask(&client, call, &path, MAX_ANSWER_BYTES, &answer, error);
    return client_print_answer(&answer, status, json, print_active, error);
}

static void print_default(const json_t *body)
{
    const char *const name = json_string_value(json_object_get(body, "default"));
    printf("%s\n", name != NULL ? name : "no default program");
}

realm_status program_default(int argc, char **argv, struct realm_error *error)
{
    struct client client = {.url_option = NULL};
    bool none = false;
    bool json = false;
    const struct arg_option options[] = {
        {"none", 0, ARG_FLAG, &none, NULL, "chats go to the models again", 0, 0},
        {"json", 0, ARG_FLAG, &json, NULL, "the answer as JSON", 0, 0},
        CLIENT_OPTIONS(&client),
        {0},
    };
    const struct arg_command command = {
        .usage = "realm program default [NAME] [options]",
        .summary = "Shows or sets the program through which all chats of the tenant run.",
        .examples = "  realm program default guard\n  realm program default --none\n",
        .options = options,
        .max_operands = 1,
    };
    struct arg_operands operands;
    struct strbuf path;
    struct strbuf answer;
    struct strbuf body;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    strbuf_init(&body, ALLOC_BASE, MAX_PATH_BYTES);
    strbuf_append_text(&body, "{\"default\":");
    if (operands.n > 0 && !none) {
        strbuf_append_json(&body, operands.items[0], strlen(operands.items[0]));
    } else {
        strbuf_append_text(&body, "null");
    }
    strbuf_append_char(&body, '}');
    make_path(&path, NULL, "");
    const struct client_call call = {
        .method = operands.n > 0 || none ? "PATCH" : "GET",
        .body = {.data = (const uint8_t *)body.text, .length = body.length},
    };
    const realm_status status = client_ask(&client, call, &path, MAX_ANSWER_BYTES, &answer, error);
    strbuf_deinit(&body);
    return client_print_answer(&answer, status, json, print_default, error);
}

/* --- logs --------------------------------------------------------------------------------------
 */

/* Oldest first, as a log is read. */
static void print_logs(const json_t *body)
{
    const json_t *const rows = json_object_get(body, "data");
    for (size_t i = json_array_size(rows); i-- > 0;) {
        const json_t *const row = json_array_get(rows, i);
        const json_t *const lines = json_object_get(row, "log");
        char when[32];
        write_time(client_number(row, "time"), when);
        printf("%s  version %lld  %s  %s  %lld ms  %s\n",
               when,
               client_number(row, "version"),
               client_text(row, "function"),
               client_text(row, "status"),
               client_number(row, "ms"),
               client_text(row, "message"));
        for (size_t l = 0; l < json_array_size(lines); l++) {
            const json_t *const line = json_array_get(lines, l);
            printf("    %-5s %s\n", client_text(line, "level"), client_text(line, "text"));
        }
    }
}

realm_status program_logs(int argc, char **argv, struct realm_error *error)
{
    struct client client = {.url_option = NULL};
    uint32_t limit = 20;
    bool json = false;
    const struct arg_option options[] = {
        {"limit", 'n', ARG_U32, &limit, "N", "so many runs (20)", 1, 1000},
        {"json", 0, ARG_FLAG, &json, NULL, "the answer as JSON", 0, 0},
        CLIENT_OPTIONS(&client),
        {0},
    };
    const struct arg_command command = {
        .usage = "realm program logs NAME [options]",
        .summary = "Shows the last runs of a program: outcome, time, log lines.",
        .examples = "  realm program logs chat -n 5\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct arg_operands operands;
    struct strbuf path;
    struct strbuf answer;
    char rest[32];
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    (void)snprintf(rest, sizeof rest, "/logs?limit=%u", limit);
    make_path(&path, operands.items[0], rest);
    const struct client_call call = {.method = "GET"};
    const realm_status status = client_ask(&client, call, &path, MAX_ANSWER_BYTES, &answer, error);
    return client_print_answer(&answer, status, json, print_logs, error);
}

/* --- run ---------------------------------------------------------------------------------------
 */

/* A stream of server-sent events, cut into lines as it comes. */
struct listener {
    struct strbuf pending; /* the beginning of a line */
    char kind[16];         /* of the event that is being read */
};

static void print_event(const char *kind, const char *data)
{
    json_t *const value = json_loads(data, JSON_DECODE_ANY, NULL);
    if (strcmp(kind, "text") == 0) {
        (void)fputs(client_text(value, "text"), stdout);
        (void)fflush(stdout);
    } else if (strcmp(kind, "result") == 0) {
        printf("%s\n", data);
    } else if (strcmp(kind, "event") == 0) {
        (void)fprintf(stderr, "event: %s\n", data);
    } else if (strcmp(kind, "log") == 0) {
        (void)fprintf(stderr, "log: %s\n", client_text(value, "text"));
    }
    json_decref(value);
}

static realm_status
take_line(struct listener *listener, const char *line, struct realm_error *error)
{
    if (strncmp(line, "event: ", 7) == 0) {
        (void)snprintf(listener->kind, sizeof listener->kind, "%s", line + 7);
    } else if (strncmp(line, "data: ", 6) == 0 && strcmp(listener->kind, "error") == 0) {
        json_t *const value = json_loads(line + 6, 0, NULL);
        const realm_status status =
            realm_error_set(error,
                            REALM_GUEST_TRAPPED,
                            "%s",
                            client_text(json_object_get(value, "error"), "message"));
        json_decref(value);
        return status;
    } else if (strncmp(line, "data: ", 6) == 0) {
        print_event(listener->kind, line + 6);
    }
    return REALM_OK;
}

static realm_status take_piece(void *context, struct bytes piece, struct realm_error *error)
{
    struct listener *const listener = context;
    if (!strbuf_append(&listener->pending, (const char *)piece.data, piece.length)) {
        return realm_error_out_of_memory(error, piece.length, "an event");
    }
    char *end;
    size_t begin = 0;
    realm_status status = REALM_OK;
    while (status == REALM_OK && (end = strchr(listener->pending.text + begin, '\n')) != NULL) {
        *end = '\0';
        status = take_line(listener, listener->pending.text + begin, error);
        begin = (size_t)(end + 1 - listener->pending.text);
    }
    strbuf_consume(&listener->pending, begin);
    return status;
}

static int append_dumped(const char *text, size_t n_bytes, void *context)
{
    return strbuf_append(context, text, n_bytes) ? 0 : -1;
}

/* The body as the server is to see it: a stream is wanted, and the options' model and seed. */
static bool put_fields(json_t *body, const struct program_remote_request *request)
{
    return json_object_set_new(body, "stream", json_true()) == 0 &&
           (request->model == NULL ||
            json_object_set_new(body, "model", json_string(request->model)) == 0) &&
           (request->seed == 0 ||
            json_object_set_new(body, "seed", json_integer((json_int_t)request->seed)) == 0);
}

static realm_status write_body(const struct program_remote_request *request,
                               struct strbuf *out,
                               struct realm_error *error)
{
    json_error_t where = {.text = "it is another value"};
    json_t *const body =
        json_loadb((const char *)request->body.data, request->body.length, 0, &where);
    realm_status status = REALM_OK;
    if (!json_is_object(body)) {
        status = realm_error_set(
            error, REALM_INVALID_ARGUMENT, "the request must be a JSON object: %.100s", where.text);
    } else if (!put_fields(body, request) ||
               json_dump_callback(body, append_dumped, out, JSON_COMPACT) != 0) {
        status = realm_error_out_of_memory(error, request->body.length, "the request");
    }
    json_decref(body);
    return status;
}

realm_status program_remote_run(struct client *client,
                                const struct program_remote_request *request,
                                struct realm_error *error)
{
    struct listener listener = {.kind = ""};
    struct strbuf body;
    struct strbuf path;
    struct strbuf answer;
    strbuf_init(&body, ALLOC_BASE, MAX_ANSWER_BYTES);
    realm_status status = write_body(request, &body, error);
    if (status == REALM_OK) {
        make_path(&path, request->name, request->function != NULL ? "/functions/" : "/run");
        if (request->function != NULL) {
            client_append_escaped(&path, request->function);
        }
        strbuf_init(&listener.pending, ALLOC_BASE, MAX_ANSWER_BYTES);
        const struct client_call call = {
            .method = "POST",
            .body = {.data = (const uint8_t *)body.text, .length = body.length},
            .take = take_piece,
            .context = &listener,
        };
        status = client_ask(client, call, &path, MAX_ANSWER_BYTES, &answer, error);
        strbuf_deinit(&answer);
        strbuf_deinit(&listener.pending);
    }
    strbuf_deinit(&body);
    return status;
}
