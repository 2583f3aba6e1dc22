/* Tools: tools, tool_choice, parallel_tool_calls, and the constraint that makes every call one of a
 * given tool with arguments that its schema allows. */
#include "base/alloc.h"
#include "server/fields.h"

#include <string.h>

#define MAX_TOOLS 128u
/* Far more than a constraint may have, which is for constraint_create to refuse. */
#define MAX_GRAMMAR_BYTES ((size_t)1 << 30)

static __attribute__((format(printf, 3, 4))) realm_status refuse(struct field_reader *reader,
                                                                 const char *field,
                                                                 const char *format,
                                                                 ...)
{
    char message[200];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return problem_set(reader->problem, REALM_INVALID_ARGUMENT, field, "%s", message);
}

/* --- fields -------------------------------------------------------------------------------------
 */

static const char *tool_name(const json_t *tool)
{
    return json_string_value(json_object_get(json_object_get(tool, "function"), "name"));
}

static bool has_only(const json_t *object, const char *const *known, const char **unknown)
{
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)object, *unknown, member)
    {
        size_t i = 0;
        while (known[i] != NULL && strcmp(*unknown, known[i]) != 0) {
            i++;
        }
        if (known[i] == NULL) {
            return false;
        }
    }
    return true;
}

static realm_status
check_function(struct field_reader *reader, size_t index, const json_t *function)
{
    static const char *const known[] = {"name", "description", "parameters", "strict", NULL};
    const json_t *const description = json_object_get(function, "description");
    const json_t *const parameters = json_object_get(function, "parameters");
    const json_t *const strict = json_object_get(function, "strict");
    const json_t *const type = json_object_get(parameters, "type");
    const char *unknown = NULL;
    if (!json_is_object(function) || !field_is_name(json_object_get(function, "name"))) {
        return refuse(reader,
                      "tools",
                      "tools[%zu].function.name must have 1 to 64 letters, digits, _ or -",
                      index);
    }
    if (!has_only(function, known, &unknown)) {
        return refuse(reader, "tools", "tools[%zu].function.%.60s is not known", index, unknown);
    }
    if ((description != NULL && !json_is_string(description) && !json_is_null(description)) ||
        (strict != NULL && !json_is_boolean(strict) && !json_is_null(strict))) {
        return refuse(reader,
                      "tools",
                      "tools[%zu].function: description must be a string and strict a boolean",
                      index);
    }
    if ((parameters != NULL && !json_is_object(parameters) && !json_is_null(parameters)) ||
        (type != NULL &&
         (!json_is_string(type) || strcmp(json_string_value(type), "object") != 0))) {
        return refuse(reader,
                      "tools",
                      "tools[%zu].function.parameters must be a JSON schema of type object",
                      index);
    }
    return REALM_OK;
}

static realm_status check_tool(struct field_reader *reader, const json_t *tools, size_t index)
{
    static const char *const known[] = {"type", "function", NULL};
    const json_t *const tool = json_array_get(tools, index);
    const char *const type = json_string_value(json_object_get(tool, "type"));
    const char *unknown = NULL;
    if (type == NULL || strcmp(type, "function") != 0) {
        return refuse(reader, "tools", "tools[%zu].type must be \"function\"", index);
    }
    if (!has_only(tool, known, &unknown)) {
        return refuse(reader, "tools", "tools[%zu].%.60s is not known", index, unknown);
    }
    REALM_TRY(check_function(reader, index, json_object_get(tool, "function")));
    for (size_t i = 0; i < index; i++) {
        if (strcmp(tool_name(json_array_get(tools, i)), tool_name(tool)) == 0) {
            return refuse(reader, "tools", "tools has two named \"%.64s\"", tool_name(tool));
        }
    }
    return REALM_OK;
}

realm_status field_tools(struct field_reader *reader, const char *field, const json_t *value)
{
    const size_t n = json_array_size(value);
    if (!json_is_array(value) || n == 0 || n > MAX_TOOLS) {
        return refuse(
            reader, field, "tools must be an array of 1 to %u tools", (unsigned)MAX_TOOLS);
    }
    for (size_t i = 0; i < n; i++) {
        REALM_TRY(check_tool(reader, value, i));
    }
    reader->tools = value;
    return REALM_OK;
}

