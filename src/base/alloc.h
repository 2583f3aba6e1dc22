/* The only door to the heap.  Each allocation names a purpose, so that bytes can be shown by
 * purpose and tests can make the n-th allocation fail.
 *
 * Life: alloc_* blocks end with alloc_free of the same purpose's size bookkeeping (kept in a small
 * header before the block).  Any thread. */
#ifndef REALM_BASE_ALLOC_H
#define REALM_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum alloc_purpose {
    ALLOC_BASE,
    ALLOC_MODEL,   /* metadata, vocabulary, plan */
    ALLOC_WEIGHTS, /* packed weights */
    ALLOC_KV,
    ALLOC_SCRATCH, /* activations of a step */
    ALLOC_ENGINE,
    ALLOC_REQUEST,
    ALLOC_SERVER,
    ALLOC_GUEST,
    ALLOC_TEST,
    ALLOC_N_PURPOSES
};

#define ALLOC_ALIGNMENT ((size_t)64)

/* n_bytes of uninitialised memory aligned to 64 bytes, or NULL. n_bytes 0 gives a valid block. */
__attribute__((malloc, warn_unused_result)) void *alloc_bytes(enum alloc_purpose purpose,
                                                              size_t n_bytes);

/* count x size zeroed bytes, overflow checked; NULL when it does not fit. */
__attribute__((malloc, warn_unused_result)) void *
alloc_zeroed(enum alloc_purpose purpose, size_t count, size_t size);

/* Grows or shrinks, keeping the contents; block may be NULL.  NULL: out of memory, the old block
 * stays valid. */
__attribute__((warn_unused_result)) void *
alloc_resize(enum alloc_purpose purpose, void *block, size_t n_bytes);

/* A copy of n_bytes with a zero byte behind it. */
__attribute__((malloc, warn_unused_result)) char *
alloc_string(enum alloc_purpose purpose, const char *text, size_t n_bytes);

/* Large zeroed memory straight from the system, huge pages advised; for weights and KV. */
__attribute__((malloc, warn_unused_result)) void *alloc_pages(enum alloc_purpose purpose,
                                                              size_t n_bytes);
void alloc_pages_free(enum alloc_purpose purpose, void *block, size_t n_bytes);

/* NULL is fine. */
void alloc_free(void *block);

/* Bytes now held, and allocations made so far, of a purpose. */
uint64_t alloc_held_bytes(enum alloc_purpose purpose);
uint64_t alloc_count(void);

/* "model", "kv", ... */
const char *alloc_purpose_name(enum alloc_purpose purpose);

/* Tests: the n-th allocation from now (0 = the next) and all after it fail; UINT64_MAX: none. */
void alloc_fail_after(uint64_t n);

#endif
