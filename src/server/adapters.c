/* /v1/adapters: a tenant's LoRA adapters. */
#include "server/adapter_room.h"
#include "server/handlers.h"
#include "server/state.h"

#include <string.h>

/* Ends a prepare function. */
static void end(struct exchange *exchange, realm_status status)
{
    strbuf_deinit(&exchange->body);
    if (status != REALM_OK) {
        exchange_answer_problem(exchange);
    } else {
        exchange_answer(exchange, exchange->http_status);
    }
}

static realm_status fail(struct exchange *exchange,
                         realm_status status,
                         const char *param,
                         const struct realm_error *error)
{
    if (status == REALM_NOT_FOUND) {
        exchange->problem.code = "adapter_not_found";
    }
    if (status == REALM_RESOURCE_EXHAUSTED) {
        /* Waiting does not help, so it is no 429. */
        exchange->problem.http_status = 422;
        exchange->problem.type = "invalid_request_error";
        exchange->problem.code = "adapter_limit_exceeded";
    }
    return problem_set(&exchange->problem, status, param, "%s", error->message);
}

static struct adapter_owner owner_of(const struct exchange *exchange)
{
    return (struct adapter_owner){.tenant = exchange->tenant_id, .account = exchange->account};
}

static void write_item(const struct adapter_item *item, const char *model, struct strbuf *out)
{
    strbuf_append_text(out, "{\"object\":\"adapter\",\"name\":");
    strbuf_append_json(out, item->name, strlen(item->name));
    strbuf_append_text(out, ",\"model\":");
    strbuf_append_json(out, model, strlen(model));
    strbuf_append_format(out,
                         ",\"sha256\":\"%s\",\"bytes\":%llu,\"created\":%lld,\"loaded\":%s}",
                         item->sha256,
                         (unsigned long long)item->n_bytes,
                         (long long)item->created_s,
                         item->loaded ? "true" : "false");
}

struct writer {
    struct strbuf *out;
    const char *name; /* the only one wanted; NULL: all */
    uint32_t n;
};

static void visit(void *context, const struct adapter_item *item)
{
    struct writer *const writer = context;
    if (writer->name == NULL || strcmp(writer->name, item->name) == 0) {
        strbuf_append_text(writer->out, writer->n++ > 0 ? "," : "");
        write_item(item, item->model, writer->out);
    }
}

/* name: NULL: all of them, in a list. */
static realm_status show(struct exchange *exchange, const char *name)
{
    struct realm_error error;
    struct writer writer = {.out = &exchange->out, .name = name};
    const struct adapter_owner owner = owner_of(exchange);
    strbuf_append_text(&exchange->out, name == NULL ? "{\"object\":\"list\",\"data\":[" : "");
    const realm_status status =
        adapter_room_each(exchange->server->adapters, &owner, visit, &writer, &error);
    if (status != REALM_OK) {
        return fail(exchange, status, "", &error);
    }
    strbuf_append_text(&exchange->out, name == NULL ? "]}" : "");
    if (name != NULL && writer.n == 0) {
        (void)realm_error_set(&error,
                              REALM_NOT_FOUND,
                              "there is no adapter %.70s; GET /v1/adapters lists yours",
                              name);
        return fail(exchange, REALM_NOT_FOUND, "", &error);
    }
    return REALM_OK;
}

void prepare_adapters_list(struct exchange *exchange)
{
    end(exchange, show(exchange, NULL));
}

void prepare_adapter_show(struct exchange *exchange)
{
    end(exchange, show(exchange, exchange->arguments[0]));
}

static realm_status push(struct exchange *exchange)
{
    struct server *const server = exchange->server;
    struct realm_error error;
    struct adapter_item item;
    const struct adapter_owner owner = owner_of(exchange);
    const char *const name = exchange_query(exchange, "model");
    if (name == NULL || name[0] == '\0') {
        return problem_set(&exchange->problem,
                           REALM_INVALID_ARGUMENT,
                           "model",
                           "?model= must name the model that the adapter is for");
    }
    struct engine_model *const model = engine_find_model(server->engine, name);
    if (model == NULL) {
        exchange->problem.code = "model_not_found";
        return problem_set(&exchange->problem,
                           REALM_NOT_FOUND,
                           "model",
                           "no model named \"%.100s\" is loaded; GET /v1/models lists them",
                           name);
    }
    const struct bytes bytes = {.data = (const uint8_t *)exchange->body.text,
                                .length = exchange->body.length};
    const realm_status status = adapter_room_push(
        server->adapters, &owner, model, exchange->arguments[0], bytes, &item, &error);
    if (status != REALM_OK) {
        return fail(exchange, status, "", &error);
    }
    write_item(&item, name, &exchange->out);
    exchange->http_status = 201;
    return REALM_OK;
}

void prepare_adapter_push(struct exchange *exchange)
{
    end(exchange, push(exchange));
}

static realm_status delete(struct exchange *exchange)
{
    struct realm_error error;
    const struct adapter_owner owner = owner_of(exchange);
    const char *const name = exchange->arguments[0];
    const realm_status status =
        adapter_room_remove(exchange->server->adapters, &owner, name, &error);
    if (status != REALM_OK) {
        return fail(exchange, status, "", &error);
    }
    strbuf_append_text(&exchange->out, "{\"object\":\"adapter.deleted\",\"name\":");
    strbuf_append_json(&exchange->out, name, strlen(name));
    strbuf_append_text(&exchange->out, ",\"deleted\":true}");
    return REALM_OK;
}

void prepare_adapter_delete(struct exchange *exchange)
{
    end(exchange, delete (exchange));
}
