#include "backend/cpu/features.h"

#include <stdbool.h>

#if defined(__x86_64__)

#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

struct leaf {
    uint32_t eax;
    uint32_t ebx;
    uint32_t ecx;
    uint32_t edx;
};

static struct leaf read_leaf(uint32_t leaf, uint32_t subleaf)
{
    struct leaf l = {0};
    (void)__get_cpuid_count(leaf, subleaf, &l.eax, &l.ebx, &l.ecx, &l.edx);
    return l;
}

static bool has(uint32_t word, uint32_t bits)
{
    return (word & bits) == bits;
}

/* Which register sets the system saves at a thread switch. */
static uint32_t saved_registers(void)
{
    uint32_t low;
    uint32_t high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

#define SAVED_YMM   0x06u                 /* XMM and YMM */
#define SAVED_ZMM   0xe6u                 /* and mask registers, both halves of ZMM */
#define SAVED_TILES (1u << 17 | 1u << 18) /* their shapes, the tiles */

/* Linux gives a process tile registers only when it asks for them: its threads' states grow by 8
 * KiB with their first use.  Asking again does no harm. */
#if defined(__linux__)
static bool may_use_tiles(void)
{
    const long request = 0x1023; /* ARCH_REQ_XCOMP_PERM of arch_prctl */
    const long tiles = 18;       /* the state's number in xgetbv */
    return syscall(SYS_arch_prctl, request, tiles) == 0;
}
#else
static bool may_use_tiles(void)
{
    return false;
}
#endif

uint32_t cpu_features(void)
{
    const struct leaf one = read_leaf(1, 0);
    if (!has(one.ecx, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) {
        return 0;
    }
    const uint32_t saved = saved_registers();
    const struct leaf seven = read_leaf(7, 0);
    if (!has(saved, SAVED_YMM) || !has(seven.ebx, bit_AVX2 | bit_BMI2)) {
        return 0;
    }
    const uint32_t wide = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    if (!has(saved, SAVED_ZMM) || !has(seven.ebx, wide) || !has(seven.ecx, bit_AVX512VNNI)) {
        return CPU_FEATURE_AVX2;
    }
    const uint32_t brain = 1u << 5; /* AVX512_BF16 */
    if (!has(read_leaf(7, 1).eax, brain)) {
        return CPU_FEATURE_AVX2 | CPU_FEATURE_AVX512VNNI;
    }
    const uint32_t tiles = 1u << 24 | 1u << 25; /* AMX_TILE, AMX_INT8 */
    const bool has_tiles = has(saved, SAVED_TILES) && has(seven.edx, tiles) && may_use_tiles();
    return CPU_FEATURE_AVX2 | CPU_FEATURE_AVX512VNNI | CPU_FEATURE_AVX512BF16 |
           (has_tiles ? CPU_FEATURE_AMXINT8 : 0u);
}

#elif defined(__aarch64__) && defined(__linux__)

#include <sys/auxv.h>

/* Bits of the kernel's interface (arch/arm64 hwcap). */
#define HALF_ARITHMETIC (1ul << 10) /* AT_HWCAP: asimdhp */
#define DOT_PRODUCT     (1ul << 20) /* AT_HWCAP: asimddp */
#define INT8_MATRICES   (1ul << 13) /* AT_HWCAP2: i8mm */
#define BRAIN_FLOATS    (1ul << 14) /* AT_HWCAP2: bf16 */

uint32_t cpu_features(void)
{
    const unsigned long first = getauxval(AT_HWCAP);
    if ((first & (HALF_ARITHMETIC | DOT_PRODUCT)) != (HALF_ARITHMETIC | DOT_PRODUCT)) {
        return 0;
    }
    const unsigned long second = getauxval(AT_HWCAP2);
    return CPU_FEATURE_NEONDOT | ((second & INT8_MATRICES) != 0 ? CPU_FEATURE_NEONI8MM : 0u) |
           ((second & BRAIN_FLOATS) != 0 ? CPU_FEATURE_NEONBF16 : 0u);
}

#elif defined(__aarch64__) && defined(__APPLE__)

/* Every Apple processor that runs macOS has dot products. */
uint32_t cpu_features(void)
{
    return CPU_FEATURE_NEONDOT;
}

#else

uint32_t cpu_features(void)
{
    return 0;
}

#endif