realm_status field_tool_choice(struct field_reader *reader, const char *field, const json_t *value)
{
    static const char *const known[] = {"type", "function", NULL};
    static const struct {
        const char *text;
        enum tool_choice choice;
    } words[] = {
        {"none", TOOL_CHOICE_NONE}, {"auto", TOOL_CHOICE_AUTO}, {"required", TOOL_CHOICE_REQUIRED}};
    const char *const text = json_string_value(value);
    const char *const type = json_string_value(json_object_get(value, "type"));
    const char *unknown = NULL;
    for (size_t i = 0; text != NULL && i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i].text) == 0) {
            reader->tool_choice = words[i].choice;
            return REALM_OK;
        }
    }
    if (type == NULL || strcmp(type, "function") != 0 || tool_name(value) == NULL ||
        !has_only(value, known, &unknown) ||
        json_object_size(json_object_get(value, "function")) != 1) {
        return refuse(reader,
                      field,
                      "tool_choice must be \"none\", \"auto\", \"required\" or {\"type\": "
                      "\"function\", \"function\": {\"name\": ...}}");
    }
    reader->tool_choice = TOOL_CHOICE_NAMED;
    reader->tool_named = tool_name(value);
    return REALM_OK;
}

realm_status
field_parallel_tool_calls(struct field_reader *reader, const char *field, const json_t *value)
{
    bool parallel = true;
    REALM_TRY(json_read_bool(value, field, &parallel, reader->problem));
    reader->single_tool_call = !parallel;
    reader->parallel_given = true;
    return REALM_OK;
}

/* --- the grammar --------------------------------------------------------------------------------
 */

/* A rule's text as a string of the grammar: JSON's strings serve. */
static void append_literal(struct strbuf *out, const char *text)
{
    strbuf_append_json(out, text, strlen(text));
}

/* White space between the parts of arguments is bounded, or a model may write it without end. */
static realm_status
append_schema(struct field_reader *reader, const json_t *parameters, struct strbuf *out)
{
    json_t *const schema = json_is_object(parameters) ? json_copy((json_t *)(uintptr_t)parameters)
                                                      : json_pack("{s:{}}", "properties");
    int failed = json_object_set_new(schema, "type", json_string("object"));
    failed |= json_object_set_new(
        schema, "x-guidance", json_pack("{s:s}", "whitespace_pattern", "[ ]{1,64}|[\\n][ ]{0,64}"));
    if (!json_is_object(parameters)) {
        failed |= json_object_set_new(schema, "additionalProperties", json_false());
    }
    char *const text = failed == 0 ? json_dumps(schema, JSON_COMPACT) : NULL;
    if (text != NULL) {
        strbuf_append_text(out, text);
    }
    json_decref(schema);
    alloc_free(text);
    return text != NULL
               ? REALM_OK
               : problem_set(
                     reader->problem, REALM_OUT_OF_MEMORY, "tools", "no memory for the tools");
}

/* body: what stands between opening and closing, a branch for each tool that may be called. */
static realm_status
append_bodies(struct field_reader *reader, const struct tool_format *format, struct strbuf *out)
{
    bool any = false;
    size_t i;
    const json_t *tool;
    strbuf_append_text(out, "body: ");
    json_array_foreach(reader->tools, i, tool)
    {
        const char *const name = tool_name(tool);
        if (reader->tool_choice == TOOL_CHOICE_NAMED && strcmp(name, reader->tool_named) != 0) {
            continue;
        }
        strbuf_append_format(out, "%s\"%s\" middle arguments%zu", any ? " | " : "", name, i);
        any = true;
    }
    if (!any) {
        return refuse(reader,
                      "tool_choice",
                      "tool_choice names \"%.64s\", which is not among tools",
                      reader->tool_named);
    }
    strbuf_append_text(out, "\nmiddle: ");
    append_literal(out, format->middle);
    json_array_foreach(reader->tools, i, tool)
    {
        strbuf_append_format(out, "\narguments%zu: %%json ", i);
        REALM_TRY(append_schema(
            reader, json_object_get(json_object_get(tool, "function"), "parameters"), out));
    }
    strbuf_append_text(out, "\n");
    return REALM_OK;
}

