/* Which function answers which method and path: one table. */
#ifndef REALM_SERVER_ROUTE_H
#define REALM_SERVER_ROUTE_H

#include "server/exchange.h"

enum route_method {
    ROUTE_GET, /* HEAD too */
    ROUTE_POST,
    ROUTE_PUT,
    ROUTE_PATCH,
    ROUTE_DELETE,
    ROUTE_OTHER,
};

struct route {
    enum route_method method;
    /* Parts between slashes; ":name" stands for any text but an empty one, and "*" at the end for
     * all that follows.  What they stood for is in exchange->arguments, in order. */
    const char *path;
    uint32_t scopes; /* enum tenant_scope: its key needs one of them; 0: it needs no key */
    /* Answers at once, on the I/O thread, without waiting for anything; or NULL. */
    void (*answer)(struct exchange *exchange);
    /* Runs on a prepare thread and may block: leaves a source in the exchange, or an answer in its
     * `out`; or NULL. */
    void (*prepare)(struct exchange *exchange);
    uint64_t max_body_bytes; /* where it is more than the server's own ceiling; 0: never */
    bool slow;               /* `prepare` may take seconds: others need not wait for it */
    bool module;             /* its body is a module, as long as its tenant's may be */
    /* Kind of the event that tells of a failure inside a stream; NULL: it has none. */
    const char *error_event;
};

/* The route of exchange->path, with its arguments; NULL: an error was made the answer (404, 405).
 */
const struct route *route_find(struct exchange *exchange, enum route_method method);
/* Whether exchange->path answers to any method: exchange->allow says to which. */
bool route_exists(struct exchange *exchange);
/* Walks the table (for tests and documents); NULL at the end. */
const struct route *route_at(size_t index);
/* "GET"; "" for ROUTE_OTHER. */
const char *route_method_name(enum route_method method);

#endif
