/* Answers in OpenAI's words: chunks of a stream, or one object at the end. */
#ifndef REALM_SERVER_ANSWER_H
#define REALM_SERVER_ANSWER_H

#include "server/completion.h"

/* The prompt has been computed: with streaming, the first chunk of each of its choices. */
void answer_begin(struct completion *completion, uint32_t i_prompt, struct frames *frames);
/* A token of a choice: a chunk, or gathered. index: over all prompts. */
void answer_token(struct completion *completion,
                  uint32_t index,
                  const struct event *event,
                  struct frames *frames);
void answer_finish(struct completion *completion,
                   uint32_t index,
                   const struct event *event,
                   struct frames *frames);
/* Usage, when asked for, and the end mark. */
void answer_end_stream(const struct completion *completion, struct frames *frames);
void answer_whole(const struct completion *completion, struct strbuf *out);

#endif
