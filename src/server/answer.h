/* Answers in OpenAI's words: chunks of a stream, or one object at the end; a form for each kind of
 * request. */
#ifndef REALM_SERVER_ANSWER_H
#define REALM_SERVER_ANSWER_H

#include "server/completion.h"

struct answer_form {
    /* The prompt has been computed: with streaming, the first chunk of each of its choices. */
    void (*begin)(struct completion *completion, uint32_t i_prompt, struct frames *frames);
    /* A token of a choice: a chunk, or gathered.  index: over all prompts. */
    void (*token)(struct completion *completion,
                  uint32_t index,
                  const struct event *event,
                  struct frames *frames);
    void (*finish)(struct completion *completion,
                   uint32_t index,
                   const struct event *event,
                   struct frames *frames);
    /* Usage, when asked for, and the end mark. */
    void (*end_stream)(struct completion *completion, struct frames *frames);
    void (*whole)(struct completion *completion, struct strbuf *out);
};

/* Adds a piece to what the choice holds: its text, calls and the arguments under way. */
void answer_gather(struct completion *completion, uint32_t index, const struct tool_piece *piece);
/* Closes the gathered call that is under way; at the end. */
void answer_close_call(struct completion_choice *choice);
/* The id of the choice's newest call, a JSON string. */
void answer_write_call_id(const struct completion *completion, uint32_t index, struct strbuf *out);

/* "stop", "length" or "tool_calls". */
const char *answer_finish_reason(const struct completion_choice *choice);

/* answer_response.c */
extern const struct answer_form answer_response;
/* Of chat and text completions. */
extern const struct answer_form answer_completions;
/* openai_embeddings.c */
extern const struct answer_form answer_embeddings;

#endif
