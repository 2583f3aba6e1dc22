#include "base/checked.h"
#include "gguf/reader.h"

#include <inttypes.h>
#include <stdio.h>

#define FIRST_CAPACITY   ((size_t)32)
#define MIN_STRING_BYTES 8u /* its length */

struct value_type_info {
    const char *name;
    size_t n_bytes;
};

static const struct value_type_info value_types[] = {
    [GGUF_U8] = {"u8", 1},
    [GGUF_I8] = {"i8", 1},
    [GGUF_U16] = {"u16", 2},
    [GGUF_I16] = {"i16", 2},
    [GGUF_U32] = {"u32", 4},
    [GGUF_I32] = {"i32", 4},
    [GGUF_F32] = {"f32", 4},
    [GGUF_BOOL] = {"bool", 1},
    [GGUF_STRING] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0},
    [GGUF_U64] = {"u64", 8},
    [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},
};

#define N_VALUE_TYPES (sizeof(value_types) / sizeof(value_types[0]))

const char *gguf_value_type_name(enum gguf_value_type type)
{
    return (size_t)type < N_VALUE_TYPES ? value_types[type].name : "unknown";
}

size_t gguf_value_type_bytes(uint32_t type)
{
    return type < N_VALUE_TYPES ? value_types[type].n_bytes : 0;
}

static realm_status cut_short(const char *key, const char *what, struct realm_error *error)
{
    return realm_error_set(error,
                           REALM_INVALID_FORMAT,
                           "key %s: the file ends inside its %s",
                           gguf_show_text(key).text,
                           what);
}

realm_status gguf_read_string(struct byte_cursor *cursor,
                              const char *what,
                              const char *name,
                              struct bytes *out,
                              struct realm_error *error)
{
    const size_t start = cursor->position;
    uint64_t length;
    if (!byte_cursor_u64(cursor, &length)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s %s: the file ends inside its length, at byte %zu",
                               what,
                               name,
                               start);
    }
    if (length > byte_cursor_left(cursor)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s %s: its length at byte %zu is %" PRIu64
                               ", but %zu bytes are left in the file",
                               what,
                               name,
                               start,
                               length,
                               byte_cursor_left(cursor));
    }
    (void)byte_cursor_take(cursor, (size_t)length, out);
    return REALM_OK;
}

static uint64_t unsigned_of(const uint8_t *data, size_t n_bytes)
{
    uint64_t number = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        number |= (uint64_t)data[i] << (8 * i);
    }
    return number;
}

static float float_of(uint64_t bits)
{
    const uint32_t low = (uint32_t)bits;
    float number;
    memcpy(&number, &low, sizeof(number));
    return number;
}

static double double_of(uint64_t bits)
{
    double number;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

static realm_status
decode_scalar(struct gguf_value *value, struct bytes bytes, struct realm_error *error)
{
    const uint64_t bits = unsigned_of(bytes.data, bytes.length);
    switch (value->type) {
    case GGUF_I8:
        value->scalar.i64 = (int64_t)(bits ^ 0x80) - 0x80; /* extends the sign */
        break;
    case GGUF_I16:
        value->scalar.i64 = (int16_t)bits;
        break;
    case GGUF_I32:
        value->scalar.i64 = (int32_t)bits;
        break;
    case GGUF_I64:
        value->scalar.i64 = (int64_t)bits;
        break;
    case GGUF_F32:
        value->scalar.f64 = (double)float_of(bits);
        break;
    case GGUF_F64:
        value->scalar.f64 = double_of(bits);
        break;
    case GGUF_BOOL:
        if (bits > 1) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "key %s: a bool is 0 or 1, not %u",
                                   gguf_show_text(value->key).text,
                                   (unsigned)bits);
        }
        value->scalar.boolean = bits == 1;
        break;
    default:
        value->scalar.u64 = bits;
        break;
    }
    return REALM_OK;
}

