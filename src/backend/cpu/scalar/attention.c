#include "backend/cpu/exp_inline.h"
#include "backend/cpu/half_inline.h"
#include "backend/cpu/scalar/vector.h"

static const uint16_t *page_keys(const struct attention_call *call, uint32_t page)
{
    return (const void *)(call->kv + call->pages[page] * call->page_stride);
}

static const uint16_t *page_values(const struct attention_call *call, uint32_t page)
{
    const uint8_t *const bytes = call->kv + call->pages[page] * call->page_stride;
    return (const void *)(bytes + call->values_offset);
}

static float score(const struct attention_call *call, const float *q, uint32_t offset)
{
    const uint16_t *const keys = page_keys(call, offset / KV_PAGE_TOKENS);
    float sum = 0.0f;
    for (uint32_t c = 0; c < call->head_columns; c++) {
        sum += q[c] * half_to_float(keys[c * KV_PAGE_TOKENS + offset % KV_PAGE_TOKENS]);
    }
    return sum * call->scale;
}

static void attend(const struct attention_call *call, struct attention_query *query)
{
    float weights[ATTENTION_SEGMENT_TOKENS];
    const uint32_t begin = query->begin - call->first_position;
    const uint32_t end = query->end - call->first_position;
    const uint32_t value_columns = kv_value_columns(call->head_columns);
    for (uint32_t t = begin; t < end; t++) {
        weights[t] = score(call, query->q, t);
        query->max = t == begin || weights[t] > query->max ? weights[t] : query->max;
    }
    query->sum = 0.0f;
    for (uint32_t c = 0; c < value_columns; c++) {
        query->values[c] = 0.0f;
    }
    for (uint32_t t = begin; t < end; t++) {
        const float weight = exp_scalar(weights[t] - query->max);
        const uint16_t *const values =
            page_values(call, t / KV_PAGE_TOKENS) + (size_t)(t % KV_PAGE_TOKENS) * value_columns;
        query->sum += weight;
        for (uint32_t c = 0; c < value_columns; c++) {
            query->values[c] += weight * half_to_float(values[c]);
        }
    }
}

void attention_f32_f16__scalar(const struct attention_call *call)
{
    for (uint32_t i = 0; i < call->n_queries; i++) {
        attend(call, &call->queries[i]);
    }
}

void kv_write_f16__scalar(const float *key,
                          const float *value,
                          uint32_t head_columns,
                          uint32_t slot,
                          uint8_t *keys,
                          uint8_t *values)
{
    const uint32_t value_columns = kv_value_columns(head_columns);
    uint16_t *const key_halves = (uint16_t *)(void *)keys;
    uint16_t *const value_halves = (uint16_t *)(void *)values + (size_t)slot * value_columns;
    for (uint32_t c = 0; c < head_columns; c++) {
        key_halves[c * KV_PAGE_TOKENS + slot] = half_from_float_clamped(key[c]);
        value_halves[c] = half_from_float_clamped(value[c]);
    }
    for (uint32_t c = head_columns; c < value_columns; c++) {
        value_halves[c] = 0;
    }
}
