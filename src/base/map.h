/* Hash map from byte strings to pointers.  The hash is SipHash-2-4 under a random key, so that
 * chosen keys cannot make it slow (Aumasson & Bernstein 2012).  Owned by one thread at a time; a
 * map that no longer changes may be read by many. */
#ifndef REALM_BASE_MAP_H
#define REALM_BASE_MAP_H

#include "base/alloc.h"
#include "base/status.h"

struct map;

REALM_MUST_CHECK realm_status map_create(enum alloc_purpose purpose,
                                         struct map **out,
                                         struct realm_error *error);
/* The values are the caller's; keys were copied. */
void map_destroy(struct map *map);

/* Puts or replaces. False: out of memory, nothing has changed. */
bool map_put(struct map *map, const void *key, size_t n_bytes, void *value);
/* The value, or NULL. */
void *map_get(const struct map *map, const void *key, size_t n_bytes);
/* Removes and gives the value, or NULL. */
void *map_remove(struct map *map, const void *key, size_t n_bytes);
size_t map_length(const struct map *map);
/* Walks in no order: *cursor starts at 0; false at the end.  No change during a walk. */
bool map_next(
    const struct map *map, size_t *cursor, const void **key, size_t *n_bytes, void **value);

#endif
