#include "backend/cpu/adapter.h"

#include "backend/cpu/pack.h"
#include "base/alloc.h"
#include "base/checked.h"
#include "quant/quant.h"

#include <math.h>

/* --- packing -----------------------------------------------------------------------------------
 */

/* One matrix on its way into tiles. */
struct packing {
    const char *name; /* of the weight, for errors */
    const char *half; /* "A", "B" */
    const struct adapter_matrix *matrix;
    uint32_t rows;
    uint32_t columns;
};

/* Half precision stays what it is; everything else becomes F32: some levels multiply by BF16 in
 * another way, and blocks would want x quantised. */
static enum tensor_type packed_type(enum tensor_type type)
{
    return type == TENSOR_F16 ? TENSOR_F16 : TENSOR_F32;
}

static enum tile_layout packed_layout(enum tensor_type type)
{
    return type == TENSOR_F16 ? TILE_F16 : TILE_F32;
}

static realm_status check_matrix(const struct packing *packing, struct realm_error *error)
{
    const struct adapter_matrix *const matrix = packing->matrix;
    uint64_t row_bytes;
    uint64_t wanted;
    if (quant_find(matrix->type) == NULL ||
        !tensor_type_row_bytes(matrix->type, packing->columns, &row_bytes) ||
        !checked_mul_u64(row_bytes, packing->rows, &wanted) || matrix->bytes.data == NULL ||
        matrix->bytes.n_bytes < wanted) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "adapter of %s: %llu bytes of %s are not %s of %u x %u",
                               packing->name,
                               (unsigned long long)matrix->bytes.n_bytes,
                               tensor_type_name(matrix->type),
                               packing->half,
                               packing->rows,
                               packing->columns);
    }
    return REALM_OK;
}

static const uint8_t *bytes_of_row(const struct packing *packing, uint32_t index)
{
    uint64_t n_bytes = 0;
    (void)tensor_type_row_bytes(packing->matrix->type, packing->columns, &n_bytes);
    return (const uint8_t *)packing->matrix->bytes.data + index * n_bytes;
}

/* row: [columns].  A number that is none would come back in every answer. */
static realm_status
read_row(const struct packing *packing, uint32_t index, float *row, struct realm_error *error)
{
    quant_find(packing->matrix->type)
        ->dequantise_row(bytes_of_row(packing, index), row, packing->columns);
    for (uint32_t c = 0; c < packing->columns; c++) {
        if (!isfinite(row[c])) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "adapter of %s: row %u, column %u of %s is not a finite number",
                                   packing->name,
                                   index,
                                   c,
                                   packing->half);
        }
    }
    return REALM_OK;
}

/* rows: [TILE_ROWS][columns] to work in. */
static realm_status
pack_matrix(const struct packing *packing, float *rows, uint8_t *tiles, struct realm_error *error)
{
    const enum tensor_type type = packing->matrix->type;
    const size_t tile_bytes = pack_tile_bytes(packed_layout(type), packing->columns);
    for (uint32_t first = 0; first < packing->rows; first += TILE_ROWS) {
        const uint32_t left = packing->rows - first;
        const uint32_t n = left < TILE_ROWS ? left : TILE_ROWS;
        for (uint32_t r = 0; r < n; r++) {
            REALM_TRY(read_row(packing, first + r, rows + (size_t)r * packing->columns, error));
        }
        pack_tiles(packed_type(type),
                   type == TENSOR_F16 ? (const void *)bytes_of_row(packing, first) : rows,
                   n,
                   packing->columns,
                   0,
                   1,
                   tiles + first / TILE_ROWS * tile_bytes);
    }
    return REALM_OK;
}

static bool read_by_matmuls_alone(const struct plan *plan, tensor_id id)
{
    bool any = false;
    for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
        const struct op *const op = plan_op(plan, i);
        for (uint32_t k = 0; k < op->n_weights; k++) {
            if (op->weights[k] == id && op->kind != OP_MATMUL) {
                return false;
            }
            any = any || op->weights[k] == id;
        }
    }
    return any;
}

