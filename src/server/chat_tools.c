#include "server/chat_tools.h"

#include "base/alloc.h"

#include <string.h>

#define MAX_TEXT_BYTES ((size_t)128 << 20)

static realm_status out_of_memory(struct field_reader *reader)
{
    return problem_set(reader->problem, REALM_OUT_OF_MEMORY, "tools", "no memory for the tools");
}

/* --- calls in messages --------------------------------------------------------------------------
 */

static realm_status
refuse_call(struct field_reader *reader, size_t index, size_t i, const char *must)
{
    return problem_set(reader->problem,
                       REALM_INVALID_ARGUMENT,
                       "messages",
                       "messages[%zu].tool_calls[%zu]%s",
                       index,
                       i,
                       must);
}

static realm_status
read_call(struct field_reader *reader, size_t index, size_t i, const json_t *call, json_t **out)
{
    const json_t *const id = json_object_get(call, "id");
    const json_t *const function = json_object_get(call, "function");
    const char *const type = json_string_value(json_object_get(call, "type"));
    const json_t *const name = json_object_get(function, "name");
    const json_t *const text = json_object_get(function, "arguments");
    *out = NULL;
    if (!json_is_string(id) || type == NULL || strcmp(type, "function") != 0 ||
        !json_is_string(name) || !json_is_string(text) || json_object_size(call) != 3 ||
        json_object_size(function) != 2) {
        return refuse_call(
            reader, index, i, " must have id, type \"function\" and function {name, arguments}");
    }
    json_t *arguments = NULL;
    struct problem problem = {.code = NULL};
    if (json_string_length(text) == 0) {
        arguments = json_object();
    } else if (json_parse_object(
                   json_string_value(text), json_string_length(text), &arguments, &problem) !=
               REALM_OK) {
        return problem.error.status == REALM_OUT_OF_MEMORY
                   ? out_of_memory(reader)
                   : refuse_call(reader, index, i, ".function.arguments must be a JSON object");
    }
    *out = json_pack("{s:O, s:s, s:{s:O, s:o}}",
                     "id",
                     id,
                     "type",
                     "function",
                     "function",
                     "name",
                     name,
                     "arguments",
                     arguments);
    return *out != NULL ? REALM_OK : out_of_memory(reader);
}

realm_status
chat_tools_add_calls(struct field_reader *reader, size_t index, const json_t *calls, json_t *copy)
{
    if (!json_is_array(calls) || json_array_size(calls) == 0) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           "messages",
                           "messages[%zu].tool_calls is %s and must be an array of calls",
                           index,
                           json_is_array(calls) ? "empty" : json_kind(calls));
    }
    json_t *const list = json_array();
    if (json_object_set_new(copy, "tool_calls", list) != 0) {
        return out_of_memory(reader);
    }
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *call;
        REALM_TRY(read_call(reader, index, i, json_array_get(calls, i), &call));
        if (json_array_append_new(list, call) != 0) {
            return out_of_memory(reader);
        }
    }
    return REALM_OK;
}

/* --- templates that know no tools ---------------------------------------------------------------
 */

static void append_member(struct strbuf *out, const json_t *object, const char *key)
{
    const json_t *const value = json_object_get(object, key);
    strbuf_append(out, json_string_value(value), json_string_length(value));
}

static void append_value(struct strbuf *out, const json_t *value)
{
    char *const text = json_dumps(value, 0);
    out->failed = out->failed || text == NULL;
    if (text != NULL) {
        strbuf_append_text(out, text);
    }
    alloc_free(text);
}

static void write_system(struct strbuf *out, const json_t *tools)
{
    size_t i;
    json_t *tool;
    strbuf_append_text(out,
                       "You may call functions to help the user. Here are their signatures, one a "
                       "line, between <tools> and </tools>:\n<tools>\n");
    json_array_foreach((json_t *)(uintptr_t)tools, i, tool)
    {
        append_value(out, tool);
        strbuf_append_text(out, "\n");
    }
    strbuf_append_text(out,
                       "</tools>\n\nTo call a function, answer with a JSON object of its name and "
                       "arguments between <tool_call> and </tool_call>:\n<tool_call>\n{\"name\": "
                       "<function name>, \"arguments\": <arguments as an object>}\n</tool_call>");
}

