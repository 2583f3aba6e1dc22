#include "backend/cpu/avx2/vector.h"

void cpu_kernels_avx2_vector(struct cpu_kernels *kernels)
{
    kernels->rms_norm = rms_norm_f32__avx2;
    kernels->silu_mul = silu_mul_f32__avx2;
    kernels->gelu_mul = gelu_mul_f32__avx2;
    kernels->add = add_f32__avx2;
    kernels->rope = rope_f32__avx2;
    kernels->attention[KV_F16] = attention_f32_f16__avx2;
    kernels->attention[KV_BF16] = attention_f32_bf16__avx2;
    kernels->attention[KV_Q8_0] = attention_f32_q8_0__avx2;
    kernels->attention[KV_Q8_0_Q4_1] = attention_f32_q8_0_q4_1__avx2;
    kernels->kv_write[KV_F16] = kv_write_f16__avx2;
}
