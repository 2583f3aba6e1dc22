/* realm program run, show: a module from a file, in a sandbox of this process; of what is no file,
 * on a server. */
#include "base/file.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/paths.h"
#include "cli/program.h"
#include "cli/program_remote.h"
#include "engine/engine.h"
#include "sandbox/sandbox.h"

#include <stdio.h>
#include <string.h>

#define MAX_MODULE_BYTES  ((size_t)256 << 20)
#define MAX_REQUEST_BYTES ((size_t)64 << 20)
#define MAX_INSTANCES     16u
#define WAIT_MS           100u

struct local {
    const char *file;
    const char *model_reference;
    const char *function;
    const char *request;
    uint64_t seed;
    uint32_t n_threads;
    /* Opened in this order: */
    struct engine *engine;
    struct engine_model *model;
    struct sandbox *sandbox;
    struct sandbox_tenant *tenant;
    struct program *program;
};

static realm_status open_model(struct local *local, struct realm_error *error)
{
    char path[PATHS_BYTES];
    char name[256];
    const struct engine_options options = {.n_threads = local->n_threads};
    const struct engine_model_options model_options = {.context_length = 0};
    REALM_TRY(paths_find_model(local->model_reference, path, error));
    paths_model_name(path, name, sizeof name);
    REALM_TRY(engine_create(&options, &local->engine, error));
    return engine_load_model(local->engine, name, path, &model_options, &local->model, error);
}

static realm_status open_program(struct local *local, struct realm_error *error)
{
    char *text = NULL;
    size_t n_bytes = 0;
    const struct sandbox_options options = {.engine = local->engine,
                                            .max_instances = MAX_INSTANCES};
    REALM_TRY(sandbox_open(&options, &local->sandbox, error));
    REALM_TRY(sandbox_tenant_acquire(local->sandbox, "local", NULL, &local->tenant, error));
    REALM_TRY(file_read(local->file, MAX_MODULE_BYTES, &text, &n_bytes, error));
    const struct bytes module = {.data = (const uint8_t *)text, .length = n_bytes};
    const realm_status status =
        program_load(local->sandbox, local->tenant, local->file, module, &local->program, error);
    alloc_free(text);
    return status;
}

static void close_local(struct local *local)
{
    program_release(local->program);
    sandbox_tenant_release(local->tenant);
    sandbox_close(local->sandbox);
    if (local->engine != NULL) {
        engine_destroy(local->engine);
    }
}

/* --- run ---------------------------------------------------------------------------------------
 */

static void print_line(FILE *out, const char *label, struct bytes bytes)
{
    (void)fprintf(out, "%s%.*s\n", label, (int)bytes.length, (const char *)bytes.data);
}

/* Text and the result are the answer; events and the log are beside it. */
static void print_event(const struct guest_event *event)
{
    switch (event->kind) {
    case GUEST_EVENT_TEXT:
        (void)fwrite(event->bytes.data, 1, event->bytes.length, stdout);
        (void)fflush(stdout);
        break;
    case GUEST_EVENT_RESULT:
        print_line(stdout, "", event->bytes);
        break;
    case GUEST_EVENT_JSON:
        print_line(stderr, "event: ", event->bytes);
        break;
    case GUEST_EVENT_LOG:
        print_line(stderr, "log: ", event->bytes);
        break;
    case GUEST_EVENT_FINISHED:
        break;
    }
}

static realm_status read_events(struct instance *instance, struct realm_error *error)
{
    struct guest_event event = {.kind = GUEST_EVENT_TEXT};
    while (event.kind != GUEST_EVENT_FINISHED) {
        if (!instance_next(instance, &event)) {
            (void)instance_wait(instance, WAIT_MS);
            if (interrupt_seen()) {
                instance_cancel(instance);
            }
            continue;
        }
        print_event(&event);
    }
    return event.status == REALM_OK ? REALM_OK
                                    : realm_error_set(error, event.status, "%s", event.message);
}

static realm_status read_request(const char *option, struct strbuf *out, struct realm_error *error)
{
    if (strcmp(option, "-") == 0) {
        return input_read(out, error);
    }
    return strbuf_append_text(out, option)
               ? REALM_OK
               : realm_error_out_of_memory(error, strlen(option), "the request");
}

static realm_status
run_request(struct local *local, struct bytes request, struct realm_error *error)
{
    struct instance *instance = NULL;
    const struct instance_options options = {
        .program = local->program,
        .function = local->function,
        .tenant = local->tenant,
        .model = local->model,
        .request = request,
        .stream = true,
        .seed = local->seed,
    };
    realm_status status = sandbox_start(local->sandbox, &options, &instance, error);
    if (status == REALM_OK) {
        interrupt_catch();
        status = read_events(instance, error);
        interrupt_restore();
    }
    instance_release(instance);
    return status;
}

