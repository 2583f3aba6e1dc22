#include "backend/cpu/model.h"
#include "base/alloc.h"
#include "base/checked.h"

#include <string.h>

#define CACHE_LINE_BYTES 64u

_Static_assert(KV_PAGE_TOKENS == PAGE_TOKENS, "kernels and batches cut pages alike");

static size_t head_bytes(const struct plan_kv *kv, enum kv_type type)
{
    return kv_keys_bytes(type, kv->head_columns) + kv_values_bytes(type, kv->head_columns);
}

uint64_t backend_page_bytes(const struct plan_kv *kv, enum kv_type type)
{
    return (uint64_t)kv->n_layers * kv->n_kv_heads * head_bytes(kv, type);
}

realm_status kv_store_init(struct kv_store *store,
                           const struct plan_kv *kv,
                           enum kv_type type,
                           uint32_t n_pages,
                           struct realm_error *error)
{
    *store = (struct kv_store){
        .type = type,
        .head_bytes = head_bytes(kv, type),
        .values_offset = kv_keys_bytes(type, kv->head_columns),
        .n_pages = n_pages,
        .n_layers = kv->n_layers,
        .n_kv_heads = kv->n_kv_heads,
        .head_columns = kv->head_columns,
    };
    size_t n_bytes;
    if (!checked_mul_size(store->head_bytes, kv->n_kv_heads, &store->layer_bytes) ||
        !checked_mul_size(store->layer_bytes, kv->n_layers, &store->page_bytes) ||
        !checked_mul_size(store->page_bytes, n_pages, &n_bytes) ||
        !checked_add_size(n_bytes, PACK_SLACK_BYTES, &n_bytes)) {
        return realm_error_set(error,
                               REALM_OUT_OF_MEMORY,
                               "%u KV pages of %llu bytes are more than memory can hold",
                               n_pages,
                               (unsigned long long)backend_page_bytes(kv, type));
    }
    store->bytes = alloc_pages(ALLOC_KV, n_bytes);
    if (store->bytes == NULL) {
        return realm_error_out_of_memory(error, n_bytes, "the KV pages");
    }
    store->n_bytes = n_bytes;
    return REALM_OK;
}

void kv_store_deinit(struct kv_store *store)
{
    if (store->bytes != NULL) {
        alloc_pages_free(ALLOC_KV, store->bytes, store->n_bytes);
        store->bytes = NULL;
    }
}

/* Whole pages: the slots past n_tokens are written before they are seen.  A member does all copies
 * of a layer, in order, so that a page may be copied on. */
void kv_store_copy_pages(const struct kv_store *store,
                         const struct batch *batch,
                         struct pool_counter *counter)
{
    uint32_t layer;
    uint32_t end;
    while (pool_next(counter, store->n_layers, 1, &layer, &end)) {
        uint8_t *const pages = kv_store_head(store, layer, 0);
        for (uint32_t i = 0; i < batch->n_copies; i++) {
            const struct page_copy *const copy = &batch->copies[i];
            if (copy->from != copy->to) {
                memcpy(pages + copy->to * store->page_bytes,
                       pages + copy->from * store->page_bytes,
                       store->layer_bytes);
            }
        }
    }
}

/* A layer's first head of the page that the row writes to. */
static uint8_t *row_page(const struct row_work *work, const struct row_op *op)
{
    const struct cpu_model *const model = work->model;
    const struct kv_store *const store = &model->kv;
    const struct row_info info = model->step.rows[work->row];
    const page_id page =
        model->step.batch->sequences[info.sequence].pages[info.position / PAGE_TOKENS];
    const uint32_t layer = op->op->attributes.attention.layer;
    return kv_store_head(store, layer, 0) + page * store->page_bytes;
}

/* A transposed key meets every line of its page's keys.  Where rows before this one have not
 * brought them, memory is asked before the row's rotations, which take as long. */
void row_kv_fetch(const struct row_work *work, const struct row_op *op)
{
    const struct kv_store *const store = &work->model->kv;
    const struct row_info *const info = &work->model->step.rows[work->row];
    if (work->row > 0 && info[-1].sequence == info->sequence && info->position % PAGE_TOKENS != 0) {
        return;
    }
    const uint8_t *const page = row_page(work, op);
    const size_t value_bytes = (store->head_bytes - store->values_offset) / PAGE_TOKENS;
    for (uint32_t head = 0; head < store->n_kv_heads; head++) {
        const uint8_t *const keys = page + head * store->head_bytes;
        const uint8_t *const value =
            keys + store->values_offset + info->position % PAGE_TOKENS * value_bytes;
        for (size_t i = 0; i < store->values_offset; i += CACHE_LINE_BYTES) {
            __builtin_prefetch(keys + i, 1);
        }
        for (size_t i = 0; i < value_bytes; i += CACHE_LINE_BYTES) {
            __builtin_prefetch(value + i, 1);
        }
    }
}

void row_kv_write(const struct row_work *work, const struct row_op *op)
{
    const struct cpu_model *const model = work->model;
    const struct kv_store *const store = &model->kv;
    const uint32_t slot = model->step.rows[work->row].position % PAGE_TOKENS;
    uint8_t *const page = row_page(work, op);
    const float *const key = row_address(work, op->a);
    const float *const value = row_address(work, op->b);
    for (uint32_t head = 0; head < store->n_kv_heads; head++) {
        uint8_t *const bytes = page + head * store->head_bytes;
        model->backend->kernels.kv_write[store->type](key + (size_t)head * store->head_columns,
                                                      value + (size_t)head * store->head_columns,
                                                      store->head_columns,
                                                      slot,
                                                      bytes,
                                                      bytes + store->values_offset);
    }
}
