#include "base/checked.h"
#include "gguf/reader.h"

#include <inttypes.h>

#define WRITE_MODE     0644
#define WRITE_VERSION  3u
#define FIRST_CAPACITY ((size_t)32)

/* A key with its value as it will lie in the file: type, then payload. */
struct written_value {
    char *key;
    uint8_t *blob;
    size_t n_bytes;
};

struct written_tensor {
    char *name;
    enum tensor_type type;
    uint32_t n_dims;
    uint64_t shape[GGUF_MAX_DIMS];
    uint64_t n_bytes;
};

struct gguf_writer {
    struct written_value **values;
    size_t n_values;
    size_t values_capacity;
    struct map *by_key;

    struct written_tensor *tensors;
    size_t n_tensors;
    size_t tensors_capacity;
    struct map *by_name; /* only to find what is added twice */

    uint32_t alignment;
    struct file_writer *file; /* from gguf_writer_begin to the end */
    size_t current;           /* tensor whose bytes are awaited */
    uint64_t current_bytes;   /* of it, already written */
};

realm_status gguf_writer_create(struct gguf_writer **out, struct realm_error *error)
{
    *out = NULL;
    struct gguf_writer *writer = alloc_zeroed(ALLOC_MODEL, 1, sizeof(*writer));
    if (writer == NULL) {
        return realm_error_out_of_memory(error, sizeof(*writer), "a GGUF writer");
    }
    writer->alignment = GGUF_DEFAULT_ALIGNMENT;
    realm_status status = map_create(ALLOC_MODEL, &writer->by_key, error);
    if (status == REALM_OK) {
        status = map_create(ALLOC_MODEL, &writer->by_name, error);
    }
    if (status != REALM_OK) {
        gguf_writer_destroy(writer);
        return status;
    }
    *out = writer;
    return REALM_OK;
}

/* Holds key and blob; NULL is fine. */
static void written_value_free(struct written_value *value)
{
    if (value != NULL) {
        alloc_free(value->key);
        alloc_free(value->blob);
        alloc_free(value);
    }
}

void gguf_writer_destroy(struct gguf_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    file_writer_abandon(writer->file);
    for (size_t i = 0; i < writer->n_values; i++) {
        written_value_free(writer->values[i]);
    }
    for (size_t i = 0; i < writer->n_tensors; i++) {
        alloc_free(writer->tensors[i].name);
    }
    alloc_free(writer->values);
    alloc_free(writer->tensors);
    map_destroy(writer->by_key);
    map_destroy(writer->by_name);
    alloc_free(writer);
}

static void put_unsigned(uint8_t **position, uint64_t number, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        *(*position)++ = (uint8_t)(number >> (8 * i));
    }
}

static void put_bytes(uint8_t **position, struct bytes bytes)
{
    if (bytes.length > 0) {
        memcpy(*position, bytes.data, bytes.length);
        *position += bytes.length;
    }
}

static uint64_t bits_of_float(double number)
{
    const float narrow = (float)number;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof(bits));
    return bits;
}

static uint64_t bits_of_double(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    return bits;
}

static uint64_t scalar_bits(const struct gguf_value *value)
{
    switch (value->type) {
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64:
        return (uint64_t)value->scalar.i64;
    case GGUF_F32:
        return bits_of_float(value->scalar.f64);
    case GGUF_F64:
        return bits_of_double(value->scalar.f64);
    case GGUF_BOOL:
        return value->scalar.boolean ? 1 : 0;
    default:
        return value->scalar.u64;
    }
}

/* Bytes of the payload; false: the value contradicts itself (or has too many bytes). */
static bool payload_bytes(const struct gguf_value *value, size_t *out)
{
    if (value->type == GGUF_STRING) {
        return checked_add_size(8, value->bytes.length, out);
    }
    if (value->type != GGUF_ARRAY) {
        *out = gguf_value_type_bytes((uint32_t)value->type);
        return *out > 0;
    }
    const size_t header = 4 + 8;
    if (value->item_type != GGUF_STRING) {
        const size_t item_bytes = gguf_value_type_bytes((uint32_t)value->item_type);
        uint64_t n_bytes;
        return item_bytes > 0 && checked_mul_u64(value->n_items, item_bytes, &n_bytes) &&
               n_bytes == value->bytes.length && checked_add_size(header, value->bytes.length, out);
    }
    size_t n_bytes = header;
    for (uint64_t i = 0; i < value->n_items; i++) {
        if (!checked_add_size(n_bytes, 8, &n_bytes) ||
            !checked_add_size(n_bytes, value->strings[i].length, &n_bytes)) {
            return false;
        }
    }
    *out = n_bytes;
    return true;
}

