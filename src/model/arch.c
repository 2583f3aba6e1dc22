#include "model/arch.h"

#include <stdio.h>
#include <string.h>

static const struct architecture *const architectures[] = {
    &arch_llama,
    &arch_gemma3,
    &arch_qwen2,
    &arch_qwen3,
    &arch_phi3,
};

#define N_ARCHITECTURES (sizeof architectures / sizeof architectures[0])

const struct architecture *architecture_at(uint32_t index)
{
    return index < N_ARCHITECTURES ? architectures[index] : NULL;
}

realm_status
architecture_find(struct bytes name, const struct architecture **out, struct realm_error *error)
{
    *out = NULL;
    char known[120] = "";
    size_t used = 0;
    for (size_t i = 0; i < N_ARCHITECTURES; i++) {
        const char *const candidate = architectures[i]->name;
        if (name.length == strlen(candidate) && memcmp(name.data, candidate, name.length) == 0) {
            *out = architectures[i];
            return REALM_OK;
        }
        const int n =
            snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ", candidate);
        if (n > 0 && (size_t)n < sizeof known - used) {
            used += (size_t)n;
        }
    }
    return realm_error_set(error,
                           REALM_UNSUPPORTED,
                           "general.architecture: \"%.*s\" is not known; known are %s",
                           name.length < 40 ? (int)name.length : 40,
                           (const char *)name.data,
                           known);
}
