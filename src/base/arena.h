/* A bump allocator: many small allocations of one owner, freed at once.
 * Owned by one thread at a time.  Memory comes in chunks; `max_bytes` is the ceiling over all. */
#ifndef REALM_BASE_ARENA_H
#define REALM_BASE_ARENA_H

#include "base/alloc.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunk; /* newest */
    struct arena_chunk
        *spare;        /* kept by arena_reset_to, so that a scratch arena stops allocating */
    size_t used_bytes; /* over all chunks */
    size_t max_bytes;
    enum alloc_purpose purpose;
};

/* A place to come back to: everything allocated after it is given up by arena_reset_to. */
struct arena_mark {
    struct arena_chunk *chunk;
    size_t chunk_used_bytes;
    size_t used_bytes;
};

/* No memory is taken before the first allocation. max_bytes 0: no ceiling. */
void arena_init(struct arena *arena, enum alloc_purpose purpose, size_t max_bytes);
void arena_deinit(struct arena *arena);

/* 16-byte aligned, uninitialised; NULL: ceiling or memory. */
__attribute__((warn_unused_result)) void *arena_alloc(struct arena *arena, size_t n_bytes);
__attribute__((warn_unused_result)) void *
arena_zeroed(struct arena *arena, size_t count, size_t size);
/* A zero-terminated copy. */
__attribute__((warn_unused_result)) char *
arena_string(struct arena *arena, const char *text, size_t n_bytes);

struct arena_mark arena_mark(const struct arena *arena);
void arena_reset_to(struct arena *arena, struct arena_mark mark);

#endif
