/* The fields of POST /v1/responses: OpenAI's newer words for what a chat completion has. */
#include "base/alloc.h"
#include "server/fields.h"
#include "server/response.h"
#include "server/response_input.h"

#include <string.h>

#define MAX_METADATA       16u
#define MAX_METADATA_KEY   64u
#define MAX_METADATA_VALUE 512u
#define MAX_GATHERED       ((size_t)512 << 20)

static realm_status out_of_memory(struct field_reader *reader)
{
    return problem_set(reader->problem, REALM_OUT_OF_MEMORY, "", "no memory for the response");
}

static realm_status refuse(struct field_reader *reader, const char *field, const char *message)
{
    return problem_set(reader->problem, REALM_INVALID_ARGUMENT, field, "%s %s", field, message);
}

/* Keeps a value that was made here until the request is read; NULL: no memory. */
static const json_t *own(struct field_reader *reader, json_t *value)
{
    if (reader->owned == NULL) {
        reader->owned = json_array();
    }
    return json_array_append_new(reader->owned, value) == 0 ? value : NULL;
}

/* --- fields -------------------------------------------------------------------------------------
 */

static realm_status read_input(struct field_reader *reader, const char *field, const json_t *value)
{
    (void)field;
    reader->prompt = value;
    return REALM_OK;
}

static realm_status
read_instructions(struct field_reader *reader, const char *field, const json_t *value)
{
    struct bytes text;
    reader->instructions = value;
    return json_read_text(value, field, &text, reader->problem);
}

static realm_status
read_previous(struct field_reader *reader, const char *field, const json_t *value)
{
    struct bytes text;
    reader->previous_response = value;
    return json_read_text(value, field, &text, reader->problem);
}

static realm_status read_store(struct field_reader *reader, const char *field, const json_t *value)
{
    bool store = true;
    REALM_TRY(json_read_bool(value, field, &store, reader->problem));
    reader->no_store = !store;
    return REALM_OK;
}

static realm_status
read_false_only(struct field_reader *reader, const char *field, const json_t *value)
{
    return json_is_false(value) ? REALM_OK : field_refuse(reader, field, value);
}

static realm_status
read_empty_only(struct field_reader *reader, const char *field, const json_t *value)
{
    return json_is_array(value) && json_array_size(value) == 0 ? REALM_OK
                                                               : field_refuse(reader, field, value);
}

static realm_status
read_truncation(struct field_reader *reader, const char *field, const json_t *value)
{
    const char *const text = json_string_value(value);
    return text != NULL && strcmp(text, "disabled") == 0 ? REALM_OK
                                                         : field_refuse(reader, field, value);
}

static realm_status
read_metadata(struct field_reader *reader, const char *field, const json_t *value)
{
    const char *key;
    json_t *member;
    if (!json_is_object(value) || json_object_size(value) > MAX_METADATA) {
        return refuse(reader, field, "must be an object of at most 16 strings");
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        if (!json_is_string(member) || strlen(key) > MAX_METADATA_KEY ||
            json_string_length(member) > MAX_METADATA_VALUE) {
            return refuse(
                reader, field, "must have keys of up to 64 bytes and strings of up to 512");
        }
    }
    return REALM_OK;
}

/* {"format": {...}}, whose schema stands one level higher than in response_format. */
static realm_status read_text(struct field_reader *reader, const char *field, const json_t *value)
{
    const json_t *const format = json_object_get(value, "format");
    const char *const type = json_string_value(json_object_get(format, "type"));
    if (!json_is_object(value) || json_object_size(value) > (format != NULL ? 1u : 0u)) {
        return refuse(reader, field, "must be an object with format and nothing else");
    }
    if (format == NULL || json_is_null(format)) {
        return REALM_OK;
    }
    if (type == NULL || strcmp(type, "json_schema") != 0) {
        return field_response_format(reader, field, format);
    }
    json_t *const schema = json_copy((json_t *)(uintptr_t)format);
    (void)json_object_del(schema, "type");
    const json_t *const chat =
        own(reader, json_pack("{s:s, s:o}", "type", "json_schema", "json_schema", schema));
    return chat != NULL ? field_response_format(reader, field, chat) : out_of_memory(reader);
}

