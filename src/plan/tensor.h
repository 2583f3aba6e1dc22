/* Tensors of a plan: an id with type and shape, no host address; the backend owns the storage.
 *
 * Kinds
 *   weight      rows x columns, rows being outputs; constant after prepare
 *   activation  one F32 vector of `columns` per token row of the batch, or per logits row
 *   view        some columns of an activation; shares its storage */
#ifndef REALM_PLAN_TENSOR_H
#define REALM_PLAN_TENSOR_H

#include "base/status.h"
#include "gguf/tensor_type.h"

typedef uint32_t tensor_id;
#define TENSOR_NONE UINT32_MAX

enum tensor_kind { TENSOR_WEIGHT, TENSOR_ACTIVATION, TENSOR_VIEW };

/* How many vectors an activation has in a step. */
enum tensor_span { SPAN_TOKENS, SPAN_LOGITS };

struct plan_tensor {
    const char *name; /* owned by the plan */
    enum tensor_kind kind;
    enum tensor_type type; /* of a weight; F32 otherwise */
    uint32_t rows;         /* of a weight; 1 for vectors */
    uint32_t columns;
    enum tensor_span span; /* of an activation or view */
    tensor_id parent;      /* of a view */
    uint32_t first_column; /* of a view, in its parent */
    const void *source; /* of a weight: opaque token of whoever built the plan; see weight_source */
};

#endif
