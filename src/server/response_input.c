#include "server/response_input.h"

#include <string.h>

static realm_status out_of_memory(struct field_reader *reader)
{
    return problem_set(reader->problem, REALM_OUT_OF_MEMORY, "input", "no memory for the input");
}

static realm_status refuse(struct field_reader *reader, size_t index, const char *what)
{
    return problem_set(
        reader->problem, REALM_INVALID_ARGUMENT, "input", "input[%zu]%s", index, what);
}

/* Adds the members that lists of items show. */
static realm_status list_item(struct field_reader *reader, json_t *item, json_t *items)
{
    char id[COMPLETION_ID_LENGTH + 16];
    const char *const type = json_string_value(json_object_get(item, "type"));
    const char *const prefix = strcmp(type, "function_call") == 0          ? "fc"
                               : strcmp(type, "function_call_output") == 0 ? "fco"
                                                                           : "msg";
    (void)snprintf(id,
                   sizeof id,
                   "%s_%s%02zui",
                   prefix,
                   strchr(reader->completion->id, '_') + 1,
                   json_array_size(items));
    int failed = json_object_set_new(item, "id", json_string(id));
    failed |= json_object_set_new(item, "status", json_string("completed"));
    failed |= json_array_append_new(items, item);
    return failed == 0 ? REALM_OK : out_of_memory(reader);
}

/* Content as parts of text; from a string, or from parts under their names here. */
static realm_status read_content(struct field_reader *reader,
                                 size_t index,
                                 const json_t *content,
                                 const char *part_type,
                                 json_t **listed,
                                 json_t **message)
{
    *listed = json_array();
    *message = json_array();
    json_t *const alone =
        json_is_string(content) ? json_pack("[{s:s, s:O}]", "type", "text", "text", content) : NULL;
    const json_t *const parts = json_is_string(content) ? alone : content;
    realm_status status = REALM_OK;
    if (*listed == NULL || *message == NULL || (json_is_string(content) && alone == NULL)) {
        status = out_of_memory(reader);
    } else if (!json_is_array(parts) || json_array_size(parts) == 0) {
        status = refuse(reader, index, " must have content: a string, or text parts");
    }
    for (size_t i = 0; i < json_array_size(parts) && status == REALM_OK; i++) {
        const json_t *const part = json_array_get(parts, i);
        const char *const type = json_string_value(json_object_get(part, "type"));
        const json_t *const text = json_object_get(part, "text");
        if (type == NULL || !json_is_string(text) ||
            (strcmp(type, "input_text") != 0 && strcmp(type, "output_text") != 0 &&
             strcmp(type, "text") != 0)) {
            status = refuse(reader, index, ".content may have parts input_text and output_text");
            break;
        }
        json_t *const shown = json_pack("{s:s, s:O}", "type", part_type, "text", text);
        int failed = strcmp(part_type, "output_text") == 0
                         ? json_object_set_new(shown, "annotations", json_array())
                         : 0;
        failed |= json_array_append_new(*listed, shown);
        failed |=
            json_array_append_new(*message, json_pack("{s:s, s:O}", "type", "text", "text", text));
        status = failed == 0 ? REALM_OK : out_of_memory(reader);
    }
    json_decref(alone);
    if (status != REALM_OK) {
        json_decref(*listed);
        json_decref(*message);
    }
    return status;
}

static realm_status read_message(
    struct field_reader *reader, size_t index, const json_t *item, json_t *items, json_t *messages)
{
    const json_t *const role = json_object_get(item, "role");
    const char *const name = json_string_value(role);
    if (name == NULL || (strcmp(name, "user") != 0 && strcmp(name, "assistant") != 0 &&
                         strcmp(name, "system") != 0 && strcmp(name, "developer") != 0)) {
        return refuse(reader, index, ".role must be user, assistant, system or developer");
    }
    json_t *listed;
    json_t *content;
    REALM_TRY(read_content(reader,
                           index,
                           json_object_get(item, "content"),
                           strcmp(name, "assistant") == 0 ? "output_text" : "input_text",
                           &listed,
                           &content));
    const int failed =
        json_array_append_new(messages, json_pack("{s:O, s:o}", "role", role, "content", content));
    json_t *const shown =
        json_pack("{s:s, s:O, s:o}", "type", "message", "role", role, "content", listed);
    return failed == 0 && shown != NULL ? list_item(reader, shown, items) : out_of_memory(reader);
}

