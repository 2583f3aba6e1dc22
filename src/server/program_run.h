/* The run of a tenant's program as a source of answers: as itself, event by event, or in the form
 * of a chat completion.
 *
 * Life: program_run_begin on a prepare thread; then the I/O thread pulls.  Destroying it cancels
 * the guest. */
#ifndef REALM_SERVER_PROGRAM_RUN_H
#define REALM_SERVER_PROGRAM_RUN_H

#include "sandbox/shelf.h"
#include "server/exchange.h"
#include "server/json.h"

#define PROGRAM_RUN_ID_BYTES 40u

enum program_form { PROGRAM_FORM_RUN, PROGRAM_FORM_CHAT };

struct program_run {
    struct source source; /* first */
    enum program_form form;
    struct shelf_lease lease;
    struct instance *instance;
    char id[PROGRAM_RUN_ID_BYTES];
    char request_id[REQUEST_ID_LENGTH + 1];
    char tenant[TENANT_NAME_BYTES];
    char *model; /* as the client named it; CHAT only */
    const char *engine_model;
    char *function; /* NULL: the default one */
    char *end_user;
    int64_t created_s;
    uint64_t begin_ns;
    bool include_usage;
    bool begun; /* CHAT: the first chunk was written */
    bool spoke; /* emitted text */
    bool ended; /* `end` is what came of it */
    bool log_truncated;
    struct strbuf text;   /* without streaming */
    struct strbuf events; /* items of a JSON array; without streaming */
    struct strbuf result; /* JSON, "" for none */
    struct strbuf log;    /* items of a JSON array */
    struct guest_event end;
};

/* What the client asks for. */
struct program_request {
    enum program_form form;
    const char *name;     /* NULL: the tenant's default program */
    const char *function; /* NULL: the default one */
    uint32_t version;     /* 0: the active one */
    const json_t *body;   /* an object */
};

/* The shelf of the exchange's tenant; blocks. */
REALM_MUST_CHECK realm_status program_open_shelf(struct exchange *exchange, struct shelf **out);

/* Starts a guest on exchange->body and makes it exchange->source.  The problem says what the client
 * is told. */
REALM_MUST_CHECK realm_status program_run_begin(struct exchange *exchange,
                                                const struct program_request *request);

/* For chat requests: true when a program answers (or an error does), because the request names one
 * or the tenant has a default one. */
bool program_takes_chat(struct exchange *exchange);

/* program_answer.c: what is written for the client. */
void program_answer_event(struct program_run *run,
                          const struct guest_event *event,
                          struct frames *frames);
/* After the guest's end, which was good. */
void program_answer_end_stream(struct program_run *run, struct frames *frames);
void program_answer_whole(const struct program_run *run, struct strbuf *out);
void program_answer_usage(const struct program_run *run, struct strbuf *out);

#endif
