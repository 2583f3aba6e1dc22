/* What a WebSocket connection is about: who speaks, and the requests that run for them.  Knows
 * nothing of sockets: ws.c takes messages from a session one by one and gives it what arrives.
 *
 * A session outlives its connection for WS_RESUME_S while it has requests: each keeps its last
 * messages, numbered, and a new connection of the same tenant takes it over.  What is kept is
 * bounded: a request whose reader does not come is no longer pulled, and the engine parks it.
 *
 * I/O thread only. */
#ifndef REALM_SERVER_WS_SESSION_H
#define REALM_SERVER_WS_SESSION_H

#include "server/exchange.h"
#include "server/ws_message.h"

#define WS_SESSION_ID_LENGTH 32u
#define WS_RESUME_S          60u

/* What the client has sent to a run. */
struct ws_input {
    struct strbuf early; /* messages that came while the request was prepared; a zero behind each */
    uint32_t n_early;    /* of them */
    bool ended;          /* the client said that no more comes */
};

/* One request of a session, until its answer was sent and is not likely to be asked for again. */
struct ws_request {
    struct ws_session *session;
    struct ws_request *next;
    struct exchange *exchange; /* NULL: the answer is in `lines` to its end */
    char id[WS_ID_BYTES];
    uint64_t sequence;       /* of the last message in `lines` */
    uint64_t first_sequence; /* of the first one there */
    struct strbuf lines;     /* messages, each ended by a line feed */
    size_t n_sent;           /* of these bytes */
    struct ws_input input;
};

struct ws_session {
    struct server *server;
    struct ws_session *next; /* in server->ws_sessions */
    struct ws_session *previous;
    struct lws *wsi; /* NULL: the connection was lost, or is not made yet */
    char id[WS_SESSION_ID_LENGTH + 1];
    char key[2 * WS_WORD_BYTES]; /* looked at again for each request; "": nobody spoke yet */
    char tenant[TENANT_NAME_BYTES];
    int64_t tenant_id;
    uint64_t expires_ns;    /* without a connection */
    struct strbuf incoming; /* the message that is being received */
    struct strbuf control;  /* messages that belong to no request, each ended by a line feed */
    struct strbuf outgoing; /* the message that is being sent */
    size_t n_outgoing_sent;
    struct ws_request *requests; /* the one whose turn it is first */
    bool failed;                 /* memory is out: nothing can be sent any more */
    bool closing;                /* for good, once everything is sent */
};

/* exchange: the request for a WebSocket, with who it is from if its head said so.  NULL: an error
 * was made its answer. */
struct ws_session *ws_session_create(struct exchange *exchange, const char *key);
/* Cancels what runs. */
void ws_session_destroy(struct ws_session *session);
/* The connection is lost.  Destroys a session that nobody can want. */
void ws_session_drop(struct ws_session *session);

/* A whole message came. */
void ws_session_receive(struct ws_session *session);
/* Puts the next message into session->outgoing; false: there is none now. */
bool ws_session_next(struct ws_session *session);
/* Something is to be sent, or can be pulled. */
bool ws_session_readable(const struct ws_session *session);
/* Without a connection: pulls as much as may be kept. */
void ws_request_gather(struct ws_request *request);
/* Ends the session, once everything is sent. */
void ws_session_refuse(struct ws_session *session,
                       const char *id,
                       const struct problem *problem,
                       bool closing);

#endif
