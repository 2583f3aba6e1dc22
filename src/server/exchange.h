/* One request and its answer on a connection.
 *
 * Owner: the I/O thread, but for the time between exchange_hand_over and its return through
 * server->ready, when a prepare thread has it (`preparing`); the I/O thread then touches only
 * `wsi`.  A client that goes away leaves wsi NULL, and the exchange is destroyed as soon as the I/O
 * thread has it. */
#ifndef REALM_SERVER_EXCHANGE_H
#define REALM_SERVER_EXCHANGE_H

#include "base/strbuf.h"
#include "server/source.h"
#include "telemetry/trace_context.h"
#include "tenant/tenant.h"

#define REQUEST_ID_LENGTH        24u
#define CLIENT_REQUEST_ID_LENGTH 128u
#define EXCHANGE_MAX_ARGUMENTS   3u

struct lws;
struct route;
struct server;
struct ws_request;

struct exchange {
    struct server *server;
    struct lws *wsi;       /* of HTTP; NULL with ws: the client has gone */
    struct ws_request *ws; /* of a WebSocket, which writes the answer; or NULL */
    struct exchange *next; /* in server->active */
    struct exchange *previous;
    const struct route *route; /* NULL: none fits */
    char path[256];
    char path_parts[256];                          /* the path again, cut where its arguments end */
    const char *arguments[EXCHANGE_MAX_ARGUMENTS]; /* what stands for the route's ":name" parts */
    struct strbuf query; /* "name=value" texts, decoded, each ended by a zero byte */
    char request_id[REQUEST_ID_LENGTH + 1];
    char client_request_id[CLIENT_REQUEST_ID_LENGTH + 1]; /* as the client calls it; or "" */
    char key_id[KEY_ID_LENGTH + 1];
    char tenant[TENANT_NAME_BYTES];
    int64_t tenant_id;
    uint32_t scopes;         /* of the key */
    struct account *account; /* retained; NULL where no key was asked for */
    struct tenant_grant grant;
    struct tenant_ticket ticket;    /* settled when the exchange ends */
    struct quota_standing standing; /* told in the answer's head */
    struct trace_context *trace;    /* NULL: no traces are exported */
    uint64_t begin_ns;
    struct strbuf body;
    uint64_t n_body_bytes; /* received, kept or not */
    uint64_t body_deadline_ns;
    bool received; /* the request is here in full */
    bool preparing;
    bool takes_input; /* messages for what runs may come: it came over a WebSocket */
    bool failed;      /* `problem` is the answer */
    struct problem problem;
    struct source *source; /* NULL: the answer, if there is one, is in `out` */
    struct frames frames;  /* writes to `out` */
    /* The answer: */
    int http_status;
    const char *content_type; /* static */
    char allow[40];           /* of a 405 or a preflight; "" for none */
    const char *allow_origin; /* CORS: whose pages may read the answer; NULL: nobody's */
    bool preflight;           /* what is answered is what else may be asked */
    struct strbuf out;
    bool head_only; /* the method is HEAD */
    bool headers_sent;
    bool complete;           /* nothing will be added to `out` */
    bool answered;           /* all of it is written, before the whole request was here */
    bool upgrade;            /* the client asked for another protocol */
    bool last_of_connection; /* the connection closes behind the answer */
    bool writing;            /* the client's time for taking what there is runs */
};

/* A new exchange in server->active, or NULL. */
struct exchange *exchange_create(struct server *server, struct lws *wsi);
/* Off the list; cancels what runs. */
void exchange_destroy(struct exchange *exchange);

/* Nobody waits for the answer any more. */
bool exchange_abandoned(const struct exchange *exchange);
/* Looks at a key, with the scopes of exchange->route.  False: an error was made the answer. */
bool exchange_authenticate(struct exchange *exchange, const char *key);
/* Cancels what the answer was to come from. */
void exchange_drop_source(struct exchange *exchange);
/* Makes the error the whole answer. */
__attribute__((format(printf, 4, 5))) void exchange_fail(
    struct exchange *exchange, realm_status status, const char *code, const char *format, ...);
/* Makes exchange->problem the whole answer. */
void exchange_answer_problem(struct exchange *exchange);
/* What is in `out` is the whole answer, JSON, with an HTTP status of 200 to 299. */
void exchange_answer(struct exchange *exchange, int http_status);
/* Value of a query parameter, "" where it stands without one; NULL: it is not there. */
const char *exchange_query(const struct exchange *exchange, const char *name);

/* Asks the tenant's and the key's limits, once a request's size is known; on a prepare thread.  On
 * error exchange->problem says what the client is told. */
REALM_MUST_CHECK realm_status exchange_admit(struct exchange *exchange,
                                             const struct tenant_demand *demand);

/* Lets what runs count with all it has used by now, also where it has said nothing: before somebody
 * asks what is left.  I/O thread. */
void exchange_count_running(struct server *server);

/* Fills `out` as far as it goes now; true: there is something to write, or the answer is complete.
 */
bool exchange_pull(struct exchange *exchange);
/* One line in the log. */
void exchange_log(const struct exchange *exchange);

#endif