static void put_payload(uint8_t *position, const struct gguf_value *value)
{
    put_unsigned(&position, (uint64_t)value->type, 4);
    if (value->type == GGUF_STRING) {
        put_unsigned(&position, value->bytes.length, 8);
        put_bytes(&position, value->bytes);
        return;
    }
    if (value->type != GGUF_ARRAY) {
        put_unsigned(&position, scalar_bits(value), gguf_value_type_bytes((uint32_t)value->type));
        return;
    }
    put_unsigned(&position, (uint64_t)value->item_type, 4);
    put_unsigned(&position, value->n_items, 8);
    if (value->item_type != GGUF_STRING) {
        put_bytes(&position, value->bytes);
        return;
    }
    for (uint64_t i = 0; i < value->n_items; i++) {
        put_unsigned(&position, value->strings[i].length, 8);
        put_bytes(&position, value->strings[i]);
    }
}

static realm_status check_name(const struct gguf_writer *writer,
                               const char *what,
                               const char *name,
                               size_t max_bytes,
                               struct realm_error *error)
{
    const struct bytes bytes = {(const uint8_t *)name, strlen(name)};
    const char *flaw = gguf_name_flaw(bytes, max_bytes);
    if (writer->file != NULL) {
        flaw = "the file is already begun";
    }
    if (flaw != NULL) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "%s %s: %s", what, gguf_show(bytes).text, flaw);
    }
    return REALM_OK;
}

/* The alignment that a value of general.alignment asks for. */
static realm_status take_alignment(struct gguf_writer *writer,
                                   const struct gguf_value *value,
                                   struct realm_error *error)
{
    const uint64_t alignment = value->scalar.u64;
    if (value->type != GGUF_U32 || alignment < GGUF_MIN_ALIGNMENT || alignment > UINT32_MAX ||
        (alignment & (alignment - 1)) != 0) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "key %s: must be a u32 that is a power of two from %u on",
                               value->key,
                               GGUF_MIN_ALIGNMENT);
    }
    writer->alignment = (uint32_t)alignment;
    return REALM_OK;
}

/* Room for one more item; false: out of memory. */
static bool grow(void **items, size_t length, size_t *capacity, size_t item_bytes)
{
    if (length < *capacity) {
        return true;
    }
    const size_t larger = *capacity == 0 ? FIRST_CAPACITY : *capacity * 2;
    void *grown = alloc_resize(ALLOC_MODEL, *items, larger * item_bytes);
    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *capacity = larger;
    return true;
}

/* Appends a value, and takes it in either case; false: out of memory. */
static bool values_append(struct gguf_writer *writer, struct written_value *value)
{
    void *items = writer->values;
    const bool grown =
        grow(&items, writer->n_values, &writer->values_capacity, sizeof(*writer->values));
    writer->values = items;
    if (!grown || !map_put(writer->by_key, value->key, strlen(value->key), value)) {
        written_value_free(value);
        return false;
    }
    writer->values[writer->n_values++] = value;
    return true;
}

/* Takes blob in either case. */
static realm_status values_store(struct gguf_writer *writer,
                                 const char *key,
                                 uint8_t *blob,
                                 size_t n_bytes,
                                 struct realm_error *error)
{
    const size_t key_bytes = strlen(key);
    struct written_value *value = map_get(writer->by_key, key, key_bytes);
    if (value != NULL) {
        alloc_free(value->blob);
        value->blob = blob;
        value->n_bytes = n_bytes;
        return REALM_OK;
    }
    value = alloc_zeroed(ALLOC_MODEL, 1, sizeof(*value));
    if (value == NULL) {
        alloc_free(blob);
        return realm_error_out_of_memory(error, sizeof(*value), key);
    }
    *value = (struct written_value){
        .key = alloc_string(ALLOC_MODEL, key, key_bytes), .blob = blob, .n_bytes = n_bytes};
    if (value->key == NULL) {
        written_value_free(value);
        return realm_error_out_of_memory(error, key_bytes, key);
    }
    return values_append(writer, value) ? REALM_OK
                                        : realm_error_out_of_memory(error, key_bytes, key);
}

