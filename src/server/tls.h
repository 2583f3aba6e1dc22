/* Certificate and key of the server: read from two PEM files, and read again on demand. */
#ifndef REALM_SERVER_TLS_H
#define REALM_SERVER_TLS_H

#include "base/status.h"

/* Puts the files' certificate chain and key into a context of OpenSSL, for connections from now on;
 * NULL: only looks at them.  On error the context is as it was.
 * INVALID_ARGUMENT names the file and what is wrong with it. */
struct ssl_ctx_st;
REALM_MUST_CHECK realm_status tls_load(struct ssl_ctx_st *context,
                                       const char *certificate_path,
                                       const char *key_path,
                                       struct realm_error *error);

#endif
