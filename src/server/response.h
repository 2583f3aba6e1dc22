/* POST /v1/responses: what a response is beside the completion that makes it. */
#ifndef REALM_SERVER_RESPONSE_H
#define REALM_SERVER_RESPONSE_H

#include "server/completion.h"
#include "server/response_store.h"

#include <stdatomic.h>

enum response_item {
    RESPONSE_ITEM_NONE,
    RESPONSE_ITEM_MESSAGE,
    RESPONSE_ITEM_CALL,
};

/* Owned by its completion.  Constant once parsed, but for what the answer gathers. */
struct response {
    struct response_live live; /* first */
    struct completion *completion;
    struct response_store *store; /* NULL: it was not entered there */
    bool keep;
    /* JSON without the outer brackets: */
    const char *echo;     /* what the request asked for, as the answer repeats it */
    const char *input;    /* items */
    const char *messages; /* of a chat: all that was said before the answer */
    _Atomic bool cancelled;
    /* The answer so far: */
    enum response_item item; /* that is under way */
    struct strbuf items;     /* that are complete */
    uint32_t n_items;
    uint32_t n_events;
};

/* Appends the object; items: whether with what was gathered. */
void response_write(const struct response *response,
                    const char *status,
                    bool items,
                    struct strbuf *out);
/* Once it runs: others may cancel it from now on. */
void response_enter(struct response *response, const struct completion_scope *scope);
/* Leaves the store's list.  NULL is fine. */
void response_destroy(struct response *response);

#endif
