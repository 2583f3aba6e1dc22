#include "backend/cpu/neondot/vector.h"

void cpu_kernels_neondot_vector(struct cpu_kernels *kernels)
{
    kernels->rms_norm = rms_norm_f32__neondot;
    kernels->silu_mul = silu_mul_f32__neondot;
    kernels->gelu_mul = gelu_mul_f32__neondot;
    kernels->add = add_f32__neondot;
    kernels->rope = rope_f32__neondot;
    kernels->attention[KV_F16] = attention_f32_f16__neondot;
    kernels->attention[KV_BF16] = attention_f32_bf16__neondot;
    kernels->attention[KV_Q8_0] = attention_f32_q8_0__neondot;
    kernels->attention[KV_Q8_0_Q4_1] = attention_f32_q8_0_q4_1__neondot;
    kernels->kv_write[KV_F16] = kv_write_f16__neondot;
}
