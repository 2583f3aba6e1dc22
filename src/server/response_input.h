/* The input of a response: items, as clients send them, to the messages of a chat. */
#ifndef REALM_SERVER_RESPONSE_INPUT_H
#define REALM_SERVER_RESPONSE_INPUT_H

#include "server/fields.h"

/* Appends to `items` each item of the input as it is listed later, with an id, and to `messages`
 * what it means in a chat. */
REALM_MUST_CHECK realm_status response_input_read(struct field_reader *reader,
                                                  const json_t *input,
                                                  json_t *items,
                                                  json_t *messages);

#endif
