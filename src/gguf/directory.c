#include "base/checked.h"
#include "gguf/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_CAPACITY ((size_t)64)

/* Types of the format that Realm does not compute with, for a clearer refusal. */
struct foreign_type {
    uint32_t id;
    const char *name;
};

static const struct foreign_type foreign_types[] = {
    {4, "Q4_2"},   {5, "Q4_3"},        {16, "IQ2_XXS"},    {17, "IQ2_XS"},     {18, "IQ3_XXS"},
    {19, "IQ1_S"}, {20, "IQ4_NL"},     {21, "IQ3_S"},      {22, "IQ2_S"},      {23, "IQ4_XS"},
    {29, "IQ1_M"}, {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},   {33, "Q4_0_8_8"},   {34, "TQ1_0"},
    {35, "TQ2_0"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"}, {39, "MXFP4"},
};

static realm_status unknown_type(const char *name, uint32_t id, struct realm_error *error)
{
    for (size_t i = 0; i < sizeof(foreign_types) / sizeof(foreign_types[0]); i++) {
        if (foreign_types[i].id == id) {
            return realm_error_set(error,
                                   REALM_UNSUPPORTED,
                                   "tensor %s: type %u (%s) is not supported; use a file quantised "
                                   "to Q4_K, Q8_0 or the like",
                                   name,
                                   id,
                                   foreign_types[i].name);
        }
    }
    return realm_error_set(error, REALM_UNSUPPORTED, "tensor %s: unknown type %u", name, id);
}

realm_status gguf_tensor_bytes(const char *name,
                               enum tensor_type type,
                               uint32_t n_dims,
                               const uint64_t *shape,
                               realm_status status,
                               uint64_t *out,
                               struct realm_error *error)
{
    uint64_t n_elements = 1;
    for (uint32_t i = 0; i < n_dims; i++) {
        if (shape[i] == 0) {
            return realm_error_set(error, status, "tensor %s: dimension %u is 0", name, i);
        }
        if (!checked_mul_u64(n_elements, shape[i], &n_elements) || n_elements > INT64_MAX) {
            return realm_error_set(error,
                                   status,
                                   "tensor %s: with dimension %u of %" PRIu64
                                   " it has more elements than can be counted",
                                   name,
                                   i,
                                   shape[i]);
        }
    }
    const struct tensor_type_info *info = tensor_type_find((uint32_t)type);
    if (info == NULL) {
        return unknown_type(name, (uint32_t)type, error);
    }
    if (shape[0] % info->block_length != 0) {
        return realm_error_set(error,
                               status,
                               "tensor %s: rows of %" PRIu64 " elements are no multiple of the "
                               "%u that a block of %s has",
                               name,
                               shape[0],
                               info->block_length,
                               info->name);
    }
    if (!checked_mul_u64(n_elements / info->block_length, info->block_bytes, out)) {
        return realm_error_set(error,
                               status,
                               "tensor %s: %" PRIu64 " elements of %s are too many bytes",
                               name,
                               n_elements,
                               info->name);
    }
    return REALM_OK;
}

/* The name, copied with a zero behind it. */
static realm_status read_name(struct arena *arena,
                              struct byte_cursor *cursor,
                              size_t index,
                              const char **copy,
                              struct realm_error *error)
{
    char number[32];
    struct bytes name = {0};
    (void)snprintf(number, sizeof(number), "number %zu", index);
    REALM_TRY(gguf_read_string(cursor, "name of tensor", number, &name, error));
    const char *flaw = gguf_name_flaw(name, GGUF_MAX_NAME_BYTES);
    if (flaw != NULL) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s \"%s\" (%zu bytes): %s",
                               number,
                               gguf_show(name).text,
                               name.length,
                               flaw);
    }
    *copy = arena_string(arena, (const char *)name.data, name.length);
    return *copy != NULL ? REALM_OK
                         : realm_error_out_of_memory(error, name.length + 1, "a tensor's name");
}