/* A function's members stand beside its type here, and below it in a chat completion. */
static realm_status read_tools(struct field_reader *reader, const char *field, const json_t *value)
{
    size_t i;
    json_t *tool;
    json_t *const list = json_array();
    if (own(reader, list) == NULL) {
        return out_of_memory(reader);
    }
    json_array_foreach((json_t *)(uintptr_t)value, i, tool)
    {
        json_t *const function = json_copy(tool);
        json_t *const type = json_incref(json_object_get(tool, "type"));
        (void)json_object_del(function, "type");
        json_t *const chat = json_object();
        int failed = json_object_set_new(chat, "function", function);
        failed |= type != NULL ? json_object_set_new(chat, "type", type) : 0;
        failed |= json_array_append_new(list, chat);
        if (failed != 0) {
            return json_is_object(tool) ? out_of_memory(reader)
                                        : refuse(reader, field, "must hold objects");
        }
    }
    if (json_is_array(value) && json_array_size(value) == 0) {
        return REALM_OK;
    }
    return field_tools(reader, field, json_is_array(value) ? list : value);
}

static realm_status
read_tool_choice(struct field_reader *reader, const char *field, const json_t *value)
{
    const json_t *const name = json_object_get(value, "name");
    const json_t *const type = json_object_get(value, "type");
    if (!json_is_string(name) || !json_is_string(type) || json_object_size(value) != 2) {
        return json_is_object(value)
                   ? refuse(reader, field, "must be a word or {\"type\": \"function\", \"name\"}")
                   : field_tool_choice(reader, field, value);
    }
    const json_t *const chat =
        own(reader, json_pack("{s:O, s:{s:O}}", "type", type, "function", "name", name));
    return chat != NULL ? field_tool_choice(reader, field, chat) : out_of_memory(reader);
}

static realm_status
read_reasoning(struct field_reader *reader, const char *field, const json_t *value)
{
    const char *const effort = json_string_value(json_object_get(value, "effort"));
    const bool nothing = json_is_object(value) && json_object_size(value) == 0;
    const bool none = effort != NULL && strcmp(effort, "none") == 0 && json_object_size(value) == 1;
    return nothing || none ? REALM_OK : field_refuse(reader, field, value);
}

static realm_status
read_stream_options(struct field_reader *reader, const char *field, const json_t *value)
{
    const bool known = json_is_object(value) &&
                       json_object_size(value) <=
                           (json_is_false(json_object_get(value, "include_obfuscation")) ? 1u : 0u);
    return known ? REALM_OK : field_refuse(reader, field, value);
}

const struct field_row field_rows_response[] = {
    {"input", read_input},
    {"instructions", read_instructions},
    {"previous_response_id", read_previous},
    {"store", read_store},
    {"max_output_tokens", field_max_tokens},
    {"text", read_text},
    {"tools", read_tools},
    {"tool_choice", read_tool_choice},
    {"parallel_tool_calls", field_parallel_tool_calls},
    {"metadata", read_metadata},
    {"truncation", read_truncation},
    {"background", read_false_only},
    {"include", read_empty_only},
    {"reasoning", read_reasoning},
    {"service_tier", field_service_tier},
    {"safety_identifier", field_end_user},
    {"stream_options", read_stream_options},
    {"n", field_refuse},
    {"max_tokens", field_refuse},
    {"response_format", field_refuse},
    {"top_logprobs", field_refuse},
    {"max_tool_calls", field_refuse},
    {"prompt", field_refuse},
    {"conversation", field_refuse},
    {"moderation", field_refuse},
    {"prompt_cache_key", field_refuse},
    {"prompt_cache_options", field_refuse},
    {"prompt_cache_retention", field_refuse},
    {NULL, NULL},
};

/* --- what the answer repeats --------------------------------------------------------------------
 */

static const char default_echo[] =
    "{\"background\":false,\"instructions\":null,\"max_output_tokens\":null,"
    "\"max_tool_calls\":null,\"metadata\":{},\"parallel_tool_calls\":true,"
    "\"previous_response_id\":null,\"reasoning\":{\"effort\":null,\"summary\":null},"
    "\"service_tier\":\"default\",\"store\":true,\"temperature\":1.0,"
    "\"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\",\"tools\":[],"
    "\"top_logprobs\":0,\"top_p\":1.0,\"truncation\":\"disabled\",\"user\":null,"
    "\"safety_identifier\":null}";

