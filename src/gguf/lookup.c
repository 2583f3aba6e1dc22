#include "gguf/reader.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>

static realm_status values_need(const struct gguf_values *values,
                                const char *key,
                                const struct gguf_value **out,
                                struct realm_error *error)
{
    *out = gguf_values_find(values, key);
    return *out != NULL ? REALM_OK
                        : realm_error_set(error, REALM_NOT_FOUND, "key %s: is missing", key);
}

static realm_status
wrong_type(const struct gguf_value *value, const char *wanted, struct realm_error *error)
{
    return realm_error_set(error,
                           REALM_INVALID_FORMAT,
                           "key %s: is of type %s, not %s",
                           gguf_show_text(value->key).text,
                           gguf_value_type_name(value->type),
                           wanted);
}

static bool is_unsigned(enum gguf_value_type type)
{
    return type == GGUF_U8 || type == GGUF_U16 || type == GGUF_U32 || type == GGUF_U64;
}

static bool is_signed(enum gguf_value_type type)
{
    return type == GGUF_I8 || type == GGUF_I16 || type == GGUF_I32 || type == GGUF_I64;
}

realm_status gguf_values_get_unsigned(const struct gguf_values *values,
                                      const char *key,
                                      uint64_t max,
                                      uint64_t *out,
                                      struct realm_error *error)
{
    const struct gguf_value *value;
    REALM_TRY(values_need(values, key, &value, error));
    if (is_signed(value->type)) {
        if (value->scalar.i64 < 0) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "key %s: %" PRId64 " is below 0",
                                   key,
                                   value->scalar.i64);
        }
    } else if (!is_unsigned(value->type)) {
        return wrong_type(value, "an integer", error);
    }
    const uint64_t number =
        is_signed(value->type) ? (uint64_t)value->scalar.i64 : value->scalar.u64;
    if (number > max) {
        return realm_error_set(
            error, REALM_INVALID_FORMAT, "key %s: %" PRIu64 " is above %" PRIu64, key, number, max);
    }
    *out = number;
    return REALM_OK;
}

realm_status
gguf_values_alignment(const struct gguf_values *values, uint32_t *out, struct realm_error *error)
{
    static const char key[] = "general.alignment";
    *out = GGUF_DEFAULT_ALIGNMENT;
    if (gguf_values_find(values, key) == NULL) {
        return REALM_OK;
    }
    uint64_t alignment;
    REALM_TRY(gguf_values_get_unsigned(values, key, UINT32_MAX, &alignment, error));
    if (alignment < GGUF_MIN_ALIGNMENT || (alignment & (alignment - 1)) != 0) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "key %s: %" PRIu64 " is no power of two from %u on",
                               key,
                               alignment,
                               GGUF_MIN_ALIGNMENT);
    }
    *out = (uint32_t)alignment;
    return REALM_OK;
}

const struct gguf_value *gguf_find(const struct gguf *gguf, const char *key)
{
    return gguf_values_find(&gguf->values, key);
}

realm_status
gguf_get_u32(const struct gguf *gguf, const char *key, uint32_t *out, struct realm_error *error)
{
    uint64_t number;
    REALM_TRY(gguf_values_get_unsigned(&gguf->values, key, UINT32_MAX, &number, error));
    *out = (uint32_t)number;
    return REALM_OK;
}

realm_status
gguf_get_f32(const struct gguf *gguf, const char *key, float *out, struct realm_error *error)
{
    const struct gguf_value *value;
    REALM_TRY(values_need(&gguf->values, key, &value, error));
    double number;
    if (value->type == GGUF_F32 || value->type == GGUF_F64) {
        number = value->scalar.f64;
    } else if (is_unsigned(value->type)) {
        number = (double)value->scalar.u64;
    } else if (is_signed(value->type)) {
        number = (double)value->scalar.i64;
    } else {
        return wrong_type(value, "a number", error);
    }
    if (!isfinite(number) || fabs(number) > (double)FLT_MAX) {
        return realm_error_set(
            error, REALM_INVALID_FORMAT, "key %s: %g is no finite 32-bit number", key, number);
    }
    *out = (float)number;
    return REALM_OK;
}

realm_status
gguf_get_bool(const struct gguf *gguf, const char *key, bool *out, struct realm_error *error)
{
    const struct gguf_value *value;
    REALM_TRY(values_need(&gguf->values, key, &value, error));
    if (value->type != GGUF_BOOL) {
        return wrong_type(value, "bool", error);
    }
    *out = value->scalar.boolean;
    return REALM_OK;
}

realm_status gguf_get_string(const struct gguf *gguf,
                             const char *key,
                             struct bytes *out,
                             struct realm_error *error)
{
    const struct gguf_value *value;
    REALM_TRY(values_need(&gguf->values, key, &value, error));
    if (value->type != GGUF_STRING) {
        return wrong_type(value, "string", error);
    }
    *out = value->bytes;
    return REALM_OK;
}

realm_status gguf_get_array(const struct gguf *gguf,
                            const char *key,
                            enum gguf_value_type item_type,
                            const struct gguf_value **out,
                            struct realm_error *error)
{
    const struct gguf_value *value;
    REALM_TRY(values_need(&gguf->values, key, &value, error));
    if (value->type != GGUF_ARRAY) {
        return wrong_type(value, "array", error);
    }
    if (value->item_type != item_type) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "key %s: is an array of %s, not of %s",
                               key,
                               gguf_value_type_name(value->item_type),
                               gguf_value_type_name(item_type));
    }
    *out = value;
    return REALM_OK;
}