/* Walks the strings once without taking memory; only when all are there are they indexed. */
static realm_status read_string_array(struct gguf_value *value,
                                      struct arena *arena,
                                      struct byte_cursor *cursor,
                                      struct realm_error *error)
{
    struct byte_cursor scan = *cursor;
    for (uint64_t i = 0; i < value->n_items; i++) {
        uint64_t length;
        struct bytes text;
        if (!byte_cursor_u64(&scan, &length) || length > byte_cursor_left(&scan)) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "key %s: string %" PRIu64 " of %" PRIu64
                                   " goes past the end of the file",
                                   gguf_show_text(value->key).text,
                                   i,
                                   value->n_items);
        }
        (void)byte_cursor_take(&scan, (size_t)length, &text);
    }
    size_t n_bytes;
    struct bytes *strings = NULL;
    if (checked_mul_size((size_t)value->n_items, sizeof(*strings), &n_bytes)) {
        strings = arena_alloc(arena, n_bytes);
    }
    if (strings == NULL) {
        return realm_error_out_of_memory(
            error, (size_t)value->n_items * sizeof(*strings), gguf_show_text(value->key).text);
    }
    for (uint64_t i = 0; i < value->n_items; i++) {
        uint64_t length = 0;
        (void)byte_cursor_u64(cursor, &length);
        (void)byte_cursor_take(cursor, (size_t)length, &strings[i]);
    }
    value->strings = strings;
    return REALM_OK;
}

static realm_status
read_fixed_array(struct gguf_value *value, struct byte_cursor *cursor, struct realm_error *error)
{
    const size_t item_bytes = gguf_value_type_bytes((uint32_t)value->item_type);
    /* The count was held against the bytes left, so this cannot overflow. */
    (void)byte_cursor_take(cursor, (size_t)value->n_items * item_bytes, &value->bytes);
    if (value->item_type != GGUF_BOOL) {
        return REALM_OK;
    }
    for (size_t i = 0; i < value->bytes.length; i++) {
        if (value->bytes.data[i] > 1) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "key %s: item %zu: a bool is 0 or 1, not %u",
                                   gguf_show_text(value->key).text,
                                   i,
                                   (unsigned)value->bytes.data[i]);
        }
    }
    return REALM_OK;
}

static realm_status unknown_type(const char *key, uint32_t type, struct realm_error *error)
{
    return realm_error_set(error,
                           REALM_INVALID_FORMAT,
                           "key %s: unknown value type %u (known are 0 to %zu)",
                           gguf_show_text(key).text,
                           type,
                           N_VALUE_TYPES - 1);
}

static realm_status read_array(struct gguf_value *value,
                               struct arena *arena,
                               struct byte_cursor *cursor,
                               struct realm_error *error)
{
    uint32_t item_type;
    if (!byte_cursor_u32(cursor, &item_type) || !byte_cursor_u64(cursor, &value->n_items)) {
        return cut_short(value->key, "array header", error);
    }
    if (item_type >= N_VALUE_TYPES) {
        return unknown_type(value->key, item_type, error);
    }
    if (item_type == GGUF_ARRAY) {
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               "key %s: an array of arrays; only flat arrays are supported",
                               value->key);
    }
    value->item_type = (enum gguf_value_type)item_type;
    const size_t min_bytes =
        item_type == GGUF_STRING ? MIN_STRING_BYTES : gguf_value_type_bytes(item_type);
    if (value->n_items > byte_cursor_left(cursor) / min_bytes) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "key %s: an array of %" PRIu64 " %s items, but %zu bytes are left "
                               "in the file",
                               gguf_show_text(value->key).text,
                               value->n_items,
                               gguf_value_type_name(value->item_type),
                               byte_cursor_left(cursor));
    }
    return item_type == GGUF_STRING ? read_string_array(value, arena, cursor, error)
                                    : read_fixed_array(value, cursor, error);
}

