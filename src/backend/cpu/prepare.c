/* From a plan to a model that can run: all memory it will ever need is taken here. */
#include "backend/cpu/adapter.h"
#include "base/alloc.h"
#include "base/checked.h"

#define ALIGNMENT              ((size_t)64)
#define SPLIT_ITEMS_PER_MEMBER 4u
#define MAX_SPLIT_FLOATS       ((size_t)4 << 20)

static size_t align(size_t n)
{
    return (n + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

static realm_status check_options(const struct plan *plan,
                                  const struct backend_model_options *options,
                                  struct realm_error *error)
{
    if (options->max_rows == 0 || options->n_pages == 0) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "a model of %u rows a step and %u KV pages: give at least 1 of each",
                               options->max_rows,
                               options->n_pages);
    }
    if (options->kv_type >= KV_N_TYPES) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "KV type %u: there are F16, BF16, Q8_0 and Q8_0_Q4_1 (0 to %u)",
                               (unsigned)options->kv_type,
                               (unsigned)KV_N_TYPES - 1);
    }
    for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
        if (plan_op(plan, i)->kind >= OP_N_KINDS) {
            return realm_error_set(error,
                                   REALM_UNSUPPORTED,
                                   "%s: the CPU backend does not know this operation",
                                   plan_op(plan, i)->name);
        }
    }
    return REALM_OK;
}

/* Token ids must be rows of every table that is looked up. */
static uint32_t smallest_table(const struct plan *plan)
{
    uint32_t n = UINT32_MAX;
    for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
        const struct op *const op = plan_op(plan, i);
        if (op->kind == OP_EMBED && plan_tensor(plan, op->weights[0])->rows < n) {
            n = plan_tensor(plan, op->weights[0])->rows;
        }
    }
    return n;
}

static realm_status take_step(struct cpu_model *model, struct realm_error *error)
{
    const size_t n_rows = model->max_rows;
    struct step *const step = &model->step;
    step->rows = alloc_zeroed(ALLOC_SCRATCH, n_rows, sizeof *step->rows);
    step->first_attention_block = alloc_zeroed(ALLOC_SCRATCH, n_rows + 1, sizeof(uint32_t));
    step->counters =
        alloc_zeroed(ALLOC_SCRATCH, model->program.n_stages + 1, sizeof *step->counters);
    step->adapter_counters =
        alloc_zeroed(ALLOC_SCRATCH, model->program.n_stages, sizeof *step->adapter_counters);
    step->adapters[SPAN_TOKENS].items =
        alloc_zeroed(ALLOC_SCRATCH, n_rows, sizeof(struct adapter_block));
    step->adapters[SPAN_LOGITS].items =
        alloc_zeroed(ALLOC_SCRATCH, model->max_logits, sizeof(struct adapter_block));
    model->profile = alloc_zeroed(ALLOC_MODEL, plan_n_ops(model->plan), sizeof *model->profile);
    if (step->rows == NULL || step->first_attention_block == NULL || step->counters == NULL ||
        step->adapter_counters == NULL || step->adapters[SPAN_TOKENS].items == NULL ||
        step->adapters[SPAN_LOGITS].items == NULL || model->profile == NULL) {
        return realm_error_out_of_memory(error, n_rows * sizeof *step->rows, "a step");
    }
    return REALM_OK;
}

/* Activations of all rows, and the logits behind them. */
static realm_status take_scratch(struct cpu_model *model, struct realm_error *error)
{
    struct program_memory memory;
    REALM_TRY(program_lay_out(&model->program, model->max_rows, model->max_logits, &memory, error));
    model->local_bytes = align(memory.local_bytes + PACK_SLACK_BYTES);
    size_t logits_bytes;
    size_t n_bytes = align(memory.shared_bytes + PACK_SLACK_BYTES);
    const size_t logits_offset = n_bytes;
    if (!checked_mul_size((size_t)model->max_logits * sizeof(float),
                          plan_vocabulary(model->plan),
                          &logits_bytes) ||
        !checked_add_size(n_bytes, logits_bytes, &n_bytes) ||
        !checked_add_size(n_bytes, PACK_SLACK_BYTES, &n_bytes)) {
        return realm_error_set(error,
                               REALM_OUT_OF_MEMORY,
                               "%u logits rows of %u are more than memory can hold",
                               model->max_logits,
                               plan_vocabulary(model->plan));
    }
    model->scratch_memory = alloc_pages(ALLOC_SCRATCH, n_bytes);
    if (model->scratch_memory == NULL) {
        return realm_error_out_of_memory(error, n_bytes, "the activations");
    }
    model->scratch_memory_bytes = n_bytes;
    model->logits = (void *)(model->scratch_memory + logits_offset);
    program_bind(&model->program, model->scratch_memory, model->logits);
    return REALM_OK;
}

