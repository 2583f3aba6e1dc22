/* A plan made ready for the CPU: a list of stages with a barrier after each.
 *
 *   rows       a run of operations that need only their own row (norms, rope, products, KV writes,
 *              quantising); one member takes a row through all of them
 *   matmul     one MATMUL, with the ADD that follows folded in as its residual; or with the product
 *              of gate and up that follows, quantised
 *   attention  one ATTENTION (its KV was written by the rows stage before)
 *
 * program_build decides the stages; program_lay_out gives every activation its place.  Owner: the
 * model; immutable after prepare. */
#ifndef REALM_BACKEND_CPU_PROGRAM_H
#define REALM_BACKEND_CPU_PROGRAM_H

#include "backend/cpu/kernels.h"
#include "plan/plan.h"

enum row_op_kind {
    ROW_ROPE_ANGLES, /* cosines and sines of the row's position, for all rope tables */
    ROW_EMBED,
    ROW_NORM,
    ROW_ROPE,
    ROW_KV_WRITE,
    ROW_SILU_MUL,
    ROW_GELU_MUL,
    ROW_ADD,
    ROW_SELECT,
    ROW_QUANTISE,
    ROW_N_KINDS
};

struct row_op {
    enum row_op_kind kind;
    const struct op *op; /* attributes and weights; NULL for those the plan does not have */
    tensor_id a;
    tensor_id b;
    tensor_id out;
    uint32_t index; /* QUANTISE: of the quantised buffer; ROPE: of the table */
};

enum stage_kind { STAGE_ROWS, STAGE_MATMUL, STAGE_ATTENTION };

#define QUANTISED_NONE UINT32_MAX

struct stage {
    enum stage_kind kind;
    enum tensor_span span;
    const struct op *op; /* ROWS: NULL */
    uint32_t profile_op; /* operation of the plan that its time is counted for */
    /* ROWS */
    uint32_t first_row_op;
    uint32_t n_row_ops;
    bool by_columns; /* every operation treats blocks of 32 columns alone, all equally wide */
    /* All it leaves is the quantised input of the matmul behind it.  With few rows every member
     * runs it whole, into memory of its own, and needs no barrier before the matmul. */
    bool alone;
    /* MATMUL, ATTENTION */
    uint32_t quantised; /* of the input (matmul) or of the output (attention), or QUANTISED_NONE */
    tensor_id out;
    tensor_id residual; /* or TENSOR_NONE */
    /* MATMUL: gate and up are multiplied and quantised where they were made, and kept nowhere. */
    uint32_t gated;        /* index of the quantised buffer, or QUANTISED_NONE */
    enum row_op_kind gate; /* SILU_MUL or GELU_MUL */
};

/* Where the rows of an activation lie.  local: in the memory of the member at work (one row). */
struct place {
    float *base;
    size_t stride; /* floats from row to row */
    size_t local_offset;
    bool local;
};

struct quantised_buffer {
    tensor_id tensor;
    uint32_t columns;
    enum tensor_span span;
    uint32_t first_stage; /* writes it */
    uint32_t last_stage;
    struct quantised_rows rows; /* of row 0 */
    size_t offset;
    uint32_t n_rows;
};

/* Operations that rotate alike share one table of angles. */
struct rope_table {
    struct rope_attributes attributes;
    uint32_t n_pairs;
    double *radians; /* [n_pairs], a position's angle is position * this */
    float *cosines;  /* [max_rows][n_pairs] */
    float *sines;
};

struct program {
    const struct plan *plan;
    struct stage *stages;
    uint32_t n_stages;
    struct row_op *row_ops;
    uint32_t n_row_ops;
    struct quantised_buffer *quantised;
    uint32_t n_quantised;
    struct rope_table *ropes;
    uint32_t n_ropes;
    tensor_id *aliases;   /* by tensor: whose storage it has; itself, if its own */
    struct place *places; /* by tensor */
    tensor_id logits;     /* whose storage is the step's answer */
    tensor_id hidden; /* what the logits are made of, kept until the step's end; or TENSOR_NONE */
};

/* OUT_OF_MEMORY only; what is there after a failure is freed by program_deinit. */
REALM_MUST_CHECK realm_status program_build(struct program *program,
                                            const struct plan *plan,
                                            struct realm_error *error);

/* Bytes wanted by the activations, and by one member's row memory; fills places with offsets first
 * and with addresses by program_bind. */
struct program_memory {
    size_t shared_bytes;
    size_t local_bytes;
};
REALM_MUST_CHECK realm_status program_lay_out(struct program *program,
                                              uint32_t max_rows,
                                              uint32_t max_logits,
                                              struct program_memory *memory,
                                              struct realm_error *error);
/* shared: shared_bytes + PACK_SLACK_BYTES; logits: max_logits x vocabulary. */
void program_bind(struct program *program, uint8_t *shared, float *logits);
void program_deinit(struct program *program);

/* True: the kernel of this layout reads quantised activations. */
static inline bool layout_is_integer(enum tile_layout layout)
{
    return layout != TILE_F16 && layout != TILE_BF16 && layout != TILE_F32;
}

static inline bool type_is_integer(enum tensor_type type)
{
    return type != TENSOR_F16 && type != TENSOR_BF16 && type != TENSOR_F32;
}

#endif
