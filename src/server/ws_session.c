#include "server/ws_session.h"

#include "base/clock.h"
#include "base/random.h"
#include "server/route.h"
#include "server/state.h"
#include "server/ws.h"
#include "server/ws_input.h"

#include <stdio.h>
#include <string.h>

#define MAX_IN_FLIGHT     64u                 /* requests of a session */
#define MAX_FINISHED      16u                 /* answered requests that can still be resumed */
#define KEPT_BYTES        ((size_t)256 << 10) /* of what was sent, and of what nobody takes */
#define SEND_BYTES        ((size_t)16 << 10)  /* pulled ahead for a connection */
#define MAX_CONTROL_BYTES ((size_t)64 << 10)
#define MAX_LINES_BYTES   ((size_t)1 << 30)

/* What a client may ask for, and the route that answers it. */
static const struct ws_kind {
    const char *name;
    enum route_method method;
    const char *path;
} kinds[] = {
    {"chat.completions", ROUTE_POST, "/v1/chat/completions"},
    {"completions", ROUTE_POST, "/v1/completions"},
    {"embeddings", ROUTE_POST, "/v1/embeddings"},
    {"models", ROUTE_GET, "/v1/models"},
    {"responses", ROUTE_POST, "/v1/responses"},
    {"tokenize", ROUTE_POST, "/tokenize"},
    {"detokenize", ROUTE_POST, "/detokenize"},
    {"apply-template", ROUTE_POST, "/apply-template"},
    {"program", ROUTE_POST, "/v1/programs/"}, /* and what is named */
};

/* --- messages to the client ---------------------------------------------------------------------
 */

static void write_problem(const struct problem *problem, struct strbuf *out)
{
    strbuf_append_format(out, "\"status\":%d,", problem_http_status(problem));
    problem_write_member(problem, out);
    strbuf_append_text(out, "}\n");
}

void ws_session_refuse(struct ws_session *session,
                       const char *id,
                       const struct problem *problem,
                       bool closing)
{
    strbuf_append_format(
        &session->control, "{\"type\":\"error\",\"id\":%s,", id[0] != '\0' ? id : "null");
    write_problem(problem, &session->control);
    session->closing = session->closing || closing;
}

__attribute__((format(printf, 5, 6))) static void refuse(struct ws_session *session,
                                                         const char *id,
                                                         realm_status status,
                                                         const char *code,
                                                         const char *format,
                                                         ...)
{
    struct problem problem = {.code = code};
    va_list arguments;
    va_start(arguments, format);
    (void)realm_error_setv(&problem.error, status, format, arguments);
    va_end(arguments);
    ws_session_refuse(session, id, &problem, false);
}

static void say_ready(struct ws_session *session)
{
    strbuf_append_format(&session->control,
                         "{\"type\":\"ready\",\"session\":\"%s\",\"resume_s\":%u}\n",
                         session->id,
                         WS_RESUME_S);
}

/* --- requests -----------------------------------------------------------------------------------
 */

static struct ws_request **find_request(struct ws_session *session, const char *id)
{
    struct ws_request **link = &session->requests;
    while (*link != NULL && strcmp((*link)->id, id) != 0) {
        link = &(*link)->next;
    }
    return link;
}

static void append_request(struct ws_session *session, struct ws_request *request)
{
    struct ws_request **link = &session->requests;
    while (*link != NULL) {
        link = &(*link)->next;
    }
    request->session = session;
    request->next = NULL;
    *link = request;
}

/* Counts and logs the exchange, and lets it go. */
static void end_exchange(struct ws_request *request)
{
    struct exchange *const exchange = request->exchange;
    request->exchange = NULL;
    exchange->ws = NULL;
    exchange->frames.id = "null"; /* the request's own goes with it */
    if (exchange->preparing) {
        return; /* it ends when it comes back, like that of a connection that is gone */
    }
    exchange->server->answers[exchange->http_status / 100 % 6]++;
    exchange_log(exchange);
    exchange_destroy(exchange);
}

static void remove_request(struct ws_request **link)
{
    struct ws_request *const request = *link;
    *link = request->next;
    if (request->exchange != NULL) {
        request->exchange->http_status = 499;
        end_exchange(request);
    }
    strbuf_deinit(&request->lines);
    ws_input_deinit(&request->input);
    alloc_free(request);
}

