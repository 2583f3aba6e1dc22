#include "backend/cpu/select.h"

#include "backend/cpu/features.h"

#include <string.h>

/* SIMDe turns AVX-512 into AVX2, and tile registers are loops then: that is all these levels need.
 */
#if REALM_SIMDE
#define NEEDS_AVX512VNNI CPU_FEATURE_AVX2
#define NEEDS_AVX512BF16 CPU_FEATURE_AVX2
#define NEEDS_AMXINT8    CPU_FEATURE_AVX2
#else
#define NEEDS_AVX512VNNI CPU_FEATURE_AVX512VNNI
#define NEEDS_AVX512BF16 CPU_FEATURE_AVX512BF16
#define NEEDS_AMXINT8    CPU_FEATURE_AMXINT8
#endif

struct level {
    const char *name;
    uint32_t needs;
    void (*set_matmul)(struct cpu_kernels *kernels);
    void (*set_vector)(struct cpu_kernels *kernels); /* or NULL: those of the level below */
};

/* Each level overrides some of what the ones above it set. */
static const struct level levels[] = {
    {"scalar", 0, cpu_kernels_scalar_matmul, cpu_kernels_scalar_vector},
#if REALM_HAVE_AVX2
    {"avx2", CPU_FEATURE_AVX2, cpu_kernels_avx2_matmul, cpu_kernels_avx2_vector},
#endif
#if REALM_HAVE_AVX512VNNI
    {"avx512vnni", NEEDS_AVX512VNNI, cpu_kernels_avx512vnni_matmul, cpu_kernels_avx512vnni_vector},
#endif
#if REALM_HAVE_AVX512BF16
    {"avx512bf16", NEEDS_AVX512BF16, cpu_kernels_avx512bf16_matmul, NULL},
#endif
#if REALM_HAVE_AMXINT8
    {"amxint8", NEEDS_AMXINT8, cpu_kernels_amxint8_matmul, NULL},
#endif
#if REALM_HAVE_NEONDOT
    {"neondot", CPU_FEATURE_NEONDOT, cpu_kernels_neondot_matmul, cpu_kernels_neondot_vector},
#endif
#if REALM_HAVE_NEONI8MM
    {"neoni8mm", CPU_FEATURE_NEONI8MM, cpu_kernels_neoni8mm_matmul, NULL},
#endif
#if REALM_HAVE_NEONBF16
    {"neonbf16", CPU_FEATURE_NEONBF16, cpu_kernels_neonbf16_matmul, NULL},
#endif
};

#define N_LEVELS (sizeof levels / sizeof levels[0])

/* Levels stand in order of need: the first that is not there ends the list. */
static uint32_t n_usable(void)
{
    const uint32_t features = cpu_features();
    uint32_t n = 0;
    while (n < N_LEVELS && (levels[n].needs & ~features) == 0) {
        n++;
    }
    return n;
}

const char *cpu_level_at(uint32_t index)
{
    return index < n_usable() ? levels[index].name : NULL;
}

static realm_status refuse(const char *level, struct realm_error *error)
{
    char list[96] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < n_usable(); i++) {
        const size_t n = strlen(levels[i].name);
        if (used + n + 3 > sizeof list) {
            break;
        }
        memcpy(list + used, i == 0 ? "" : ", ", i == 0 ? 0 : 2);
        used += i == 0 ? 0 : 2;
        memcpy(list + used, levels[i].name, n + 1);
        used += n;
    }
    return realm_error_set(error,
                           REALM_UNSUPPORTED,
                           "CPU level \"%s\": not of this processor and build; there are: %s",
                           level,
                           list);
}

realm_status cpu_select(const char *level, struct cpu_kernels *out, struct realm_error *error)
{
    uint32_t n = n_usable();
    if (level != NULL && level[0] != '\0') {
        uint32_t i = 0;
        while (i < n && strcmp(levels[i].name, level) != 0) {
            i++;
        }
        if (i == n) {
            return refuse(level, error);
        }
        n = i + 1;
    }
    *out = (struct cpu_kernels){0};
    for (uint32_t i = 0; i < n; i++) {
        out->level = levels[i].name;
        levels[i].set_matmul(out);
        if (levels[i].set_vector != NULL) {
            levels[i].set_vector(out);
        }
    }
    return REALM_OK;
}
