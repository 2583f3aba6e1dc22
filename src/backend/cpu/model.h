/* The CPU's side of a backend and of a prepared model.  Owner: whoever created them; a model is
 * used by one step at a time. */
#ifndef REALM_BACKEND_CPU_MODEL_H
#define REALM_BACKEND_CPU_MODEL_H

#include "backend/cpu/program.h"
#include "backend/machine.h"
#include "base/pool.h"

struct cpu_backend {
    struct backend base;
    struct pool *pool;
    struct cpu_kernels kernels;
};

/* A weight as the kernels want it; a tensor may be both (never is, in the models we know). */
struct cpu_weight {
    uint8_t *tiles; /* NULL: not used as a matrix */
    size_t tile_bytes;
    uint32_t n_tiles;
    enum tile_layout layout;
    float *vector;       /* NULL: not used as a vector */
    size_t tiles_offset; /* in the weight memory */
    size_t vector_offset;
};

/* What an adapter adds to one weight (adapter.h); offsets are in the adapter's memory. */
struct cpu_adapter_part {
    uint32_t rank; /* 0: nothing */
    float scale;   /* of A . x */
    enum tile_layout a_layout;
    enum tile_layout b_layout;
    size_t a_offset;
    size_t b_offset;
    size_t a_tile_bytes;
    size_t b_tile_bytes;
};

struct cpu_adapter {
    struct cpu_adapter_part *parts; /* by tensor */
    uint8_t *memory;
    size_t n_bytes;
};

/* Neighbouring rows of a step with one adapter: what a member dequantises at a time. */
#define ADAPTER_BLOCK_ROWS 8u

struct adapter_block {
    const struct cpu_adapter *adapter;
    uint32_t first_row; /* of the span */
    uint32_t n_rows;    /* 1 .. ADAPTER_BLOCK_ROWS */
};

struct adapter_blocks {
    struct adapter_block *items; /* [max_rows] or [max_logits] */
    uint32_t n;
};

/* KV storage: [page][layer][KV head] { keys, values } as kernels.h draws them.  A page's layers lie
 * together, so that memory is first touched page by page, as sequences grow: the system gives large
 * pages, and if all layers came to the end of theirs at once, a step would wait for all of them. */
struct kv_store {
    enum kv_type type;
    uint8_t *bytes;
    size_t n_bytes; /* taken */
    size_t page_bytes;
    size_t layer_bytes; /* of a page */
    size_t head_bytes;  /* of a layer */
    size_t values_offset;
    uint32_t n_pages;
    uint32_t n_layers;
    uint32_t n_kv_heads;
    uint32_t head_columns;
};

/* One member's own memory. */
struct member_memory {
    float *locals;  /* row memory of rows stages */
    float *running; /* attention: merged values, [ATTENTION_MAX_QUERIES][value columns] */
    float *partial; /* attention: one segment's */
    struct attention_query *queries;
    float *gated;                /* gate and up of a piece: GATED_FLOATS, where a stage wants it */
    float *adapter_rows;         /* [ADAPTER_BLOCK_ROWS][most columns that are quantised] */
    struct quantised_rows alone; /* what a stage that runs alone leaves, ALONE_ROWS rows */
};

/* Half a second-level cache: what a piece of gate and up may take. */
#define GATED_FLOATS (64u * 1024u)

/* Up to so many rows a norm costs less than the barrier behind it. */
#define ALONE_ROWS 2u

/* What a row of this step is. */
struct row_info {
    uint32_t sequence;
    uint32_t position;
};

/* Attention of one step shared out by segments (attention.c). */
struct attention_split {
    bool on;
    uint32_t n_segments; /* most of any block */
    uint32_t n_queries;  /* most of any block */
};

/* One step's derived numbers; arrays sized at prepare. */
struct step {
    const struct batch *batch;
    struct row_info *rows;             /* [max_rows] */
    uint32_t *first_attention_block;   /* [max_rows + 1]: query blocks of the sequences before */
    struct pool_counter *counters;     /* one a stage, and one for page copies */
    struct adapter_blocks adapters[2]; /* by span; rows without one are in none */
    struct pool_counter *adapter_counters; /* one a stage */
    struct attention_split split;
    uint64_t stage_began_ns;
};

struct cpu_model {
    struct backend_model base;
    struct cpu_backend *backend;
    const struct plan *plan;
    struct program program;
    struct cpu_weight *weights; /* by tensor */
    uint32_t n_tokens;          /* smallest embedding table: ids are below it */
    _Atomic(struct cpu_adapter *) adapters[BACKEND_MAX_ADAPTERS];
    float *adapter_products; /* [max_rows][ADAPTER_PRODUCT_FLOATS]: A . x of a stage */
    size_t adapter_products_bytes;
    struct kv_store kv;
    struct member_memory *members;
    struct step step;
    float *logits;
    uint32_t max_rows;
    uint32_t max_logits;
    uint32_t attention_block_rows; /* token rows of a query block: they fill a call */
    uint32_t attention_group;      /* most query heads that share a KV head */
    uint32_t max_split_items;      /* more blocks x KV heads than this use all threads anyway */
    size_t split_floats;
    float *split_memory;
    struct pool_counter *split_done; /* [max_split_items] */
    size_t local_bytes;              /* of one member's row memory */
    struct backend_profile *profile; /* by operation of the plan */
    bool profiling;
    /* Memory taken whole. */
    uint8_t *weight_memory;
    size_t weight_memory_bytes;
    uint8_t *scratch_memory;
    size_t scratch_memory_bytes;
    uint8_t *member_memory;
    size_t member_memory_bytes;
};

