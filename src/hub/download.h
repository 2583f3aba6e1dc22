/* One file fetched: resumed, retried, checked, named. */
#ifndef REALM_HUB_DOWNLOAD_H
#define REALM_HUB_DOWNLOAD_H

#include "hub/hub.h"
#include "hub/source.h"

struct download {
    const char *url;
    const char *target; /* its folder is made */
    const char *token;  /* NULL: none */
    const char *sha256; /* 64 hex digits, or NULL */
    uint64_t bytes;     /* it must have; 0: unknown */
    uint32_t part;      /* of a split model, from 1; for the progress */
    uint32_t n_parts;
};

/* See hub_pull for what it gives. */
REALM_MUST_CHECK realm_status download_file(const struct hub_options *options,
                                            const struct download *download,
                                            struct realm_error *error);
/* A small text into out (whose ceiling bounds it), with the same retries. */
REALM_MUST_CHECK realm_status download_text(const struct hub_options *options,
                                            const char *url,
                                            const char *token,
                                            struct strbuf *out,
                                            struct realm_error *error);

#endif