/* Calls that follow each other, or the text before them, are one message. */
static json_t *calling_message(json_t *messages)
{
    json_t *message = json_array_get(messages, json_array_size(messages) - 1);
    const char *const role = json_string_value(json_object_get(message, "role"));
    if (role == NULL || strcmp(role, "assistant") != 0) {
        message = json_pack("{s:s, s:s}", "role", "assistant", "content", "");
        if (json_array_append_new(messages, message) != 0) {
            return NULL;
        }
    }
    if (json_object_get(message, "tool_calls") == NULL &&
        json_object_set_new(message, "tool_calls", json_array()) != 0) {
        return NULL;
    }
    return message;
}

static realm_status read_call(
    struct field_reader *reader, size_t index, const json_t *item, json_t *items, json_t *messages)
{
    const json_t *const id = json_object_get(item, "call_id");
    const json_t *const name = json_object_get(item, "name");
    const json_t *const arguments = json_object_get(item, "arguments");
    if (!json_is_string(id) || !json_is_string(name) || !json_is_string(arguments)) {
        return refuse(reader, index, " must have call_id, name and arguments, all strings");
    }
    json_t *const message = calling_message(messages);
    json_t *const call = json_pack("{s:O, s:s, s:{s:O, s:O}}",
                                   "id",
                                   id,
                                   "type",
                                   "function",
                                   "function",
                                   "name",
                                   name,
                                   "arguments",
                                   arguments);
    const int failed = json_array_append_new(json_object_get(message, "tool_calls"), call);
    json_t *const shown = json_pack("{s:s, s:O, s:O, s:O}",
                                    "type",
                                    "function_call",
                                    "call_id",
                                    id,
                                    "name",
                                    name,
                                    "arguments",
                                    arguments);
    return failed == 0 && shown != NULL ? list_item(reader, shown, items) : out_of_memory(reader);
}

static realm_status read_result(
    struct field_reader *reader, size_t index, const json_t *item, json_t *items, json_t *messages)
{
    const json_t *const id = json_object_get(item, "call_id");
    const json_t *const output = json_object_get(item, "output");
    json_t *listed;
    json_t *content;
    if (!json_is_string(id)) {
        return refuse(reader, index, ".call_id must be a string");
    }
    REALM_TRY(read_content(reader, index, output, "input_text", &listed, &content));
    json_decref(listed);
    const int failed = json_array_append_new(
        messages,
        json_pack("{s:s, s:O, s:o}", "role", "tool", "tool_call_id", id, "content", content));
    json_t *const shown = json_pack(
        "{s:s, s:O, s:O}", "type", "function_call_output", "call_id", id, "output", output);
    return failed == 0 && shown != NULL ? list_item(reader, shown, items) : out_of_memory(reader);
}

static realm_status read_item(
    struct field_reader *reader, size_t index, const json_t *item, json_t *items, json_t *messages)
{
    const json_t *const type = json_object_get(item, "type");
    const char *const name = type == NULL ? "message" : json_string_value(type);
    if (!json_is_object(item) || name == NULL) {
        return refuse(reader, index, " must be an item: an object, with type");
    }
    if (strcmp(name, "message") == 0) {
        return read_message(reader, index, item, items, messages);
    }
    if (strcmp(name, "function_call") == 0) {
        return read_call(reader, index, item, items, messages);
    }
    if (strcmp(name, "function_call_output") == 0) {
        return read_result(reader, index, item, items, messages);
    }
    return refuse(reader, index, ".type may be message, function_call or function_call_output");
}

realm_status response_input_read(struct field_reader *reader,
                                 const json_t *input,
                                 json_t *items,
                                 json_t *messages)
{
    if (json_is_string(input)) {
        json_t *const item = json_pack("{s:s, s:O}", "role", "user", "content", input);
        const realm_status status =
            item != NULL ? read_item(reader, 0, item, items, messages) : out_of_memory(reader);
        json_decref(item);
        return status;
    }
    if (!json_is_array(input) || json_array_size(input) == 0) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           "input",
                           "input is %s and must be a string or an array of items",
                           json_is_array(input) ? "empty" : json_kind(input));
    }
    for (size_t i = 0; i < json_array_size(input); i++) {
        REALM_TRY(read_item(reader, i, json_array_get(input, i), items, messages));
    }
    return REALM_OK;
}