static void begin_line(struct ws_request *request, const char *type)
{
    request->sequence++;
    strbuf_append_format(&request->lines,
                         "{\"type\":\"%s\",\"id\":%s,\"sequence\":%llu",
                         type,
                         request->id,
                         (unsigned long long)request->sequence);
}

static void write_failure(struct ws_request *request, const struct problem *problem)
{
    begin_line(request, "error");
    strbuf_append_text(&request->lines, ",");
    write_problem(problem, &request->lines);
}

/* The exchange is complete: what is not yet in `lines`, and the end. */
static void finish(struct ws_request *request, bool stream)
{
    const struct exchange *const exchange = request->exchange;
    if (exchange->failed) {
        write_failure(request, &exchange->problem);
    } else {
        if (!stream) {
            begin_line(request, "result");
            strbuf_append_text(&request->lines, ",\"data\":");
            strbuf_append(&request->lines, exchange->out.text, exchange->out.length);
            strbuf_append_text(&request->lines, "}\n");
        }
        begin_line(request, "done");
        strbuf_append_format(&request->lines, ",\"status\":%d}\n", exchange->http_status);
    }
    end_exchange(request);
}

/* Moves what there is now into `lines`, up to about 16 KiB. */
static void pull(struct ws_request *request)
{
    struct exchange *const exchange = request->exchange;
    if (exchange == NULL || !exchange_pull(exchange)) {
        return;
    }
    const bool stream = exchange->source != NULL && exchange->source->stream;
    if (stream) {
        strbuf_append(&request->lines, exchange->out.text, exchange->out.length);
        request->sequence = exchange->frames.sequence;
        strbuf_clear(&exchange->out);
    }
    if (exchange->complete) {
        finish(request, stream);
    }
    request->session->failed |= request->lines.failed;
}

static size_t unsent(const struct ws_request *request)
{
    return request->lines.length - request->n_sent;
}

static bool can_pull(const struct ws_request *request)
{
    const struct exchange *const exchange = request->exchange;
    return exchange != NULL && !exchange->preparing &&
           (exchange->complete ||
            (exchange->source != NULL && exchange->source->type->readable(exchange->source)));
}

void ws_request_gather(struct ws_request *request)
{
    while (can_pull(request) && request->lines.length < KEPT_BYTES) {
        pull(request);
    }
}

/* Drops sent messages beyond what is kept; in large steps, since the rest moves. */
static void forget_sent(struct ws_request *request)
{
    size_t n = 0;
    if (request->n_sent < 2 * KEPT_BYTES) {
        return;
    }
    while (request->n_sent - n > KEPT_BYTES) {
        n += strcspn(request->lines.text + n, "\n") + 1;
        request->first_sequence++;
    }
    strbuf_consume(&request->lines, n);
    request->n_sent -= n;
}

/* Of answered requests only the last few are kept. */
static void forget_finished(struct ws_session *session)
{
    uint32_t n_finished = 0;
    for (const struct ws_request *r = session->requests; r != NULL; r = r->next) {
        n_finished += r->exchange == NULL && unsent(r) == 0;
    }
    struct ws_request **link = &session->requests;
    while (n_finished > MAX_FINISHED && *link != NULL) {
        if ((*link)->exchange == NULL && unsent(*link) == 0) {
            remove_request(link);
            n_finished--;
        } else {
            link = &(*link)->next;
        }
    }
}

/* --- beginning ----------------------------------------------------------------------------------
 */

/* The path of what is asked for; false: the client was told why there is none. */
static bool make_path(struct ws_session *session,
                      const struct ws_message *message,
                      struct exchange *exchange,
                      enum route_method *method)
{
    const struct ws_kind *kind = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        kind = strcmp(kinds[i].name, message->kind) == 0 ? &kinds[i] : kind;
    }
    if (kind == NULL) {
        refuse(session,
               message->id,
               REALM_NOT_FOUND,
               "unknown_kind",
               "there is no kind \"%.60s\" of requests",
               message->kind);
        return false;
    }
    const bool program = kind->path[strlen(kind->path) - 1] == '/';
    const bool function = message->function[0] != '\0';
    if (program == (message->name[0] == '\0') || (function && !program) ||
        strchr(message->name, '/') != NULL || strchr(message->function, '/') != NULL) {
        refuse(session,
               message->id,
               REALM_INVALID_ARGUMENT,
               "invalid_name",
               "name and function are those of a program, and are given for the kind "
               "\"program\" only");
        return false;
    }
    const int n = snprintf(exchange->path,
                           sizeof exchange->path,
                           "%s%s%s%s",
                           kind->path,
                           message->name,
                           !program   ? ""
                           : function ? "/functions/"
                                      : "/run",
                           message->function);
    *method = kind->method;
    return n > 0 && (size_t)n < sizeof exchange->path;
}

