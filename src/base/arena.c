#include "base/arena.h"

#include "base/checked.h"

#include <string.h>

#define ARENA_ALIGNMENT ((size_t)16)
#define FIRST_CHUNK     ((size_t)4 * 1024)
#define LARGEST_GROWTH  ((size_t)8 * 1024 * 1024) /* chunks double up to here */

struct arena_chunk {
    struct arena_chunk *older;
    size_t capacity;
    size_t used;
    _Alignas(16) unsigned char data[];
};

void arena_init(struct arena *arena, enum alloc_purpose purpose, size_t max_bytes)
{
    *arena = (struct arena){.purpose = purpose, .max_bytes = max_bytes};
}

void arena_deinit(struct arena *arena)
{
    arena_reset_to(arena, (struct arena_mark){0});
    alloc_free(arena->spare);
    arena->spare = NULL;
}

/* The next chunk's size: twice the newest, but never more than the ceiling leaves. */
static size_t chunk_capacity(const struct arena *arena, size_t needed)
{
    size_t capacity = arena->chunk != NULL ? arena->chunk->capacity : FIRST_CHUNK / 2;
    capacity = capacity >= LARGEST_GROWTH / 2 ? LARGEST_GROWTH : capacity * 2;
    const size_t room = arena->max_bytes == 0 ? SIZE_MAX : arena->max_bytes - arena->used_bytes;
    if (capacity > room) {
        capacity = room;
    }
    return capacity < needed ? needed : capacity;
}

static bool arena_grow(struct arena *arena, size_t needed)
{
    struct arena_chunk *chunk = arena->spare;
    if (chunk != NULL && chunk->capacity >= needed) {
        arena->spare = NULL;
    } else {
        const size_t capacity = chunk_capacity(arena, needed);
        size_t n_bytes;
        if (!checked_add_size(sizeof(*chunk), capacity, &n_bytes)) {
            return false;
        }
        chunk = alloc_bytes(arena->purpose, n_bytes);
        if (chunk == NULL) {
            return false;
        }
        chunk->capacity = capacity;
    }
    chunk->older = arena->chunk;
    chunk->used = 0;
    arena->chunk = chunk;
    return true;
}

void *arena_alloc(struct arena *arena, size_t n_bytes)
{
    uint64_t rounded;
    size_t total;
    if (!checked_align_up_u64(n_bytes == 0 ? 1 : n_bytes, ARENA_ALIGNMENT, &rounded) ||
        !checked_add_size(arena->used_bytes, (size_t)rounded, &total) ||
        (arena->max_bytes != 0 && total > arena->max_bytes)) {
        return NULL;
    }
    const size_t length = (size_t)rounded;
    if ((arena->chunk == NULL || arena->chunk->capacity - arena->chunk->used < length) &&
        !arena_grow(arena, length)) {
        return NULL;
    }
    void *block = arena->chunk->data + arena->chunk->used;
    arena->chunk->used += length;
    arena->used_bytes = total;
    return block;
}

void *arena_zeroed(struct arena *arena, size_t count, size_t size)
{
    size_t n_bytes;
    if (!checked_mul_size(count, size, &n_bytes)) {
        return NULL;
    }
    void *block = arena_alloc(arena, n_bytes);
    if (block != NULL) {
        memset(block, 0, n_bytes);
    }
    return block;
}

char *arena_string(struct arena *arena, const char *text, size_t n_bytes)
{
    size_t total;
    if (!checked_add_size(n_bytes, 1, &total)) {
        return NULL;
    }
    char *copy = arena_alloc(arena, total);
    if (copy == NULL) {
        return NULL;
    }
    if (n_bytes > 0) {
        memcpy(copy, text, n_bytes);
    }
    copy[n_bytes] = '\0';
    return copy;
}

struct arena_mark arena_mark(const struct arena *arena)
{
    return (struct arena_mark){
        .chunk = arena->chunk,
        .chunk_used_bytes = arena->chunk != NULL ? arena->chunk->used : 0,
        .used_bytes = arena->used_bytes,
    };
}

/* Keeps the larger of the two as the spare. */
static void keep_larger(struct arena *arena, struct arena_chunk *chunk)
{
    if (arena->spare != NULL && arena->spare->capacity >= chunk->capacity) {
        alloc_free(chunk);
        return;
    }
    alloc_free(arena->spare);
    arena->spare = chunk;
}

void arena_reset_to(struct arena *arena, struct arena_mark mark)
{
    while (arena->chunk != NULL && arena->chunk != mark.chunk) {
        struct arena_chunk *chunk = arena->chunk;
        arena->chunk = chunk->older;
        keep_larger(arena, chunk);
    }
    if (arena->chunk != NULL) {
        arena->chunk->used = mark.chunk_used_bytes;
    }
    arena->used_bytes = mark.used_bytes;
}
