/* The functions of each type, for the table in quant.c. Contracts: struct quant_type. */
#ifndef REALM_QUANT_TYPES_H
#define REALM_QUANT_TYPES_H

#include <stddef.h>

#define QUANT_TYPE_FUNCTIONS(name)                                                                 \
    void dequantise_##name(const void *blocks, float *out, size_t n);                              \
    void quantise_##name(const float *values, const float *importance, void *out, size_t n)

QUANT_TYPE_FUNCTIONS(f32);
QUANT_TYPE_FUNCTIONS(f16);
QUANT_TYPE_FUNCTIONS(bf16);
QUANT_TYPE_FUNCTIONS(q4_0);
QUANT_TYPE_FUNCTIONS(q4_1);
QUANT_TYPE_FUNCTIONS(q5_0);
QUANT_TYPE_FUNCTIONS(q5_1);
QUANT_TYPE_FUNCTIONS(q8_0);
QUANT_TYPE_FUNCTIONS(q8_1);
QUANT_TYPE_FUNCTIONS(q2_k);
QUANT_TYPE_FUNCTIONS(q3_k);
QUANT_TYPE_FUNCTIONS(q4_k);
QUANT_TYPE_FUNCTIONS(q5_k);
QUANT_TYPE_FUNCTIONS(q6_k);
QUANT_TYPE_FUNCTIONS(q8_k);

#endif
