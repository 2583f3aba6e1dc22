/* Block layouts as the GGUF format publishes them, little-endian, without padding. */
#ifndef REALM_QUANT_BLOCKS_H
#define REALM_QUANT_BLOCKS_H

#include <assert.h>
#include <stdint.h>

#define BLOCK_LEGACY 32
#define BLOCK_K      256

/* F16 bits; scales and mins are stored in it. */
typedef uint16_t f16_bits;

struct block_q4_0 {
    f16_bits scale;
    uint8_t low[16]; /* value j in the low nibble of byte j, value j + 16 in the high one */
};
struct block_q4_1 {
    f16_bits scale;
    f16_bits min;
    uint8_t low[16];
};
struct block_q5_0 {
    f16_bits scale;
    uint8_t high[4]; /* bit j: the fifth bit of value j */
    uint8_t low[16];
};
struct block_q5_1 {
    f16_bits scale;
    f16_bits min;
    uint8_t high[4];
    uint8_t low[16];
};
struct block_q8_0 {
    f16_bits scale;
    int8_t values[32];
};
struct block_q8_1 {
    f16_bits scale;
    f16_bits sum; /* scale * sum of the values */
    int8_t values[32];
};
struct block_q2_k {
    uint8_t scales[16]; /* of 16 values each: scale in the low nibble, min in the high one */
    uint8_t low[64];
    f16_bits scale;
    f16_bits min;
};
struct block_q3_k {
    uint8_t high[32]; /* bit g of byte j: the third bit of value 32 g + j */
    uint8_t low[64];
    uint8_t scales[12]; /* 16 of 6 bits, see k3.c */
    f16_bits scale;
};
struct block_q4_k {
    f16_bits scale;
    f16_bits min;
    uint8_t scales[12]; /* 8 scales and 8 mins of 6 bits, see k_scales.h */
    uint8_t low[128];
};
struct block_q5_k {
    f16_bits scale;
    f16_bits min;
    uint8_t scales[12];
    uint8_t high[32]; /* bit g of byte j: the fifth bit of value 32 g + j */
    uint8_t low[128];
};
struct block_q6_k {
    uint8_t low[128];
    uint8_t high[64];
    int8_t scales[16];
    f16_bits scale;
};
struct block_q8_k {
    float scale;
    int8_t values[256];
    int16_t sums[16]; /* of 16 values each */
};

static_assert(sizeof(struct block_q4_0) == 18, "as published");
static_assert(sizeof(struct block_q4_1) == 20, "as published");
static_assert(sizeof(struct block_q5_0) == 22, "as published");
static_assert(sizeof(struct block_q5_1) == 24, "as published");
static_assert(sizeof(struct block_q8_0) == 34, "as published");
static_assert(sizeof(struct block_q8_1) == 36, "as published");
static_assert(sizeof(struct block_q2_k) == 84, "as published");
static_assert(sizeof(struct block_q3_k) == 110, "as published");
static_assert(sizeof(struct block_q4_k) == 144, "as published");
static_assert(sizeof(struct block_q5_k) == 176, "as published");
static_assert(sizeof(struct block_q6_k) == 210, "as published");
static_assert(sizeof(struct block_q8_k) == 292, "as published");

#endif
