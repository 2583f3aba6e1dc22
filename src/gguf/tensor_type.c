#include "gguf/tensor_type.h"

#include "base/checked.h"

/* Sizes as the format has them: a scale, sometimes a minimum, then the packed numbers. */
static const struct tensor_type_info types[] = {
    {TENSOR_F32, "F32", 1, 4, false},
    {TENSOR_F16, "F16", 1, 2, false},
    {TENSOR_Q4_0, "Q4_0", 32, 2 + 16, true},
    {TENSOR_Q4_1, "Q4_1", 32, 2 + 2 + 16, true},
    {TENSOR_Q5_0, "Q5_0", 32, 2 + 4 + 16, true},
    {TENSOR_Q5_1, "Q5_1", 32, 2 + 2 + 4 + 16, true},
    {TENSOR_Q8_0, "Q8_0", 32, 2 + 32, true},
    {TENSOR_Q8_1, "Q8_1", 32, 2 + 2 + 32, true},
    {TENSOR_Q2_K, "Q2_K", 256, 16 + 64 + 2 + 2, true},
    {TENSOR_Q3_K, "Q3_K", 256, 32 + 64 + 12 + 2, true},
    {TENSOR_Q4_K, "Q4_K", 256, 2 + 2 + 12 + 128, true},
    {TENSOR_Q5_K, "Q5_K", 256, 2 + 2 + 12 + 32 + 128, true},
    {TENSOR_Q6_K, "Q6_K", 256, 128 + 64 + 16 + 2, true},
    {TENSOR_Q8_K, "Q8_K", 256, 4 + 256 + 2 * 16, true},
    {TENSOR_I8, "I8", 1, 1, false},
    {TENSOR_I16, "I16", 1, 2, false},
    {TENSOR_I32, "I32", 1, 4, false},
    {TENSOR_I64, "I64", 1, 8, false},
    {TENSOR_F64, "F64", 1, 8, false},
    {TENSOR_BF16, "BF16", 1, 2, false},
};

#define N_TYPES (sizeof(types) / sizeof(types[0]))

const struct tensor_type_info *tensor_type_find(uint32_t id)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        if ((uint32_t)types[i].type == id) {
            return &types[i];
        }
    }
    return NULL;
}

static char upper_case(char c)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (c >= 'a' && c <= 'z') {
        return letters[c - 'a'];
    }
    return c;
}

static bool same_name(const char *name, const char *upper_name)
{
    size_t i = 0;
    while (name[i] != '\0' && upper_case(name[i]) == upper_name[i]) {
        i++;
    }
    return name[i] == '\0' && upper_name[i] == '\0';
}

const struct tensor_type_info *tensor_type_find_name(const char *name)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        if (same_name(name, types[i].name)) {
            return &types[i];
        }
    }
    return NULL;
}

const char *tensor_type_name(enum tensor_type type)
{
    const struct tensor_type_info *info = tensor_type_find((uint32_t)type);
    return info != NULL ? info->name : NULL;
}

bool tensor_type_row_bytes(enum tensor_type type, uint64_t n_elements, uint64_t *out)
{
    const struct tensor_type_info *info = tensor_type_find((uint32_t)type);
    return info != NULL && n_elements % info->block_length == 0 &&
           checked_mul_u64(n_elements / info->block_length, info->block_bytes, out);
}
