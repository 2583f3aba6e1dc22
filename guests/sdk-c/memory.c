/* What only WebAssembly has: pages to take memory from, and instructions behind the four functions
 * that a C compiler calls by itself. */
#include "text.h"

#define WASM_PAGE_BYTES ((size_t)65536)
#define ALIGNMENT       ((size_t)16)

extern unsigned char __heap_base; /* set by the linker: behind data and stack */

void *guest_allocate(size_t n_bytes)
{
    static uintptr_t next;
    if (next == 0) {
        next = ((uintptr_t)&__heap_base + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    }
    const uintptr_t begin = next;
    const size_t have = __builtin_wasm_memory_size(0) * WASM_PAGE_BYTES;
    if (n_bytes > SIZE_MAX / 2) {
        __builtin_trap();
    }
    const uintptr_t end = begin + ((n_bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1));
    if (end > have && __builtin_wasm_memory_grow(
                          0, (end - have + WASM_PAGE_BYTES - 1) / WASM_PAGE_BYTES) == SIZE_MAX) {
        __builtin_trap();
    }
    next = end;
    return (void *)begin; /* fresh pages are zero, and none is used twice */
}

void *memcpy(void *restrict to, const void *restrict from, size_t n_bytes)
{
    return __builtin_memcpy(to, from, n_bytes);
}

void *memmove(void *to, const void *from, size_t n_bytes)
{
    return __builtin_memmove(to, from, n_bytes);
}

void *memset(void *to, int byte, size_t n_bytes)
{
    return __builtin_memset(to, byte, n_bytes);
}

int memcmp(const void *left, const void *right, size_t n_bytes)
{
    const unsigned char *a = left;
    const unsigned char *b = right;
    for (size_t i = 0; i < n_bytes; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return 0;
}
