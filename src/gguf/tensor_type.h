/* Tensor element types: ids as in the GGUF format, block length and bytes.  The one table. */
#ifndef REALM_GGUF_TENSOR_TYPE_H
#define REALM_GGUF_TENSOR_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tensor_type {
    TENSOR_F32 = 0,
    TENSOR_F16 = 1,
    TENSOR_Q4_0 = 2,
    TENSOR_Q4_1 = 3,
    TENSOR_Q5_0 = 6,
    TENSOR_Q5_1 = 7,
    TENSOR_Q8_0 = 8,
    TENSOR_Q8_1 = 9,
    TENSOR_Q2_K = 10,
    TENSOR_Q3_K = 11,
    TENSOR_Q4_K = 12,
    TENSOR_Q5_K = 13,
    TENSOR_Q6_K = 14,
    TENSOR_Q8_K = 15,
    TENSOR_I8 = 24,
    TENSOR_I16 = 25,
    TENSOR_I32 = 26,
    TENSOR_I64 = 27,
    TENSOR_F64 = 28,
    TENSOR_BF16 = 30,
};

struct tensor_type_info {
    enum tensor_type type;
    const char *name;      /* "Q4_K" */
    uint32_t block_length; /* elements */
    uint32_t block_bytes;
    bool quantised;
};

/* NULL: not a type Realm knows. */
const struct tensor_type_info *tensor_type_find(uint32_t id);
/* By name, any letter case. */
const struct tensor_type_info *tensor_type_find_name(const char *name);
/* Name of an id that a file gave, "type 99" style for unknown ones is the caller's; NULL: unknown.
 */
const char *tensor_type_name(enum tensor_type type);
/* Bytes of n elements in one row; false: n is no multiple of the block length, or overflow. */
bool tensor_type_row_bytes(enum tensor_type type, uint64_t n_elements, uint64_t *out);

#endif
