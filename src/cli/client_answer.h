/* What commands that ask a server do with its answers, which are JSON. */
#ifndef REALM_CLI_CLIENT_ANSWER_H
#define REALM_CLI_CLIENT_ANSWER_H

#include "cli/client.h"

#include <jansson.h>

/* Opens the client and calls.  path: ended here; one that failed is a name that is too long.
 * answer: initialised here with room for max_bytes, ended by the caller in either case. */
REALM_MUST_CHECK realm_status client_ask(struct client *client,
                                         struct client_call call,
                                         struct strbuf *path,
                                         size_t max_bytes,
                                         struct strbuf *answer,
                                         struct realm_error *error);

/* Prints the answer as it came (json), or by `print`; ends it.  status: client_ask's, which comes
 * back where it is an error.  INVALID_FORMAT: the answer is not JSON. */
REALM_MUST_CHECK realm_status client_print_answer(struct strbuf *answer,
                                                  realm_status status,
                                                  bool json,
                                                  void (*print)(const json_t *body),
                                                  struct realm_error *error);

/* A member; "" and 0 where there is none of its kind.  The text is the object's. */
const char *client_text(const json_t *object, const char *name);
long long client_number(const json_t *object, const char *name);

#endif
