/* GET /v1/models and /v1/models/NAME: what is loaded, and each model with each of the tenant's
 * adapters as MODEL@NAME. */
#include "server/handlers.h"
#include "server/model_name.h"
#include "server/state.h"

#include <string.h>

struct writer {
    struct engine *engine;
    struct strbuf *out;
    uint32_t n;
};

/* adapter: its name, or NULL. */
static void write_model(const struct engine_model *model,
                        const char *adapter,
                        int64_t created_s,
                        struct strbuf *out)
{
    struct strbuf name;
    strbuf_init(&name, ALLOC_SERVER, SIZE_MAX);
    strbuf_append_text(&name, engine_model_name(model));
    if (adapter != NULL) {
        strbuf_append_char(&name, '@');
        strbuf_append_text(&name, adapter);
    }
    strbuf_append_text(out, "{\"id\":");
    strbuf_append_json(out, name.text, name.length);
    strbuf_append_format(
        out,
        ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"realm\",\"context_length\":%u}",
        (long long)created_s,
        engine_model_context_length(model));
    strbuf_deinit(&name);
}

static void write_adapter(void *context, const struct adapter_item *item)
{
    struct writer *const writer = context;
    const struct engine_model *const model = engine_find_model(writer->engine, item->model);
    if (item->loaded && model != NULL) {
        strbuf_append_text(writer->out, writer->n++ > 0 ? "," : "");
        write_model(model, item->name, item->created_s, writer->out);
    }
}

static realm_status list(struct exchange *exchange)
{
    struct server *const server = exchange->server;
    struct realm_error error;
    struct writer writer = {.engine = server->engine, .out = &exchange->out};
    const struct adapter_owner owner = {.tenant = exchange->tenant_id,
                                        .account = exchange->account};
    realm_status status = adapter_room_load(server->adapters, &owner, &error);
    if (status != REALM_OK) { /* before a word is said */
        return problem_set(&exchange->problem, status, "", "%s", error.message);
    }
    strbuf_append_text(&exchange->out, "{\"object\":\"list\",\"data\":[");
    for (; writer.n < engine_n_models(server->engine); writer.n++) {
        const struct engine_model *const model = engine_model_at(server->engine, writer.n);
        strbuf_append_text(&exchange->out, writer.n > 0 ? "," : "");
        write_model(model, NULL, engine_model_loaded_at_s(model), &exchange->out);
    }
    status = adapter_room_each(server->adapters, &owner, write_adapter, &writer, &error);
    strbuf_append_text(&exchange->out, "]}");
    return status == REALM_OK ? REALM_OK
                              : problem_set(&exchange->problem, status, "", "%s", error.message);
}

static realm_status show(struct exchange *exchange)
{
    struct server *const server = exchange->server;
    struct engine_model *model;
    struct engine_adapter *adapter;
    const struct adapter_owner owner = {.tenant = exchange->tenant_id,
                                        .account = exchange->account};
    REALM_TRY(model_name_find(server->engine,
                              server->adapters,
                              &owner,
                              exchange->arguments[0],
                              &model,
                              &adapter,
                              &exchange->problem));
    write_model(model,
                adapter != NULL ? strrchr(exchange->arguments[0], '@') + 1 : NULL,
                engine_model_loaded_at_s(model),
                &exchange->out);
    engine_adapter_release(adapter);
    return REALM_OK;
}

static void end(struct exchange *exchange, realm_status status)
{
    if (status == REALM_OK) {
        exchange_answer(exchange, 200);
    } else {
        exchange_answer_problem(exchange);
    }
}

void prepare_models(struct exchange *exchange)
{
    end(exchange, list(exchange));
}

void prepare_model(struct exchange *exchange)
{
    end(exchange, show(exchange));
}
