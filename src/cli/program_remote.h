/* Programs on a server, as `realm program` deals with them. */
#ifndef REALM_CLI_PROGRAM_REMOTE_H
#define REALM_CLI_PROGRAM_REMOTE_H

#include "cli/client.h"

struct program_remote_request {
    const char *name;
    const char *function; /* NULL: the default one */
    const char *model;    /* NULL: what the body says */
    uint64_t seed;        /* 0: what the body says */
    struct bytes body;    /* a JSON object */
};

/* Runs a program of the server and shows what it emits as it comes: text and the result on
 * standard output, events and log lines on standard error. */
REALM_MUST_CHECK realm_status program_remote_run(struct client *client,
                                                 const struct program_remote_request *request,
                                                 struct realm_error *error);
/* Writes versions and functions as JSON. */
REALM_MUST_CHECK realm_status program_remote_show(struct client *client,
                                                  const char *name,
                                                  struct realm_error *error);

#endif
