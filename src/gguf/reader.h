/* The inside of a gguf, shared by the files of the reader: one part's cursor, the table of values,
 * the directory of tensors.  Not a face. */
#ifndef REALM_GGUF_READER_H
#define REALM_GGUF_READER_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/map.h"
#include "gguf/gguf.h"

/* Real files have some dozens of keys and some thousands of tensors; the limits bound the memory
 * that a hostile file can make us take beyond its own size. */
#define GGUF_MAX_VALUES     65536u
#define GGUF_MAX_TENSORS    131072u
#define GGUF_MAX_KEY_BYTES  65535u /* as in the format */
#define GGUF_MAX_NAME_BYTES 255u

#define GGUF_DEFAULT_ALIGNMENT 32u
#define GGUF_MIN_ALIGNMENT     8u /* as in the format; keeps every element aligned in memory */

/* Keys and their values.  Items move while the table grows, so the map is made when it is whole. */
struct gguf_values {
    struct gguf_value *items;
    size_t length;
    size_t capacity;
    struct map *by_key;
};

/* A tensor and where it lies in its part's data. */
struct gguf_entry {
    struct gguf_tensor tensor;
    uint64_t offset;
};

struct gguf_tensors {
    struct gguf_entry *items;
    size_t length;
    size_t capacity;
    struct map *by_name;
};

/* One file. */
struct gguf_part {
    struct file_map map; /* empty when the bytes are the caller's */
    struct bytes bytes;
};

struct gguf {
    uint32_t version;
    struct arena arena; /* names and the views of string arrays */
    struct gguf_values values;
    struct gguf_tensors tensors;
    struct gguf_part *parts;
    uint32_t n_parts;
};

/* A name as it may stand in an error: cut, and what is not printable escaped. */
struct gguf_shown {
    char text[80];
};
struct gguf_shown gguf_show(struct bytes name);
struct gguf_shown gguf_show_text(const char *name);

/* Is this a name we accept as key or tensor name?  NULL: yes; otherwise what is wrong with it. */
const char *gguf_name_flaw(struct bytes name, size_t max_bytes);

/* "u32", "string", "type 99". */
const char *gguf_value_type_name(enum gguf_value_type type);
/* Bytes of a scalar; 0: a string, an array or unknown. */
size_t gguf_value_type_bytes(uint32_t type);

/* Reads a string: its length, then its bytes.  what: "key", "value of key"; name: of what. */
REALM_MUST_CHECK realm_status gguf_read_string(struct byte_cursor *cursor,
                                               const char *what,
                                               const char *name,
                                               struct bytes *out,
                                               struct realm_error *error);

/* Reads n_values pairs at the cursor into the empty table, and indexes them. */
REALM_MUST_CHECK realm_status gguf_values_read(struct gguf_values *values,
                                               struct arena *arena,
                                               struct byte_cursor *cursor,
                                               uint64_t n_values,
                                               struct realm_error *error);
void gguf_values_deinit(struct gguf_values *values);
const struct gguf_value *gguf_values_find(const struct gguf_values *values, const char *key);
/* general.alignment, or the default; checked. */
REALM_MUST_CHECK realm_status gguf_values_alignment(const struct gguf_values *values,
                                                    uint32_t *out,
                                                    struct realm_error *error);
/* A key's value as an integer in 0..max; NOT_FOUND and INVALID_FORMAT name the key. */
REALM_MUST_CHECK realm_status gguf_values_get_unsigned(const struct gguf_values *values,
                                                       const char *key,
                                                       uint64_t max,
                                                       uint64_t *out,
                                                       struct realm_error *error);

/* Reads n_tensors directory entries of a part, then places them in its data, which begins at the
 * next multiple of alignment; appends to the table. */
REALM_MUST_CHECK realm_status gguf_tensors_read(struct gguf_tensors *tensors,
                                                struct arena *arena,
                                                struct byte_cursor *cursor,
                                                uint64_t n_tensors,
                                                uint32_t part,
                                                uint32_t alignment,
                                                struct realm_error *error);
/* After the last part: makes the index by name.  INVALID_FORMAT: a name appears twice. */
REALM_MUST_CHECK realm_status gguf_tensors_index(struct gguf_tensors *tensors,
                                                 struct realm_error *error);
void gguf_tensors_deinit(struct gguf_tensors *tensors);

/* Bytes of a tensor; INVALID_FORMAT or INVALID_ARGUMENT (`status`) says which dimension is wrong.
 */
REALM_MUST_CHECK realm_status gguf_tensor_bytes(const char *name,
                                                enum tensor_type type,
                                                uint32_t n_dims,
                                                const uint64_t *shape,
                                                realm_status status,
                                                uint64_t *out,
                                                struct realm_error *error);

/* Reads one part's header, values and directory; its tensors are appended to gguf's. */
REALM_MUST_CHECK realm_status gguf_part_read(struct gguf *gguf,
                                             uint32_t part,
                                             struct gguf_values *values,
                                             struct realm_error *error);
/* Adds a mapped or given part behind the others. On failure the map stays the caller's. */
REALM_MUST_CHECK realm_status gguf_part_add(struct gguf *gguf,
                                            const struct gguf_part *part,
                                            struct realm_error *error);

/* How many parts the first one announces (1: not split), checked against its other split.* keys. */
REALM_MUST_CHECK realm_status gguf_split_count(const struct gguf_values *values,
                                               uint32_t *out,
                                               struct realm_error *error);
/* Opens parts 2..n of the split model whose first part is at path, and checks that they belong
 * together. */
REALM_MUST_CHECK realm_status gguf_split_read_rest(struct gguf *gguf,
                                                   const char *path,
                                                   uint32_t n_parts,
                                                   struct realm_error *error);

#endif
