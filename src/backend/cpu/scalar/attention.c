#include "backend/cpu/exp_inline.h"
#include "backend/cpu/scalar/kv_number.h"
#include "backend/cpu/scalar/vector.h"

static const uint8_t *page_of(const struct attention_call *call, uint32_t offset)
{
    return call->kv + call->pages[offset / KV_PAGE_TOKENS] * call->page_stride;
}

static float
score(const struct attention_call *call, const float *q, uint32_t offset, enum kv_type type)
{
    const uint8_t *const keys = page_of(call, offset);
    float sum = 0.0f;
    for (uint32_t c = 0; c < call->head_columns; c++) {
        sum += q[c] * kv_key(keys, type, call->head_columns, offset % KV_PAGE_TOKENS, c);
    }
    return sum * call->scale;
}

static void
attend(const struct attention_call *call, struct attention_query *query, enum kv_type type)
{
    float weights[ATTENTION_SEGMENT_TOKENS];
    const uint32_t begin = query->begin - call->first_position;
    const uint32_t end = query->end - call->first_position;
    const uint32_t value_columns = kv_value_columns(call->head_columns);
    for (uint32_t t = begin; t < end; t++) {
        weights[t] = score(call, query->q, t, type);
        query->max = t == begin || weights[t] > query->max ? weights[t] : query->max;
    }
    query->sum = 0.0f;
    for (uint32_t c = 0; c < value_columns; c++) {
        query->values[c] = 0.0f;
    }
    for (uint32_t t = begin; t < end; t++) {
        const float weight = exp_scalar(weights[t] - query->max);
        const uint8_t *const values = page_of(call, t) + call->values_offset;
        query->sum += weight;
        for (uint32_t c = 0; c < call->head_columns; c++) {
            query->values[c] +=
                weight * kv_value(values, type, call->head_columns, t % KV_PAGE_TOKENS, c);
        }
    }
}

static inline void attend_all(const struct attention_call *call, enum kv_type type)
{
    for (uint32_t i = 0; i < call->n_queries; i++) {
        attend(call, &call->queries[i], type);
    }
}

void attention_f32_f16__scalar(const struct attention_call *call)
{
    attend_all(call, KV_F16);
}

void attention_f32_bf16__scalar(const struct attention_call *call)
{
    attend_all(call, KV_BF16);
}

void attention_f32_q8_0__scalar(const struct attention_call *call)
{
    attend_all(call, KV_Q8_0);
}

void attention_f32_q8_0_q4_1__scalar(const struct attention_call *call)
{
    attend_all(call, KV_Q8_0_Q4_1);
}