/* prepare.c */
realm_status cpu_prepare(struct backend *backend,
                         const struct plan *plan,
                         const struct weight_source *source,
                         const struct backend_model_options *options,
                         struct backend_model **out,
                         struct realm_error *error);
void cpu_model_destroy(struct backend_model *base);

/* weights.c: reads, packs and keeps all weights of the plan. */
REALM_MUST_CHECK realm_status cpu_weights_pack(struct cpu_model *model,
                                               const struct weight_source *source,
                                               const struct backend_model_options *options,
                                               struct realm_error *error);

/* kv_store.c */
REALM_MUST_CHECK realm_status kv_store_init(struct kv_store *store,
                                            const struct plan_kv *kv,
                                            enum kv_type type,
                                            uint32_t n_pages,
                                            struct realm_error *error);
void kv_store_deinit(struct kv_store *store);
/* Copies pages for the layers that this member draws; all members call it. */
void kv_store_copy_pages(const struct kv_store *store,
                         const struct batch *batch,
                         struct pool_counter *counter);

static inline uint8_t *kv_store_head(const struct kv_store *store, uint32_t layer, uint32_t head)
{
    return store->bytes + layer * store->layer_bytes + head * store->head_bytes;
}

/* batch_check.c: INVALID_ARGUMENT for a batch that breaks batch.h or the limits; fills step->rows.
 */
REALM_MUST_CHECK realm_status cpu_batch_check(struct cpu_model *model,
                                              const struct batch *batch,
                                              struct realm_error *error);

/* run.c */
realm_status
cpu_submit(struct backend_model *base, const struct batch *batch, struct realm_error *error);

/* --- stages: called by all members of the region -----------------------------------------------
 */

void cpu_run_rows(const struct cpu_model *model,
                  const struct stage *stage,
                  const struct pool_member *member,
                  struct pool_counter *counter);
/* All rows, by the calling member alone; see stage.alone. */
void cpu_run_rows_alone(const struct cpu_model *model,
                        const struct stage *stage,
                        const struct pool_member *member);
void cpu_run_matmul(const struct cpu_model *model,
                    const struct stage *stage,
                    const struct pool_member *member,
                    struct pool_counter *counter);
void cpu_run_attention(const struct cpu_model *model,
                       const struct stage *stage,
                       const struct pool_member *member,
                       struct pool_counter *counter);
/* Token rows of a query block, as many as fill a kernel call with the heads of a group, and the
 * most heads of a group. */
void cpu_attention_shape(const struct plan *plan, uint32_t *block_rows, uint32_t *group);
/* Cuts the step's attention into query blocks: fills first_attention_block. */
void cpu_plan_attention(struct cpu_model *model, const struct batch *batch);

/* What a stage reads and does in this step, for the profile. */
void cpu_count_matmul(const struct cpu_model *model,
                      const struct stage *stage,
                      struct backend_profile *profile);
void cpu_count_attention(const struct cpu_model *model,
                         const struct stage *stage,
                         struct backend_profile *profile);

/* --- row operations ----------------------------------------------------------------------------
 */

/* One row (or some of its columns) on its way through a rows stage. */
struct row_work {
    const struct cpu_model *model;
    float *locals;
    const struct quantised_rows *alone; /* where a stage that runs alone quantises to; or NULL */
    uint32_t row;
    uint32_t first_column; /* only for stages cut by columns */
    uint32_t n_columns;    /* 0: all */
};

/* Row `row` of tensor `id`. */
static inline float *row_address(const struct row_work *work, tensor_id id)
{
    const struct place *const place = &work->model->program.places[id];
    if (place->local) {
        return work->locals + place->local_offset;
    }
    return place->base + (size_t)work->row * place->stride;
}

/* From row `row` on of rows that begin with row 0. */
static inline struct quantised_rows
quantised_from(const struct quantised_rows *rows, uint32_t columns, uint32_t row)
{
    return (struct quantised_rows){
        .values = rows->values + (size_t)row * columns,
        .scales = rows->scales + (size_t)row * (columns / TILE_COLUMNS),
        .sums = rows->sums + (size_t)row * (columns / (TILE_COLUMNS / 2)),
        .columns = columns,
    };
}

static inline uint32_t stage_rows(const struct cpu_model *model, const struct stage *stage)
{
    const struct batch *const batch = model->step.batch;
    return stage->span == SPAN_TOKENS ? batch->n_rows : batch->n_logits;
}

/* True: each member runs this stage whole for itself in this step. */
static inline bool stage_runs_alone(const struct cpu_model *model, const struct stage *stage)
{
    return stage->alone && stage_rows(model, stage) <= ALONE_ROWS;
}

static inline binary_function binary_kernel(const struct cpu_kernels *kernels,
                                            enum row_op_kind kind)
{
    switch (kind) {
    case ROW_SILU_MUL:
        return kernels->silu_mul;
    case ROW_GELU_MUL:
        return kernels->gelu_mul;
    default:
        return kernels->add;
    }
}

void row_rope_angles(const struct row_work *work, const struct row_op *op);
void row_embed(const struct row_work *work, const struct row_op *op);
void row_norm(const struct row_work *work, const struct row_op *op);
void row_rope(const struct row_work *work, const struct row_op *op);
void row_kv_fetch(const struct row_work *work, const struct row_op *op);
void row_kv_write(const struct row_work *work, const struct row_op *op);
void row_binary(const struct row_work *work, const struct row_op *op);
void row_select(const struct row_work *work, const struct row_op *op);
void row_quantise(const struct row_work *work, const struct row_op *op);

/* Fills the radians of the tables and takes memory for their angles. */
REALM_MUST_CHECK realm_status rope_tables_init(struct cpu_model *model, struct realm_error *error);

#endif
