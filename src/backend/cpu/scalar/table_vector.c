#include "backend/cpu/scalar/vector.h"

void cpu_kernels_scalar_vector(struct cpu_kernels *kernels)
{
    kernels->rms_norm = rms_norm_f32__scalar;
    kernels->silu_mul = silu_mul_f32__scalar;
    kernels->gelu_mul = gelu_mul_f32__scalar;
    kernels->add = add_f32__scalar;
    kernels->rope = rope_f32__scalar;
    kernels->attention = attention_f32_f16__scalar;
    kernels->kv_write = kv_write_f16__scalar;
}