static void answer(struct exchange *exchange, enum route_method method)
{
    if (atomic_load(&exchange->server->stopping)) {
        exchange_fail(exchange, REALM_UNAVAILABLE, NULL, "the server is shutting down");
        return;
    }
    exchange->route = route_find(exchange, method);
    if (exchange->route == NULL || !exchange_authenticate(exchange, exchange->ws->session->key)) {
        return;
    }
    if (exchange->route->answer != NULL) {
        exchange->route->answer(exchange);
    } else if (!prepare_hand_over(exchange)) {
        exchange_fail(
            exchange, REALM_UNAVAILABLE, NULL, "too many requests are waiting; try again later");
    }
}

static void begin(struct ws_session *session, const struct ws_message *message)
{
    enum route_method method;
    struct exchange *const exchange = exchange_create(session->server, NULL);
    struct ws_request *const request = alloc_zeroed(ALLOC_SERVER, 1, sizeof *request);
    bool begun = exchange != NULL && request != NULL;
    if (!begun) {
        refuse(session, message->id, REALM_OUT_OF_MEMORY, NULL, "no memory for the request");
    } else {
        begun = make_path(session, message, exchange, &method);
    }
    if (!begun) {
        if (exchange != NULL) {
            exchange_destroy(exchange);
        }
        alloc_free(request);
        return;
    }
    memcpy(request->id, message->id, sizeof request->id);
    request->exchange = exchange;
    request->first_sequence = 1;
    strbuf_init(&request->lines, ALLOC_SERVER, MAX_LINES_BYTES);
    ws_input_init(&request->input);
    append_request(session, request);
    exchange->ws = request;
    exchange->frames.form = FRAMES_LINES;
    exchange->frames.id = request->id;
    exchange->received = true;
    exchange->takes_input = true;
    exchange->n_body_bytes = message->body.length;
    if (strbuf_append(&exchange->body, (const char *)message->body.data, message->body.length)) {
        answer(exchange, method);
    } else {
        exchange_fail(exchange, REALM_OUT_OF_MEMORY, NULL, "no memory for the request");
    }
}

static void on_request(struct ws_session *session, const struct ws_message *message)
{
    uint32_t n_in_flight = 0;
    for (const struct ws_request *r = session->requests; r != NULL; r = r->next) {
        n_in_flight += r->exchange != NULL || unsent(r) > 0;
    }
    struct ws_request **const link = find_request(session, message->id);
    if (*link != NULL && ((*link)->exchange != NULL || unsent(*link) > 0)) {
        refuse(session,
               message->id,
               REALM_ALREADY_EXISTS,
               "id_in_use",
               "a request with the id %s is running; choose another id",
               message->id);
    } else if (n_in_flight >= MAX_IN_FLIGHT) {
        refuse(session,
               message->id,
               REALM_RESOURCE_EXHAUSTED,
               "too_many_requests",
               "%u requests run on this connection already",
               MAX_IN_FLIGHT);
    } else {
        if (*link != NULL) {
            remove_request(link);
        }
        begin(session, message);
    }
}

/* --- the other messages -------------------------------------------------------------------------
 */

static void on_cancel(struct ws_session *session, const struct ws_message *message)
{
    struct ws_request *const request = *find_request(session, message->id);
    if (request == NULL || request->exchange == NULL) {
        return; /* it has ended meanwhile, which its last message tells */
    }
    struct problem problem = {.http_status = 0};
    (void)problem_set(&problem, REALM_CANCELLED, "", "the client cancelled the request");
    request->exchange->http_status = 499;
    end_exchange(request);
    write_failure(request, &problem);
}

static void on_input(struct ws_session *session, const struct ws_message *message)
{
    struct problem problem = {.http_status = 0};
    struct ws_request *const request = *find_request(session, message->id);
    if (request == NULL || request->exchange == NULL) {
        refuse(session,
               message->id,
               REALM_NOT_FOUND,
               "not_running",
               "no request with the id %s is running",
               message->id);
    } else if (ws_input_take(request, message, &problem) != REALM_OK) {
        ws_session_refuse(session, message->id, &problem, false);
    }
}

