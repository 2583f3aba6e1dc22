#include "server/chat_messages.h"

#include "server/chat_tools.h"

#include <string.h>

#define MAX_TEXT_BYTES ((size_t)128 << 20)

static bool known_role(const char *role)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (strcmp(role, roles[i]) == 0) {
            return true;
        }
    }
    return false;
}

static realm_status out_of_memory(struct field_reader *reader)
{
    return problem_set(
        reader->problem, REALM_OUT_OF_MEMORY, "messages", "no memory for the messages");
}

static realm_status
refuse_part(struct field_reader *reader, size_t index, size_t part, const char *type)
{
    return problem_set(reader->problem,
                       REALM_UNSUPPORTED,
                       "messages",
                       "messages[%zu].content[%zu] is of type \"%.40s\"; supported: text",
                       index,
                       part,
                       type != NULL ? type : "(none)");
}

/* The text of a content that is an array of text parts. */
static realm_status
join_parts(struct field_reader *reader, size_t index, const json_t *content, json_t **out)
{
    struct strbuf text;
    realm_status status = REALM_OK;
    *out = NULL;
    strbuf_init(&text, ALLOC_SERVER, MAX_TEXT_BYTES);
    for (size_t i = 0; i < json_array_size(content) && status == REALM_OK; i++) {
        const json_t *const part = json_array_get(content, i);
        const char *const type = json_string_value(json_object_get(part, "type"));
        const json_t *const piece = json_object_get(part, "text");
        if (type == NULL || strcmp(type, "text") != 0 || !json_is_string(piece)) {
            status = refuse_part(reader, index, i, type);
        } else {
            strbuf_append(&text, json_string_value(piece), json_string_length(piece));
        }
    }
    if (status == REALM_OK) {
        *out = text.failed ? NULL : json_stringn(text.text, text.length);
        status = *out != NULL ? REALM_OK : out_of_memory(reader);
    }
    strbuf_deinit(&text);
    return status;
}

static realm_status refuse_message(struct field_reader *reader,
                                   size_t index,
                                   const char *member,
                                   const json_t *value,
                                   const char *allowed)
{
    const char *const text = json_string_value(value);
    return problem_set(reader->problem,
                       REALM_INVALID_ARGUMENT,
                       "messages",
                       "messages[%zu]%s%.40s is %s%.40s%s and must be %s",
                       index,
                       member[0] != '\0' ? "." : "",
                       member,
                       text != NULL ? "\"" : "",
                       text != NULL ? text : json_kind(value),
                       text != NULL ? "\"" : "",
                       allowed);
}

static bool is_assistant(const json_t *message)
{
    const char *const role = json_string_value(json_object_get(message, "role"));
    return role != NULL && strcmp(role, "assistant") == 0;
}

/* The members beside role and content that a template may read. */
static realm_status
copy_members(struct field_reader *reader, size_t index, const json_t *message, json_t *copy)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)message, key, value)
    {
        if (strcmp(key, "role") == 0 || strcmp(key, "content") == 0 || json_is_null(value)) {
            continue;
        }
        if (strcmp(key, "tool_calls") == 0 && is_assistant(message)) {
            REALM_TRY(chat_tools_add_calls(reader, index, value, copy));
            continue;
        }
        if ((strcmp(key, "name") != 0 && strcmp(key, "tool_call_id") != 0) ||
            !json_is_string(value)) {
            return refuse_message(reader, index, key, value, "left out");
        }
        if (json_object_set(copy, key, value) != 0) {
            return out_of_memory(reader);
        }
    }
    return REALM_OK;
}

/* Checks one message and adds what the template gets of it. */
static realm_status add_message(struct field_reader *reader, size_t index, json_t *out)
{
    const json_t *const message = json_array_get(reader->messages, index);
    const json_t *const role = json_object_get(message, "role");
    const json_t *const content = json_object_get(message, "content");
    if (!json_is_object(message)) {
        return refuse_message(reader, index, "", message, "an object with role and content");
    }
    if (!json_is_string(role) || !known_role(json_string_value(role))) {
        return refuse_message(
            reader, index, "role", role, "system, developer, user, assistant or tool");
    }
    json_t *text = NULL;
    if (json_is_array(content)) {
        REALM_TRY(join_parts(reader, index, content, &text));
    } else if (json_is_string(content)) {
        text = json_incref((json_t *)(uintptr_t)content);
    } else if ((content == NULL || json_is_null(content)) && is_assistant(message) &&
               json_is_array(json_object_get(message, "tool_calls"))) {
        text = json_string("");
    } else {
        return refuse_message(
            reader, index, "content", content, "a string or an array of text parts");
    }
    json_t *const copy = json_object();
    int failed = json_object_set_new(copy, "content", text);
    failed |= json_object_set(copy, "role", (json_t *)(uintptr_t)role);
    failed |= json_array_append_new(out, copy);
    return failed == 0 ? copy_members(reader, index, message, copy) : out_of_memory(reader);
}

static void set_token_text(json_t *context, const char *key, struct bytes bytes)
{
    (void)json_object_set_new(
        context, key, json_stringn_nocheck((const char *)bytes.data, bytes.length));
}

/* What chat_template_kwargs adds; it may not replace what the request says elsewhere. */
static realm_status add_arguments(struct field_reader *reader, json_t *context)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)reader->template_arguments, key, value)
    {
        if (json_object_get(context, key) != NULL) {
            return problem_set(reader->problem,
                               REALM_INVALID_ARGUMENT,
                               "chat_template_kwargs",
                               "chat_template_kwargs.%.40s is set by the request itself",
                               key);
        }
        if (json_object_set(context, key, value) != 0) {
            return out_of_memory(reader);
        }
    }
    return REALM_OK;
}

/* The template's variables. */
static realm_status build_context(struct field_reader *reader, json_t *context)
{
    const struct tokenizer *const tokenizer = engine_model_tokenizer(reader->completion->model);
    json_t *const messages = json_array();
    if (json_object_set_new(context, "messages", messages) != 0) {
        return out_of_memory(reader);
    }
    for (size_t i = 0; i < json_array_size(reader->messages); i++) {
        REALM_TRY(add_message(reader, i, messages));
    }
    REALM_TRY(chat_tools_apply(reader, context));
    (void)json_object_set_new(
        context, "add_generation_prompt", json_boolean(!reader->no_generation_prompt));
    set_token_text(
        context, "bos_token", tokenizer_token_bytes(tokenizer, tokenizer_bos(tokenizer), true));
    set_token_text(
        context, "eos_token", tokenizer_token_bytes(tokenizer, tokenizer_eos(tokenizer), true));
    return add_arguments(reader, context);
}

realm_status chat_messages_render(struct field_reader *reader, struct strbuf *out)
{
    json_t *const context = json_object();
    char *json = NULL;
    realm_status status = build_context(reader, context);
    if (status == REALM_OK) {
        json = json_dumps(context, JSON_COMPACT);
        status = json != NULL ? REALM_OK : out_of_memory(reader);
    }
    if (json != NULL) {
        struct realm_error error;
        status =
            engine_model_render_chat(reader->completion->model, json, strlen(json), out, &error);
        if (status != REALM_OK) {
            (void)problem_set(reader->problem, status, "messages", "%s", error.message);
        }
    }
    alloc_free(json);
    json_decref(context);
    return status;
}
