/* The scalar twins of the kernels that work on rows of F32 and on KV pages; contracts in kernels.h.
 */
#ifndef REALM_BACKEND_CPU_SCALAR_VECTOR_H
#define REALM_BACKEND_CPU_SCALAR_VECTOR_H

#include "backend/cpu/kernels.h"

void rms_norm_f32__scalar(
    const float *x, const float *weight, uint32_t n, float epsilon, float *out);
void rope_f32__scalar(
    float *head, const float *cosines, const float *sines, uint32_t n_pairs, bool adjacent);
void silu_mul_f32__scalar(const float *a, const float *b, uint32_t n, float *out);
void gelu_mul_f32__scalar(const float *a, const float *b, uint32_t n, float *out);
void add_f32__scalar(const float *a, const float *b, uint32_t n, float *out);
void attention_f32_f16__scalar(const struct attention_call *call);
void attention_f32_bf16__scalar(const struct attention_call *call);
void attention_f32_q8_0__scalar(const struct attention_call *call);
void attention_f32_q8_0_q4_1__scalar(const struct attention_call *call);
void kv_write_f16__scalar(const float *key,
                          const float *value,
                          uint32_t head_columns,
                          uint32_t slot,
                          uint8_t *keys,
                          uint8_t *values);
void kv_write_bf16__scalar(const float *key,
                           const float *value,
                           uint32_t head_columns,
                           uint32_t slot,
                           uint8_t *keys,
                           uint8_t *values);
void kv_write_q8_0__scalar(const float *key,
                           const float *value,
                           uint32_t head_columns,
                           uint32_t slot,
                           uint8_t *keys,
                           uint8_t *values);
void kv_write_q8_0_q4_1__scalar(const float *key,
                                const float *value,
                                uint32_t head_columns,
                                uint32_t slot,
                                uint8_t *keys,
                                uint8_t *values);

#endif
