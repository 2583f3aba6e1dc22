/* Weights at load: every matrix into tiles on all threads, every vector into F32.  A tensor that is
 * both embedding table and output matrix is packed once. */
#include "backend/cpu/model.h"
#include "backend/cpu/pack.h"
#include "base/alloc.h"
#include "base/checked.h"
#include "quant/quant.h"

#include <string.h>

#define TILES_PER_PIECE 4u
#define ALIGNMENT       64u

struct use {
    bool matrix;
    bool vector;
};

/* Packing one matrix, shared by the pool's members. */
struct pack_job {
    const struct plan_tensor *tensor;
    const struct cpu_weight *weight;
    const void *source;
    struct pool_counter counter;
};

static void mark_vector(struct use *uses, tensor_id id)
{
    if (id != TENSOR_NONE) {
        uses[id].vector = true;
    }
}

static void find_uses(const struct plan *plan, struct use *uses)
{
    for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
        const struct op *const op = plan_op(plan, i);
        const bool vectors = op->kind == OP_RMS_NORM;
        for (uint32_t k = 0; k < op->n_weights; k++) {
            uses[op->weights[k]].matrix |= !vectors;
            uses[op->weights[k]].vector |= vectors;
            mark_vector(uses, op->biases[k]);
        }
        if (op->kind == OP_ROPE) {
            mark_vector(uses, op->attributes.rope.factors);
        }
    }
}

/* Adds n_bytes from a cache line on; false: more than can be counted. */
static bool take(size_t *used, size_t n_bytes, size_t *offset)
{
    *offset = *used;
    return checked_add_size(*used, n_bytes, used) && checked_add_size(*used, ALIGNMENT - 1, used) &&
           ((*used &= ~(size_t)(ALIGNMENT - 1)), true);
}

/* Sizes the packed form of tensor `id`; offsets stand in for addresses until the memory is there.
 */
static realm_status size_weight(
    struct cpu_model *model, tensor_id id, struct use use, size_t *used, struct realm_error *error)
{
    const struct plan_tensor *const tensor = plan_tensor(model->plan, id);
    struct cpu_weight *const weight = &model->weights[id];
    size_t n_bytes;
    if (use.matrix) {
        if (!pack_layout(tensor->type, &weight->layout)) {
            return realm_error_set(error,
                                   REALM_UNSUPPORTED,
                                   "tensor %s: the CPU backend does not multiply by %s",
                                   tensor->name,
                                   tensor_type_name(tensor->type));
        }
        weight->tile_bytes = pack_tile_bytes(weight->layout, tensor->columns);
        weight->n_tiles = (uint32_t)(((uint64_t)tensor->rows + TILE_ROWS - 1) / TILE_ROWS);
        if (!checked_mul_size(weight->tile_bytes, weight->n_tiles, &n_bytes) ||
            !take(used, n_bytes, &weight->tiles_offset)) {
            return realm_error_out_of_memory(error, SIZE_MAX, tensor->name);
        }
    }
    if (use.vector && (!checked_mul_size(tensor->columns, sizeof(float), &n_bytes) ||
                       !take(used, n_bytes, &weight->vector_offset))) {
        return realm_error_out_of_memory(error, SIZE_MAX, tensor->name);
    }
    return REALM_OK;
}

static void pack_member(void *context, const struct pool_member *member)
{
    (void)member;
    struct pack_job *const job = context;
    uint32_t begin;
    uint32_t end;
    while (pool_next(&job->counter, job->weight->n_tiles, TILES_PER_PIECE, &begin, &end)) {
        pack_tiles(job->tensor->type,
                   job->source,
                   job->tensor->rows,
                   job->tensor->columns,
                   begin,
                   end - begin,
                   job->weight->tiles);
    }
}

static realm_status fill_vector(const struct plan_tensor *tensor,
                                const void *source,
                                float *vector,
                                struct realm_error *error)
{
    if (tensor->type == TENSOR_F32) {
        memcpy(vector, source, tensor->columns * sizeof(float));
        return REALM_OK;
    }
    const struct quant_type *const type = quant_find(tensor->type);
    if (type == NULL) {
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               "tensor %s: %s holds no real numbers",
                               tensor->name,
                               tensor_type_name(tensor->type));
    }
    type->dequantise_row(source, vector, tensor->columns);
    return REALM_OK;
}