/* An assistant's message: its text, then its calls in the format that the model is to follow. */
static void write_calls(struct strbuf *out, const struct tool_format *format, const json_t *message)
{
    size_t i;
    const json_t *call;
    append_member(out, message, "content");
    json_array_foreach(json_object_get(message, "tool_calls"), i, call)
    {
        const json_t *const function = json_object_get(call, "function");
        strbuf_append_text(out, out->length > 0 ? "\n" : "");
        strbuf_append_text(out, format->opening);
        append_member(out, function, "name");
        strbuf_append_text(out, format->middle);
        append_value(out, json_object_get(function, "arguments"));
        strbuf_append_text(out, format->closing);
    }
}

static void write_result(struct strbuf *out, const json_t *message)
{
    strbuf_append_text(out, "<tool_response>\n");
    append_member(out, message, "content");
    strbuf_append_text(out, "\n</tool_response>");
}

/* The text becomes the message's content. */
static realm_status
set_content(struct field_reader *reader, json_t *message, const char *role, struct strbuf *text)
{
    int failed = text->failed;
    if (failed == 0) {
        failed |= json_object_set_new(message, "role", json_string(role));
        failed |= json_object_set_new(message, "content", json_stringn(text->text, text->length));
    }
    (void)json_object_del(message, "tool_calls");
    (void)json_object_del(message, "tool_call_id");
    return failed == 0 ? REALM_OK : out_of_memory(reader);
}

static bool is_role(const json_t *message, const char *role)
{
    return strcmp(json_string_value(json_object_get(message, "role")), role) == 0;
}

/* Results that follow each other become one message of the user: some templates want roles to take
 * turns. */
static realm_status fold_results(struct field_reader *reader, json_t *messages, size_t index)
{
    struct strbuf text;
    strbuf_init(&text, ALLOC_SERVER, MAX_TEXT_BYTES);
    json_t *const first = json_array_get(messages, index);
    write_result(&text, first);
    while (json_array_size(messages) > index + 1 &&
           is_role(json_array_get(messages, index + 1), "tool")) {
        strbuf_append_text(&text, "\n");
        write_result(&text, json_array_get(messages, index + 1));
        (void)json_array_remove(messages, index + 1);
    }
    const realm_status status = set_content(reader, first, "user", &text);
    strbuf_deinit(&text);
    return status;
}

static realm_status fold_calls(struct field_reader *reader, json_t *message)
{
    struct strbuf text;
    strbuf_init(&text, ALLOC_SERVER, MAX_TEXT_BYTES);
    write_calls(&text, reader->tool_format, message);
    const realm_status status = set_content(reader, message, "assistant", &text);
    strbuf_deinit(&text);
    return status;
}

/* Behind the first system message's text, or in one of its own. */
static realm_status teach_tools(struct field_reader *reader, json_t *messages)
{
    json_t *system = json_array_get(messages, 0);
    if (!is_role(system, "system") && !is_role(system, "developer")) {
        system = json_pack("{s:s, s:s}", "role", "system", "content", "");
        if (json_array_insert_new(messages, 0, system) != 0) {
            return out_of_memory(reader);
        }
    }
    struct strbuf text;
    strbuf_init(&text, ALLOC_SERVER, MAX_TEXT_BYTES);
    append_member(&text, system, "content");
    strbuf_append_text(&text, text.length > 0 ? "\n\n" : "");
    write_system(&text, reader->tools);
    const char *const role = is_role(system, "developer") ? "developer" : "system";
    const realm_status status = set_content(reader, system, role, &text);
    strbuf_deinit(&text);
    return status;
}

realm_status chat_tools_apply(struct field_reader *reader, json_t *context)
{
    json_t *const messages = json_object_get(context, "messages");
    if (reader->tool_format->template_has_tools) {
        return reader->tools == NULL ||
                       json_object_set(context, "tools", (json_t *)(uintptr_t)reader->tools) == 0
                   ? REALM_OK
                   : out_of_memory(reader);
    }
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *const message = json_array_get(messages, i);
        if (json_object_get(message, "tool_calls") != NULL) {
            REALM_TRY(fold_calls(reader, message));
        } else if (is_role(message, "tool")) {
            REALM_TRY(fold_results(reader, messages, i));
        }
    }
    return reader->tools != NULL ? teach_tools(reader, messages) : REALM_OK;
}
