/* What the handlers of /admin/v1 share: the acts of `realm tenant`, `key`, `usage`, `price` and
 * `audit` over HTTP, for keys with the scope admin.  All run on prepare threads. */
#ifndef REALM_SERVER_ADMIN_H
#define REALM_SERVER_ADMIN_H

#include "server/handlers.h"
#include "server/json.h"
#include "server/state.h"

#define ADMIN_ACTOR_BYTES 24u
#define ADMIN_PAGE        100u /* rows a page has unless `limit` says otherwise */
#define ADMIN_MAX_PAGE    1000u

/* Ends a prepare function: answers with what is in `out` and http_status, or with the problem. */
void admin_end(struct exchange *exchange, realm_status status, int http_status);
/* Makes a store's error the exchange's problem; returns its status. */
realm_status admin_fail(struct exchange *exchange, const struct realm_error *error);
/* "key:1f0c88aa", for the audit log. */
void admin_actor(const struct exchange *exchange, char out[ADMIN_ACTOR_BYTES]);
struct store *admin_store(const struct exchange *exchange);
struct usage *admin_usage(const struct exchange *exchange);

/* One field of a body, read by the handler; *known: whether there is such a field. */
typedef realm_status (*admin_field)(
    void *context, const char *field, const json_t *value, bool *known, struct problem *problem);
/* Parses the body, an object, and reads each of its fields.  Unknown ones are refused by name. */
REALM_MUST_CHECK realm_status admin_read(struct exchange *exchange,
                                         admin_field read,
                                         void *context);
/* The fields of struct limits; *known stays false where the field is none of them. */
REALM_MUST_CHECK realm_status admin_read_limit(struct limits *limits,
                                               const char *field,
                                               const json_t *value,
                                               bool of_key,
                                               bool *known,
                                               struct problem *problem);
/* A string of at most n_bytes - 1 bytes. */
REALM_MUST_CHECK realm_status admin_read_text(
    const char *field, const json_t *value, char *out, size_t n_bytes, struct problem *problem);
/* ,"weight":1,... */
void admin_write_limits(const struct limits *limits, bool of_key, struct strbuf *out);
/* ,"name":"value" */
void admin_write_text(const char *name, const char *value, struct strbuf *out);

/* Query parameters `limit` and `after` of a list. */
struct admin_page {
    uint32_t limit;
    const char *after; /* id of the row before the first wanted; NULL: from the beginning */
    /* While rows are written: */
    bool begun; /* past `after` */
    uint32_t n;
    bool more;
};
REALM_MUST_CHECK realm_status admin_page_read(struct exchange *exchange, struct admin_page *page);
/* Whether the row with this id is on the page; call it for each row in order. */
bool admin_page_takes(struct admin_page *page, const char *id);
void admin_list_begin(struct strbuf *out);
void admin_list_end(const struct admin_page *page, struct strbuf *out);

#endif
