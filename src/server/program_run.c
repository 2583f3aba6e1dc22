#define _GNU_SOURCE /* memmem */

#include "server/program_run.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/adapter_room.h"
#include "server/json.h"
#include "server/state.h"

#include <stdio.h>
#include <string.h>

#define MODEL_PREFIX     "program:"
#define MAX_KEPT_BYTES   ((size_t)128 << 20)
#define MAX_LOG_BYTES    ((size_t)4096) /* of one run */
#define MAX_RECORD_BYTES ((size_t)16384)

/* --- life --------------------------------------------------------------------------------------
 */

/* What the program's owner finds in its log. */
static void keep_record(const struct program_run *run)
{
    struct strbuf record;
    const bool ended = run->ended;
    const realm_status status = ended ? run->end.status : REALM_CANCELLED;
    strbuf_init(&record, ALLOC_SERVER, MAX_RECORD_BYTES);
    strbuf_append_format(&record,
                         "{\"request\":\"%s\",\"time\":%lld,\"version\":%u,\"form\":\"%s\","
                         "\"function\":",
                         run->request_id,
                         (long long)run->created_s,
                         run->lease.version,
                         run->form == PROGRAM_FORM_CHAT ? "chat" : "run");
    const char *const function =
        run->function != NULL ? run->function : program_function_at(run->lease.program, 0)->name;
    strbuf_append_json(&record, function, strlen(function));
    strbuf_append_format(&record,
                         ",\"status\":\"%s\",\"ms\":%llu,\"limit\":",
                         realm_status_name(status),
                         (unsigned long long)((clock_monotonic_ns() - run->begin_ns) / 1000000u));
    strbuf_append_format(
        &record, ended && run->end.limit != NULL ? "\"%s\"" : "null", run->end.limit);
    const char *const message = ended ? run->end.message : "the client has gone";
    strbuf_append_text(&record, ",\"message\":");
    if (message != NULL) {
        strbuf_append_json(&record, message, strlen(message));
    } else {
        strbuf_append_text(&record, "null");
    }
    strbuf_append_text(&record, ",\"usage\":");
    program_answer_usage(run, &record);
    strbuf_append_format(&record,
                         ",\"log\":[%s],\"log_truncated\":%s}",
                         run->log.text,
                         run->log_truncated ? "true" : "false");
    if (!record.failed) {
        run_log_add(run->lease.log, record.text, record.length);
    }
    strbuf_deinit(&record);
}

static void destroy(struct source *source)
{
    struct program_run *const run = (struct program_run *)source;
    if (run->instance != NULL) {
        keep_record(run);
    }
    instance_release(run->instance);
    shelf_give_back(&run->lease);
    strbuf_deinit(&run->text);
    strbuf_deinit(&run->events);
    strbuf_deinit(&run->result);
    strbuf_deinit(&run->log);
    alloc_free(run->model);
    alloc_free(run->function);
    alloc_free(run->end_user);
    alloc_free(run);
}

/* --- pulling -----------------------------------------------------------------------------------
 */

static void fail(struct program_run *run)
{
    struct problem *const problem = &run->source.problem;
    const struct guest_event *const end = &run->end;
    run->source.failed = true;
    (void)problem_set(problem,
                      end->status,
                      end->limit != NULL ? end->limit : "",
                      "program %s: %s",
                      run->lease.name,
                      end->message != NULL ? end->message : "failed");
    if (end->limit != NULL || end->status == REALM_GUEST_TRAPPED) {
        /* The tenant's own doing, and no better when it is tried again. */
        problem->http_status = 422;
        problem->type = "program_error";
        problem->code = end->limit != NULL ? "program_limit_exceeded" : "program_failed";
    }
    log_warn("program_failed",
             LOG_TEXT("id", run->request_id),
             LOG_TEXT("tenant", run->tenant),
             LOG_TEXT("program", run->lease.name),
             LOG_U64("version", run->lease.version),
             LOG_TEXT("status", realm_status_name(end->status)),
             LOG_TEXT("limit", end->limit != NULL ? end->limit : ""));
}

/* A refusal that the program may have lived with. */
static void tell_quota(const struct program_run *run)
{
    if (run->end.quota != NULL) {
        log_warn("program_quota",
                 LOG_TEXT("id", run->request_id),
                 LOG_TEXT("tenant", run->tenant),
                 LOG_TEXT("program", run->lease.name),
                 LOG_U64("version", run->lease.version),
                 LOG_TEXT("limit", run->end.quota));
    }
}

static void finish(struct program_run *run, struct frames *frames)
{
    tell_quota(run);
    if (run->end.status == REALM_OK &&
        (run->text.failed || run->events.failed || run->result.failed)) {
        run->end.status = REALM_OUT_OF_MEMORY;
        run->end.message = "no memory for the answer";
    }
    if (run->end.status != REALM_OK) {
        fail(run);
    } else if (run->source.stream) {
        program_answer_end_stream(run, frames);
    } else {
        program_answer_whole(run, frames->out);
    }
}

