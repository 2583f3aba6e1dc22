/* The prepare threads: JSON, templates and tokens are made here, never on the I/O thread. */
#include "base/trace.h"
#include "server/completion.h"
#include "server/handlers.h"
#include "server/route.h"
#include "server/state.h"

#define MAX_WAITING 1024u

static struct exchange *take_one(struct server *server)
{
    void *item = NULL;
    mutex_lock(&server->prepare_mutex);
    while (queue_take(server->to_prepare, &item, 1) == 0 && !queue_closed(server->to_prepare)) {
        queue_wait(server->to_prepare, UINT32_MAX);
    }
    mutex_unlock(&server->prepare_mutex);
    return item;
}

static void run(void *context)
{
    struct server *const server = context;
    struct exchange *exchange;
    while ((exchange = take_one(server)) != NULL) {
        const uint64_t start_ns = trace_begin();
        exchange->route->prepare(exchange);
        trace_end("prepare", start_ns);
        /* `ready` has room for everything that can be under way. */
        (void)REALM_INVARIANT(queue_try_push(server->ready, exchange));
    }
}

realm_status prepare_start(struct server *server, uint32_t n_threads, struct realm_error *error)
{
    REALM_TRY(queue_create(MAX_WAITING, NULL, NULL, &server->to_prepare, error));
    REALM_TRY(queue_create(
        MAX_WAITING + SERVER_MAX_PREPARE_THREADS, loop_wake, server, &server->ready, error));
    for (uint32_t i = 0; i < n_threads; i++) {
        REALM_TRY(thread_start(&server->prepare_threads[i], "realm-prepare", run, server, error));
        server->n_prepare_threads++;
    }
    return REALM_OK;
}

void prepare_stop(struct server *server)
{
    if (server->to_prepare != NULL) {
        queue_close(server->to_prepare);
    }
    for (uint32_t i = 0; i < server->n_prepare_threads; i++) {
        thread_join(&server->prepare_threads[i]);
    }
}

bool prepare_hand_over(struct exchange *exchange)
{
    exchange->preparing = true;
    if (!queue_try_push(exchange->server->to_prepare, exchange)) {
        exchange->preparing = false;
        return false;
    }
    return true;
}

/* What not every key may ask for. */
static realm_status check_rights(struct exchange *exchange, const struct completion *completion)
{
    if (completion->request.publish && (exchange->scopes & SCOPE_ADMIN) == 0) {
        return problem_set(&exchange->problem,
                           REALM_PERMISSION_DENIED,
                           "publish_prefix",
                           "publish_prefix needs a key for admin");
    }
    return REALM_OK;
}

/* Asks the limits of tenant and key; an answer is cut to the context they allow. */
static realm_status admit(struct exchange *exchange, struct completion *completion)
{
    struct tenant_demand demand = {.model = engine_model_name(completion->model)};
    completion->max_context = exchange->grant.max_context;
    completion_size(completion, &demand.n_context, &demand.n_tokens);
    demand.n_context += 1; /* of the answer, at least */
    return exchange_admit(exchange, &demand);
}

/* Parses the body and hands the request to the engine. */
static realm_status begin_completion(struct exchange *exchange, enum completion_kind kind)
{
    struct server *const server = exchange->server;
    struct completion *completion;
    REALM_TRY(completion_parse(kind,
                               server->engine,
                               exchange->body.text,
                               exchange->body.length,
                               &completion,
                               &exchange->problem));
    exchange->source = &completion->source;
    REALM_TRY(check_rights(exchange, completion));
    REALM_TRY(admit(exchange, completion));
    completion->request.account = exchange->account;
    return completion_submit(completion, server->engine, loop_wake, server, &exchange->problem);
}

static void prepare(struct exchange *exchange, enum completion_kind kind)
{
    const realm_status status = begin_completion(exchange, kind);
    strbuf_deinit(&exchange->body);
    if (status != REALM_OK) {
        exchange_drop_source(exchange);
        exchange_answer_problem(exchange);
    } else if (exchange->source->stream) {
        exchange->content_type = "text/event-stream";
    }
}

void prepare_chat(struct exchange *exchange)
{
    prepare(exchange, COMPLETION_CHAT);
}

void prepare_text(struct exchange *exchange)
{
    prepare(exchange, COMPLETION_TEXT);
}
