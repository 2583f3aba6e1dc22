#include "cli/quantize_tensor.h"

#include "base/alloc.h"
#include "base/checked.h"

#include <inttypes.h>
#include <math.h>

/* A slab holds about this many bytes of the result, a work item about this many weights. */
#define SLAB_BYTES   ((uint64_t)8 << 20)
#define ITEM_WEIGHTS 16384u

/* The first weight of a member's rows that cannot be told. */
struct bad_weight {
    bool found;
    uint64_t row;
    uint64_t column;
    float value;
};

struct quantize_converter {
    struct pool *pool;
    struct bad_weight *bad; /* one a member */
    float *weights;         /* one row a member */
    size_t weights_bytes;
    uint8_t *blocks; /* a slab of the result */
    size_t blocks_bytes;
};

/* What a region of the pool works on: rows first_row .. first_row + n_rows - 1 of a tensor. */
struct slab {
    struct pool_counter counter;
    struct quantize_converter *converter;
    const struct quant_type *from;
    const struct quant_type *to; /* NULL: the bytes stay, weights are only looked at */
    const uint8_t *source;       /* of the first row */
    uint64_t columns;
    uint64_t from_bytes; /* of a row */
    uint64_t to_bytes;
    uint64_t first_row;
    uint32_t n_rows;
    uint32_t grain;
    float limit;
};

realm_status quantize_converter_create(uint32_t n_threads,
                                       struct quantize_converter **out,
                                       struct realm_error *error)
{
    *out = NULL;
    struct quantize_converter *converter = alloc_zeroed(ALLOC_MODEL, 1, sizeof(*converter));
    if (converter == NULL) {
        return realm_error_out_of_memory(error, sizeof(*converter), "quantising");
    }
    realm_status status = pool_create(n_threads, &converter->pool, error);
    if (status != REALM_OK) {
        quantize_converter_destroy(converter);
        return status;
    }
    const size_t n_members = pool_n_members(converter->pool);
    converter->bad = alloc_zeroed(ALLOC_MODEL, n_members, sizeof(converter->bad[0]));
    if (converter->bad == NULL) {
        quantize_converter_destroy(converter);
        return realm_error_out_of_memory(
            error, n_members * sizeof(struct bad_weight), "quantising");
    }
    *out = converter;
    return REALM_OK;
}

void quantize_converter_destroy(struct quantize_converter *converter)
{
    if (converter == NULL) {
        return;
    }
    pool_destroy(converter->pool);
    alloc_free(converter->bad);
    alloc_free(converter->weights);
    alloc_free(converter->blocks);
    alloc_free(converter);
}

/* A block of at least n_bytes in *block; what it held is lost. */
static realm_status
make_room(void **block, size_t *held_bytes, size_t n_bytes, struct realm_error *error)
{
    if (n_bytes <= *held_bytes) {
        return REALM_OK;
    }
    alloc_free(*block);
    *held_bytes = 0;
    *block = alloc_bytes(ALLOC_MODEL, n_bytes);
    if (*block == NULL) {
        return realm_error_out_of_memory(error, n_bytes, "rows of a tensor");
    }
    *held_bytes = n_bytes;
    return REALM_OK;
}

/* The greatest magnitude that the type holds: F16's own for F16 and for every type whose scale is
 * one, since a weight that large is no weight of a model. */
static float limit_of(enum tensor_type type)
{
    switch (type) {
    case TENSOR_F32:
    case TENSOR_Q8_K:
        return 3.40282346e38f;
    case TENSOR_BF16:
        return 0x1.FEp127f;
    default:
        return 65504.0f;
    }
}

/* Remembers the first weight of the row that is NaN or beyond the limit. */
static bool
look_at(const float *weights, uint64_t columns, float limit, uint64_t row, struct bad_weight *bad)
{
    for (uint64_t i = 0; i < columns; i++) {
        if (!(fabsf(weights[i]) <= limit)) {
            *bad = (struct bad_weight){true, row, i, weights[i]};
            return false;
        }
    }
    return true;
}

static void convert_rows(void *context, const struct pool_member *member)
{
    struct slab *const slab = context;
    struct bad_weight *const bad = &slab->converter->bad[member->index];
    float *const weights = slab->converter->weights + member->index * slab->columns;
    uint32_t begin;
    uint32_t end;
    *bad = (struct bad_weight){.found = false};
    while (pool_next(&slab->counter, slab->n_rows, slab->grain, &begin, &end)) {
        for (uint32_t row = begin; row < end; row++) {
            slab->from->dequantise_row(
                slab->source + row * slab->from_bytes, weights, slab->columns);
            if (!look_at(weights, slab->columns, slab->limit, slab->first_row + row, bad)) {
                return; /* the others find out for themselves: rows are drawn in order */
            }
            if (slab->to != NULL) {
                slab->to->quantise_row(
                    weights, NULL, slab->converter->blocks + row * slab->to_bytes, slab->columns);
            }
        }
    }
}

