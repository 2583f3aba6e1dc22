/* One GET over HTTPS (or plain HTTP to this machine), redirects followed by hand: never to an
 * address less safe than the first, and the token goes to the first host only. */
#ifndef REALM_HUB_HTTP_H
#define REALM_HUB_HTTP_H

#include "hub/source.h"

#define HTTP_VALIDATOR_BYTES 256u

struct http_response {
    long code;      /* 0: no answer came */
    uint64_t from;  /* of 206: the first byte's place in the whole */
    uint64_t total; /* bytes of the whole; 0: unknown */
    bool total_known;
    /* A strong ETag, else the date of the last change, with which a range may be asked for later.
     */
    char validator[HTTP_VALIDATOR_BYTES];
    char sha256[65];        /* from X-Linked-Etag, of any answer on the way; "": none */
    uint32_t retry_after_s; /* what the server asks us to wait; 0: nothing said */
    bool again;             /* on error: another try may help */
};

struct http_request {
    const char *url;
    const char *token;    /* NULL: none */
    uint64_t from;        /* ask for the bytes from here on; 0: for all */
    const char *if_range; /* with from: the validator of what is there */
    uint32_t stall_s;     /* without a byte: broken */
    /* Once, before the first bytes of a 200 or 206. */
    realm_status (*begin)(void *context,
                          const struct http_response *response,
                          struct realm_error *error);
    realm_status (*body)(void *context,
                         const void *data,
                         size_t n_bytes,
                         struct realm_error *error);
    /* Several times a second; false: stop. */
    bool (*tick)(void *context);
    void *context;
};

/* OK: 200 or 206 and the whole body came.  INVALID_ARGUMENT: the address, or a redirect to one that
 * is not allowed; PERMISSION_DENIED: 401, 403; NOT_FOUND: 404, 410; UNAVAILABLE: all else of the
 * network and the server (416 too, see response->code); CANCELLED: tick; or what begin and body
 * gave. */
REALM_MUST_CHECK realm_status http_get(const struct http_request *request,
                                       struct http_response *response,
                                       struct realm_error *error);

#endif