static realm_status check_part(const struct cpu_model *model,
                               const struct cpu_adapter *adapter,
                               const struct adapter_part *part,
                               struct realm_error *error)
{
    if (part->weight >= plan_n_tensors(model->plan)) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "adapter of tensor %u: there is none", part->weight);
    }
    const char *const name = plan_tensor(model->plan, part->weight)->name;
    if (!read_by_matmuls_alone(model->plan, part->weight)) {
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               "adapter of %s: only matrices that the hidden state is multiplied "
                               "by can have one, no embedding and no norm",
                               name);
    }
    if (part->rank == 0 || part->rank > ADAPTER_MAX_RANK) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "adapter of %s: rank %u; allowed are 1 to %u",
                               name,
                               part->rank,
                               ADAPTER_MAX_RANK);
    }
    if (adapter->parts[part->weight].rank != 0) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "adapter of %s: it is there twice", name);
    }
    return REALM_OK;
}

static size_t n_tiles(uint32_t rows)
{
    return ((size_t)rows + TILE_ROWS - 1) / TILE_ROWS;
}

/* Fills parts with offsets for addresses; *row_columns: of the widest matrix. */
static realm_status size_parts(const struct cpu_model *model,
                               struct cpu_adapter *adapter,
                               const struct adapter_part *parts,
                               uint32_t n_parts,
                               uint32_t *row_columns,
                               struct realm_error *error)
{
    *row_columns = 1;
    for (uint32_t i = 0; i < n_parts; i++) {
        REALM_TRY(check_part(model, adapter, &parts[i], error));
        const struct plan_tensor *const weight = plan_tensor(model->plan, parts[i].weight);
        struct cpu_adapter_part *const part = &adapter->parts[parts[i].weight];
        size_t a_bytes;
        size_t b_bytes;
        part->rank = parts[i].rank;
        part->scale = parts[i].scale;
        part->a_layout = packed_layout(parts[i].a.type);
        part->b_layout = packed_layout(parts[i].b.type);
        part->a_tile_bytes = pack_tile_bytes(part->a_layout, weight->columns);
        part->b_tile_bytes = pack_tile_bytes(part->b_layout, part->rank);
        part->a_offset = adapter->n_bytes;
        if (!checked_mul_size(part->a_tile_bytes, n_tiles(part->rank), &a_bytes) ||
            !checked_mul_size(part->b_tile_bytes, n_tiles(weight->rows), &b_bytes) ||
            !checked_add_size(adapter->n_bytes, a_bytes, &part->b_offset) ||
            !checked_add_size(part->b_offset, b_bytes, &adapter->n_bytes)) {
            return realm_error_out_of_memory(error, SIZE_MAX, "an adapter");
        }
        const uint32_t wider = weight->columns > part->rank ? weight->columns : part->rank;
        *row_columns = wider > *row_columns ? wider : *row_columns;
    }
    adapter->n_bytes += PACK_SLACK_BYTES;
    return REALM_OK;
}

static realm_status pack_part(const struct cpu_model *model,
                              const struct cpu_adapter *adapter,
                              const struct adapter_part *part,
                              float *rows,
                              struct realm_error *error)
{
    const struct plan_tensor *const weight = plan_tensor(model->plan, part->weight);
    const struct cpu_adapter_part *const packed = &adapter->parts[part->weight];
    struct packing packing = {
        .name = weight->name,
        .half = "A",
        .matrix = &part->a,
        .rows = part->rank,
        .columns = weight->columns,
    };
    REALM_TRY(check_matrix(&packing, error));
    REALM_TRY(pack_matrix(&packing, rows, adapter->memory + packed->a_offset, error));
    packing.half = "B";
    packing.matrix = &part->b;
    packing.rows = weight->rows;
    packing.columns = part->rank;
    REALM_TRY(check_matrix(&packing, error));
    return pack_matrix(&packing, rows, adapter->memory + packed->b_offset, error);
}

