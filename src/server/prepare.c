/* The prepare threads: JSON, templates and tokens are made here, never on the I/O thread. */
#include "base/trace.h"
#include "server/completion.h"
#include "server/handlers.h"
#include "server/program_run.h"
#include "server/response.h"
#include "server/route.h"
#include "server/state.h"

#define MAX_WAITING   1024u
#define SLOW_THREADS  2u
#define SLOW_NICENESS 5 /* they work for seconds, on a core that a step may want */

static struct exchange *take_one(struct prepare_pool *pool)
{
    void *item = NULL;
    mutex_lock(&pool->lock);
    while (queue_take(pool->waiting, &item, 1) == 0 && !queue_closed(pool->waiting)) {
        queue_wait(pool->waiting, UINT32_MAX);
    }
    mutex_unlock(&pool->lock);
    return item;
}

static void run(void *context)
{
    struct prepare_pool *const pool = context;
    struct exchange *exchange;
    if (pool == &pool->server->prepare_slow) {
        thread_stand_back(SLOW_NICENESS);
    }
    while ((exchange = take_one(pool)) != NULL) {
        const uint64_t start_ns = trace_begin();
        exchange->route->prepare(exchange);
        trace_end("prepare", start_ns);
        /* `ready` has room for everything that can be under way. */
        (void)REALM_INVARIANT(queue_try_push(pool->server->ready, exchange));
    }
}

static realm_status start_pool(struct prepare_pool *pool,
                               struct server *server,
                               const char *name,
                               uint32_t n_threads,
                               struct realm_error *error)
{
    pool->server = server;
    mutex_init(&pool->lock);
    REALM_TRY(queue_create(MAX_WAITING, NULL, NULL, &pool->waiting, error));
    for (uint32_t i = 0; i < n_threads; i++) {
        REALM_TRY(thread_start(&pool->threads[i], name, run, pool, error));
        pool->n_threads++;
    }
    return REALM_OK;
}

static void stop_pool(struct prepare_pool *pool)
{
    if (pool->waiting != NULL) {
        queue_close(pool->waiting);
    }
    for (uint32_t i = 0; i < pool->n_threads; i++) {
        thread_join(&pool->threads[i]);
    }
}

static void deinit_pool(struct prepare_pool *pool)
{
    if (pool->server != NULL) {
        queue_destroy(pool->waiting);
        mutex_deinit(&pool->lock);
    }
}

realm_status prepare_start(struct server *server, uint32_t n_threads, struct realm_error *error)
{
    const uint32_t max_under_way = 2 * (MAX_WAITING + SERVER_MAX_PREPARE_THREADS);
    REALM_TRY(queue_create(max_under_way, loop_wake, server, &server->ready, error));
    REALM_TRY(start_pool(&server->prepare, server, "realm-prepare", n_threads, error));
    return start_pool(&server->prepare_slow, server, "realm-slow", SLOW_THREADS, error);
}

void prepare_stop(struct server *server)
{
    stop_pool(&server->prepare);
    stop_pool(&server->prepare_slow);
}

void prepare_deinit(struct server *server)
{
    deinit_pool(&server->prepare);
    deinit_pool(&server->prepare_slow);
    queue_destroy(server->ready);
}

bool prepare_hand_over(struct exchange *exchange)
{
    struct server *const server = exchange->server;
    const struct prepare_pool *const pool =
        exchange->route->slow ? &server->prepare_slow : &server->prepare;
    exchange_count_running(server);
    exchange->preparing = true;
    if (!queue_try_push(pool->waiting, exchange)) {
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
    const struct completion_scope scope = {
        .engine = server->engine,
        .adapters = server->adapters,
        .account = exchange->account,
        .responses = server->responses,
        .tenant = exchange->tenant_id,
    };
    REALM_TRY(completion_parse(
        kind, &scope, exchange->body.text, exchange->body.length, &completion, &exchange->problem));
    exchange->source = &completion->source;
    REALM_TRY(check_rights(exchange, completion));
    REALM_TRY(admit(exchange, completion));
    completion->request.account = exchange->account;
    REALM_TRY(completion_submit(completion, server->engine, loop_wake, server, &exchange->problem));
    if (completion->response != NULL) {
        response_enter(completion->response, &scope);
    }
    return REALM_OK;
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
    if (!program_takes_chat(exchange)) {
        prepare(exchange, COMPLETION_CHAT);
    }
}

void prepare_embeddings(struct exchange *exchange)
{
    prepare(exchange, COMPLETION_EMBEDDINGS);
}

void prepare_response(struct exchange *exchange)
{
    prepare(exchange, COMPLETION_RESPONSE);
}

void prepare_text(struct exchange *exchange)
{
    prepare(exchange, COMPLETION_TEXT);
}
