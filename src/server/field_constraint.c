/* Fields that constrain the completion: response_format, guided_regex, guided_grammar. */
#include "base/alloc.h"
#include "server/fields.h"

#include <string.h>

#define MAX_NAME_BYTES 64u

static realm_status set_rule(struct field_reader *reader,
                             const char *field,
                             enum constraint_kind kind,
                             const char *text,
                             size_t length)
{
    if (reader->constraint.kind != CONSTRAINT_NONE) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s and %s are both given; a completion follows one of them",
                           reader->constraint_field,
                           field);
    }
    const char *const copy = arena_string(&reader->completion->arena, text, length);
    if (copy == NULL) {
        return problem_set(reader->problem, REALM_OUT_OF_MEMORY, field, "no memory for %s", field);
    }
    reader->constraint_field = field;
    reader->constraint = (struct constraint_rule){kind, {(const uint8_t *)copy, length}};
    return REALM_OK;
}

static realm_status read_text_rule(struct field_reader *reader,
                                   const char *field,
                                   const json_t *value,
                                   enum constraint_kind kind)
{
    struct bytes text = {.length = 0};
    REALM_TRY(json_read_text(value, field, &text, reader->problem));
    return set_rule(reader, field, kind, (const char *)text.data, text.length);
}

realm_status field_guided_regex(struct field_reader *reader, const char *field, const json_t *value)
{
    return read_text_rule(reader, field, value, CONSTRAINT_REGEX);
}

realm_status
field_guided_grammar(struct field_reader *reader, const char *field, const json_t *value)
{
    return read_text_rule(reader, field, value, CONSTRAINT_LARK);
}

/* --- response_format ----------------------------------------------------------------------------
 */

static realm_status
refuse_member(struct field_reader *reader, const char *field, const char *member, const char *must)
{
    return problem_set(
        reader->problem, REALM_INVALID_ARGUMENT, field, "%s.%.60s %s", field, member, must);
}

bool field_is_name(const json_t *value)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const char *const name = json_string_value(value);
    return name != NULL && name[0] != '\0' && strlen(name) <= MAX_NAME_BYTES &&
           strspn(name, letters) == json_string_length(value);
}

/* `strict` changes nothing: the schema always holds. */
static realm_status
check_schema_members(struct field_reader *reader, const char *field, const json_t *format)
{
    const char *key;
    json_t *member;
    if (!field_is_name(json_object_get(format, "name"))) {
        return refuse_member(
            reader, field, "json_schema.name", "must have 1 to 64 letters, digits, _ or -");
    }
    json_object_foreach((json_t *)(uintptr_t)format, key, member)
    {
        const bool wrong_strict =
            strcmp(key, "strict") == 0 && !json_is_boolean(member) && !json_is_null(member);
        if (wrong_strict) {
            return refuse_member(reader, field, "json_schema.strict", "must be true or false");
        }
        if (strcmp(key, "description") == 0 && !json_is_string(member)) {
            return refuse_member(reader, field, "json_schema.description", "must be a string");
        }
        if (strcmp(key, "name") != 0 && strcmp(key, "schema") != 0 && strcmp(key, "strict") != 0 &&
            strcmp(key, "description") != 0) {
            return refuse_member(reader,
                                 field,
                                 "json_schema",
                                 "may have name, schema, strict and description and nothing else");
        }
    }
    return REALM_OK;
}

static realm_status
read_json_schema(struct field_reader *reader, const char *field, const json_t *format)
{
    if (!json_is_object(format)) {
        return refuse_member(
            reader, field, "json_schema", "must be an object with name and schema");
    }
    REALM_TRY(check_schema_members(reader, field, format));
    const json_t *const schema = json_object_get(format, "schema");
    if (!json_is_object(schema)) {
        return refuse_member(reader, field, "json_schema.schema", "must be an object");
    }
    char *const text = json_dumps(schema, JSON_COMPACT);
    if (text == NULL) {
        return problem_set(reader->problem, REALM_OUT_OF_MEMORY, field, "no memory for %s", field);
    }
    const realm_status status = set_rule(reader, field, CONSTRAINT_JSON_SCHEMA, text, strlen(text));
    alloc_free(text);
    return status;
}

realm_status
field_response_format(struct field_reader *reader, const char *field, const json_t *value)
{
    const char *const type = json_string_value(json_object_get(value, "type"));
    const json_t *const schema = json_object_get(value, "json_schema");
    const bool wants_schema = type != NULL && strcmp(type, "json_schema") == 0;
    if (json_object_size(value) > (wants_schema ? 2u : 1u)) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s may have \"type\", and \"json_schema\" with that type, and nothing "
                           "else",
                           field);
    }
    if (wants_schema) {
        return read_json_schema(reader, field, schema);
    }
    if (type != NULL && strcmp(type, "text") == 0) {
        return REALM_OK;
    }
    if (type != NULL && strcmp(type, "json_object") == 0) {
        return set_rule(reader, field, CONSTRAINT_JSON_OBJECT, "", 0);
    }
    return problem_set(reader->problem,
                       REALM_INVALID_ARGUMENT,
                       field,
                       "%s.type is %.40s and must be \"text\", \"json_object\" or \"json_schema\"",
                       field,
                       type != NULL ? type : json_kind(json_object_get(value, "type")));
}

/* --- once the model is known --------------------------------------------------------------------
 */

realm_status fields_constrain(struct field_reader *reader)
{
    struct completion *const completion = reader->completion;
    if (reader->constraint.kind == CONSTRAINT_NONE) {
        return REALM_OK;
    }
    struct realm_error error;
    const realm_status status = engine_model_constrain(
        completion->model, &reader->constraint, &completion->constraint, &error);
    if (status != REALM_OK) {
        return problem_set(reader->problem,
                           status,
                           reader->constraint_field,
                           "%s: %s",
                           reader->constraint_field,
                           error.message);
    }
    completion->request.constraint = completion->constraint;
    return REALM_OK;
}
