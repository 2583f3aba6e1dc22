#include "backend/cpu/neondot/vector.h"

void cpu_kernels_neondot_vector(struct cpu_kernels *kernels)
{
    kernels->rms_norm = rms_norm_f32__neondot;
    kernels->silu_mul = silu_mul_f32__neondot;
    kernels->gelu_mul = gelu_mul_f32__neondot;
    kernels->add = add_f32__neondot;
    kernels->rope = rope_f32__neondot;
    kernels->attention = attention_f32_f16__neondot;
    kernels->kv_write = kv_write_f16__neondot;
}
