/* The messages of a chat request: checked, and turned into the variables of the model's template.
 */
#ifndef REALM_SERVER_CHAT_MESSAGES_H
#define REALM_SERVER_CHAT_MESSAGES_H

#include "server/fields.h"

/* Appends the prompt's text. */
REALM_MUST_CHECK realm_status chat_messages_render(struct field_reader *reader, struct strbuf *out);

#endif