static bool has_gated(const struct program *program)
{
    for (uint32_t i = 0; i < program->n_stages; i++) {
        if (program->stages[i].gated != QUANTISED_NONE) {
            return true;
        }
    }
    return false;
}

static realm_status take_members(struct cpu_model *model, struct realm_error *error)
{
    const uint32_t n_members = pool_n_members(model->backend->pool);
    const struct plan_kv kv = plan_kv(model->plan);
    const size_t value_bytes =
        (size_t)ATTENTION_MAX_QUERIES * kv_value_columns(kv.head_columns) * sizeof(float);
    const size_t query_bytes = align(ATTENTION_MAX_QUERIES * sizeof(struct attention_query));
    size_t alone_columns = 0;
    for (uint32_t i = 0; i < model->program.n_quantised; i++) {
        const size_t columns = model->program.quantised[i].columns;
        alone_columns = columns > alone_columns ? columns : alone_columns;
    }
    /* Values; scales and sums take less. */
    const size_t alone_bytes = align(ALONE_ROWS * alone_columns + PACK_SLACK_BYTES);
    const size_t gated_bytes =
        has_gated(&model->program) ? (size_t)GATED_FLOATS * sizeof(float) : 0;
    const size_t gated_offset = model->local_bytes + 2 * value_bytes + query_bytes;
    const size_t fixed = gated_offset + gated_bytes;
    const size_t adapter_offset = fixed + 3 * alone_bytes;
    const size_t each = adapter_offset + align(ADAPTER_BLOCK_ROWS * alone_columns * sizeof(float) +
                                               PACK_SLACK_BYTES);
    model->members = alloc_zeroed(ALLOC_SCRATCH, n_members, sizeof *model->members);
    model->member_memory_bytes = each * n_members;
    model->member_memory = alloc_pages(ALLOC_SCRATCH, model->member_memory_bytes);
    if (model->members == NULL || model->member_memory == NULL) {
        return realm_error_out_of_memory(error, each * n_members, "the threads' memory");
    }
    for (uint32_t i = 0; i < n_members; i++) {
        uint8_t *const bytes = model->member_memory + i * each;
        model->members[i] = (struct member_memory){
            .locals = (void *)bytes,
            .running = (void *)(bytes + model->local_bytes),
            .partial = (void *)(bytes + model->local_bytes + value_bytes),
            .queries = (void *)(bytes + model->local_bytes + 2 * value_bytes),
            .gated = (void *)(bytes + gated_offset),
            .adapter_rows = (void *)(bytes + adapter_offset),
            .alone = {.values = (void *)(bytes + fixed),
                      .scales = (void *)(bytes + fixed + alone_bytes),
                      .sums = (void *)(bytes + fixed + 2 * alone_bytes)},
        };
    }
    model->base.scratch_bytes = model->scratch_memory_bytes + model->member_memory_bytes;
    return REALM_OK;
}

/* Untouched, and so without cost, until a sequence has an adapter. */
static realm_status take_adapters(struct cpu_model *model, struct realm_error *error)
{
    const size_t row_bytes = ADAPTER_PRODUCT_FLOATS * sizeof(float);
    const size_t n_bytes = model->max_rows * row_bytes + PACK_SLACK_BYTES;
    model->adapter_products = alloc_pages(ALLOC_SCRATCH, n_bytes);
    if (model->adapter_products == NULL) {
        return realm_error_out_of_memory(error, n_bytes, "the adapters' products");
    }
    model->adapter_products_bytes = n_bytes;
    model->base.scratch_bytes += n_bytes;
    return REALM_OK;
}

/* For attention shared out by segments: a whole context's parts for a few blocks, within a bound.
 * What does not fit runs unshared. */
