#include "server/json.h"

#include "base/alloc.h"

static void *allocate(size_t n_bytes)
{
    return alloc_bytes(ALLOC_SERVER, n_bytes);
}

void json_use_our_allocator(void)
{
    json_set_alloc_funcs(allocate, alloc_free);
}

realm_status
json_parse_object(const char *text, size_t n_bytes, json_t **out, struct problem *problem)
{
    json_t *root;
    *out = NULL;
    REALM_TRY(json_parse(text, n_bytes, &root, problem));
    if (!json_is_object(root)) {
        const realm_status status = problem_set(problem,
                                                REALM_INVALID_ARGUMENT,
                                                "",
                                                "the body is %s and must be an object",
                                                json_kind(root));
        json_decref(root);
        return status;
    }
    *out = root;
    return REALM_OK;
}

const char *json_kind(const json_t *value)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object",
        [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer",
        [JSON_REAL] = "a number",
        [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",
        [JSON_NULL] = "null",
    };
    return value != NULL ? kinds[json_typeof(value)] : "absent";
}

realm_status
json_read_bool(const json_t *value, const char *field, bool *out, struct problem *problem)
{
    if (!json_is_boolean(value)) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s is %s and must be true or false",
                           field,
                           json_kind(value));
    }
    *out = json_is_true(value);
    return REALM_OK;
}

realm_status json_read_u32(const json_t *value,
                           const char *field,
                           uint32_t low,
                           uint32_t high,
                           uint32_t *out,
                           struct problem *problem)
{
    if (!json_is_integer(value)) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s is %s and must be a whole number",
                           field,
                           json_kind(value));
    }
    const json_int_t number = json_integer_value(value);
    if (number < (json_int_t)low || number > (json_int_t)high) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s is %lld and must lie between %u and %u",
                           field,
                           (long long)number,
                           low,
                           high);
    }
    *out = (uint32_t)number;
    return REALM_OK;
}

realm_status json_read_float(const json_t *value,
                             const char *field,
                             double low,
                             double high,
                             float *out,
                             struct problem *problem)
{
    if (!json_is_number(value)) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s is %s and must be a number",
                           field,
                           json_kind(value));
    }
    const double number = json_number_value(value);
    if (!(number >= low && number <= high)) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s is %g and must lie between %g and %g",
                           field,
                           number,
                           low,
                           high);
    }
    *out = (float)number;
    return REALM_OK;
}

realm_status
json_read_text(const json_t *value, const char *field, struct bytes *out, struct problem *problem)
{
    if (!json_is_string(value)) {
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s is %s and must be a string",
                           field,
                           json_kind(value));
    }
    *out = (struct bytes){.data = (const uint8_t *)json_string_value(value),
                          .length = json_string_length(value)};
    return REALM_OK;
}