realm_status gguf_writer_put(struct gguf_writer *writer,
                             const struct gguf_value *value,
                             struct realm_error *error)
{
    REALM_TRY(check_name(writer, "key", value->key, GGUF_MAX_KEY_BYTES, error));
    size_t n_bytes = 0;
    if (!payload_bytes(value, &n_bytes) || !checked_add_size(n_bytes, 4, &n_bytes)) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "key %s: the value's type, item count and bytes do not agree",
                               gguf_show_text(value->key).text);
    }
    const uint32_t alignment_before = writer->alignment;
    if (strcmp(value->key, "general.alignment") == 0) {
        REALM_TRY(take_alignment(writer, value, error));
    }
    uint8_t *blob = alloc_bytes(ALLOC_MODEL, n_bytes);
    if (blob == NULL) {
        writer->alignment = alignment_before;
        return realm_error_out_of_memory(error, n_bytes, "a value of a GGUF file");
    }
    put_payload(blob, value);
    const realm_status status = values_store(writer, value->key, blob, n_bytes, error);
    if (status != REALM_OK) {
        writer->alignment = alignment_before;
    }
    return status;
}

realm_status gguf_writer_put_u32(struct gguf_writer *writer,
                                 const char *key,
                                 uint32_t value,
                                 struct realm_error *error)
{
    const struct gguf_value put = {.key = key, .type = GGUF_U32, .n_items = 1, .scalar.u64 = value};
    return gguf_writer_put(writer, &put, error);
}

realm_status gguf_writer_put_f32(struct gguf_writer *writer,
                                 const char *key,
                                 float value,
                                 struct realm_error *error)
{
    const struct gguf_value put = {
        .key = key, .type = GGUF_F32, .n_items = 1, .scalar.f64 = (double)value};
    return gguf_writer_put(writer, &put, error);
}

realm_status gguf_writer_put_string(struct gguf_writer *writer,
                                    const char *key,
                                    const char *text,
                                    struct realm_error *error)
{
    const struct gguf_value put = {.key = key,
                                   .type = GGUF_STRING,
                                   .n_items = 1,
                                   .bytes = {(const uint8_t *)text, strlen(text)}};
    return gguf_writer_put(writer, &put, error);
}

realm_status gguf_writer_add_tensor(struct gguf_writer *writer,
                                    const char *name,
                                    enum tensor_type type,
                                    uint32_t n_dims,
                                    const uint64_t *shape,
                                    struct realm_error *error)
{
    const size_t name_bytes = strlen(name);
    REALM_TRY(check_name(writer, "tensor", name, GGUF_MAX_NAME_BYTES, error));
    if (n_dims == 0 || n_dims > GGUF_MAX_DIMS) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "tensor %s: %u dimensions; a tensor has 1 to %d",
                               name,
                               n_dims,
                               GGUF_MAX_DIMS);
    }
    struct written_tensor tensor = {.type = type, .n_dims = n_dims};
    REALM_TRY(gguf_tensor_bytes(
        name, type, n_dims, shape, REALM_INVALID_ARGUMENT, &tensor.n_bytes, error));
    memcpy(tensor.shape, shape, n_dims * sizeof(shape[0]));
    if (map_get(writer->by_name, name, name_bytes) != NULL) {
        return realm_error_set(error, REALM_ALREADY_EXISTS, "tensor %s: added twice", name);
    }
    void *items = writer->tensors;
    tensor.name = alloc_string(ALLOC_MODEL, name, name_bytes);
    bool stored =
        tensor.name != NULL &&
        grow(&items, writer->n_tensors, &writer->tensors_capacity, sizeof(*writer->tensors));
    writer->tensors = items;
    stored = stored && map_put(writer->by_name, name, name_bytes, tensor.name);
    if (!stored) {
        alloc_free(tensor.name);
        return realm_error_out_of_memory(error, name_bytes, "a tensor of a GGUF file");
    }
    writer->tensors[writer->n_tensors++] = tensor;
    return REALM_OK;
}

static realm_status
write_unsigned(struct file_writer *file, uint64_t number, size_t n_bytes, struct realm_error *error)
{
    uint8_t bytes[8];
    uint8_t *position = bytes;
    put_unsigned(&position, number, n_bytes);
    return file_writer_write(file, bytes, n_bytes, error);
}

static realm_status
write_string(struct file_writer *file, const char *text, struct realm_error *error)
{
    const size_t n_bytes = strlen(text);
    REALM_TRY(write_unsigned(file, n_bytes, 8, error));
    return file_writer_write(file, text, n_bytes, error);
}

static realm_status write_padding(struct gguf_writer *writer, struct realm_error *error)
{
    static const uint8_t zeros[64];
    uint64_t left = (writer->alignment - file_writer_position(writer->file) % writer->alignment) %
                    writer->alignment;
    while (left > 0) {
        const size_t n_bytes = left < sizeof(zeros) ? (size_t)left : sizeof(zeros);
        REALM_TRY(file_writer_write(writer->file, zeros, n_bytes, error));
        left -= n_bytes;
    }
    return REALM_OK;
}