static struct ws_session *find_session(struct ws_session *own, const char *id)
{
    uint8_t difference;
    struct ws_session *found = NULL;
    if (strlen(id) != WS_SESSION_ID_LENGTH) {
        return NULL;
    }
    for (struct ws_session *s = own->server->ws_sessions; s != NULL; s = s->next) {
        difference = s->tenant_id != own->tenant_id || s->key[0] == '\0';
        for (size_t i = 0; i < WS_SESSION_ID_LENGTH; i++) {
            difference |= (uint8_t)(s->id[i] ^ id[i]); /* takes as long for a good guess */
        }
        found = difference == 0 ? s : found;
    }
    return found;
}

/* Sends again what follows the message `after`. */
static void rewind_to(struct ws_request *request, uint64_t after)
{
    size_t n = 0;
    while (request->first_sequence <= after) {
        n += strcspn(request->lines.text + n, "\n") + 1;
        request->first_sequence++;
    }
    strbuf_consume(&request->lines, n);
    request->n_sent = 0;
}

static void on_resume(struct ws_session *session, const struct ws_message *message)
{
    struct ws_session *const old = find_session(session, message->session);
    struct ws_request **const link = old != NULL ? find_request(old, message->id) : NULL;
    struct ws_request *const request = link != NULL ? *link : NULL;
    if (request == NULL) {
        refuse(session,
               message->id,
               REALM_NOT_FOUND,
               "not_resumable",
               "that session has no such request, or its time is over");
    } else if (message->after + 1 < request->first_sequence || message->after > request->sequence) {
        refuse(session,
               message->id,
               REALM_NOT_FOUND,
               "sequence_lost",
               "the messages from %llu to %llu are kept",
               (unsigned long long)request->first_sequence,
               (unsigned long long)request->sequence);
    } else if (old != session && *find_request(session, message->id) != NULL) {
        refuse(session,
               message->id,
               REALM_ALREADY_EXISTS,
               "id_in_use",
               "this connection has a request with the id %s",
               message->id);
    } else {
        *link = request->next;
        append_request(session, request);
        rewind_to(request, message->after);
        if (old->requests == NULL && old->wsi == NULL) {
            ws_session_destroy(old);
        }
    }
}

static void on_auth(struct ws_session *session, const char *key)
{
    if (session->key[0] != '\0') {
        refuse(session, "", REALM_ALREADY_EXISTS, NULL, "this connection has its key already");
        return;
    }
    struct exchange *const exchange = exchange_create(session->server, NULL);
    if (exchange == NULL) {
        session->closing = true;
        return;
    }
    (void)snprintf(exchange->path, sizeof exchange->path, "%s", WS_PATH);
    exchange->frames.form = FRAMES_LINES;
    exchange->route = route_find(exchange, ROUTE_GET);
    if (exchange_authenticate(exchange, key)) {
        (void)snprintf(session->key, sizeof session->key, "%s", key);
        memcpy(session->tenant, exchange->tenant, sizeof session->tenant);
        session->tenant_id = exchange->tenant_id;
        say_ready(session);
    } else {
        ws_session_refuse(session, "", &exchange->problem, true);
    }
    exchange_destroy(exchange);
}

static void on_message(struct ws_session *session, const struct ws_message *message)
{
    if (message->type == WS_AUTH) {
        on_auth(session, message->key);
    } else if (session->key[0] == '\0') {
        refuse(session,
               message->id,
               REALM_UNAUTHENTICATED,
               NULL,
               "the first message must be {\"type\":\"auth\",\"key\":\"rlm_...\"}");
        session->closing = true;
    } else if (message->type == WS_REQUEST) {
        on_request(session, message);
    } else if (message->type == WS_CANCEL) {
        on_cancel(session, message);
    } else if (message->type == WS_INPUT || message->type == WS_INPUT_END) {
        on_input(session, message);
    } else if (message->type == WS_RESUME) {
        on_resume(session, message);
    } else {
        strbuf_append_format(&session->control,
                             "{\"type\":\"pong\",\"id\":%s}\n",
                             message->id[0] != '\0' ? message->id : "null");
    }
}

