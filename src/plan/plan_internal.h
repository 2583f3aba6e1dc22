/* What plan.c, check.c and dump.c share: the plan's own storage.  Arrays grow while it is built;
 * names live in the arena. */
#ifndef REALM_PLAN_PLAN_INTERNAL_H
#define REALM_PLAN_PLAN_INTERNAL_H

#include "base/arena.h"
#include "plan/plan.h"

struct plan {
    struct arena names;
    const char *prefix;
    struct plan_tensor *tensors;
    uint32_t n_tensors;
    uint32_t tensors_capacity;
    struct op *ops;
    uint32_t n_ops;
    uint32_t ops_capacity;
    uint32_t *last_uses; /* by tensor; filled by plan_check */
    struct plan_kv kv;
    uint32_t vocabulary;
    struct realm_error first_error;
    bool checked;
};

/* Shape of an operation's result. */
struct op_result {
    uint32_t columns; /* 0: no result of its own */
    enum tensor_span span;
};

/* Checks the inputs, weights and attributes of one operation against its rule and says what it
 * makes. INVALID_FORMAT names the operation. */
REALM_MUST_CHECK realm_status op_check(const struct plan *plan,
                                       const struct op *op,
                                       struct op_result *result,
                                       struct realm_error *error);

/* The id of the tensor that has the storage: the parent of a view. */
static inline tensor_id plan_root(const struct plan *plan, tensor_id id)
{
    return plan->tensors[id].kind == TENSOR_VIEW ? plan->tensors[id].parent : id;
}

#endif
