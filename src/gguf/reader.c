#include "gguf/reader.h"

#include <inttypes.h>

/* Fewest bytes that one of them can take: both counts are held against them before anything is
 * read.  A value: length of the key, one byte of it, type, one byte.  A tensor: length of the name,
 * one byte of it, number of dimensions, one dimension, type, offset. */
#define MIN_VALUE_BYTES  (8u + 1u + 4u + 1u)
#define MIN_TENSOR_BYTES (8u + 1u + 4u + 8u + 4u + 8u)

#define VERSION_OLDEST 2u
#define VERSION_NEWEST 3u

static realm_status read_magic(struct byte_cursor *cursor, struct realm_error *error)
{
    struct bytes magic;
    if (!byte_cursor_take(cursor, 4, &magic)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "not a GGUF file: it has only %zu bytes",
                               cursor->bytes.length);
    }
    if (memcmp(magic.data, "FUGG", 4) == 0) {
        return realm_error_set(
            error, REALM_UNSUPPORTED, "the file is big-endian; only little-endian is supported");
    }
    if (memcmp(magic.data, "GGUF", 4) != 0) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "not a GGUF file: it begins with the bytes %02x %02x %02x %02x "
                               "(\"%s\") instead of \"GGUF\"",
                               magic.data[0],
                               magic.data[1],
                               magic.data[2],
                               magic.data[3],
                               gguf_show(magic).text);
    }
    return REALM_OK;
}

static realm_status
read_version(struct byte_cursor *cursor, uint32_t *version, struct realm_error *error)
{
    if (!byte_cursor_u32(cursor, version)) {
        return realm_error_set(
            error, REALM_INVALID_FORMAT, "the file ends before its version, at byte 4");
    }
    if (*version >= VERSION_OLDEST && *version <= VERSION_NEWEST) {
        return REALM_OK;
    }
    const uint32_t swapped = __builtin_bswap32(*version);
    if (swapped >= 1 && swapped <= VERSION_NEWEST) {
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               "the file is big-endian (version %u); only little-endian is "
                               "supported",
                               swapped);
    }
    return realm_error_set(error,
                           REALM_UNSUPPORTED,
                           "GGUF version %u is not supported, only %u and %u; convert the model "
                           "again",
                           *version,
                           VERSION_OLDEST,
                           VERSION_NEWEST);
}

static realm_status check_count(const char *what,
                                uint64_t count,
                                uint64_t max,
                                size_t min_bytes,
                                size_t left,
                                struct realm_error *error)
{
    if (count > left / min_bytes) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "the header counts %" PRIu64 " %s, but %zu bytes are left in the "
                               "file",
                               count,
                               what,
                               left);
    }
    if (count > max) {
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               "the header counts %" PRIu64 " %s; at most %" PRIu64
                               " are supported",
                               count,
                               what,
                               max);
    }
    return REALM_OK;
}

realm_status gguf_part_read(struct gguf *gguf,
                            uint32_t part,
                            struct gguf_values *values,
                            struct realm_error *error)
{
    struct byte_cursor cursor = {.bytes = gguf->parts[part].bytes};
    uint32_t version = 0;
    uint64_t n_tensors = 0;
    uint64_t n_values = 0;
    REALM_TRY(read_magic(&cursor, error));
    REALM_TRY(read_version(&cursor, &version, error));
    if (!byte_cursor_u64(&cursor, &n_tensors) || !byte_cursor_u64(&cursor, &n_values)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "the file ends in its header: it has only %zu bytes",
                               cursor.bytes.length);
    }
    const size_t left = byte_cursor_left(&cursor);
    REALM_TRY(check_count("tensors",
                          n_tensors,
                          GGUF_MAX_TENSORS - gguf->tensors.length,
                          MIN_TENSOR_BYTES,
                          left,
                          error));
    REALM_TRY(check_count("keys", n_values, GGUF_MAX_VALUES, MIN_VALUE_BYTES, left, error));

    uint32_t alignment = 0;
    REALM_TRY(gguf_values_read(values, &gguf->arena, &cursor, n_values, error));
    REALM_TRY(gguf_values_alignment(values, &alignment, error));
    if (part == 0) {
        gguf->version = version;
    }
    return gguf_tensors_read(
        &gguf->tensors, &gguf->arena, &cursor, n_tensors, part, alignment, error);
}

realm_status
gguf_part_add(struct gguf *gguf, const struct gguf_part *part, struct realm_error *error)
{
    const size_t n_bytes = ((size_t)gguf->n_parts + 1) * sizeof(*part);
    struct gguf_part *parts = alloc_resize(ALLOC_MODEL, gguf->parts, n_bytes);
    if (parts == NULL) {
        return realm_error_out_of_memory(error, n_bytes, "the parts of a model");
    }
    parts[gguf->n_parts] = *part;
    gguf->parts = parts;
    gguf->n_parts++;
    return REALM_OK;
}

