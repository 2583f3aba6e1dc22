/* /v1/programs: what lies on a tenant's shelf, and running it. */
#include "base/log.h"
#include "server/handlers.h"
#include "server/json.h"
#include "server/program_run.h"
#include "server/state.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LOG_RECORDS RUN_LOG_MAX_RECORDS

/* Ends a prepare function. */
static void end(struct exchange *exchange, realm_status status)
{
    strbuf_deinit(&exchange->body);
    if (status != REALM_OK) {
        exchange_answer_problem(exchange);
    } else if (exchange->source == NULL) {
        exchange_answer(exchange, exchange->http_status);
    }
}

static realm_status
fail(struct exchange *exchange, realm_status status, const struct realm_error *error)
{
    if (status == REALM_NOT_FOUND) {
        exchange->problem.code = "program_not_found";
    }
    if (status == REALM_RESOURCE_EXHAUSTED) {
        /* Waiting does not help, so it is no 429. */
        exchange->problem.http_status = 422;
        exchange->problem.type = "program_error";
        exchange->problem.code = "program_limit_exceeded";
    }
    const char *const limit = sandbox_limit_of(error);
    if (limit != NULL) {
        log_warn("program_refused",
                 LOG_TEXT("request", exchange->request_id),
                 LOG_TEXT("tenant", exchange->tenant),
                 LOG_TEXT("limit", limit));
    }
    return problem_set(
        &exchange->problem, status, limit != NULL ? limit : "", "%s", error->message);
}

