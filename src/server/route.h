/* Which function answers which method and path: one table. */
#ifndef REALM_SERVER_ROUTE_H
#define REALM_SERVER_ROUTE_H

#include "server/exchange.h"

enum route_method { ROUTE_GET, ROUTE_POST, ROUTE_OTHER };

struct route {
    enum route_method method;
    const char *path;
    bool prefix;             /* path ends with '/' and more follows */
    enum tenant_scope scope; /* of the key it needs; 0: none */
    /* Answers at once, on the I/O thread; or NULL. */
    void (*answer)(struct exchange *exchange);
    /* Makes the body a completion, on a prepare thread; or NULL. */
    void (*prepare)(struct exchange *exchange);
};

/* The route of exchange->path; NULL: an error was made the answer (404, 405). */
const struct route *route_find(struct exchange *exchange, enum route_method method);
/* Walks the table (for tests and documents); NULL at the end. */
const struct route *route_at(size_t index);

#endif