static realm_status
read_shape(struct gguf_tensor *tensor, struct byte_cursor *cursor, struct realm_error *error)
{
    const struct gguf_shown name = gguf_show_text(tensor->name);
    if (!byte_cursor_u32(cursor, &tensor->n_dims)) {
        return realm_error_set(
            error, REALM_INVALID_FORMAT, "tensor %s: the file ends before its shape", name.text);
    }
    if (tensor->n_dims == 0 || tensor->n_dims > GGUF_MAX_DIMS) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s: %u dimensions; a tensor has 1 to %d",
                               name.text,
                               tensor->n_dims,
                               GGUF_MAX_DIMS);
    }
    for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++) {
        tensor->shape[i] = 1;
        if (i < tensor->n_dims && !byte_cursor_u64(cursor, &tensor->shape[i])) {
            return realm_error_set(
                error, REALM_INVALID_FORMAT, "tensor %s: the file ends in its shape", name.text);
        }
    }
    return REALM_OK;
}

static realm_status read_entry(struct arena *arena,
                               struct byte_cursor *cursor,
                               size_t index,
                               struct gguf_entry *entry,
                               struct realm_error *error)
{
    struct gguf_tensor *tensor = &entry->tensor;
    REALM_TRY(read_name(arena, cursor, index, &tensor->name, error));
    REALM_TRY(read_shape(tensor, cursor, error));
    const struct gguf_shown shown = gguf_show_text(tensor->name);
    uint32_t type;
    if (!byte_cursor_u32(cursor, &type) || !byte_cursor_u64(cursor, &entry->offset)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s: the file ends before its type and offset",
                               shown.text);
    }
    tensor->type = (enum tensor_type)type;
    uint64_t n_bytes = 0;
    REALM_TRY(gguf_tensor_bytes(shown.text,
                                tensor->type,
                                tensor->n_dims,
                                tensor->shape,
                                REALM_INVALID_FORMAT,
                                &n_bytes,
                                error));
    if (!checked_narrow_size(n_bytes, &tensor->data.length)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s: %" PRIu64 " bytes are out of this machine's reach",
                               shown.text,
                               n_bytes);
    }
    return REALM_OK;
}

static realm_status tensors_append(struct gguf_tensors *tensors,
                                   const struct gguf_entry *entry,
                                   struct realm_error *error)
{
    if (tensors->length == tensors->capacity) {
        const size_t capacity = tensors->capacity == 0 ? FIRST_CAPACITY : tensors->capacity * 2;
        const size_t n_bytes = capacity * sizeof(*tensors->items);
        struct gguf_entry *items = alloc_resize(ALLOC_MODEL, tensors->items, n_bytes);
        if (items == NULL) {
            return realm_error_out_of_memory(error, n_bytes, "the tensors of a model");
        }
        tensors->items = items;
        tensors->capacity = capacity;
    }
    tensors->items[tensors->length++] = *entry;
    return REALM_OK;
}

/* The tensor's bytes in the part's data, when they lie there. */
static realm_status entry_place(struct gguf_entry *entry,
                                struct bytes data,
                                uint32_t alignment,
                                struct realm_error *error)
{
    struct gguf_tensor *tensor = &entry->tensor;
    const struct gguf_shown name = gguf_show_text(tensor->name);
    if (entry->offset % alignment != 0) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s: offset %" PRIu64 " is no multiple of the alignment %u",
                               name.text,
                               entry->offset,
                               alignment);
    }
    if (entry->offset > data.length || tensor->data.length > data.length - entry->offset) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s: %zu bytes at offset %" PRIu64
                               ", but the file has %zu bytes of tensors; is it cut short?",
                               name.text,
                               tensor->data.length,
                               entry->offset,
                               data.length);
    }
    tensor->data.data = data.data + entry->offset;
    return REALM_OK;
}

static int compare_places(const void *a, const void *b)
{
    const struct gguf_entry *const *left = a;
    const struct gguf_entry *const *right = b;
    return ((*left)->offset > (*right)->offset) - ((*left)->offset < (*right)->offset);
}