static realm_status pack_all(const struct cpu_model *model,
                             struct cpu_adapter *adapter,
                             const struct adapter_part *parts,
                             uint32_t n_parts,
                             struct realm_error *error)
{
    const size_t n_tensors = plan_n_tensors(model->plan);
    uint32_t row_columns;
    adapter->parts = alloc_zeroed(ALLOC_WEIGHTS, n_tensors, sizeof *adapter->parts);
    if (adapter->parts == NULL) {
        return realm_error_out_of_memory(error, n_tensors * sizeof *adapter->parts, "an adapter");
    }
    REALM_TRY(size_parts(model, adapter, parts, n_parts, &row_columns, error));
    adapter->memory = alloc_pages(ALLOC_WEIGHTS, adapter->n_bytes);
    float *const rows = alloc_zeroed(ALLOC_WEIGHTS, (size_t)TILE_ROWS * row_columns, sizeof *rows);
    realm_status status = REALM_OK;
    if (adapter->memory == NULL || rows == NULL) {
        status = realm_error_out_of_memory(error, adapter->n_bytes, "an adapter");
    }
    for (uint32_t i = 0; status == REALM_OK && i < n_parts; i++) {
        status = pack_part(model, adapter, &parts[i], rows, error);
    }
    alloc_free(rows);
    return status;
}

static void destroy(struct cpu_adapter *adapter)
{
    if (adapter == NULL) {
        return;
    }
    if (adapter->memory != NULL) {
        alloc_pages_free(ALLOC_WEIGHTS, adapter->memory, adapter->n_bytes);
    }
    alloc_free(adapter->parts);
    alloc_free(adapter);
}

realm_status cpu_adapter_create(struct backend_model *base,
                                const struct adapter_part *parts,
                                uint32_t n_parts,
                                uint32_t *out,
                                struct realm_error *error)
{
    struct cpu_model *const model = (struct cpu_model *)base;
    struct cpu_adapter *const adapter = alloc_zeroed(ALLOC_WEIGHTS, 1, sizeof *adapter);
    if (adapter == NULL) {
        return realm_error_out_of_memory(error, sizeof *adapter, "an adapter");
    }
    realm_status status = pack_all(model, adapter, parts, n_parts, error);
    for (uint32_t i = 0; status == REALM_OK && i < BACKEND_MAX_ADAPTERS; i++) {
        struct cpu_adapter *none = NULL;
        if (atomic_compare_exchange_strong(&model->adapters[i], &none, adapter)) {
            *out = i;
            return REALM_OK;
        }
    }
    destroy(adapter);
    return status != REALM_OK
               ? status
               : realm_error_set(error,
                                 REALM_RESOURCE_EXHAUSTED,
                                 "%u adapters of the model are loaded, the most there can be",
                                 BACKEND_MAX_ADAPTERS);
}

void cpu_adapter_destroy(struct backend_model *base, uint32_t adapter)
{
    if (adapter < BACKEND_MAX_ADAPTERS) {
        destroy(atomic_exchange(&((struct cpu_model *)base)->adapters[adapter], NULL));
    }
}

uint64_t cpu_adapter_bytes(const struct backend_model *base, uint32_t adapter)
{
    return atomic_load(&((const struct cpu_model *)base)->adapters[adapter])->n_bytes;
}

/* --- a step ------------------------------------------------------------------------------------
 */

static const struct cpu_adapter *adapter_of(const struct cpu_model *model, uint32_t row)
{
    const struct batch_sequence *const sequence =
        &model->step.batch->sequences[model->step.rows[row].sequence];
    return sequence->adapter == ADAPTER_NONE
               ? NULL
               : atomic_load_explicit(&model->adapters[sequence->adapter], memory_order_relaxed);
}