static realm_status run_here(struct local *local, struct bytes request, struct realm_error *error)
{
    realm_status status = open_model(local, error);
    if (status == REALM_OK) {
        status = open_program(local, error);
    }
    if (status == REALM_OK) {
        status = run_request(local, request, error);
    }
    close_local(local);
    return status;
}

static realm_status run_there(const struct local *local,
                              struct client *client,
                              struct bytes body,
                              struct realm_error *error)
{
    const struct program_remote_request request = {
        .name = local->file,
        .function = local->function,
        .model = local->model_reference,
        .seed = local->seed,
        .body = body,
    };
    return local->n_threads == 0 ? program_remote_run(client, &request, error)
                                 : realm_error_set(error,
                                                   REALM_INVALID_ARGUMENT,
                                                   "--threads is for a module that runs here; %s "
                                                   "is no file",
                                                   local->file);
}

/* What ends as a file's name is one, also when it is not there. */
static bool names_file(const char *operand)
{
    const size_t n = strlen(operand);
    return file_exists(operand) || strchr(operand, '/') != NULL ||
           (n > 5 && strcmp(operand + n - 5, ".wasm") == 0);
}

realm_status program_run(int argc, char **argv, struct realm_error *error)
{
    struct local local = {.request = "{}"};
    struct client client = {.url_option = NULL};
    /* clang-format off */
    const struct arg_option options[] = {
        {"model", 'm', ARG_TEXT, &local.model_reference, "MODEL",
         "a path, or a name of `realm models list` (smollm2); on a server one of its models", 0, 0},
        {"function", 'f', ARG_TEXT, &local.function, "NAME",
         "which of its functions (the default one)", 0, 0},
        {"request", 'r', ARG_TEXT, &local.request, "JSON",
         "what it is asked, \"-\" for standard input ({})", 0, 0},
        {"seed", 0, ARG_U64, &local.seed, "N", "of its random numbers (a new one)", 0, 0},
        {"threads", 't', ARG_U32, &local.n_threads, "N", "compute threads (one per core)", 1, 1024},
        CLIENT_OPTIONS(&client),
        {0},
    };
    /* clang-format on */
    const struct arg_command command = {
        .usage = "realm program run FILE|NAME [options]",
        .summary = "Runs a module here beside a model, or a program of a server, and shows what it "
                   "emits.",
        .examples = "  realm program run chat.wasm -r '{\"prompt\": \"Hello\"}'\n"
                    "  realm program run vote.wasm -m smollm2 -f solve -r - < task.json\n"
                    "  realm program run chat -r '{\"model\": \"smollm2\", \"prompt\": \"Hello\"}' "
                    "--url http://10.0.0.5:8080\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    struct strbuf request;
    strbuf_init(&request, ALLOC_BASE, MAX_REQUEST_BYTES);
    local.file = operands.items[0];
    realm_status status = read_request(local.request, &request, error);
    const struct bytes text = {.data = (const uint8_t *)request.text, .length = request.length};
    if (status == REALM_OK && names_file(local.file)) {
        status = run_here(&local, text, error);
    } else if (status == REALM_OK) {
        status = run_there(&local, &client, text, error);
    }
    strbuf_deinit(&request);
    return status;
}

/* --- show --------------------------------------------------------------------------------------
 */

static realm_status print_functions(const struct program *program, struct realm_error *error)
{
    struct json_out out;
    json_out_init(&out);
    json_out_begin_array(&out, NULL);
    for (uint32_t i = 0; i < program_n_functions(program); i++) {
        const struct program_function *function = program_function_at(program, i);
        json_out_begin_object(&out, NULL);
        json_out_text(&out, "name", function->name);
        json_out_text(&out, "description", function->description);
        json_out_text(&out, "parameters", function->parameters_json);
        json_out_text(&out, "streaming", function->streaming ? "yes" : "no");
        json_out_end_object(&out);
    }
    json_out_end_array(&out);
    return json_out_print(&out, error);
}

realm_status program_show(int argc, char **argv, struct realm_error *error)
{
    struct local local = {.file = NULL};
    struct client client = {.url_option = NULL};
    const struct arg_option options[] = {CLIENT_OPTIONS(&client), {0}};
    const struct arg_command command = {
        .usage = "realm program show FILE|NAME [options]",
        .summary = "Writes as JSON what a module declares, or a server's program and its versions.",
        .examples = "  realm program show chat.wasm\n  realm program show chat\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    local.file = operands.items[0];
    if (!names_file(local.file)) {
        return program_remote_show(&client, local.file, error);
    }
    realm_status status = open_program(&local, error);
    if (status == REALM_OK) {
        status = print_functions(local.program, error);
    }
    close_local(&local);
    return status;
}
