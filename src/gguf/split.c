#include "gguf/reader.h"

#include <stdio.h>

#define SUFFIX_FORMAT "-%05u-of-%05u.gguf"
#define SUFFIX_BYTES  (sizeof("-00001-of-00002.gguf") - 1)
#define MAX_PARTS     65535u /* split.count is a u16 */

static const char key_count[] = "split.count";
static const char key_number[] = "split.no";
static const char key_tensors[] = "split.tensors.count";

realm_status
gguf_split_count(const struct gguf_values *values, uint32_t *out, struct realm_error *error)
{
    *out = 1;
    if (gguf_values_find(values, key_count) == NULL) {
        return REALM_OK;
    }
    uint64_t count;
    uint64_t number = 0;
    REALM_TRY(gguf_values_get_unsigned(values, key_count, MAX_PARTS, &count, error));
    if (count <= 1) {
        return REALM_OK;
    }
    REALM_TRY(gguf_values_get_unsigned(values, key_number, MAX_PARTS, &number, error));
    if (number != 0) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "key %s: this is part %llu of %llu of a split model; open the first "
                               "part",
                               key_number,
                               (unsigned long long)number + 1,
                               (unsigned long long)count);
    }
    *out = (uint32_t)count;
    return REALM_OK;
}

/* Parts are numbered from 0 in the file and from 1 in its name. Both fit five digits. */
static void write_suffix(char *out, uint32_t part, uint32_t n_parts)
{
    char suffix[32];
    (void)snprintf(suffix, sizeof(suffix), SUFFIX_FORMAT, part + 1, n_parts);
    memcpy(out, suffix, SUFFIX_BYTES);
    out[SUFFIX_BYTES] = '\0';
}

/* The path of the first part up to its "-00001-of-0000N.gguf". */
static realm_status
prefix_length(const char *path, uint32_t n_parts, size_t *out, struct realm_error *error)
{
    char suffix[SUFFIX_BYTES + 1];
    write_suffix(suffix, 0, n_parts);
    const size_t length = strlen(path);
    if (length < SUFFIX_BYTES || strcmp(path + length - SUFFIX_BYTES, suffix) != 0) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "key %s: the model has %u parts, so this file's name must end in %s",
                               key_count,
                               n_parts,
                               suffix);
    }
    *out = length - SUFFIX_BYTES;
    return REALM_OK;
}

static realm_status check_membership(const struct gguf_values *values,
                                     uint32_t part,
                                     uint32_t n_parts,
                                     struct realm_error *error)
{
    uint64_t number;
    uint64_t count;
    REALM_TRY(gguf_values_get_unsigned(values, key_number, MAX_PARTS, &number, error));
    REALM_TRY(gguf_values_get_unsigned(values, key_count, MAX_PARTS, &count, error));
    if (number != part || count != n_parts) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "keys %s and %s: %llu of %llu instead of %u of %u",
                               key_number,
                               key_count,
                               (unsigned long long)number,
                               (unsigned long long)count,
                               part,
                               n_parts);
    }
    return REALM_OK;
}

static realm_status read_part(
    struct gguf *gguf, const char *path, uint32_t part, uint32_t n_parts, struct realm_error *error)
{
    struct gguf_part opened = {0};
    REALM_TRY(file_map_open(path, &opened.map, error));
    opened.bytes = opened.map.bytes;
    realm_status status = gguf_part_add(gguf, &opened, error);
    if (status != REALM_OK) {
        file_map_close(&opened.map);
        return status;
    }
    /* Only the first part's values count; of the others only split.* is looked at. */
    struct gguf_values values = {0};
    status = gguf_part_read(gguf, part, &values, error);
    if (status == REALM_OK) {
        status = check_membership(&values, part, n_parts, error);
    }
    gguf_values_deinit(&values);
    return status;
}

static realm_status check_tensor_count(const struct gguf *gguf, struct realm_error *error)
{
    uint64_t n_tensors;
    REALM_TRY(gguf_values_get_unsigned(&gguf->values, key_tensors, UINT32_MAX, &n_tensors, error));
    if (n_tensors != gguf->tensors.length) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "key %s: %llu, but the %u parts have %zu tensors",
                               key_tensors,
                               (unsigned long long)n_tensors,
                               gguf->n_parts,
                               gguf->tensors.length);
    }
    return REALM_OK;
}

realm_status gguf_split_read_rest(struct gguf *gguf,
                                  const char *path,
                                  uint32_t n_parts,
                                  struct realm_error *error)
{
    size_t length = 0;
    REALM_TRY(prefix_length(path, n_parts, &length, error));
    char *part_path = alloc_string(ALLOC_MODEL, path, length + SUFFIX_BYTES);
    if (part_path == NULL) {
        return realm_error_out_of_memory(error, length + SUFFIX_BYTES + 1, path);
    }
    realm_status status = REALM_OK;
    for (uint32_t part = 1; part < n_parts && status == REALM_OK; part++) {
        write_suffix(part_path + length, part, n_parts);
        status = read_part(gguf, part_path, part, n_parts, error);
        if (status != REALM_OK) {
            status = realm_error_prefix(error, status, "part %u of %u", part + 1, n_parts);
        }
    }
    alloc_free(part_path);
    return status == REALM_OK ? check_tensor_count(gguf, error) : status;
}
