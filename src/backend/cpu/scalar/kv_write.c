#include "backend/cpu/half_inline.h"
#include "backend/cpu/scalar/vector.h"

#define HALF_NAN 0x7e00u
#define Q8_MOST  127.0f
#define Q4_MOST  15.0f
/* Added and taken away again it rounds to the nearest even integer; for magnitudes under 2^22. */
#define ROUNDER 0x1.8p23f

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

void kv_write_bf16__scalar(const float *key,
                           const float *value,
                           uint32_t head_columns,
                           uint32_t slot,
                           uint8_t *keys,
                           uint8_t *values)
{
    const uint32_t value_columns = kv_value_columns(head_columns);
    uint16_t *const key_numbers = (uint16_t *)(void *)keys;
    uint16_t *const value_numbers = (uint16_t *)(void *)values + (size_t)slot * value_columns;
    for (uint32_t c = 0; c < head_columns; c++) {
        key_numbers[c * KV_PAGE_TOKENS + slot] = bf16_from_float_clamped(key[c]);
        value_numbers[c] = bf16_from_float_clamped(value[c]);
    }
    for (uint32_t c = head_columns; c < value_columns; c++) {
        value_numbers[c] = 0;
    }
}

/* Of the block that begins at column c. */
static uint32_t block_columns(uint32_t head_columns, uint32_t c)
{
    const uint32_t left = head_columns - c;
    return left < KV_BLOCK_COLUMNS ? left : KV_BLOCK_COLUMNS;
}

/* n columns to 8 bits; returns their scale, an F16. */
static uint16_t quantise_block(const float *x, uint32_t n, int8_t *out)
{
    float most = 0.0f;
    bool numbers = true;
    for (uint32_t i = 0; i < n; i++) {
        const float magnitude = x[i] < 0.0f ? -x[i] : x[i];
        numbers = numbers && x[i] == x[i];
        most = magnitude > most ? magnitude : most;
    }
    const uint16_t scale = numbers ? half_from_float_clamped(most / Q8_MOST) : HALF_NAN;
    const float factor = numbers && scale != 0 ? 1.0f / half_to_float(scale) : 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        const float scaled = numbers ? x[i] * factor : 0.0f;
        const float above = scaled > -Q8_MOST ? scaled : -Q8_MOST;
        const float within = above < Q8_MOST ? above : Q8_MOST;
        out[i] = (int8_t)(within + ROUNDER - ROUNDER);
    }
    return scale;
}

/* A head's key to 8 bits. */
static void write_key(const float *key, uint32_t head_columns, uint32_t slot, uint8_t *keys)
{
    uint16_t *const scales = (void *)(keys + (size_t)head_columns * KV_PAGE_TOKENS);
    for (uint32_t c = 0; c < head_columns; c += KV_BLOCK_COLUMNS) {
        int8_t column[KV_BLOCK_COLUMNS];
        const uint32_t n = block_columns(head_columns, c);
        scales[c / KV_BLOCK_COLUMNS * KV_PAGE_TOKENS + slot] = quantise_block(key + c, n, column);
        for (uint32_t i = 0; i < n; i++) {
            keys[(c + i) * KV_PAGE_TOKENS + slot] = (uint8_t)column[i];
        }
    }
}

void kv_write_q8_0__scalar(const float *key,
                           const float *value,
                           uint32_t head_columns,
                           uint32_t slot,
                           uint8_t *keys,
                           uint8_t *values)
{
    const uint32_t value_columns = kv_value_columns(head_columns);
    uint16_t *const scales = (uint16_t *)(void *)(values + (size_t)value_columns * KV_PAGE_TOKENS) +
                             (size_t)slot * kv_blocks(head_columns);
    int8_t *const numbers = (int8_t *)values + (size_t)slot * value_columns;
    write_key(key, head_columns, slot, keys);
    for (uint32_t c = 0; c < head_columns; c += KV_BLOCK_COLUMNS) {
        const uint32_t n = block_columns(head_columns, c);
        scales[c / KV_BLOCK_COLUMNS] = quantise_block(value + c, n, numbers + c);
    }
    for (uint32_t c = head_columns; c < value_columns; c++) {
        numbers[c] = 0;
    }
}

/* Within what an F16 holds; NaN stays. */
static float clamp_to_half(float x)
{
    const float below = x > HALF_MAX ? HALF_MAX : x;
    return below < -HALF_MAX ? -HALF_MAX : below;
}

/* n columns to numbers of 4 bits, still a byte each; their scale and min. */
static void quantise_nibbles(const float *x, uint32_t n, uint8_t *bits, uint16_t *scale_min)
{
    float least = clamp_to_half(x[0]);
    float most = least;
    bool numbers = true;
    for (uint32_t i = 0; i < n; i++) {
        const float number = clamp_to_half(x[i]);
        numbers = numbers && number == number;
        least = number < least ? number : least;
        most = number > most ? number : most;
    }
    scale_min[0] = numbers ? half_from_float_clamped((most - least) / Q4_MOST) : HALF_NAN;
    scale_min[1] = numbers ? half_from_float_clamped(least) : HALF_NAN;
    const float min = half_to_float(scale_min[1]);
    const float factor = numbers && scale_min[0] != 0 ? 1.0f / half_to_float(scale_min[0]) : 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        const float scaled = numbers ? (clamp_to_half(x[i]) - min) * factor : 0.0f;
        const float above = scaled > 0.0f ? scaled : 0.0f;
        const float within = above < Q4_MOST ? above : Q4_MOST;
        bits[i] = (uint8_t)(within + ROUNDER - ROUNDER);
    }
}

void kv_write_q8_0_q4_1__scalar(const float *key,
                                const float *value,
                                uint32_t head_columns,
                                uint32_t slot,
                                uint8_t *keys,
                                uint8_t *values)
{
    const size_t row_bytes = kv_value_columns(head_columns) / 2;
    uint16_t *const scales = (uint16_t *)(void *)(values + row_bytes * KV_PAGE_TOKENS) +
                             (size_t)slot * kv_blocks(head_columns) * 2;
    uint8_t *const row = values + slot * row_bytes;
    write_key(key, head_columns, slot, keys);
    for (uint32_t c = 0; c < head_columns; c += KV_BLOCK_COLUMNS) {
        uint8_t bits[KV_BLOCK_COLUMNS] = {0};
        const uint32_t n = block_columns(head_columns, c);
        quantise_nibbles(value + c, n, bits, scales + c / KV_BLOCK_COLUMNS * 2);
        for (uint32_t i = 0; i < kv_value_columns(n) / 2; i++) {
            const uint8_t *const low = bits + i / 8 * 16 + i % 8;
            row[c / 2 + i] = (uint8_t)(low[0] | low[8] << 4);
        }
    }
}