/* The error of the first bad weight in the order of rows, whichever member met it. */
static realm_status check_slab(const struct slab *slab,
                               const struct gguf_tensor *tensor,
                               enum tensor_type to,
                               struct realm_error *error)
{
    const struct bad_weight *first = NULL;
    for (uint32_t i = 0; i < pool_n_members(slab->converter->pool); i++) {
        const struct bad_weight *bad = &slab->converter->bad[i];
        if (bad->found && (first == NULL || bad->row < first->row)) {
            first = bad;
        }
    }
    if (first == NULL) {
        return REALM_OK;
    }
    if (isfinite(first->value)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s: the weight in row %" PRIu64 ", column %" PRIu64
                               " is %g, beyond what %s can hold; choose BF16 or F32 for it",
                               tensor->name,
                               first->row,
                               first->column,
                               (double)first->value,
                               tensor_type_name(to));
    }
    return realm_error_set(error,
                           REALM_INVALID_FORMAT,
                           "tensor %s: the weight in row %" PRIu64 ", column %" PRIu64
                           " is %s; the file is damaged or was converted badly",
                           tensor->name,
                           first->row,
                           first->column,
                           isnan(first->value) ? "not a number" : "infinite");
}

/* Rows of the tensor in one slab, by the size of the result. */
static uint32_t rows_of_slab(const struct slab *slab, uint64_t n_rows)
{
    const uint64_t row_bytes = slab->to_bytes > slab->columns ? slab->to_bytes : slab->columns;
    const uint64_t fitting = SLAB_BYTES / row_bytes;
    const uint64_t rows = fitting == 0 ? 1 : fitting;
    return (uint32_t)(rows < n_rows ? rows : n_rows);
}

/* The slab's unchanging parts, and room for one. */
static realm_status prepare_slab(struct quantize_converter *converter,
                                 const struct gguf_tensor *tensor,
                                 enum tensor_type to,
                                 uint64_t n_rows,
                                 struct slab *slab,
                                 struct realm_error *error)
{
    const bool stays = tensor->type == to;
    const uint64_t columns = tensor->shape[0];
    *slab = (struct slab){.converter = converter,
                          .from = quant_find(tensor->type),
                          .to = stays ? NULL : quant_find(to),
                          .columns = columns,
                          .limit = limit_of(stays ? TENSOR_F32 : to)};
    size_t weights_bytes = 0;
    if (slab->from == NULL || (!stays && slab->to == NULL) ||
        !tensor_type_row_bytes(tensor->type, columns, &slab->from_bytes) ||
        !tensor_type_row_bytes(to, columns, &slab->to_bytes) ||
        !checked_mul_size(columns, sizeof(float), &weights_bytes) ||
        !checked_mul_size(weights_bytes, pool_n_members(converter->pool), &weights_bytes)) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "tensor %s: %" PRIu64 " columns of %s cannot become %s",
                               tensor->name,
                               columns,
                               tensor_type_name(tensor->type),
                               tensor_type_name(to));
    }
    slab->n_rows = rows_of_slab(slab, n_rows);
    slab->grain = (uint32_t)(columns < ITEM_WEIGHTS ? ITEM_WEIGHTS / columns : 1);
    void *weights = converter->weights;
    void *blocks = converter->blocks;
    realm_status status = make_room(&weights, &converter->weights_bytes, weights_bytes, error);
    if (status == REALM_OK && !stays) {
        status = make_room(&blocks, &converter->blocks_bytes, slab->n_rows * slab->to_bytes, error);
    }
    converter->weights = weights;
    converter->blocks = blocks;
    return status;
}

realm_status quantize_tensor(struct quantize_converter *converter,
                             const struct gguf_tensor *tensor,
                             enum tensor_type to,
                             quantize_sink sink,
                             void *sink_context,
                             struct realm_error *error)
{
    if (quant_find(tensor->type) == NULL && tensor->type == to) {
        /* Integers and F64: nothing to look at. */
        return sink(
            sink_context, tensor->data.data, tensor->data.length, tensor->data.length, error);
    }
    /* The reader made sure that this many rows are there. */
    const uint64_t n_rows = tensor->shape[1] * tensor->shape[2] * tensor->shape[3];
    struct slab slab;
    REALM_TRY(prepare_slab(converter, tensor, to, n_rows, &slab, error));
    const uint32_t rows_at_most = slab.n_rows;
    for (uint64_t row = 0; row < n_rows; row += slab.n_rows) {
        const uint64_t left = n_rows - row;
        slab.first_row = row;
        slab.n_rows = left < rows_at_most ? (uint32_t)left : rows_at_most;
        slab.source = tensor->data.data + row * slab.from_bytes;
        atomic_store(&slab.counter.next, 0);
        pool_run(converter->pool, convert_rows, &slab);
        REALM_TRY(check_slab(&slab, tensor, to, error));
        const void *const result = slab.to == NULL ? slab.source : converter->blocks;
        REALM_TRY(sink(sink_context,
                       result,
                       slab.n_rows * slab.to_bytes,
                       slab.n_rows * slab.from_bytes,
                       error));
    }
    return REALM_OK;
}