static enum source_progress pull(struct source *source, struct frames *frames, size_t max_bytes)
{
    struct program_run *const run = (struct program_run *)source;
    struct guest_event event;
    while (!run->ended && frames->out->length < max_bytes && instance_next(run->instance, &event)) {
        if (event.kind == GUEST_EVENT_FINISHED) {
            run->ended = true;
            run->end = event;
            finish(run, frames);
        } else {
            program_answer_event(run, &event, frames);
        }
    }
    if (run->ended) {
        return SOURCE_DONE;
    }
    return frames->out->length >= max_bytes ? SOURCE_MORE : SOURCE_WAITING;
}

static bool readable(const struct source *source)
{
    const struct program_run *const run = (const struct program_run *)source;
    return !run->ended && instance_wait(run->instance, 0);
}

static void usage(const struct source *source, struct source_usage *out)
{
    const struct program_run *const run = (const struct program_run *)source;
    *out = (struct source_usage){
        .model = run->engine_model,
        .end_user = run->end_user != NULL ? run->end_user : "",
    };
    instance_tokens(run->instance, &out->prompt_tokens, &out->completion_tokens);
}

static realm_status deliver(struct source *source, struct bytes message, struct problem *problem)
{
    struct program_run *const run = (struct program_run *)source;
    struct realm_error error;
    const realm_status status = instance_deliver(run->instance, message, &error);
    if (status == REALM_OK) {
        return REALM_OK;
    }
    problem->code = status == REALM_RESOURCE_EXHAUSTED ? "input_full" : NULL;
    return problem_set(problem, status, "data", "%s", error.message);
}

static void close_input(struct source *source)
{
    instance_close_input(((struct program_run *)source)->instance);
}

static const struct source_type source_type = {
    .pull = pull,
    .readable = readable,
    .usage = usage,
    .deliver = deliver,
    .close_input = close_input,
    .destroy = destroy,
};

/* --- beginning ---------------------------------------------------------------------------------
 */

_Static_assert(sizeof(struct program_limits) == 14 * sizeof(uint64_t), "limits_of names them all");

/* A limit that the tenant's record leaves open is the sandbox's own. */
static struct sandbox_limits limits_of(const struct program_limits *own)
{
    return (struct sandbox_limits){
        .cpu_ms = own->cpu_ms,
        .fuel = own->fuel,
        .memory_bytes = own->memory_bytes,
        .table_elements = own->table_elements,
        .handles = own->handles,
        .host_calls = own->host_calls,
        .sequences = own->sequences,
        .instances = own->instances,
        .sequence_tokens = own->sequence_tokens,
        .output_bytes = own->output_bytes,
        .stored_bytes = own->stored_bytes,
        .module_bytes = own->module_bytes,
        .compile_ms = own->compile_ms,
        .programs = own->programs,
    };
}

realm_status program_open_shelf(struct exchange *exchange, struct shelf **out)
{
    char id[SHELF_ID_BYTES];
    struct realm_error error;
    (void)snprintf(id, sizeof id, "t%lld", (long long)exchange->tenant_id);
    const struct shelf_owner owner = {.id = id, .label = exchange->tenant};
    const struct sandbox_limits limits = limits_of(&exchange->grant.programs);
    const realm_status status =
        shelf_open(exchange->server->programs, &owner, &limits, out, &error);
    return status == REALM_OK ? REALM_OK
                              : problem_set(&exchange->problem, status, "", "%s", error.message);
}

static struct program_run *run_create(const struct exchange *exchange, enum program_form form)
{
    struct program_run *const run = alloc_zeroed(ALLOC_SERVER, 1, sizeof *run);
    if (run == NULL) {
        return NULL;
    }
    run->source.type = &source_type;
    run->form = form;
    run->engine_model = "";
    run->created_s = clock_wall_s();
    run->begin_ns = exchange->begin_ns;
    memcpy(run->request_id, exchange->request_id, sizeof run->request_id);
    memcpy(run->tenant, exchange->tenant, sizeof run->tenant);
    (void)snprintf(run->id,
                   sizeof run->id,
                   "%s-%s",
                   form == PROGRAM_FORM_CHAT ? "chatcmpl" : "run",
                   exchange->request_id);
    strbuf_init(&run->text, ALLOC_SERVER, MAX_KEPT_BYTES);
    strbuf_init(&run->events, ALLOC_SERVER, MAX_KEPT_BYTES);
    strbuf_init(&run->result, ALLOC_SERVER, MAX_KEPT_BYTES);
    strbuf_init(&run->log, ALLOC_SERVER, MAX_LOG_BYTES);
    return run;
}