static realm_status fill_weight(struct cpu_model *model,
                                tensor_id id,
                                struct use use,
                                const struct weight_source *source,
                                struct realm_error *error)
{
    const struct plan_tensor *const tensor = plan_tensor(model->plan, id);
    struct cpu_weight *const weight = &model->weights[id];
    const struct bytes_view bytes = source->read(source->context, tensor);
    uint64_t row_bytes;
    uint64_t wanted;
    if (!tensor_type_row_bytes(tensor->type, tensor->columns, &row_bytes) ||
        !checked_mul_u64(row_bytes, tensor->rows, &wanted) || bytes.data == NULL ||
        bytes.n_bytes < wanted) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s: %llu bytes are too few for %s %u x %u",
                               tensor->name,
                               (unsigned long long)bytes.n_bytes,
                               tensor_type_name(tensor->type),
                               tensor->rows,
                               tensor->columns);
    }
    if (use.matrix) {
        weight->tiles = model->weight_memory + weight->tiles_offset;
        struct pack_job job = {.tensor = tensor, .weight = weight, .source = bytes.data};
        pool_run(model->backend->pool, pack_member, &job);
    }
    if (use.vector) {
        weight->vector = (void *)(model->weight_memory + weight->vector_offset);
        REALM_TRY(fill_vector(tensor, bytes.data, weight->vector, error));
    }
    if (source->done != NULL) {
        source->done(source->context, tensor);
    }
    return REALM_OK;
}

/* What packing takes time for. */
static size_t tiles_bytes(const struct cpu_weight *weight)
{
    return weight->tile_bytes * weight->n_tiles;
}

static realm_status pack_all(struct cpu_model *model,
                             struct use *uses,
                             const struct weight_source *source,
                             const struct backend_model_options *options,
                             struct realm_error *error)
{
    const uint32_t n_tensors = plan_n_tensors(model->plan);
    find_uses(model->plan, uses);
    size_t used = 0;
    for (tensor_id id = 0; id < n_tensors; id++) {
        REALM_TRY(size_weight(model, id, uses[id], &used, error));
    }
    model->weight_memory_bytes = used + PACK_SLACK_BYTES;
    model->weight_memory = alloc_pages(ALLOC_WEIGHTS, model->weight_memory_bytes);
    if (model->weight_memory == NULL) {
        return realm_error_out_of_memory(error, model->weight_memory_bytes, "the weights");
    }
    model->base.weight_bytes = model->weight_memory_bytes;
    size_t n_bytes = 0;
    for (tensor_id id = 0; id < n_tensors; id++) {
        n_bytes += tiles_bytes(&model->weights[id]);
    }
    size_t done = 0;
    for (tensor_id id = 0; id < n_tensors; id++) {
        if (!uses[id].matrix && !uses[id].vector) {
            continue;
        }
        REALM_TRY(fill_weight(model, id, uses[id], source, error));
        done += tiles_bytes(&model->weights[id]);
        if (options->progress != NULL) {
            const double part = (double)done / (double)n_bytes;
            options->progress(options->progress_context, (float)part);
        }
    }
    return REALM_OK;
}

realm_status cpu_weights_pack(struct cpu_model *model,
                              const struct weight_source *source,
                              const struct backend_model_options *options,
                              struct realm_error *error)
{
    const uint32_t n_tensors = plan_n_tensors(model->plan);
    struct use *const uses = alloc_zeroed(ALLOC_MODEL, n_tensors, sizeof *uses);
    model->weights = alloc_zeroed(ALLOC_MODEL, n_tensors, sizeof *model->weights);
    if (uses == NULL || model->weights == NULL) {
        alloc_free(uses);
        return realm_error_out_of_memory(error, n_tensors * sizeof *model->weights, "the weights");
    }
    const realm_status status = pack_all(model, uses, source, options, error);
    alloc_free(uses);
    return status;
}
