/* The fragments of the API's document: src/server/openapi/, a file an area, embedded at build time.
 * "server.json" is the document; the others add paths and schemas to it. */
#ifndef REALM_SERVER_OPENAPI_H
#define REALM_SERVER_OPENAPI_H

#include <stddef.h>

struct embedded_file {
    const char *name;
    const unsigned char *data;
    size_t n_bytes;
};

/* Ends with a row whose name is NULL. */
extern const struct embedded_file openapi_fragments[];

#endif