/* In the order of their offsets each tensor must end before the next begins. */
static realm_status check_apart(const struct gguf_entry *first,
                                const struct gguf_entry *second,
                                struct realm_error *error)
{
    if (first->offset + first->tensor.data.length <= second->offset) {
        return REALM_OK;
    }
    return realm_error_set(error,
                           REALM_INVALID_FORMAT,
                           "tensor %s: its bytes at offset %" PRIu64 " overlap tensor %s's",
                           gguf_show_text(second->tensor.name).text,
                           second->offset,
                           gguf_show_text(first->tensor.name).text);
}

static bool in_order(const struct gguf_entry *entries, size_t n_entries)
{
    for (size_t i = 1; i < n_entries; i++) {
        if (entries[i].offset < entries[i - 1].offset) {
            return false;
        }
    }
    return true;
}

static realm_status
check_in_order(const struct gguf_entry *entries, size_t n_entries, struct realm_error *error)
{
    for (size_t i = 1; i < n_entries; i++) {
        REALM_TRY(check_apart(&entries[i - 1], &entries[i], error));
    }
    return REALM_OK;
}

static realm_status
check_sorted(const struct gguf_entry *entries, size_t n_entries, struct realm_error *error)
{
    const size_t n_bytes = n_entries * sizeof(const struct gguf_entry *);
    const struct gguf_entry **sorted = alloc_bytes(ALLOC_MODEL, n_bytes);
    if (sorted == NULL) {
        return realm_error_out_of_memory(error, n_bytes, "the order of tensors");
    }
    for (size_t i = 0; i < n_entries; i++) {
        sorted[i] = &entries[i];
    }
    qsort(sorted, n_entries, sizeof(sorted[0]), compare_places);
    realm_status status = REALM_OK;
    for (size_t i = 1; i < n_entries && status == REALM_OK; i++) {
        status = check_apart(sorted[i - 1], sorted[i], error);
    }
    alloc_free(sorted);
    return status;
}

realm_status gguf_tensors_read(struct gguf_tensors *tensors,
                               struct arena *arena,
                               struct byte_cursor *cursor,
                               uint64_t n_tensors,
                               uint32_t part,
                               uint32_t alignment,
                               struct realm_error *error)
{
    const size_t first = tensors->length;
    for (uint64_t i = 0; i < n_tensors; i++) {
        struct gguf_entry entry = {.tensor.file = part};
        REALM_TRY(read_entry(arena, cursor, tensors->length, &entry, error));
        REALM_TRY(tensors_append(tensors, &entry, error));
    }
    if (tensors->length == first) {
        return REALM_OK;
    }
    uint64_t start;
    struct bytes data = {.data = cursor->bytes.data, .length = 0};
    if (checked_align_up_u64(cursor->position, alignment, &start) &&
        start <= cursor->bytes.length) {
        data.data = cursor->bytes.data + start;
        data.length = cursor->bytes.length - (size_t)start;
    }
    for (size_t i = first; i < tensors->length; i++) {
        REALM_TRY(entry_place(&tensors->items[i], data, alignment, error));
    }
    const struct gguf_entry *entries = tensors->items + first;
    const size_t n_entries = tensors->length - first;
    /* Every known writer has them in order; then nothing need be sorted. */
    return in_order(entries, n_entries) ? check_in_order(entries, n_entries, error)
                                        : check_sorted(entries, n_entries, error);
}

realm_status gguf_tensors_index(struct gguf_tensors *tensors, struct realm_error *error)
{
    REALM_TRY(map_create(ALLOC_MODEL, &tensors->by_name, error));
    for (size_t i = 0; i < tensors->length; i++) {
        struct gguf_tensor *tensor = &tensors->items[i].tensor;
        const size_t name_bytes = strlen(tensor->name);
        if (map_get(tensors->by_name, tensor->name, name_bytes) != NULL) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "tensor %s: appears twice",
                                   gguf_show_text(tensor->name).text);
        }
        if (!map_put(tensors->by_name, tensor->name, name_bytes, tensor)) {
            return realm_error_out_of_memory(error, name_bytes, "the tensors of a model");
        }
    }
    return REALM_OK;
}

void gguf_tensors_deinit(struct gguf_tensors *tensors)
{
    map_destroy(tensors->by_name);
    alloc_free(tensors->items);
    *tensors = (struct gguf_tensors){0};
}
