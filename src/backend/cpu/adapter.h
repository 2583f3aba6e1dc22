/* Adapters on the CPU.  A and B lie in tiles of F16, where their file has them so, or F32, and the
 * matmul kernels run both halves: first scale * A . x of all rows that have an adapter, into a
 * buffer of the model, then, behind a barrier, each piece of the stage adds B . that to what it has
 * just made.
 *
 * Where the stage's weights read x quantised, so does A: the numbers are those that the weights
 * are multiplied by, and no F32 copy of x has to be kept for batches that have no adapter.
 *
 * Owner: the model, from backend_adapter_create to backend_adapter_destroy; read by steps. */
#ifndef REALM_BACKEND_CPU_ADAPTER_H
#define REALM_BACKEND_CPU_ADAPTER_H

#include "backend/cpu/model.h"

#define ADAPTER_PRODUCT_FLOATS ((size_t)OP_MAX_WEIGHTS * ADAPTER_MAX_RANK) /* of a row */

realm_status cpu_adapter_create(struct backend_model *base,
                                const struct adapter_part *parts,
                                uint32_t n_parts,
                                uint32_t *out,
                                struct realm_error *error);
void cpu_adapter_destroy(struct backend_model *base, uint32_t adapter);
uint64_t cpu_adapter_bytes(const struct backend_model *base, uint32_t adapter);

/* Before the step's region: which rows have an adapter.  The batch was checked. */
void cpu_plan_adapters(struct cpu_model *model, const struct batch *batch);

/* True: some row of the step has an adapter with a part for one of the stage's weights. */
bool cpu_stage_adapted(const struct cpu_model *model, const struct stage *stage);
/* The first half, by all members; ends with a barrier.  input: row 0 of the quantised x, or NULL.
 */
void cpu_adapter_project(const struct cpu_model *model,
                         const struct stage *stage,
                         const struct pool_member *member,
                         const struct quantised_rows *input);
/* The second half, for the tiles and rows of a call that was just made for the stage's weight
 * `which`; its row 0 is the step's first_row. */
void cpu_adapter_add(const struct cpu_model *model,
                     const struct stage *stage,
                     const struct matmul_call *made,
                     uint32_t which,
                     uint32_t first_row);
/* What both halves read and do in this step. */
void cpu_count_adapters(const struct cpu_model *model,
                        const struct stage *stage,
                        struct backend_profile *profile);

#endif
