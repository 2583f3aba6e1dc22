#include "server/handlers.h"
#include "server/state.h"

void answer_health(struct exchange *exchange)
{
    strbuf_append_text(&exchange->out, "{\"status\":\"ok\"}");
    exchange->complete = true;
}

void answer_ready(struct exchange *exchange)
{
    struct server *const server = exchange->server;
    if (atomic_load(&server->stopping)) {
        exchange_fail(exchange, REALM_UNAVAILABLE, NULL, "the server is shutting down");
        return;
    }
    if (engine_n_models(server->engine) == 0) {
        exchange_fail(exchange, REALM_UNAVAILABLE, NULL, "no model is loaded yet");
        return;
    }
    strbuf_append_text(&exchange->out, "{\"status\":\"ready\"}");
    exchange->complete = true;
}