void ws_session_receive(struct ws_session *session)
{
    struct ws_message message;
    struct problem problem = {.http_status = 0};
    if (session->closing) {
        return;
    }
    if (ws_message_read(session->incoming.text, session->incoming.length, &message, &problem) ==
        REALM_OK) {
        on_message(session, &message);
    } else {
        ws_session_refuse(session, message.id, &problem, session->key[0] == '\0');
    }
}

/* --- what is sent -------------------------------------------------------------------------------
 */

/* The first message of a text; its line feed stays behind. */
static size_t take_line(struct ws_session *session, const char *lines)
{
    const size_t n = strcspn(lines, "\n");
    strbuf_clear(&session->outgoing);
    session->n_outgoing_sent = 0;
    strbuf_append(&session->outgoing, lines, n);
    return n + 1;
}

bool ws_session_next(struct ws_session *session)
{
    if (session->control.length > 0) {
        strbuf_consume(&session->control, take_line(session, session->control.text));
        return true;
    }
    for (struct ws_request *r = session->requests; r != NULL; r = r->next) {
        while (unsent(r) < SEND_BYTES && can_pull(r)) {
            pull(r);
        }
        if (unsent(r) > 0) {
            r->n_sent += take_line(session, r->lines.text + r->n_sent);
            forget_sent(r);
            /* The others come first the next time. */
            *find_request(session, r->id) = r->next;
            append_request(session, r);
            forget_finished(session);
            return true;
        }
    }
    return false;
}

bool ws_session_readable(const struct ws_session *session)
{
    if (session->control.length > 0 || session->outgoing.length > session->n_outgoing_sent ||
        session->closing) {
        return true;
    }
    for (const struct ws_request *r = session->requests; r != NULL; r = r->next) {
        if (unsent(r) > 0 || can_pull(r)) {
            return true;
        }
    }
    return false;
}

/* --- life ---------------------------------------------------------------------------------------
 */

static bool make_id(char id[WS_SESSION_ID_LENGTH + 1])
{
    uint8_t random[WS_SESSION_ID_LENGTH / 2];
    if (random_bytes(random, sizeof random, NULL) != REALM_OK) {
        return false;
    }
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(id + 2 * i, 3, "%02x", random[i]);
    }
    return true;
}

struct ws_session *ws_session_create(struct exchange *exchange, const char *key)
{
    struct server *const server = exchange->server;
    struct ws_session *const session = alloc_zeroed(ALLOC_SERVER, 1, sizeof *session);
    if (session == NULL || !make_id(session->id)) {
        alloc_free(session);
        exchange_fail(exchange, REALM_OUT_OF_MEMORY, NULL, "no memory for the connection");
        return NULL;
    }
    session->server = server;
    (void)snprintf(session->key, sizeof session->key, "%s", key);
    memcpy(session->tenant, exchange->tenant, sizeof session->tenant);
    session->tenant_id = exchange->tenant_id;
    strbuf_init(&session->incoming, ALLOC_SERVER, (size_t)server->max_body_bytes + WS_WORD_BYTES);
    strbuf_init(&session->control, ALLOC_SERVER, MAX_CONTROL_BYTES);
    strbuf_init(&session->outgoing, ALLOC_SERVER, MAX_LINES_BYTES);
    session->next = server->ws_sessions;
    if (session->next != NULL) {
        session->next->previous = session;
    }
    server->ws_sessions = session;
    server->n_ws_sessions++;
    if (key[0] != '\0') {
        say_ready(session);
    }
    return session;
}

void ws_session_destroy(struct ws_session *session)
{
    if (session->previous != NULL) {
        session->previous->next = session->next;
    } else {
        session->server->ws_sessions = session->next;
    }
    if (session->next != NULL) {
        session->next->previous = session->previous;
    }
    session->server->n_ws_sessions--;
    while (session->requests != NULL) {
        remove_request(&session->requests);
    }
    strbuf_deinit(&session->incoming);
    strbuf_deinit(&session->control);
    strbuf_deinit(&session->outgoing);
    alloc_free(session);
}

void ws_session_drop(struct ws_session *session)
{
    session->wsi = NULL;
    if (session->requests == NULL || atomic_load(&session->server->stopping)) {
        ws_session_destroy(session);
        return;
    }
    session->expires_ns = clock_monotonic_ns() + (uint64_t)WS_RESUME_S * 1000000000u;
    strbuf_deinit(&session->incoming);
    strbuf_deinit(&session->outgoing);
    for (struct ws_request *r = session->requests; r != NULL; r = r->next) {
        ws_request_gather(r);
    }
}
