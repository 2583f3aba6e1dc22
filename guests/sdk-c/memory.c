/* The four functions that a C compiler calls by itself; bulk-memory instructions do the work. */
#include <stddef.h>

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