static realm_status out_of_memory(struct problem *problem)
{
    return problem_set(problem, REALM_OUT_OF_MEMORY, "", "no memory for a program's run");
}

/* What stands behind "program:"; NULL: the model is none. */
static const char *program_named(const char *model)
{
    const size_t n = strlen(MODEL_PREFIX);
    return strncmp(model, MODEL_PREFIX, n) == 0 ? model + n : NULL;
}

static realm_status copy_text(const char *text, char **out, struct problem *problem)
{
    *out = alloc_string(ALLOC_SERVER, text, strlen(text));
    return *out != NULL ? REALM_OK : out_of_memory(problem);
}

/* A field that is null counts as absent. */
static const json_t *field(const json_t *body, const char *name)
{
    const json_t *const value = json_object_get(body, name);
    return json_is_null(value) ? NULL : value;
}

static realm_status
read_stream_options(struct program_run *run, const json_t *options, struct problem *problem)
{
    if (!json_is_object(options) || !run->source.stream) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           "stream_options",
                           run->source.stream ? "stream_options must be an object"
                                              : "stream_options needs stream to be true");
    }
    const json_t *const include = field(options, "include_usage");
    return include == NULL
               ? REALM_OK
               : json_read_bool(
                     include, "stream_options.include_usage", &run->include_usage, problem);
}

static realm_status read_seed(const json_t *body, uint64_t *out, struct problem *problem)
{
    const json_t *const seed = field(body, "seed");
    if (seed != NULL && !json_is_integer(seed)) {
        return problem_set(problem, REALM_INVALID_ARGUMENT, "seed", "seed must be a whole number");
    }
    *out = (uint64_t)json_integer_value(seed);
    return REALM_OK;
}

/* The model that the guest gets as the request's: the one that is named, or the first. */
static realm_status read_model(struct program_run *run,
                               struct engine *engine,
                               const json_t *body,
                               struct engine_model **out,
                               struct problem *problem)
{
    const json_t *const value = field(body, "model");
    struct bytes name = {.data = (const uint8_t *)"", .length = 0};
    if (value != NULL) {
        REALM_TRY(json_read_text(value, "model", &name, problem));
    }
    if (run->form == PROGRAM_FORM_CHAT) {
        run->model = alloc_string(ALLOC_SERVER, (const char *)name.data, name.length);
    }
    if (name.length > 0 && program_named((const char *)name.data) == NULL) {
        *out = engine_find_model(engine, (const char *)name.data);
    } else {
        *out = engine_n_models(engine) > 0 ? engine_model_at(engine, 0) : NULL;
    }
    if (run->form == PROGRAM_FORM_CHAT && run->model == NULL) {
        return out_of_memory(problem);
    }
    if (*out == NULL && name.length > 0) {
        problem->code = "model_not_found";
        return problem_set(problem,
                           REALM_NOT_FOUND,
                           "model",
                           "no model named \"%.100s\" is loaded; GET /v1/models lists them",
                           (const char *)name.data);
    }
    run->engine_model = *out != NULL ? engine_model_name(*out) : "";
    return REALM_OK;
}

static realm_status read_fields(struct program_run *run,
                                struct engine *engine,
                                const json_t *body,
                                struct instance_options *options,
                                struct problem *problem)
{
    const json_t *const stream = field(body, "stream");
    const json_t *const stream_options = field(body, "stream_options");
    const json_t *const user = field(body, "user");
    if (stream != NULL) {
        REALM_TRY(json_read_bool(stream, "stream", &run->source.stream, problem));
    }
    REALM_TRY(read_seed(body, &options->seed, problem));
    REALM_TRY(read_model(run, engine, body, &options->model, problem));
    if (run->form == PROGRAM_FORM_CHAT && stream_options != NULL) {
        REALM_TRY(read_stream_options(run, stream_options, problem));
    }
    if (json_is_string(user)) {
        REALM_TRY(copy_text(json_string_value(user), &run->end_user, problem));
    }
    options->stream = run->source.stream;
    return REALM_OK;
}

static realm_status take_program(struct program_run *run,
                                 struct exchange *exchange,
                                 const struct program_request *request)
{
    struct shelf *shelf;
    struct realm_error error;
    REALM_TRY(program_open_shelf(exchange, &shelf));
    const realm_status status =
        shelf_take(shelf, request->name, request->version, &run->lease, &error);
    if (status == REALM_NOT_FOUND) {
        exchange->problem.code = "program_not_found";
    }
    return status == REALM_OK ? REALM_OK
                              : problem_set(&exchange->problem, status, "", "%s", error.message);
}

/* Asks the limits of tenant and key.  What a program will take is not known before: there must be
 * something left, and what it takes counts as the program tells of it, all of it at its end. */
