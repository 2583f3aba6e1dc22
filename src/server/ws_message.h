/* What a client says over a WebSocket: one JSON object a message, read without looking into its
 * body.
 *
 * The body of a request is as large as that of an HTTP request, and is parsed where those are: on a
 * prepare thread.  Here the I/O thread only finds where it begins and ends.  See
 * docs/formats/websocket.md. */
#ifndef REALM_SERVER_WS_MESSAGE_H
#define REALM_SERVER_WS_MESSAGE_H

#include "base/bytes.h"
#include "server/problem.h"

#define WS_ID_BYTES   136u /* an id as JSON text, terminated */
#define WS_WORD_BYTES 128u /* any other text, terminated */

enum ws_message_type { WS_AUTH, WS_REQUEST, WS_CANCEL, WS_PING, WS_RESUME, WS_INPUT, WS_INPUT_END };

struct ws_message {
    enum ws_message_type type;
    char id[WS_ID_BYTES]; /* JSON text; "" where none is given */
    char kind[WS_WORD_BYTES];
    char name[WS_WORD_BYTES];     /* of a program */
    char function[WS_WORD_BYTES]; /* so; "": the default one */
    char key[2 * WS_WORD_BYTES];
    char session[WS_WORD_BYTES];
    uint64_t after;    /* of WS_RESUME */
    struct bytes data; /* of WS_INPUT: a value inside the text, unread */
    struct bytes body; /* inside the text; an object's or anything else's; empty: none */
};

/* INVALID_ARGUMENT names what is wrong; out->id is then the message's if it could be read. */
REALM_MUST_CHECK realm_status ws_message_read(const char *text,
                                              size_t n_bytes,
                                              struct ws_message *out,
                                              struct problem *problem);

#endif
