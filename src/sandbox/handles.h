/* Small numbers that guests hold instead of pointers: index and generation, so that a stale or a
 * forged number finds nothing.  One table an instance; bounded; owned by whoever runs the guest.
 *
 * A handle: bits 0-11 index, bits 12-30 generation (never 0), so always greater than 0. */
#ifndef REALM_SANDBOX_HANDLES_H
#define REALM_SANDBOX_HANDLES_H

#include "base/status.h"

#define HANDLES_MAX 4096u

enum handle_kind {
    HANDLE_FREE,
    HANDLE_MODEL,
    HANDLE_SEQUENCE,
    HANDLE_SAMPLER,
    HANDLE_MATCHER,
    HANDLE_STREAM,
    HANDLE_ADAPTER,
};

struct handle_slot {
    void *object;
    uint32_t generation;
    enum handle_kind kind;
    uint32_t next_free;
};

struct handle_table {
    struct handle_slot *slots;
    uint32_t n_slots; /* ever used */
    uint32_t capacity;
    uint32_t max;
    uint32_t first_free; /* HANDLES_MAX: none */
    uint32_t n_live;
};

/* max: handles alive at once, at most HANDLES_MAX.  Takes no memory yet. */
void handles_init(struct handle_table *table, uint64_t max);
void handles_deinit(struct handle_table *table);

/* A new handle; 0: memory is out, or max are alive (handles_full tells). */
int32_t handles_add(struct handle_table *table, enum handle_kind kind, void *object);
bool handles_full(const struct handle_table *table);
/* NULL: no handle of that kind. */
void *handles_get(const struct handle_table *table, int32_t handle, enum handle_kind kind);
/* Frees a handle of any kind and gives its object; NULL: no such handle. */
void *handles_remove(struct handle_table *table, int32_t handle, enum handle_kind *kind);
/* Removes any one; NULL: the table is empty.  For the end. */
void *handles_pop(struct handle_table *table, enum handle_kind *kind);

#endif
