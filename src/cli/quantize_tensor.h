/* One tensor from one type to another, in slabs of rows over a compute pool.  Owned by
 * quantize_model; one thread. */
#ifndef REALM_CLI_QUANTIZE_TENSOR_H
#define REALM_CLI_QUANTIZE_TENSOR_H

#include "base/pool.h"
#include "gguf/gguf.h"
#include "quant/quant.h"

struct quantize_converter;

REALM_MUST_CHECK realm_status quantize_converter_create(uint32_t n_threads,
                                                        struct quantize_converter **out,
                                                        struct realm_error *error);
void quantize_converter_destroy(struct quantize_converter *converter);

/* Where the rows go; more than one call a tensor. bytes_read: of the tensor, by this slab. */
typedef realm_status (*quantize_sink)(void *context,
                                      const void *data,
                                      size_t n_bytes,
                                      uint64_t bytes_read,
                                      struct realm_error *error);

/* Every weight is looked at, also where the type stays and the bytes go through as they are.
 * INVALID_FORMAT: a weight is NaN, infinite or beyond what `to` can hold; the sink's error. */
REALM_MUST_CHECK realm_status quantize_tensor(struct quantize_converter *converter,
                                              const struct gguf_tensor *tensor,
                                              enum tensor_type to,
                                              quantize_sink sink,
                                              void *sink_context,
                                              struct realm_error *error);

#endif