/* JSON without its outer brackets, as long-lived as the request. */
static realm_status keep_inside(struct field_reader *reader, const json_t *value, const char **out)
{
    char *const text = json_dumps(value, JSON_COMPACT);
    *out =
        text != NULL ? arena_string(&reader->completion->arena, text + 1, strlen(text) - 2) : NULL;
    alloc_free(text);
    return *out != NULL ? REALM_OK : out_of_memory(reader);
}

static realm_status make_echo(struct field_reader *reader, const char **out)
{
    const char *key;
    json_t *value;
    json_t *echo = NULL;
    realm_status status =
        json_parse_object(default_echo, sizeof default_echo - 1, &echo, reader->problem);
    json_object_foreach((json_t *)(uintptr_t)reader->body, key, value)
    {
        if (status == REALM_OK && !json_is_null(value) && json_object_get(echo, key) != NULL &&
            strcmp(key, "service_tier") != 0 && json_object_set(echo, key, value) != 0) {
            status = out_of_memory(reader);
        }
    }
    if (status == REALM_OK) {
        status = keep_inside(reader, echo, out);
    }
    json_decref(echo);
    return status;
}

/* --- the conversation ---------------------------------------------------------------------------
 */

static realm_status load_previous(struct field_reader *reader, json_t *messages)
{
    static const char field[] = "previous_response_id";
    const struct completion_scope *const scope = reader->scope;
    const char *const id = json_string_value(reader->previous_response);
    char *text = NULL;
    size_t n_bytes = 0;
    json_t *record = NULL;
    struct realm_error error;
    if (scope->responses == NULL ||
        response_store_get(scope->responses, scope->tenant, id, &text, &n_bytes, &error) !=
            REALM_OK) {
        return problem_set(
            reader->problem, REALM_NOT_FOUND, field, "there is no response \"%.60s\"", id);
    }
    realm_status status = json_parse_object(text, n_bytes, &record, reader->problem);
    if (status == REALM_OK &&
        json_array_extend(messages, json_object_get(record, "messages")) != 0) {
        status = out_of_memory(reader);
    }
    json_decref(record);
    alloc_free(text);
    return status;
}

/* What was said before, and what is said now. */
static realm_status
read_conversation(struct field_reader *reader, struct response *response, json_t *messages)
{
    json_t *const items = json_array();
    realm_status status = REALM_OK;
    if (reader->previous_response != NULL) {
        status = load_previous(reader, messages);
    }
    if (status == REALM_OK) {
        status = response_input_read(reader, reader->prompt, items, messages);
    }
    if (status == REALM_OK) {
        status = keep_inside(reader, items, &response->input);
    }
    if (status == REALM_OK) {
        status = keep_inside(reader, messages, &response->messages);
    }
    json_decref(items);
    return status;
}

static realm_status add_instructions(struct field_reader *reader, json_t *messages)
{
    if (reader->instructions == NULL) {
        return REALM_OK;
    }
    json_t *const system =
        json_pack("{s:s, s:O}", "role", "system", "content", reader->instructions);
    return json_array_insert_new(messages, 0, system) == 0 ? REALM_OK : out_of_memory(reader);
}

/* The completion's; NULL: no memory. */
static struct response *make_response(struct field_reader *reader)
{
    struct response *const response = alloc_zeroed(ALLOC_SERVER, 1, sizeof *response);
    if (response != NULL) {
        response->completion = reader->completion;
        response->keep = !reader->no_store;
        strbuf_init(&response->items, ALLOC_SERVER, MAX_GATHERED);
        atomic_init(&response->cancelled, false);
        reader->completion->response = response;
    }
    return response;
}

realm_status response_prepare(struct field_reader *reader)
{
    if (reader->prompt == NULL) {
        return problem_set(reader->problem, REALM_INVALID_ARGUMENT, "input", "input is missing");
    }
    json_t *const messages = json_array();
    struct response *const response = own(reader, messages) != NULL ? make_response(reader) : NULL;
    if (response == NULL) {
        return out_of_memory(reader);
    }
    REALM_TRY(make_echo(reader, &response->echo));
    REALM_TRY(read_conversation(reader, response, messages));
    REALM_TRY(add_instructions(reader, messages));
    reader->messages = messages;
    const realm_status status = chat_prepare(reader);
    if (status != REALM_OK && strcmp(reader->problem->param, "messages") == 0) {
        (void)snprintf(reader->problem->param, sizeof reader->problem->param, "input");
    }
    return status;
}
