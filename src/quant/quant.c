#include "quant/quant.h"

#include "quant/types.h"

static const struct quant_type types[] = {
    {TENSOR_F32, dequantise_f32, quantise_f32},
    {TENSOR_F16, dequantise_f16, quantise_f16},
    {TENSOR_BF16, dequantise_bf16, quantise_bf16},
    {TENSOR_Q4_0, dequantise_q4_0, quantise_q4_0},
    {TENSOR_Q4_1, dequantise_q4_1, quantise_q4_1},
    {TENSOR_Q5_0, dequantise_q5_0, quantise_q5_0},
    {TENSOR_Q5_1, dequantise_q5_1, quantise_q5_1},
    {TENSOR_Q8_0, dequantise_q8_0, quantise_q8_0},
    {TENSOR_Q8_1, dequantise_q8_1, quantise_q8_1},
    {TENSOR_Q2_K, dequantise_q2_k, quantise_q2_k},
    {TENSOR_Q3_K, dequantise_q3_k, quantise_q3_k},
    {TENSOR_Q4_K, dequantise_q4_k, quantise_q4_k},
    {TENSOR_Q5_K, dequantise_q5_k, quantise_q5_k},
    {TENSOR_Q6_K, dequantise_q6_k, quantise_q6_k},
    {TENSOR_Q8_K, dequantise_q8_k, quantise_q8_k},
};

const struct quant_type *quant_find(enum tensor_type type)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i].type == type) {
            return &types[i];
        }
    }
    return NULL;
}