static realm_status read_value(struct gguf_value *value,
                               struct arena *arena,
                               struct byte_cursor *cursor,
                               struct realm_error *error)
{
    uint32_t type;
    if (!byte_cursor_u32(cursor, &type)) {
        return cut_short(value->key, "value type", error);
    }
    if (type >= N_VALUE_TYPES) {
        return unknown_type(value->key, type, error);
    }
    value->type = (enum gguf_value_type)type;
    value->n_items = 1;
    if (type == GGUF_ARRAY) {
        return read_array(value, arena, cursor, error);
    }
    if (type == GGUF_STRING) {
        return gguf_read_string(
            cursor, "value of key", gguf_show_text(value->key).text, &value->bytes, error);
    }
    struct bytes bytes;
    if (!byte_cursor_take(cursor, gguf_value_type_bytes(type), &bytes)) {
        return cut_short(value->key, "value", error);
    }
    return decode_scalar(value, bytes, error);
}

/* The key, copied with a zero behind it. */
static realm_status read_key(struct byte_cursor *cursor,
                             struct arena *arena,
                             uint64_t index,
                             const char **key,
                             struct realm_error *error)
{
    char number[32];
    struct bytes name = {0};
    (void)snprintf(number, sizeof(number), "number %" PRIu64, index);
    REALM_TRY(gguf_read_string(cursor, "key", number, &name, error));
    const char *flaw = gguf_name_flaw(name, GGUF_MAX_KEY_BYTES);
    if (flaw != NULL) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "key %s \"%s\" (%zu bytes): %s",
                               number,
                               gguf_show(name).text,
                               name.length,
                               flaw);
    }
    *key = arena_string(arena, (const char *)name.data, name.length);
    return *key != NULL ? REALM_OK : realm_error_out_of_memory(error, name.length + 1, "a key");
}

static realm_status
values_append(struct gguf_values *values, const struct gguf_value *value, struct realm_error *error)
{
    if (values->length == values->capacity) {
        const size_t capacity = values->capacity == 0 ? FIRST_CAPACITY : values->capacity * 2;
        const size_t n_bytes = capacity * sizeof(*values->items);
        struct gguf_value *items = alloc_resize(ALLOC_MODEL, values->items, n_bytes);
        if (items == NULL) {
            return realm_error_out_of_memory(error, n_bytes, "the keys of a model");
        }
        values->items = items;
        values->capacity = capacity;
    }
    values->items[values->length++] = *value;
    return REALM_OK;
}

static realm_status values_index(struct gguf_values *values, struct realm_error *error)
{
    REALM_TRY(map_create(ALLOC_MODEL, &values->by_key, error));
    for (size_t i = 0; i < values->length; i++) {
        struct gguf_value *value = &values->items[i];
        const size_t key_bytes = strlen(value->key);
        if (map_get(values->by_key, value->key, key_bytes) != NULL) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "key %s: appears twice",
                                   gguf_show_text(value->key).text);
        }
        if (!map_put(values->by_key, value->key, key_bytes, value)) {
            return realm_error_out_of_memory(error, key_bytes, "the keys of a model");
        }
    }
    return REALM_OK;
}

realm_status gguf_values_read(struct gguf_values *values,
                              struct arena *arena,
                              struct byte_cursor *cursor,
                              uint64_t n_values,
                              struct realm_error *error)
{
    for (uint64_t i = 0; i < n_values; i++) {
        struct gguf_value value = {0};
        REALM_TRY(read_key(cursor, arena, i, &value.key, error));
        REALM_TRY(read_value(&value, arena, cursor, error));
        REALM_TRY(values_append(values, &value, error));
    }
    return values_index(values, error);
}

void gguf_values_deinit(struct gguf_values *values)
{
    map_destroy(values->by_key);
    alloc_free(values->items);
    *values = (struct gguf_values){0};
}

const struct gguf_value *gguf_values_find(const struct gguf_values *values, const char *key)
{
    return map_get(values->by_key, key, strlen(key));
}
