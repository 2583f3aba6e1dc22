#include "cli/chat.h"

#include "base/alloc.h"
#include "cli/json_out.h"

#include <string.h>

#define MAX_PROMPT_BYTES ((size_t)256 << 20)

void chat_init(struct chat *chat, const struct engine_model *model)
{
    *chat = (struct chat){.model = model};
}

void chat_deinit(struct chat *chat)
{
    while (chat->n_messages > 0) {
        chat_drop_last(chat);
    }
    alloc_free(chat->messages);
}

static bool has_system(const struct chat *chat)
{
    return chat->n_messages > 0 && strcmp(chat->messages[0].role, "system") == 0;
}

void chat_drop_last(struct chat *chat)
{
    alloc_free(chat->messages[--chat->n_messages].text);
}

void chat_clear(struct chat *chat)
{
    const size_t kept = has_system(chat) ? 1 : 0;
    while (chat->n_messages > kept) {
        chat_drop_last(chat);
    }
}

static void remove_at(struct chat *chat, size_t index)
{
    alloc_free(chat->messages[index].text);
    chat->n_messages--;
    memmove(chat->messages + index,
            chat->messages + index + 1,
            (chat->n_messages - index) * sizeof *chat->messages);
}

static realm_status insert_at(struct chat *chat,
                              size_t index,
                              const char *role,
                              const char *text,
                              size_t n_bytes,
                              struct realm_error *error)
{
    if (chat->n_messages == chat->capacity) {
        const size_t capacity = chat->capacity == 0 ? 16 : chat->capacity * 2;
        struct chat_message *const grown =
            alloc_resize(ALLOC_REQUEST, chat->messages, capacity * sizeof *grown);
        if (grown == NULL) {
            return realm_error_out_of_memory(error, capacity * sizeof *grown, "the conversation");
        }
        chat->messages = grown;
        chat->capacity = capacity;
    }
    char *const copy = alloc_string(ALLOC_REQUEST, text, n_bytes);
    if (copy == NULL) {
        return realm_error_out_of_memory(error, n_bytes, "a message");
    }
    memmove(chat->messages + index + 1,
            chat->messages + index,
            (chat->n_messages - index) * sizeof *chat->messages);
    chat->messages[index] = (struct chat_message){.role = role, .text = copy, .n_bytes = n_bytes};
    chat->n_messages++;
    return REALM_OK;
}

realm_status chat_set_system(struct chat *chat, const char *text, struct realm_error *error)
{
    if (has_system(chat)) {
        remove_at(chat, 0);
    }
    return text[0] != '\0' ? insert_at(chat, 0, "system", text, strlen(text), error) : REALM_OK;
}

realm_status chat_add(struct chat *chat,
                      const char *role,
                      const char *text,
                      size_t n_bytes,
                      struct realm_error *error)
{
    return insert_at(chat, chat->n_messages, role, text, n_bytes, error);
}

bool chat_drop_oldest(struct chat *chat)
{
    const size_t first = has_system(chat) ? 1 : 0;
    if (chat->n_messages <= first + 1) {
        return false;
    }
    remove_at(chat, first);
    while (chat->n_messages > first + 1 && strcmp(chat->messages[first].role, "user") != 0) {
        remove_at(chat, first);
    }
    return true;
}

/* The template's name for a token: its text, "" when the model has none. */
static void
put_token(struct json_out *out, const char *key, const struct tokenizer *tokenizer, token_id token)
{
    const struct bytes none = {.data = NULL, .length = 0};
    json_out_bytes(
        out, key, token != TOKEN_NONE ? tokenizer_token_bytes(tokenizer, token, true) : none);
}

static void put_context(const struct chat *chat, struct json_out *out)
{
    const struct tokenizer *const tokenizer = engine_model_tokenizer(chat->model);
    json_out_begin_object(out, NULL);
    json_out_begin_array(out, "messages");
    for (size_t i = 0; i < chat->n_messages; i++) {
        const struct chat_message *const message = &chat->messages[i];
        const struct bytes text = {.data = (const uint8_t *)message->text,
                                   .length = message->n_bytes};
        json_out_begin_object(out, NULL);
        json_out_text(out, "role", message->role);
        json_out_bytes(out, "content", text);
        json_out_end_object(out);
    }
    json_out_end_array(out);
    json_out_bool(out, "add_generation_prompt", true);
    put_token(out, "bos_token", tokenizer, tokenizer_bos(tokenizer));
    put_token(out, "eos_token", tokenizer, tokenizer_eos(tokenizer));
    json_out_end_object(out);
}

realm_status
chat_prompt(const struct chat *chat, struct token_list *prompt, struct realm_error *error)
{
    /* Templates write BOS themselves. */
    const struct tokenizer_encode_options options = {.parse_special = true};
    struct json_out context;
    struct strbuf text;
    json_out_init(&context);
    strbuf_init(&text, ALLOC_REQUEST, MAX_PROMPT_BYTES);
    put_context(chat, &context);
    realm_status status = REALM_OK;
    if (context.text.failed) {
        status = realm_error_out_of_memory(error, context.text.length, "the conversation");
    } else {
        status = engine_model_render_chat(
            chat->model, context.text.text, context.text.length, &text, error);
    }
    if (status == REALM_OK) {
        status = tokenizer_encode(
            engine_model_tokenizer(chat->model), text.text, text.length, options, prompt, error);
    }
    strbuf_deinit(&text);
    json_out_deinit(&context);
    return status;
}