/* Row i of the span goes to the open block if that is of the same adapter. */
static void add_row(struct adapter_blocks *blocks, const struct cpu_adapter *adapter, uint32_t i)
{
    if (adapter == NULL) {
        return;
    }
    if (blocks->n > 0) {
        struct adapter_block *const last = &blocks->items[blocks->n - 1];
        if (last->adapter == adapter && last->first_row + last->n_rows == i &&
            last->n_rows < ADAPTER_BLOCK_ROWS) {
            last->n_rows++;
            return;
        }
    }
    blocks->items[blocks->n++] =
        (struct adapter_block){.adapter = adapter, .first_row = i, .n_rows = 1};
}

void cpu_plan_adapters(struct cpu_model *model, const struct batch *batch)
{
    bool any = false;
    for (uint32_t i = 0; i < batch->n_sequences; i++) {
        any = any || batch->sequences[i].adapter != ADAPTER_NONE;
    }
    struct adapter_blocks *const blocks = model->step.adapters;
    blocks[SPAN_TOKENS].n = 0;
    blocks[SPAN_LOGITS].n = 0;
    if (!any) {
        return;
    }
    for (uint32_t i = 0; i < batch->n_rows; i++) {
        add_row(&blocks[SPAN_TOKENS], adapter_of(model, i), i);
    }
    for (uint32_t i = 0; i < batch->n_logits; i++) {
        add_row(&blocks[SPAN_LOGITS], adapter_of(model, batch->logits_rows[i]), i);
    }
    for (uint32_t i = 0; i < model->program.n_stages; i++) {
        atomic_store_explicit(&model->step.adapter_counters[i].next, 0, memory_order_relaxed);
    }
}

/* NULL: the block's adapter adds nothing to the weight. */
static const struct cpu_adapter_part *part_of(const struct adapter_block *block, tensor_id weight)
{
    const struct cpu_adapter_part *const part = &block->adapter->parts[weight];
    return part->rank > 0 ? part : NULL;
}

bool cpu_stage_adapted(const struct cpu_model *model, const struct stage *stage)
{
    const struct adapter_blocks *const blocks = &model->step.adapters[stage->span];
    for (uint32_t i = 0; i < blocks->n; i++) {
        for (uint32_t k = 0; k < stage->op->n_weights; k++) {
            if (part_of(&blocks->items[i], stage->op->weights[k]) != NULL) {
                return true;
            }
        }
    }
    return false;
}

static float *product(const struct cpu_model *model, uint32_t row, uint32_t which)
{
    return model->adapter_products + row * ADAPTER_PRODUCT_FLOATS +
           (size_t)which * ADAPTER_MAX_RANK;
}

/* Rows of x as F32: where they lie, or dequantised into the member's memory. */
static const float *rows_of(const struct cpu_model *model,
                            const struct stage *stage,
                            const struct pool_member *member,
                            const struct quantised_rows *input,
                            const struct adapter_block *block,
                            size_t *stride)
{
    const tensor_id x = stage->op->inputs[0];
    if (input == NULL) {
        const struct place *const place = &model->program.places[x];
        *stride = place->stride;
        return place->base + block->first_row * place->stride;
    }
    const uint32_t columns = plan_tensor(model->plan, x)->columns;
    float *const out = model->members[member->index].adapter_rows;
    *stride = columns;
    for (uint32_t r = 0; r < block->n_rows; r++) {
        const struct quantised_rows row = quantised_from(input, columns, block->first_row + r);
        for (uint32_t c = 0; c < columns; c++) {
            out[(size_t)r * columns + c] = (float)row.values[c] * row.scales[c / TILE_COLUMNS];
        }
    }
    return out;
}

/* Here rather than in B, so that B can keep its file's numbers. */
static void scale_products(const struct matmul_call *made, float scale)
{
    for (uint32_t row = 0; row < made->n_rows; row++) {
        for (uint32_t k = 0; k < made->n_weight_rows; k++) {
            made->out[row * made->out_stride + k] *= scale;
        }
    }
}

