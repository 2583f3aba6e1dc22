/* WebSockets: what libwebsockets tells us about them, and what we write to them.
 * docs/formats/websocket.md is the protocol. */
#ifndef REALM_SERVER_WS_H
#define REALM_SERVER_WS_H

#include "server/ws_session.h"

#define WS_PATH "/v1/ws"

/* Makes a session for a connection that asks for a WebSocket.  key: of its head, already looked at;
 * "" for none.  False: an error was made the exchange's answer. */
bool ws_accept(struct exchange *exchange, const char *key);
/* The connection goes away before it became a WebSocket. */
void ws_forget(struct lws *wsi);
/* reason: an lws_callback_reasons of a WebSocket; returns as callbacks do. */
int ws_on_event(struct lws *wsi, int reason, const char *data, size_t n_bytes);

/* An exchange of the request has something. */
void ws_wake(struct ws_request *request);
/* Ends sessions without a connection whose time is over; true: some are left. */
bool ws_expire(struct server *server);
/* Some connection has yet to be sent something. */
bool ws_busy(const struct server *server);

#endif
