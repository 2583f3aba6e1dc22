#include "backend/cpu/avx2/vector.h"

void cpu_kernels_avx2_vector(struct cpu_kernels *kernels)
{
    kernels->rms_norm = rms_norm_f32__avx2;
    kernels->silu_mul = silu_mul_f32__avx2;
    kernels->gelu_mul = gelu_mul_f32__avx2;
    kernels->add = add_f32__avx2;
    kernels->rope = rope_f32__avx2;
    kernels->attention = attention_f32_f16__avx2;
    kernels->kv_write = kv_write_f16__avx2;
}