void cpu_adapter_project(const struct cpu_model *model,
                         const struct stage *stage,
                         const struct pool_member *member,
                         const struct quantised_rows *input)
{
    const struct adapter_blocks *const blocks = &model->step.adapters[stage->span];
    struct pool_counter *const counter =
        &model->step.adapter_counters[stage - model->program.stages];
    const uint32_t n_weights = stage->op->n_weights;
    uint32_t item;
    uint32_t end;
    while (pool_next(counter, blocks->n * n_weights, 1, &item, &end)) {
        const struct adapter_block *const block = &blocks->items[item / n_weights];
        const uint32_t which = item % n_weights;
        const struct cpu_adapter_part *const part = part_of(block, stage->op->weights[which]);
        if (part == NULL) {
            continue;
        }
        struct matmul_call call = {
            .tiles = block->adapter->memory + part->a_offset,
            .tile_bytes = part->a_tile_bytes,
            .n_weight_rows = part->rank,
            .columns = plan_tensor(model->plan, stage->op->weights[which])->columns,
            .n_tiles = (uint32_t)n_tiles(part->rank),
            .n_rows = block->n_rows,
            .out = product(model, block->first_row, which),
            .out_stride = ADAPTER_PRODUCT_FLOATS,
        };
        call.x = rows_of(model, stage, member, input, block, &call.x_stride);
        model->backend->kernels.matmul[part->a_layout](&call);
        scale_products(&call, part->scale);
    }
    pool_barrier(member);
}

void cpu_adapter_add(const struct cpu_model *model,
                     const struct stage *stage,
                     const struct matmul_call *made,
                     uint32_t which,
                     uint32_t first_row)
{
    const struct adapter_blocks *const blocks = &model->step.adapters[stage->span];
    const uint32_t end_row = first_row + made->n_rows;
    for (uint32_t i = 0; i < blocks->n; i++) {
        const struct adapter_block *const block = &blocks->items[i];
        const uint32_t block_end = block->first_row + block->n_rows;
        const uint32_t begin = block->first_row > first_row ? block->first_row : first_row;
        const uint32_t end = block_end < end_row ? block_end : end_row;
        const struct cpu_adapter_part *const part = part_of(block, stage->op->weights[which]);
        if (part == NULL || begin >= end) {
            continue;
        }
        float *const out = made->out + (begin - first_row) * made->out_stride;
        const struct matmul_call call = {
            .tiles = block->adapter->memory + part->b_offset,
            .tile_bytes = part->b_tile_bytes,
            .n_weight_rows = made->n_weight_rows,
            .columns = part->rank,
            .first_tile = made->first_tile,
            .n_tiles = made->n_tiles,
            .x = product(model, begin, which),
            .x_stride = ADAPTER_PRODUCT_FLOATS,
            .n_rows = end - begin,
            .out = out,
            .out_stride = made->out_stride,
            .first_out_row = made->first_out_row,
            .residual = out,
            .residual_stride = made->out_stride,
        };
        model->backend->kernels.matmul[part->b_layout](&call);
    }
}

void cpu_count_adapters(const struct cpu_model *model,
                        const struct stage *stage,
                        struct backend_profile *profile)
{
    const struct adapter_blocks *const blocks = &model->step.adapters[stage->span];
    for (uint32_t i = 0; i < blocks->n; i++) {
        for (uint32_t k = 0; k < stage->op->n_weights; k++) {
            const struct plan_tensor *const weight =
                plan_tensor(model->plan, stage->op->weights[k]);
            const struct cpu_adapter_part *const part =
                part_of(&blocks->items[i], stage->op->weights[k]);
            if (part != NULL) {
                const uint64_t n = (uint64_t)part->rank * (weight->rows + weight->columns);
                profile->weight_bytes += part->a_tile_bytes * n_tiles(part->rank) +
                                         part->b_tile_bytes * n_tiles(weight->rows);
                profile->multiply_adds += n * blocks->items[i].n_rows;
            }
        }
    }
}
