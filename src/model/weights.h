/* The tensors of a file by their role.  Each look-up checks shape and type and puts the tensor into
 * the plan as a weight.
 *
 * Like the plan, it keeps the first error and gives TENSOR_NONE from then on, so that an
 * architecture reads top to bottom.  Used by one thread during model_open. */
#ifndef REALM_MODEL_WEIGHTS_H
#define REALM_MODEL_WEIGHTS_H

#include "gguf/gguf.h"
#include "plan/plan.h"

#define WEIGHTS_NO_LAYER UINT32_MAX

struct weights {
    const struct gguf *gguf;
    struct plan *plan;
    uint32_t layer;  /* roles mean "blk.<layer>.<role>"; WEIGHTS_NO_LAYER: the role alone */
    uint64_t n_used; /* tensors of the file that have found their role */
    const struct gguf_tensor *skipped;
    struct realm_error first_error;
};

/* `role` is the name behind the layer, such as "attn_q.weight". */
bool weights_has(const struct weights *weights, const char *role);
/* INVALID_FORMAT: missing, or another shape. UNSUPPORTED: a type that cannot be multiplied with. */
tensor_id
weights_matrix(struct weights *weights, const char *role, uint32_t rows, uint32_t columns);
/* One row of F32: norms, biases, RoPE factors. */
tensor_id weights_vector(struct weights *weights, const char *role, uint32_t columns);
/* TENSOR_NONE, and no error, when there is none. */
tensor_id weights_optional_vector(struct weights *weights, const char *role, uint32_t columns);
/* The same for RoPE factors, which angles are divided by: each must be above 0 and finite. */
tensor_id weights_optional_factors(struct weights *weights, const char *role, uint32_t columns);
/* Knows of a tensor, if there is one, that this plan does not need; one a model. */
void weights_skip(struct weights *weights, const char *role);

/* Rows of a matrix that says itself how many it has (the embedding); 0 after an error. */
uint32_t weights_rows(struct weights *weights, const char *role, uint32_t max_rows);

/* Any tensor of the file that no role has asked for would change the answers if it were left out:
 * UNSUPPORTED names it.  Parts of a picture encoder beside a text model are fine. */
REALM_MUST_CHECK realm_status weights_check_all_used(const struct weights *weights,
                                                     const char *architecture,
                                                     struct realm_error *error);

#endif
