/* Connections: what libwebsockets tells us about them, and what we write to them. */
#ifndef REALM_SERVER_CONN_H
#define REALM_SERVER_CONN_H

#include "server/state.h"

/* The protocol table for the context; static. */
struct lws_protocols;
const struct lws_protocols *conn_protocols(void);

/* Asks for a chance to write on every connection that has something. */
void conn_wake_all(struct server *server);
/* Takes back what the prepare threads are done with. */
void conn_take_ready(struct server *server);

#endif
