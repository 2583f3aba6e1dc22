/* A GGUF model file (versions 2 and 3, little-endian), mapped into memory; split files are opened
 * as one.
 *
 * After gguf_open succeeds: every key is unique and its value lies inside the file; every tensor
 * has a unique name, 1-4 dimensions that are not zero, a known type, rows that are whole blocks,
 * and its bytes lie inside the file at the stated alignment without overlapping another tensor's.
 * Nothing was allocated on the word of a count alone.  Immutable then: any thread may read. */
#ifndef REALM_GGUF_GGUF_H
#define REALM_GGUF_GGUF_H

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"
#include "gguf/tensor_type.h"

#define GGUF_MAX_DIMS 4

struct gguf;

/* Ids as in the format. */
enum gguf_value_type {
    GGUF_U8 = 0,
    GGUF_I8 = 1,
    GGUF_U16 = 2,
    GGUF_I16 = 3,
    GGUF_U32 = 4,
    GGUF_I32 = 5,
    GGUF_F32 = 6,
    GGUF_BOOL = 7,
    GGUF_STRING = 8,
    GGUF_ARRAY = 9,
    GGUF_U64 = 10,
    GGUF_I64 = 11,
    GGUF_F64 = 12,
};

/* A metadata value.  Scalars are decoded; string and array bytes lie in the mapping. */
struct gguf_value {
    const char *key; /* zero-terminated, owned by the gguf */
    enum gguf_value_type type;
    enum gguf_value_type item_type; /* of an array */
    uint64_t n_items;               /* of an array; 1 otherwise */
    union {
        uint64_t u64;
        int64_t i64;
        double f64;
        bool boolean;
    } scalar;
    struct bytes bytes;          /* of a string; of a fixed-size array's items */
    const struct bytes *strings; /* of an array of strings: n_items views */
};

struct gguf_tensor {
    const char *name; /* zero-terminated, owned by the gguf */
    enum tensor_type type;
    uint32_t n_dims;
    uint64_t shape[GGUF_MAX_DIMS]; /* shape[0]: columns (fastest); missing ones are 1 */
    struct bytes data;
    uint32_t file; /* which part of a split model */
};

/* path: the file, or the first part "…-00001-of-0000N.gguf" of a split model.
 * INVALID_FORMAT names the key or tensor and the bad value; UNSUPPORTED: version, big-endian, type.
 */
REALM_MUST_CHECK realm_status gguf_open(const char *path,
                                        struct gguf **out,
                                        struct realm_error *error);
/* The same from bytes that outlive the gguf; one part only.  For fuzzers and tests. */
REALM_MUST_CHECK realm_status gguf_open_bytes(struct bytes bytes,
                                              struct gguf **out,
                                              struct realm_error *error);
void gguf_close(struct gguf *gguf);

uint32_t gguf_version(const struct gguf *gguf);
uint64_t gguf_file_bytes(const struct gguf *gguf); /* over all parts */
size_t gguf_n_values(const struct gguf *gguf);
const struct gguf_value *gguf_value_at(const struct gguf *gguf, size_t index);
size_t gguf_n_tensors(const struct gguf *gguf);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *gguf, size_t index);
/* NULL: there is none. */
const struct gguf_value *gguf_find(const struct gguf *gguf, const char *key);
const struct gguf_tensor *gguf_find_tensor(const struct gguf *gguf, const char *name);

/* Typed look-up: any integer type serves u32/u64 when the value fits, any number f32.
 * NOT_FOUND: no such key; INVALID_FORMAT: another type or out of range.  The error names the key.
 */
REALM_MUST_CHECK realm_status gguf_get_u32(const struct gguf *gguf,
                                           const char *key,
                                           uint32_t *out,
                                           struct realm_error *error);
REALM_MUST_CHECK realm_status gguf_get_f32(const struct gguf *gguf,
                                           const char *key,
                                           float *out,
                                           struct realm_error *error);
REALM_MUST_CHECK realm_status gguf_get_bool(const struct gguf *gguf,
                                            const char *key,
                                            bool *out,
                                            struct realm_error *error);
REALM_MUST_CHECK realm_status gguf_get_string(const struct gguf *gguf,
                                              const char *key,
                                              struct bytes *out,
                                              struct realm_error *error);
/* An array value of that item type. */
REALM_MUST_CHECK realm_status gguf_get_array(const struct gguf *gguf,
                                             const char *key,
                                             enum gguf_value_type item_type,
                                             const struct gguf_value **out,
                                             struct realm_error *error);

/* Gives the pages of a tensor's bytes back to the system; they are read again when touched. */
void gguf_forget_tensor(const struct gguf *gguf, const struct gguf_tensor *tensor);

/* The same for the metadata and whatever else of the files has been touched. */
void gguf_forget_files(const struct gguf *gguf);

/* --- writing ---------------------------------------------------------------------------------- */

/* Writes a GGUF v3 file: first all values, then the directory of all tensors, then their bytes in
 * the same order.  The file appears under its name when it is committed.  One thread. */
struct gguf_writer;

REALM_MUST_CHECK realm_status gguf_writer_create(struct gguf_writer **out,
                                                 struct realm_error *error);
/* Ends the writer in every state; an uncommitted file vanishes. */
void gguf_writer_destroy(struct gguf_writer *writer);

/* Copies one value (any type) under its key, replacing an earlier one. */
REALM_MUST_CHECK realm_status gguf_writer_put(struct gguf_writer *writer,
                                              const struct gguf_value *value,
                                              struct realm_error *error);
REALM_MUST_CHECK realm_status gguf_writer_put_u32(struct gguf_writer *writer,
                                                  const char *key,
                                                  uint32_t value,
                                                  struct realm_error *error);
REALM_MUST_CHECK realm_status gguf_writer_put_f32(struct gguf_writer *writer,
                                                  const char *key,
                                                  float value,
                                                  struct realm_error *error);
REALM_MUST_CHECK realm_status gguf_writer_put_string(struct gguf_writer *writer,
                                                     const char *key,
                                                     const char *text,
                                                     struct realm_error *error);
/* Announces a tensor; its bytes come later, in this order. */
REALM_MUST_CHECK realm_status gguf_writer_add_tensor(struct gguf_writer *writer,
                                                     const char *name,
                                                     enum tensor_type type,
                                                     uint32_t n_dims,
                                                     const uint64_t *shape,
                                                     struct realm_error *error);
/* Opens the file and writes all but the tensors' bytes; no value or tensor may be added after. */
REALM_MUST_CHECK realm_status gguf_writer_begin(struct gguf_writer *writer,
                                                const char *path,
                                                struct realm_error *error);
/* The next bytes of the current tensor; may come in pieces. INVALID_ARGUMENT: more than it has. */
REALM_MUST_CHECK realm_status gguf_writer_data(struct gguf_writer *writer,
                                               const void *data,
                                               size_t n_bytes,
                                               struct realm_error *error);
/* INVALID_ARGUMENT: bytes are missing. */
REALM_MUST_CHECK realm_status gguf_writer_commit(struct gguf_writer *writer,
                                                 struct realm_error *error);

#endif
