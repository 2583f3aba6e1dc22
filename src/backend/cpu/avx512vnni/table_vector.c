#include "backend/cpu/avx512vnni/vector.h"

void cpu_kernels_avx512vnni_vector(struct cpu_kernels *kernels)
{
    kernels->rms_norm = rms_norm_f32__avx512vnni;
    kernels->silu_mul = silu_mul_f32__avx512vnni;
    kernels->gelu_mul = gelu_mul_f32__avx512vnni;
    kernels->attention[KV_F16] = attention_f32_f16__avx512vnni;
    kernels->attention[KV_BF16] = attention_f32_bf16__avx512vnni;
    kernels->attention[KV_Q8_0] = attention_f32_q8_0__avx512vnni;
    kernels->attention[KV_Q8_0_Q4_1] = attention_f32_q8_0_q4_1__avx512vnni;
}
