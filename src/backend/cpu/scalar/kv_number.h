/* One number of a KV page as F32; the layout is drawn in kernels.h. */
#ifndef REALM_BACKEND_CPU_SCALAR_KV_NUMBER_H
#define REALM_BACKEND_CPU_SCALAR_KV_NUMBER_H

#include "backend/cpu/half_inline.h"
#include "backend/cpu/kernels.h"

/* Number `index` of `numbers`; of 8 bits with the scale that has index `scale` behind n_numbers. */
static inline float
kv_number(const uint8_t *numbers, enum kv_type type, size_t index, size_t n_numbers, size_t scale)
{
    const uint16_t *const halves = (const void *)numbers;
    switch (type) {
    case KV_F16:
        return half_to_float(halves[index]);
    case KV_BF16:
        return bf16_to_float(halves[index]);
    default:
        break;
    }
    const uint16_t *const scales = (const void *)(numbers + n_numbers);
    return (float)(int8_t)numbers[index] * half_to_float(scales[scale]);
}

static inline float
kv_key(const uint8_t *keys, enum kv_type type, uint32_t head_columns, uint32_t slot, uint32_t c)
{
    return kv_number(keys,
                     kv_key_type(type),
                     (size_t)c * KV_PAGE_TOKENS + slot,
                     (size_t)head_columns * KV_PAGE_TOKENS,
                     (size_t)c / KV_BLOCK_COLUMNS * KV_PAGE_TOKENS + slot);
}

static inline float
kv_value_q4_1(const uint8_t *values, uint32_t head_columns, uint32_t slot, uint32_t c)
{
    const size_t row_bytes = kv_value_columns(head_columns) / 2;
    const uint16_t *const scales = (const void *)(values + row_bytes * KV_PAGE_TOKENS);
    const uint16_t *const of =
        scales + 2 * ((size_t)slot * kv_blocks(head_columns) + c / KV_BLOCK_COLUMNS);
    const uint8_t both = values[slot * row_bytes + (size_t)c / 16 * 8 + c % 8];
    const uint32_t bits = c % 16 < 8 ? both & 15u : both >> 4;
    return (float)bits * half_to_float(of[0]) + half_to_float(of[1]);
}

static inline float
kv_value(const uint8_t *values, enum kv_type type, uint32_t head_columns, uint32_t slot, uint32_t c)
{
    const size_t value_columns = kv_value_columns(head_columns);
    if (type == KV_Q8_0_Q4_1) {
        return kv_value_q4_1(values, head_columns, slot, c);
    }
    return kv_number(values,
                     type,
                     slot * value_columns + c,
                     value_columns * KV_PAGE_TOKENS,
                     (size_t)slot * kv_blocks(head_columns) + c / KV_BLOCK_COLUMNS);
}

#endif
