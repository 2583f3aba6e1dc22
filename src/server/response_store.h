/* Responses that clients asked to keep: FOLDER/<tenant>/<id>, a file each, written by a thread of
 * its own; and those that are under way, so that another request can cancel them.
 *
 * A tenant has at most RESPONSE_STORE_MAX_COUNT responses of RESPONSE_STORE_MAX_BYTES together, for
 * RESPONSE_STORE_MAX_DAYS; the oldest give way.  What was put can be had at once, also before it is
 * on disk; what a crash finds unwritten is lost. */
#ifndef REALM_SERVER_RESPONSE_STORE_H
#define REALM_SERVER_RESPONSE_STORE_H

#include "base/status.h"
#include "base/strbuf.h"

#define RESPONSE_ID_LENGTH       29u /* "resp_" and 24 hexadecimal digits */
#define RESPONSE_ID_BYTES        32u
#define RESPONSE_STORE_MAX_COUNT 1000u
#define RESPONSE_STORE_MAX_BYTES ((uint64_t)256 << 20)
#define RESPONSE_STORE_MAX_DAYS  30

struct response_store;

REALM_MUST_CHECK realm_status response_store_open(const char *folder,
                                                  struct response_store **out,
                                                  struct realm_error *error);
/* Writes what waits.  NULL is fine. */
void response_store_close(struct response_store *store);

/* Takes the text out of `record`, which is left empty.  Any thread; never waits for the disk.  What
 * cannot be kept is logged. */
void response_store_put(struct response_store *store,
                        int64_t tenant,
                        const char *id,
                        struct strbuf *record);
/* *out: the caller's, by alloc_free.  NOT_FOUND.  Any thread that may block. */
REALM_MUST_CHECK realm_status response_store_get(struct response_store *store,
                                                 int64_t tenant,
                                                 const char *id,
                                                 char **out,
                                                 size_t *n_bytes,
                                                 struct realm_error *error);
/* NOT_FOUND.  Any thread that may block. */
REALM_MUST_CHECK realm_status response_store_remove(struct response_store *store,
                                                    int64_t tenant,
                                                    const char *id,
                                                    struct realm_error *error);

/* --- responses under way ------------------------------------------------------------------------
 */

/* Part of what makes the response; the store only links it. */
struct response_live {
    struct response_live *next;
    int64_t tenant;
    const char *id;
};

void response_store_enter(struct response_store *store, struct response_live *live);
/* Not an error if it is not there. */
void response_store_leave(struct response_store *store, struct response_live *live);
/* Calls `visit` with the response while it cannot leave; false: there is none. */
bool response_store_visit(struct response_store *store,
                          int64_t tenant,
                          const char *id,
                          void (*visit)(void *context, struct response_live *live),
                          void *context);

#endif
