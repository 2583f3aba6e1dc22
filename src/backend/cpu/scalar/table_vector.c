#include "backend/cpu/scalar/vector.h"

void cpu_kernels_scalar_vector(struct cpu_kernels *kernels)
{
    kernels->rms_norm = rms_norm_f32__scalar;
    kernels->silu_mul = silu_mul_f32__scalar;
    kernels->gelu_mul = gelu_mul_f32__scalar;
    kernels->add = add_f32__scalar;
    kernels->rope = rope_f32__scalar;
    kernels->attention[KV_F16] = attention_f32_f16__scalar;
    kernels->attention[KV_BF16] = attention_f32_bf16__scalar;
    kernels->attention[KV_Q8_0] = attention_f32_q8_0__scalar;
    kernels->attention[KV_Q8_0_Q4_1] = attention_f32_q8_0_q4_1__scalar;
    kernels->kv_write[KV_F16] = kv_write_f16__scalar;
    kernels->kv_write[KV_BF16] = kv_write_bf16__scalar;
    kernels->kv_write[KV_Q8_0] = kv_write_q8_0__scalar;
    kernels->kv_write[KV_Q8_0_Q4_1] = kv_write_q8_0_q4_1__scalar;
}
