/* What the head of a request says, read from libwebsockets: I/O thread, while the head is there. */
#ifndef REALM_SERVER_REQUEST_HEAD_H
#define REALM_SERVER_REQUEST_HEAD_H

#include "server/exchange.h"

#define HEAD_KEY_BYTES 256u

/* Bearer key of the request, terminated; false: there is none. */
bool head_read_key(struct lws *wsi, char out[HEAD_KEY_BYTES]);

/* What the head says of the body. */
struct body_head {
    bool chunked;
    bool given; /* there is a Content-Length */
    bool valid; /* and it is one number */
    uint64_t length;
};
struct body_head head_read_body(struct lws *wsi);

/* Into exchange->query. */
void head_read_query(struct exchange *exchange);
/* The id that the client gave the request, if it is one, into exchange->client_request_id. */
void head_read_request_id(struct exchange *exchange);
/* The caller's trace, if it names one, into exchange->trace, if there is that. */
void head_read_trace(const struct exchange *exchange);
/* Whether a browser's page that may not use the server sent this; exchange->allow_origin is set for
 * one that may. */
bool head_origin_refused(struct exchange *exchange);
/* A browser asks whether a page may send what it wants to. */
bool head_is_preflight(const struct exchange *exchange);

#endif
