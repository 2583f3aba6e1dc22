/* A safetensors file: a JSON header that tells names, types, shapes and places, then the numbers.
 * https://github.com/huggingface/safetensors, "Format".
 *
 * After safetensors_open every tensor has a unique name, one or two dimensions that are not zero,
 * a type that is a plain float, and bytes that lie in the file, as many as its shape asks for, at a
 * place that its type can be read from.  Owner: whoever opened it; immutable then. */
#ifndef REALM_MODEL_SAFETENSORS_H
#define REALM_MODEL_SAFETENSORS_H

#include "base/bytes.h"
#include "base/status.h"
#include "gguf/tensor_type.h"

#define SAFETENSORS_MAX_TENSORS 65536u
#define SAFETENSORS_NAME_BYTES  192u

struct safetensors;

struct safetensor {
    char name[SAFETENSORS_NAME_BYTES];
    enum tensor_type type; /* F32, F16 or BF16 */
    uint32_t rows;         /* 1 for vectors */
    uint32_t columns;
    struct bytes data;
};

/* bytes: outlive the file; at an address that is a multiple of 4.
 * INVALID_FORMAT, UNSUPPORTED name the tensor and what is wrong with it; OUT_OF_MEMORY. */
REALM_MUST_CHECK realm_status safetensors_open(struct bytes bytes,
                                               struct safetensors **out,
                                               struct realm_error *error);
/* NULL is fine. */
void safetensors_close(struct safetensors *file);
uint32_t safetensors_n(const struct safetensors *file);
const struct safetensor *safetensors_at(const struct safetensors *file, uint32_t index);
/* NULL: there is none. */
const struct safetensor *safetensors_find(const struct safetensors *file, const char *name);
/* A text of "__metadata__", zero-terminated; NULL: it has none of that name.  Only the one key that
 * adapters are told by is kept: SAFETENSORS_CONFIG. */
#define SAFETENSORS_CONFIG "adapter_config.json"
const char *safetensors_config(const struct safetensors *file);

#endif