static realm_status take_split(struct cpu_model *model, uint32_t n_pages, struct realm_error *error)
{
    const uint32_t n_members = pool_n_members(model->backend->pool);
    if (n_members == 1) {
        return REALM_OK;
    }
    const struct plan_kv kv = plan_kv(model->plan);
    const uint64_t n_segments = n_pages / (ATTENTION_SEGMENT_TOKENS / PAGE_TOKENS) + 1;
    const uint64_t each =
        (uint64_t)model->attention_group * (kv_value_columns(kv.head_columns) + 2);
    model->max_split_items = SPLIT_ITEMS_PER_MEMBER * n_members;
    const uint64_t wanted = n_segments * each * model->max_split_items;
    model->split_floats = wanted < MAX_SPLIT_FLOATS ? (size_t)wanted : MAX_SPLIT_FLOATS;
    model->split_done =
        alloc_zeroed(ALLOC_SCRATCH, model->max_split_items, sizeof *model->split_done);
    model->split_memory = alloc_pages(ALLOC_SCRATCH, model->split_floats * sizeof(float));
    if (model->split_done == NULL || model->split_memory == NULL) {
        return realm_error_out_of_memory(
            error, model->split_floats * sizeof(float), "attention's parts");
    }
    model->base.scratch_bytes += model->split_floats * sizeof(float);
    return REALM_OK;
}

/* All but the weights. */
static realm_status take_memory(struct cpu_model *model,
                                const struct backend_model_options *options,
                                struct realm_error *error)
{
    const struct plan_kv kv = plan_kv(model->plan);
    REALM_TRY(take_step(model, error));
    REALM_TRY(take_scratch(model, error));
    REALM_TRY(take_members(model, error));
    REALM_TRY(take_adapters(model, error));
    REALM_TRY(take_split(model, options->n_pages, error));
    REALM_TRY(kv_store_init(&model->kv, &kv, options->kv_type, options->n_pages, error));
    model->base.kv_bytes = model->kv.n_bytes;
    return REALM_OK;
}

static realm_status prepare(struct cpu_model *model,
                            const struct weight_source *source,
                            const struct backend_model_options *options,
                            struct realm_error *error)
{
    REALM_TRY(check_options(model->plan, options, error));
    REALM_TRY(program_build(&model->program, model->plan, error));
    REALM_TRY(take_memory(model, options, error));
    REALM_TRY(cpu_weights_pack(model, source, options, error));
    return rope_tables_init(model, error);
}

realm_status cpu_prepare(struct backend *backend,
                         const struct plan *plan,
                         const struct weight_source *source,
                         const struct backend_model_options *options,
                         struct backend_model **out,
                         struct realm_error *error)
{
    struct cpu_model *const model = alloc_zeroed(ALLOC_MODEL, 1, sizeof *model);
    if (model == NULL) {
        return realm_error_out_of_memory(error, sizeof *model, "a model");
    }
    model->base.machine = backend->machine;
    model->backend = (struct cpu_backend *)backend;
    model->plan = plan;
    model->max_rows = options->max_rows;
    model->max_logits = options->max_logits;
    model->n_tokens = smallest_table(plan);
    cpu_attention_shape(plan, &model->attention_block_rows, &model->attention_group);
    const realm_status status = prepare(model, source, options, error);
    if (status != REALM_OK) {
        cpu_model_destroy(&model->base);
        return status;
    }
    *out = &model->base;
    return REALM_OK;
}

static void give_back(enum alloc_purpose purpose, void *block, size_t n_bytes)
{
    if (block != NULL) {
        alloc_pages_free(purpose, block, n_bytes);
    }
}

void cpu_model_destroy(struct backend_model *base)
{
    struct cpu_model *const model = (struct cpu_model *)base;
    for (uint32_t i = 0; i < BACKEND_MAX_ADAPTERS; i++) {
        cpu_adapter_destroy(base, i);
    }
    program_deinit(&model->program);
    kv_store_deinit(&model->kv);
    give_back(ALLOC_WEIGHTS, model->weight_memory, model->weight_memory_bytes);
    give_back(ALLOC_SCRATCH, model->scratch_memory, model->scratch_memory_bytes);
    give_back(ALLOC_SCRATCH, model->member_memory, model->member_memory_bytes);
    give_back(ALLOC_SCRATCH, model->adapter_products, model->adapter_products_bytes);
    give_back(ALLOC_SCRATCH, model->split_memory, model->split_floats * sizeof(float));
    alloc_free(model->split_done);
    alloc_free(model->members);
    alloc_free(model->step.rows);
    alloc_free(model->step.first_attention_block);
    alloc_free(model->step.counters);
    alloc_free(model->step.adapter_counters);
    alloc_free(model->step.adapters[SPAN_TOKENS].items);
    alloc_free(model->step.adapters[SPAN_LOGITS].items);
    alloc_free(model->profile);
    alloc_free(model->weights);
    alloc_free(model);
}
