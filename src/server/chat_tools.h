/* What tools add to the variables of a chat template. */
#ifndef REALM_SERVER_CHAT_TOOLS_H
#define REALM_SERVER_CHAT_TOOLS_H

#include "server/fields.h"

/* Checks tool_calls of the assistant's message number `index` and adds them to `copy` as templates
 * expect them: arguments as an object, not as text. */
REALM_MUST_CHECK realm_status chat_tools_add_calls(struct field_reader *reader,
                                                   size_t index,
                                                   const json_t *calls,
                                                   json_t *copy);
/* Gives tools to a template that knows them; for others tools, calls and results become text of the
 * messages. */
REALM_MUST_CHECK realm_status chat_tools_apply(struct field_reader *reader, json_t *context);

#endif