/* What an answer without calls may be: any text, or what response_format says. */
static realm_status
append_text_rule(struct field_reader *reader, const struct tool_format *format, struct strbuf *out)
{
    const struct constraint_rule *const rule = &reader->constraint;
    const bool json = rule->kind == CONSTRAINT_JSON_OBJECT || rule->kind == CONSTRAINT_JSON_SCHEMA;
    if (rule->kind == CONSTRAINT_NONE && format->mark[0] != '\0') {
        strbuf_append_text(out, "text: /(.|\\n)*/\n");
        return REALM_OK;
    }
    if (rule->kind == CONSTRAINT_NONE) {
        strbuf_append_text(out, "text: TEXT\nTEXT: /(.|\\n)*/ & ~/\\{\\s*\"name\"(.|\\n)*/\n");
        return REALM_OK;
    }
    if (!json || format->mark[0] == '\0') {
        return problem_set(reader->problem,
                           REALM_UNSUPPORTED,
                           reader->constraint_field,
                           "%s together with tools is not supported%s; leave one out",
                           reader->constraint_field,
                           json ? " by this model's template" : "");
    }
    strbuf_append_text(out, "text: %json ");
    if (rule->kind == CONSTRAINT_JSON_OBJECT) {
        strbuf_append_text(out, "{\"type\":\"object\"}");
    } else {
        strbuf_append(out, (const char *)rule->text.data, rule->text.length);
    }
    strbuf_append_text(out, "\n");
    return REALM_OK;
}

static realm_status
append_grammar(struct field_reader *reader, const struct tool_format *format, struct strbuf *out)
{
    const bool may_be_text = reader->tool_choice == TOOL_CHOICE_AUTO;
    const bool many =
        format->many && !reader->single_tool_call && reader->tool_choice != TOOL_CHOICE_NAMED;
    strbuf_append_text(out, may_be_text ? "start: text | first" : "start: mark call");
    if (may_be_text) {
        strbuf_append_text(out, " call");
    }
    strbuf_append_text(out, many ? " (\"\\n\" mark call)*\n" : "\n");
    if (may_be_text) {
        REALM_TRY(append_text_rule(reader, format, out));
        const bool text_before =
            format->mark[0] != '\0' && reader->constraint.kind == CONSTRAINT_NONE;
        strbuf_append_format(
            out, text_before ? "first[lazy]: /(.|\\n)*%s/\n" : "first: \"%s\"\n", format->mark);
    }
    strbuf_append_text(out, "mark: ");
    append_literal(out, format->mark);
    strbuf_append_text(out, "\ncall: ");
    append_literal(out, format->opening + strlen(format->mark));
    strbuf_append_text(out, " body ");
    append_literal(out, format->closing);
    strbuf_append_text(out, "\n");
    return append_bodies(reader, format, out);
}

/* The grammar takes the place of response_format, which it holds. */
static realm_status
constrain(struct field_reader *reader, const struct tool_format *format, struct strbuf *grammar)
{
    REALM_TRY(append_grammar(reader, format, grammar));
    const char *const copy =
        grammar->failed ? NULL
                        : arena_string(&reader->completion->arena, grammar->text, grammar->length);
    if (copy == NULL) {
        return problem_set(
            reader->problem, REALM_OUT_OF_MEMORY, "tools", "no memory for the tools");
    }
    reader->constraint_field = "tools";
    reader->constraint =
        (struct constraint_rule){CONSTRAINT_LARK, {(const uint8_t *)copy, grammar->length}};
    return REALM_OK;
}

realm_status tools_prepare(struct field_reader *reader)
{
    const bool wanted =
        reader->tool_choice != TOOL_CHOICE_DEFAULT && reader->tool_choice != TOOL_CHOICE_NONE;
    reader->tool_format = tool_format_of(engine_model_chat_source(reader->completion->model));
    if (reader->tools == NULL) {
        return wanted ? refuse(reader, "tool_choice", "tool_choice needs tools")
               : reader->parallel_given
                   ? refuse(reader, "parallel_tool_calls", "parallel_tool_calls needs tools")
                   : REALM_OK;
    }
    if (reader->tool_choice == TOOL_CHOICE_NONE) {
        reader->tools = NULL; /* The model is not told of what it may not call. */
        return REALM_OK;
    }
    if (reader->tool_choice == TOOL_CHOICE_DEFAULT) {
        reader->tool_choice = TOOL_CHOICE_AUTO;
    }
    reader->completion->tool_format = reader->tool_format;
    struct strbuf grammar;
    strbuf_init(&grammar, ALLOC_SERVER, MAX_GRAMMAR_BYTES);
    const realm_status status = constrain(reader, reader->tool_format, &grammar);
    strbuf_deinit(&grammar);
    return status;
}