/* A whole number of 1 to UINT32_MAX, or 0. */
static uint32_t read_number(const char *text)
{
    const size_t n = strlen(text);
    const bool good = n > 0 && n < 10 && strspn(text, "0123456789") == n;
    return good ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static realm_status
query_number(struct exchange *exchange, const char *name, uint32_t absent, uint32_t *out)
{
    const char *const text = exchange_query(exchange, name);
    *out = text != NULL ? read_number(text) : absent;
    return text == NULL || *out > 0
               ? REALM_OK
               : problem_set(&exchange->problem,
                             REALM_INVALID_ARGUMENT,
                             name,
                             "%s is \"%.40s\" and must be a whole number from 1",
                             name,
                             text);
}

/* --- looking -----------------------------------------------------------------------------------
 */

struct writer {
    struct strbuf *out;
    const char *name; /* the only program wanted; NULL: all */
    char chosen_name[SHELF_NAME_BYTES];
    uint32_t n;
};

static void write_version(struct strbuf *out, const struct shelf_version *version, bool active)
{
    strbuf_append_format(out,
                         "{\"version\":%u,\"sha256\":\"%s\",\"bytes\":%llu,\"created\":%lld,"
                         "\"active\":%s}",
                         version->number,
                         version->sha256,
                         (unsigned long long)version->n_bytes,
                         (long long)version->created_s,
                         active ? "true" : "false");
}

static void write_item_head(struct strbuf *out, const struct shelf_item *item)
{
    strbuf_append_text(out, "{\"object\":\"program\",\"name\":");
    strbuf_append_json(out, item->name, strlen(item->name));
    strbuf_append_format(out,
                         ",\"active_version\":%u,\"default\":%s",
                         item->active,
                         item->is_default ? "true" : "false");
}

static void write_summary(void *context, const struct shelf_item *item)
{
    struct writer *const writer = context;
    strbuf_append_text(writer->out, writer->n++ > 0 ? "," : "");
    write_item_head(writer->out, item);
    strbuf_append_format(
        writer->out,
        ",\"versions\":%u,\"updated\":%lld}",
        item->n_versions,
        (long long)(item->n_versions > 0 ? item->versions[item->n_versions - 1].created_s : 0));
    if (item->is_default) {
        memcpy(writer->chosen_name, item->name, strlen(item->name) + 1);
    }
}

static realm_status list(struct exchange *exchange)
{
    struct shelf *shelf;
    struct writer writer = {.out = &exchange->out};
    REALM_TRY(program_open_shelf(exchange, &shelf));
    strbuf_append_text(&exchange->out, "{\"object\":\"list\",\"data\":[");
    shelf_each(shelf, write_summary, &writer);
    strbuf_append_text(&exchange->out, "],\"default\":");
    if (writer.chosen_name[0] != '\0') {
        strbuf_append_json(&exchange->out, writer.chosen_name, strlen(writer.chosen_name));
    } else {
        strbuf_append_text(&exchange->out, "null");
    }
    strbuf_append_char(&exchange->out, '}');
    return REALM_OK;
}

void prepare_programs_list(struct exchange *exchange)
{
    end(exchange, list(exchange));
}

static void write_versions(void *context, const struct shelf_item *item)
{
    struct writer *const writer = context;
    if (strcmp(item->name, writer->name) != 0) {
        return;
    }
    write_item_head(writer->out, item);
    strbuf_append_text(writer->out, ",\"versions\":[");
    for (uint32_t i = 0; i < item->n_versions; i++) {
        strbuf_append_text(writer->out, i > 0 ? "," : "");
        write_version(writer->out, &item->versions[i], item->versions[i].number == item->active);
    }
    strbuf_append_char(writer->out, ']');
}

static void write_functions(const struct program *program, struct strbuf *out)
{
    strbuf_append_text(out, ",\"functions\":[");
    for (uint32_t i = 0; i < program_n_functions(program); i++) {
        const struct program_function *const function = program_function_at(program, i);
        strbuf_append_text(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        strbuf_append_json(out, function->name, strlen(function->name));
        strbuf_append_text(out, ",\"description\":");
        strbuf_append_json(out, function->description, strlen(function->description));
        strbuf_append_format(out,
                             ",\"parameters\":%s,\"streaming\":%s}",
                             function->parameters_json,
                             function->streaming ? "true" : "false");
    }
    strbuf_append_char(out, ']');
}

static realm_status show(struct exchange *exchange)
{
    struct shelf *shelf;
    struct shelf_lease lease;
    struct realm_error error;
    struct writer writer = {.out = &exchange->out, .name = exchange->arguments[0]};
    REALM_TRY(program_open_shelf(exchange, &shelf));
    const realm_status status = shelf_take(shelf, writer.name, 0, &lease, &error);
    if (status == REALM_NOT_FOUND) {
        return fail(exchange, status, &error);
    }
    shelf_each(shelf, write_versions, &writer);
    if (exchange->out.length == 0) { /* removed meanwhile */
        shelf_give_back(&lease);
        (void)realm_error_set(&error, REALM_NOT_FOUND, "there is no program %s", writer.name);
        return fail(exchange, REALM_NOT_FOUND, &error);
    }
    if (status == REALM_OK) {
        write_functions(lease.program, &exchange->out);
        shelf_give_back(&lease);
    } else { /* cannot run now; its versions can be looked at all the same */
        strbuf_append_text(&exchange->out, ",\"functions\":[],\"error\":");
        strbuf_append_json(&exchange->out, error.message, strlen(error.message));
    }
    strbuf_append_char(&exchange->out, '}');
    return REALM_OK;
}

void prepare_program_show(struct exchange *exchange)
{
    end(exchange, show(exchange));
}

static realm_status show_logs(struct exchange *exchange)
{
    struct shelf *shelf;
    struct shelf_lease lease;
    struct realm_error error;
    uint32_t limit;
    REALM_TRY(query_number(exchange, "limit", MAX_LOG_RECORDS, &limit));
    REALM_TRY(program_open_shelf(exchange, &shelf));
    const realm_status status = shelf_take(shelf, exchange->arguments[0], 0, &lease, &error);
    if (status != REALM_OK) {
        return fail(exchange, status, &error);
    }
    strbuf_append_text(&exchange->out, "{\"object\":\"list\",\"data\":");
    run_log_write(lease.log, limit, &exchange->out);
    strbuf_append_char(&exchange->out, '}');
    shelf_give_back(&lease);
    return REALM_OK;
}

void prepare_program_logs(struct exchange *exchange)
{
    end(exchange, show_logs(exchange));
}

/* --- changing ----------------------------------------------------------------------------------
 */

static realm_status push(struct exchange *exchange)
{
    struct shelf *shelf;
    struct realm_error error;
    struct shelf_version version;
    const char *const activate = exchange_query(exchange, "activate");
    const bool keep_active = activate != NULL && strcmp(activate, "false") == 0;
    if (activate != NULL && !keep_active && strcmp(activate, "true") != 0) {
        return problem_set(&exchange->problem,
                           REALM_INVALID_ARGUMENT,
                           "activate",
                           "activate is \"%.40s\" and must be true or false",
                           activate);
    }
    REALM_TRY(program_open_shelf(exchange, &shelf));
    const struct bytes module = {.data = (const uint8_t *)exchange->body.text,
                                 .length = exchange->body.length};
    const realm_status status =
        shelf_push(shelf, exchange->arguments[0], module, keep_active, &version, &error);
    if (status != REALM_OK) {
        return fail(exchange, status, &error);
    }
    strbuf_append_text(&exchange->out, "{\"object\":\"program.version\",\"name\":");
    strbuf_append_json(&exchange->out, exchange->arguments[0], strlen(exchange->arguments[0]));
    strbuf_append_format(&exchange->out,
                         ",\"version\":%u,\"sha256\":\"%s\",\"bytes\":%llu,\"created\":%lld}",
                         version.number,
                         version.sha256,
                         (unsigned long long)version.n_bytes,
                         (long long)version.created_s);
    exchange->http_status = 201;
    return REALM_OK;
}

void prepare_program_push(struct exchange *exchange)
{
    end(exchange, push(exchange));
}

static realm_status delete(struct exchange *exchange, uint32_t version)
{
    struct shelf *shelf;
    struct realm_error error;
    REALM_TRY(program_open_shelf(exchange, &shelf));
    const realm_status status = shelf_remove(shelf, exchange->arguments[0], version, &error);
    if (status != REALM_OK) {
        return fail(exchange, status, &error);
    }
    strbuf_append_text(&exchange->out, "{\"object\":\"program.deleted\",\"name\":");
    strbuf_append_json(&exchange->out, exchange->arguments[0], strlen(exchange->arguments[0]));
    if (version > 0) {
        strbuf_append_format(&exchange->out, ",\"version\":%u", version);
    }
    strbuf_append_text(&exchange->out, ",\"deleted\":true}");
    return REALM_OK;
}

void prepare_program_delete(struct exchange *exchange)
{
    end(exchange, delete (exchange, 0));
}

void prepare_program_version_delete(struct exchange *exchange)
{
    const uint32_t version = read_number(exchange->arguments[1]);
    end(exchange,
        version > 0 ? delete (exchange, version)
                    : problem_set(&exchange->problem,
                                  REALM_INVALID_ARGUMENT,
                                  "version",
                                  "version is \"%.40s\" and must be a whole number from 1",
                                  exchange->arguments[1]));
}

static realm_status activate(struct exchange *exchange)
{
    struct shelf *shelf;
    struct realm_error error;
    json_t *body;
    uint32_t version = 0;
    REALM_TRY(
        json_parse_object(exchange->body.text, exchange->body.length, &body, &exchange->problem));
    realm_status status = json_read_u32(
        json_object_get(body, "version"), "version", 1, UINT32_MAX, &version, &exchange->problem);
    json_decref(body);
    REALM_TRY(status);
    REALM_TRY(program_open_shelf(exchange, &shelf));
    status = shelf_activate(shelf, exchange->arguments[0], version, &error);
    return status == REALM_OK ? show(exchange) : fail(exchange, status, &error);
}

void prepare_program_activate(struct exchange *exchange)
{
    end(exchange, activate(exchange));
}

static realm_status choose_default(struct exchange *exchange)
{
    struct shelf *shelf;
    struct realm_error error;
    json_t *body;
    struct bytes name = {.length = 0};
    REALM_TRY(
        json_parse_object(exchange->body.text, exchange->body.length, &body, &exchange->problem));
    const json_t *const value = json_object_get(body, "default");
    realm_status status = REALM_OK;
    if (!json_is_null(value)) {
        status = json_read_text(value, "default", &name, &exchange->problem);
    }
    if (status == REALM_OK) {
        status = program_open_shelf(exchange, &shelf);
    }
    if (status == REALM_OK) {
        status = shelf_set_default(shelf, (const char *)name.data, &error);
        status = status == REALM_OK ? list(exchange) : fail(exchange, status, &error);
    }
    json_decref(body);
    return status;
}

void prepare_programs_patch(struct exchange *exchange)
{
    end(exchange, choose_default(exchange));
}

/* --- running -----------------------------------------------------------------------------------
 */

static realm_status run(struct exchange *exchange, const char *function)
{
    json_t *body;
    struct program_request request = {
        .form = PROGRAM_FORM_RUN, .name = exchange->arguments[0], .function = function};
    if (exchange->body.length == 0 && !strbuf_append_text(&exchange->body, "{}")) {
        return problem_set(&exchange->problem, REALM_OUT_OF_MEMORY, "", "no memory for a run");
    }
    REALM_TRY(query_number(exchange, "version", 0, &request.version));
    REALM_TRY(
        json_parse_object(exchange->body.text, exchange->body.length, &body, &exchange->problem));
    request.body = body;
    const realm_status status = program_run_begin(exchange, &request);
    json_decref(body);
    return status;
}

void prepare_program_run(struct exchange *exchange)
{
    end(exchange, run(exchange, NULL));
}

void prepare_program_function(struct exchange *exchange)
{
    end(exchange, run(exchange, exchange->arguments[1]));
}