static realm_status gguf_create(struct gguf **out, struct realm_error *error)
{
    struct gguf *gguf = alloc_zeroed(ALLOC_MODEL, 1, sizeof(*gguf));
    if (gguf == NULL) {
        return realm_error_out_of_memory(error, sizeof(*gguf), "a model file");
    }
    arena_init(&gguf->arena, ALLOC_MODEL, 0);
    *out = gguf;
    return REALM_OK;
}

void gguf_close(struct gguf *gguf)
{
    if (gguf == NULL) {
        return;
    }
    gguf_values_deinit(&gguf->values);
    gguf_tensors_deinit(&gguf->tensors);
    for (uint32_t i = 0; i < gguf->n_parts; i++) {
        file_map_close(&gguf->parts[i].map);
    }
    alloc_free(gguf->parts);
    arena_deinit(&gguf->arena);
    alloc_free(gguf);
}

static realm_status
open_parts(struct gguf *gguf, const char *path, struct file_map *map, struct realm_error *error)
{
    const struct gguf_part part = {.map = *map, .bytes = map->bytes};
    const realm_status added = gguf_part_add(gguf, &part, error);
    if (added != REALM_OK) {
        file_map_close(map);
        return added;
    }
    uint32_t n_parts;
    REALM_TRY(gguf_part_read(gguf, 0, &gguf->values, error));
    REALM_TRY(gguf_split_count(&gguf->values, &n_parts, error));
    if (n_parts > 1) {
        REALM_TRY(gguf_split_read_rest(gguf, path, n_parts, error));
    }
    return gguf_tensors_index(&gguf->tensors, error);
}

realm_status gguf_open(const char *path, struct gguf **out, struct realm_error *error)
{
    struct file_map map;
    struct gguf *gguf = NULL;
    *out = NULL;
    REALM_TRY(file_map_open(path, &map, error));
    realm_status status = gguf_create(&gguf, error);
    if (status != REALM_OK) {
        file_map_close(&map);
        return status;
    }
    status = open_parts(gguf, path, &map, error);
    if (status != REALM_OK) {
        gguf_close(gguf);
        const char *slash = strrchr(path, '/');
        const char *name = slash != NULL ? slash + 1 : path; /* leaves the message its room */
        return realm_error_prefix(error, status, "%s", gguf_show_text(name).text);
    }
    *out = gguf;
    return REALM_OK;
}

static realm_status open_bytes(struct gguf *gguf, struct bytes bytes, struct realm_error *error)
{
    const struct gguf_part part = {.bytes = bytes};
    REALM_TRY(gguf_part_add(gguf, &part, error));
    REALM_TRY(gguf_part_read(gguf, 0, &gguf->values, error));
    uint32_t n_parts;
    REALM_TRY(gguf_split_count(&gguf->values, &n_parts, error));
    if (n_parts > 1) {
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               "key split.count: the model has %u parts; only files can have more "
                               "than one",
                               n_parts);
    }
    return gguf_tensors_index(&gguf->tensors, error);
}

realm_status gguf_open_bytes(struct bytes bytes, struct gguf **out, struct realm_error *error)
{
    struct gguf *gguf = NULL;
    *out = NULL;
    REALM_TRY(gguf_create(&gguf, error));
    const realm_status status = open_bytes(gguf, bytes, error);
    if (status != REALM_OK) {
        gguf_close(gguf);
        return status;
    }
    *out = gguf;
    return REALM_OK;
}

uint32_t gguf_version(const struct gguf *gguf)
{
    return gguf->version;
}

uint64_t gguf_file_bytes(const struct gguf *gguf)
{
    uint64_t n_bytes = 0;
    for (uint32_t i = 0; i < gguf->n_parts; i++) {
        n_bytes += gguf->parts[i].bytes.length;
    }
    return n_bytes;
}

size_t gguf_n_values(const struct gguf *gguf)
{
    return gguf->values.length;
}

const struct gguf_value *gguf_value_at(const struct gguf *gguf, size_t index)
{
    return index < gguf->values.length ? &gguf->values.items[index] : NULL;
}

size_t gguf_n_tensors(const struct gguf *gguf)
{
    return gguf->tensors.length;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *gguf, size_t index)
{
    return index < gguf->tensors.length ? &gguf->tensors.items[index].tensor : NULL;
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *gguf, const char *name)
{
    return map_get(gguf->tensors.by_name, name, strlen(name));
}

void gguf_forget_tensor(const struct gguf *gguf, const struct gguf_tensor *tensor)
{
    const struct gguf_part *part = &gguf->parts[tensor->file];
    if (part->map.bytes.length > 0) {
        const size_t offset = (size_t)(tensor->data.data - part->bytes.data);
        file_map_forget(&part->map, offset, tensor->data.length);
    }
}

void gguf_forget_files(const struct gguf *gguf)
{
    for (size_t i = 0; i < gguf->n_parts; i++) {
        file_map_forget(&gguf->parts[i].map, 0, gguf->parts[i].map.bytes.length);
    }
}