static realm_status admit(struct exchange *exchange, const char *model)
{
    const struct tenant_demand demand = {.model = model, .n_tokens = 1};
    return exchange_admit(exchange, &demand);
}

/* A guest that opens one need not wait for a disk then. */
static realm_status load_adapters(struct exchange *exchange)
{
    struct realm_error error;
    const struct adapter_owner owner = {.tenant = exchange->tenant_id,
                                        .account = exchange->account};
    const realm_status status = adapter_room_load(exchange->server->adapters, &owner, &error);
    return status == REALM_OK ? REALM_OK
                              : problem_set(&exchange->problem, status, "", "%s", error.message);
}

static realm_status start_guest(struct program_run *run,
                                struct exchange *exchange,
                                const struct program_request *request)
{
    struct server *const server = exchange->server;
    struct realm_error error;
    struct instance_options options = {
        .function = request->function,
        .account = exchange->account,
        .request = {.data = (const uint8_t *)exchange->body.text, .length = exchange->body.length},
        .source = run->form == PROGRAM_FORM_CHAT ? "chat"
                  : exchange->takes_input        ? "websocket"
                                                 : "run",
        .takes_input = exchange->takes_input,
        .wake = loop_wake,
        .wake_context = server,
    };
    REALM_TRY(read_fields(run, server->engine, request->body, &options, &exchange->problem));
    if (request->function != NULL) {
        REALM_TRY(copy_text(request->function, &run->function, &exchange->problem));
    }
    REALM_TRY(take_program(run, exchange, request));
    REALM_TRY(load_adapters(exchange));
    REALM_TRY(admit(exchange, run->engine_model));
    /* A key that may not use all models finds the one it was admitted for. */
    options.only_model =
        exchange->grant.models[0][0] != '\0' || exchange->grant.models[1][0] != '\0';
    options.max_context = exchange->grant.max_context;
    options.program = run->lease.program;
    options.tenant = run->lease.tenant;
    options.version = run->lease.version;
    const realm_status status = sandbox_start(server->sandbox, &options, &run->instance, &error);
    if (status == REALM_OK) {
        return REALM_OK;
    }
    if (status == REALM_NOT_FOUND) {
        exchange->problem.code = "function_not_found";
    }
    return problem_set(&exchange->problem, status, "", "%s", error.message);
}

realm_status program_run_begin(struct exchange *exchange, const struct program_request *request)
{
    struct program_run *const run = run_create(exchange, request->form);
    if (run == NULL) {
        return out_of_memory(&exchange->problem);
    }
    const realm_status status = start_guest(run, exchange, request);
    if (status != REALM_OK) {
        destroy(&run->source);
        return status;
    }
    exchange->source = &run->source;
    exchange->content_type = run->source.stream ? "text/event-stream" : "application/json";
    return REALM_OK;
}

/* --- chats -------------------------------------------------------------------------------------
 */

/* Whether the tenant's chats go through a program; the problem tells of an error. */
static realm_status has_default(struct exchange *exchange, bool *out)
{
    struct shelf *shelf;
    REALM_TRY(program_open_shelf(exchange, &shelf));
    *out = shelf_has_default(shelf);
    return REALM_OK;
}

static realm_status begin_chat(struct exchange *exchange, bool through_default, bool *taken)
{
    json_t *body;
    REALM_TRY(
        json_parse_object(exchange->body.text, exchange->body.length, &body, &exchange->problem));
    const char *const model = json_string_value(json_object_get(body, "model"));
    const char *const named = model != NULL ? program_named(model) : NULL;
    realm_status status = REALM_OK;
    *taken = named != NULL || through_default;
    if (*taken && !json_is_array(json_object_get(body, "messages"))) {
        status = problem_set(&exchange->problem,
                             REALM_INVALID_ARGUMENT,
                             "messages",
                             "messages must be an array of at least one message");
    } else if (*taken) {
        const struct program_request request = {
            .form = PROGRAM_FORM_CHAT,
            .name = named,
            .body = body,
        };
        status = program_run_begin(exchange, &request);
    }
    json_decref(body);
    return status;
}

bool program_takes_chat(struct exchange *exchange)
{
    bool taken = false;
    realm_status status = has_default(exchange, &taken);
    /* Only a body with these letters is worth a second parsing. */
    const bool names_one =
        memmem(exchange->body.text, exchange->body.length, MODEL_PREFIX, strlen(MODEL_PREFIX)) !=
        NULL;
    if (status == REALM_OK && (taken || names_one)) {
        status = begin_chat(exchange, taken, &taken);
    }
    if (status != REALM_OK) {
        exchange_answer_problem(exchange);
        taken = true;
    }
    if (taken) {
        strbuf_deinit(&exchange->body);
    }
    return taken;
}
