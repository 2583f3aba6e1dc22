/* Size arithmetic on numbers from outside: each function reports overflow by returning false and
 * leaves *out untouched then. */
#ifndef REALM_BASE_CHECKED_H
#define REALM_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool checked_add_size(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *out = sum;
    return true;
}

static inline bool checked_mul_size(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *out = product;
    return true;
}

static inline bool checked_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *out = sum;
    return true;
}

static inline bool checked_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *out = product;
    return true;
}

/* alignment: a power of two. */
static inline bool checked_align_up_u64(uint64_t value, uint64_t alignment, uint64_t *out)
{
    uint64_t sum;
    if (!checked_add_u64(value, alignment - 1, &sum)) {
        return false;
    }
    *out = sum & ~(alignment - 1);
    return true;
}

static inline bool checked_narrow_u32(uint64_t value, uint32_t *out)
{
    if (value > UINT32_MAX) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static inline bool checked_narrow_size(uint64_t value, size_t *out)
{
    if (value > SIZE_MAX) {
        return false;
    }
    *out = (size_t)value;
    return true;
}

#endif
