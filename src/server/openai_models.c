/* GET /v1/models and /v1/models/NAME. */
#include "server/handlers.h"
#include "server/state.h"

#include <string.h>

static void write_model(const struct engine_model *model, struct strbuf *out)
{
    const char *const name = engine_model_name(model);
    strbuf_append_text(out, "{\"id\":");
    strbuf_append_json(out, name, strlen(name));
    strbuf_append_format(
        out,
        ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"realm\",\"context_length\":%u}",
        (long long)engine_model_loaded_at_s(model),
        engine_model_context_length(model));
}

void answer_models(struct exchange *exchange)
{
    struct engine *const engine = exchange->server->engine;
    strbuf_append_text(&exchange->out, "{\"object\":\"list\",\"data\":[");
    for (uint32_t i = 0; i < engine_n_models(engine); i++) {
        strbuf_append_text(&exchange->out, i > 0 ? "," : "");
        write_model(engine_model_at(engine, i), &exchange->out);
    }
    strbuf_append_text(&exchange->out, "]}");
    exchange->complete = true;
}

void answer_model(struct exchange *exchange)
{
    const struct engine_model *const model =
        engine_find_model(exchange->server->engine, exchange->arguments[0]);
    if (model == NULL) {
        exchange_fail(exchange,
                      REALM_NOT_FOUND,
                      "model_not_found",
                      "no model named \"%.100s\" is loaded; GET /v1/models lists them",
                      exchange->arguments[0]);
        return;
    }
    write_model(model, &exchange->out);
    exchange->complete = true;
}