static realm_status write_entry(struct file_writer *file,
                                const struct written_tensor *tensor,
                                uint64_t offset,
                                struct realm_error *error)
{
    REALM_TRY(write_string(file, tensor->name, error));
    REALM_TRY(write_unsigned(file, tensor->n_dims, 4, error));
    for (uint32_t i = 0; i < tensor->n_dims; i++) {
        REALM_TRY(write_unsigned(file, tensor->shape[i], 8, error));
    }
    REALM_TRY(write_unsigned(file, (uint64_t)tensor->type, 4, error));
    return write_unsigned(file, offset, 8, error);
}

static realm_status write_directory(struct gguf_writer *writer, struct realm_error *error)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < writer->n_tensors; i++) {
        const struct written_tensor *tensor = &writer->tensors[i];
        REALM_TRY(write_entry(writer->file, tensor, offset, error));
        if (!checked_add_u64(offset, tensor->n_bytes, &offset) ||
            !checked_align_up_u64(offset, writer->alignment, &offset) || offset > INT64_MAX) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "tensor %s: the file would be larger than a file can be",
                                   tensor->name);
        }
    }
    return write_padding(writer, error);
}

static realm_status write_head(struct gguf_writer *writer, struct realm_error *error)
{
    REALM_TRY(file_writer_write(writer->file, "GGUF", 4, error));
    REALM_TRY(write_unsigned(writer->file, WRITE_VERSION, 4, error));
    REALM_TRY(write_unsigned(writer->file, writer->n_tensors, 8, error));
    REALM_TRY(write_unsigned(writer->file, writer->n_values, 8, error));
    for (size_t i = 0; i < writer->n_values; i++) {
        const struct written_value *value = writer->values[i];
        REALM_TRY(write_string(writer->file, value->key, error));
        REALM_TRY(file_writer_write(writer->file, value->blob, value->n_bytes, error));
    }
    return write_directory(writer, error);
}

realm_status
gguf_writer_begin(struct gguf_writer *writer, const char *path, struct realm_error *error)
{
    if (writer->file != NULL) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "%s: the file is already begun", path);
    }
    REALM_TRY(file_writer_open(path, WRITE_MODE, &writer->file, error));
    return write_head(writer, error);
}

/* As many bytes as the current tensor still wants. */
static realm_status write_piece(struct gguf_writer *writer,
                                const uint8_t *data,
                                size_t n_bytes,
                                size_t *n_taken,
                                struct realm_error *error)
{
    const uint64_t n_tensor_bytes = writer->tensors[writer->current].n_bytes;
    const uint64_t wanted = n_tensor_bytes - writer->current_bytes;
    *n_taken = n_bytes < wanted ? n_bytes : (size_t)wanted;
    REALM_TRY(file_writer_write(writer->file, data, *n_taken, error));
    writer->current_bytes += *n_taken;
    if (writer->current_bytes < n_tensor_bytes) {
        return REALM_OK;
    }
    writer->current++;
    writer->current_bytes = 0;
    return write_padding(writer, error);
}

realm_status gguf_writer_data(struct gguf_writer *writer,
                              const void *data,
                              size_t n_bytes,
                              struct realm_error *error)
{
    if (writer->file == NULL) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "tensor bytes before the file is begun");
    }
    const uint8_t *position = data;
    size_t left = n_bytes;
    while (left > 0) {
        if (writer->current == writer->n_tensors) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "%zu bytes more than the %zu tensors have",
                                   left,
                                   writer->n_tensors);
        }
        size_t n_taken = 0;
        REALM_TRY(write_piece(writer, position, left, &n_taken, error));
        position += n_taken;
        left -= n_taken;
    }
    return REALM_OK;
}

realm_status gguf_writer_commit(struct gguf_writer *writer, struct realm_error *error)
{
    if (writer->file == NULL) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "committed before the file is begun");
    }
    if (writer->current < writer->n_tensors) {
        const struct written_tensor *tensor = &writer->tensors[writer->current];
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "tensor %s: %" PRIu64 " of its %" PRIu64 " bytes are missing",
                               tensor->name,
                               tensor->n_bytes - writer->current_bytes,
                               tensor->n_bytes);
    }
    struct file_writer *file = writer->file;
    writer->file = NULL;
    return file_writer_commit(file, error);
}
