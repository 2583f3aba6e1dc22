/* A plan: the typed list of operations an architecture builds once, at load.  A backend prepares it
 * and then runs it for any batch.  Owner: the model.  Immutable after plan_check; any thread may
 * read then.
 *
 * Building: append functions return TENSOR_NONE once something has failed (memory, a shape that
 * does not fit); the first error is kept and told by plan_check, so that an architecture reads top
 * to bottom without a check a line. */
#ifndef REALM_PLAN_PLAN_H
#define REALM_PLAN_PLAN_H

#include "plan/op.h"

struct plan;

/* KV geometry of the model; the same in all layers. */
struct plan_kv {
    uint32_t n_layers;
    uint32_t n_kv_heads;
    uint32_t head_columns;
};

REALM_MUST_CHECK realm_status plan_create(struct plan **out, struct realm_error *error);
void plan_destroy(struct plan *plan);

/* A weight of rows x columns (a vector has 1 row).  `source` comes back in weight_source.read. */
tensor_id plan_weight(struct plan *plan,
                      const char *name,
                      enum tensor_type type,
                      uint32_t rows,
                      uint32_t columns,
                      const void *source);
/* Columns [first, first + n) of an activation. */
tensor_id plan_view(struct plan *plan, tensor_id x, uint32_t first_column, uint32_t n_columns);

/* Prefix of the names of the operations that follow ("blk.3."); copied. */
void plan_name_prefix(struct plan *plan, const char *prefix);

tensor_id plan_append_embed(struct plan *plan, tensor_id weight, float scale);
/* group 0: the whole row. weight: 1 x group. */
tensor_id plan_append_rms_norm(struct plan *plan,
                               const char *name,
                               tensor_id x,
                               tensor_id weight,
                               float epsilon,
                               uint32_t group);
/* One to three weights sharing x; the output has the sum of their rows as columns. biases: NULL, or
 * n_weights ids (TENSOR_NONE: none). */
tensor_id plan_append_matmul(struct plan *plan,
                             const char *name,
                             tensor_id x,
                             const tensor_id *weights,
                             const tensor_id *biases,
                             uint32_t n_weights);
/* In place; x is usually a view of q or k. */
void plan_append_rope(struct plan *plan,
                      const char *name,
                      tensor_id x,
                      const struct rope_attributes *attributes);
tensor_id plan_append_attention(struct plan *plan,
                                const char *name,
                                tensor_id q,
                                tensor_id k,
                                tensor_id v,
                                const struct attention_attributes *attributes);
tensor_id plan_append_silu_mul(struct plan *plan, const char *name, tensor_id gate, tensor_id up);
tensor_id plan_append_gelu_mul(struct plan *plan, const char *name, tensor_id gate, tensor_id up);
tensor_id plan_append_add(struct plan *plan, const char *name, tensor_id x, tensor_id y);
tensor_id plan_append_select(struct plan *plan, tensor_id x);
void plan_append_logits(struct plan *plan, tensor_id x);

/* Shapes, types, order of definition and use, exactly one LOGITS; the first error of building.
 * INVALID_FORMAT names the operation. The plan is immutable after OK. */
REALM_MUST_CHECK realm_status plan_check(struct plan *plan, struct realm_error *error);

uint32_t plan_n_ops(const struct plan *plan);
const struct op *plan_op(const struct plan *plan, uint32_t index);
uint32_t plan_n_tensors(const struct plan *plan);
const struct plan_tensor *plan_tensor(const struct plan *plan, tensor_id id);
struct plan_kv plan_kv(const struct plan *plan);
uint32_t plan_vocabulary(const struct plan *plan); /* columns of the logits */
/* Index of the last operation that reads or writes this tensor or a view of it. */
uint32_t plan_last_use(const struct plan *plan, tensor_id id);

/* The plan as text, one operation a line. */
struct strbuf;
void plan_dump(const struct plan *plan, struct strbuf *out);

struct bytes_view {
    const void *data;
    size_t n_bytes;
};

/* Where prepare gets a weight's bytes (row-major blocks as in the file). */
struct weight_source {
    void *context;
    struct bytes_view (*read)(void *context, const struct plan_tensor *weight);
    /* The backend has its own copy; may be NULL. */
    void (*done)(void *context, const struct plan_tensor *weight);
};

#endif
