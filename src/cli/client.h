/* Calls a running Realm server: one request at a time over HTTP, with a key. */
#ifndef REALM_CLI_CLIENT_H
#define REALM_CLI_CLIENT_H

#include "base/bytes.h"
#include "base/strbuf.h"
#include "cli/args.h"

#define CLIENT_URL_BYTES 512u
#define CLIENT_KEY_BYTES 256u

struct client {
    /* What the options gave; NULL: see client_open. */
    const char *url_option;
    const char *key_option;
    const char *data_option;
    char url[CLIENT_URL_BYTES]; /* without a slash at the end */
    char key[CLIENT_KEY_BYTES];
};

/* The rows of an option table that say which server. */
/* clang-format off */
#define CLIENT_OPTIONS(client) \
    {"url", 0, ARG_TEXT, &(client)->url_option, "URL", \
     "the server (REALM_URL, or http://127.0.0.1:8080)", 0, 0}, \
    {"key", 0, ARG_TEXT, &(client)->key_option, "KEY", \
     "its key (REALM_KEY, or the first key in the data folder)", 0, 0}, \
    {"data", 0, ARG_TEXT, &(client)->data_option, "DIR", \
     "where the first key lies (~/.local/share/realm)", 0, 0}
/* clang-format on */

/* Finds URL and key.  UNAUTHENTICATED: no key is known, and how to give one. */
REALM_MUST_CHECK realm_status client_open(struct client *client, struct realm_error *error);

struct client_call {
    const char *method;
    const char *path; /* begins with a slash; its parts are escaped */
    struct bytes body;
    const char *progress; /* label of a bar while the body is sent; NULL: none */
    /* Gets the body of a good answer as it comes, instead of `answer`; NULL: none. */
    realm_status (*take)(void *context, struct bytes piece, struct realm_error *error);
    void *context;
};

/* answer: initialised; gets the body.  Ctrl-C ends it with CANCELLED.  An answer that is not good
 * becomes the error it tells of. */
REALM_MUST_CHECK realm_status client_call(const struct client *client,
                                          const struct client_call *call,
                                          struct strbuf *answer,
                                          struct realm_error *error);

/* Appends text as one part of a path. */
void client_append_escaped(struct strbuf *path, const char *text);

#endif
