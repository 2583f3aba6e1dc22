#include "server/exchange.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "server/route.h"
#include "server/state.h"

#include <string.h>

#define MAX_ANSWER_BYTES ((size_t)1 << 30)
/* A stream's frames are gathered up to this before they are written. */
#define PULL_BYTES ((size_t)16384)

static void make_request_id(char id[REQUEST_ID_LENGTH + 1])
{
    uint8_t random[REQUEST_ID_LENGTH / 2] = {0};
    /* Without randomness the id is zeros: it identifies nothing, and the answer goes on. */
    (void)!random_bytes(random, sizeof random, NULL);
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(id + 2 * i, 3, "%02x", random[i]);
    }
}

struct exchange *exchange_create(struct server *server, struct lws *wsi)
{
    struct exchange *const exchange = alloc_zeroed(ALLOC_SERVER, 1, sizeof *exchange);
    if (exchange == NULL) {
        return NULL;
    }
    exchange->server = server;
    exchange->wsi = wsi;
    exchange->begin_ns = clock_monotonic_ns();
    exchange->http_status = 200;
    exchange->content_type = "application/json";
    make_request_id(exchange->request_id);
    strbuf_init(&exchange->body, ALLOC_SERVER, (size_t)server->max_body_bytes + 1);
    strbuf_init(&exchange->out, ALLOC_SERVER, MAX_ANSWER_BYTES);
    exchange->next = server->active;
    if (server->active != NULL) {
        server->active->previous = exchange;
    }
    server->active = exchange;
    return exchange;
}

void exchange_destroy(struct exchange *exchange)
{
    if (exchange->previous != NULL) {
        exchange->previous->next = exchange->next;
    } else {
        exchange->server->active = exchange->next;
    }
    if (exchange->next != NULL) {
        exchange->next->previous = exchange->previous;
    }
    completion_destroy(exchange->completion);
    account_release(exchange->account);
    strbuf_deinit(&exchange->body);
    strbuf_deinit(&exchange->out);
    alloc_free(exchange);
}

void exchange_answer_problem(struct exchange *exchange)
{
    exchange->failed = true;
    exchange->http_status = problem_http_status(&exchange->problem);
    exchange->content_type = "application/json";
    strbuf_clear(&exchange->out);
    problem_write(&exchange->problem, &exchange->out);
    exchange->complete = true;
}

void exchange_fail(
    struct exchange *exchange, realm_status status, const char *code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)realm_error_setv(&exchange->problem.error, status, format, arguments);
    va_end(arguments);
    exchange->problem.code = code;
    exchange_answer_problem(exchange);
}

/* The completion failed: before the first byte it is an HTTP error, later a last frame. */
static void pull_failure(struct exchange *exchange)
{
    exchange->problem = exchange->completion->problem;
    if (!exchange->headers_sent) {
        exchange_answer_problem(exchange);
        return;
    }
    exchange->failed = true;
    strbuf_append_text(&exchange->out, "data: ");
    problem_write(&exchange->problem, &exchange->out);
    strbuf_append_text(&exchange->out, "\n\n");
    exchange->complete = true;
}

bool exchange_pull(struct exchange *exchange)
{
    if (exchange->preparing) {
        return false;
    }
    if (!exchange->complete && exchange->completion != NULL) {
        const enum completion_progress progress =
            completion_pump(exchange->completion, &exchange->out, PULL_BYTES);
        if (exchange->completion->failed) {
            pull_failure(exchange);
        } else {
            exchange->complete = progress == COMPLETION_DONE;
        }
    }
    return exchange->complete || exchange->out.length > 0;
}

void exchange_log(const struct exchange *exchange)
{
    const struct completion *const completion = exchange->completion;
    const bool named = completion != NULL && completion->end_user != NULL;
    log_info("request",
             LOG_TEXT("id", exchange->request_id),
             LOG_TEXT("path", exchange->path),
             LOG_I64("status", exchange->http_status),
             LOG_TEXT("tenant", exchange->tenant),
             LOG_TEXT("key", exchange->key_id),
             LOG_TEXT("user", named ? completion->end_user : ""),
             LOG_U64("body_bytes", exchange->n_body_bytes),
             LOG_U64("prompt_tokens", completion != NULL ? completion->n_prompt_tokens : 0),
             LOG_U64("completion_tokens", completion != NULL ? completion->n_completion_tokens : 0),
             LOG_BOOL("gone", exchange->wsi == NULL),
             LOG_U64("ms", (clock_monotonic_ns() - exchange->begin_ns) / 1000000u));
}
