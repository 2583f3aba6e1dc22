/* A conversation with a model: the messages so far, and the prompt that the model's template makes
 * of them.  One thread. */
#ifndef REALM_CLI_CHAT_H
#define REALM_CLI_CHAT_H

#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

struct chat_message {
    const char *role; /* static */
    char *text;
    size_t n_bytes;
};

struct chat {
    const struct engine_model *model;
    struct chat_message *messages;
    size_t n_messages;
    size_t capacity;
};

void chat_init(struct chat *chat, const struct engine_model *model);
void chat_deinit(struct chat *chat);

/* Forgets all but the system message. */
void chat_clear(struct chat *chat);
/* Sets, replaces or (empty) removes the system message. */
REALM_MUST_CHECK realm_status chat_set_system(struct chat *chat,
                                              const char *text,
                                              struct realm_error *error);
/* role: "user" or "assistant", static.  text: copied. */
REALM_MUST_CHECK realm_status chat_add(struct chat *chat,
                                       const char *role,
                                       const char *text,
                                       size_t n_bytes,
                                       struct realm_error *error);
/* Takes the last message back. */
void chat_drop_last(struct chat *chat);
/* Forgets the oldest question and its answer; false: only the newest question is left. */
bool chat_drop_oldest(struct chat *chat);

/* The tokens of the whole conversation, ready for the answer. *prompt: empty at first. */
REALM_MUST_CHECK realm_status chat_prompt(const struct chat *chat,
                                          struct token_list *prompt,
                                          struct realm_error *error);

#endif
