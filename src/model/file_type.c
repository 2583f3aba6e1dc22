#include "model/file_type.h"

#include <stddef.h>

/* Values of general.file_type, as the tools that write GGUF have them. */
static const struct {
    uint32_t id;
    const char *name;
} file_types[] = {
    {0, "F32"},
    {1, "F16"},
    {2, "Q4_0"},
    {3, "Q4_1"},
    {7, "Q8_0"},
    {8, "Q5_0"},
    {9, "Q5_1"},
    {10, "Q2_K"},
    {11, "Q3_K_S"},
    {12, "Q3_K_M"},
    {13, "Q3_K_L"},
    {14, "Q4_K_S"},
    {15, "Q4_K_M"},
    {16, "Q5_K_S"},
    {17, "Q5_K_M"},
    {18, "Q6_K"},
    {21, "Q2_K_S"},
    {32, "BF16"},
};

#define MAX_TYPE_ID 64

static const char *commonest_type(const struct gguf *gguf)
{
    uint64_t n_elements[MAX_TYPE_ID] = {0};
    uint32_t commonest = TENSOR_F32;
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        const struct gguf_tensor *const t = gguf_tensor_at(gguf, i);
        const uint32_t type = (uint32_t)t->type;
        if (type >= MAX_TYPE_ID) {
            continue;
        }
        n_elements[type] += t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3];
        if (n_elements[type] > n_elements[commonest]) {
            commonest = type;
        }
    }
    const struct tensor_type_info *const info = tensor_type_find(commonest);
    return info == NULL ? "unknown" : info->name;
}

const char *file_type_name(const struct gguf *gguf)
{
    static const char key[] = "general.file_type";
    uint32_t id;
    if (gguf_find(gguf, key) != NULL && gguf_get_u32(gguf, key, &id, NULL) == REALM_OK) {
        for (size_t i = 0; i < sizeof file_types / sizeof file_types[0]; i++) {
            if (file_types[i].id == id) {
                return file_types[i].name;
            }
        }
    }
    return commonest_type(gguf);
}
