#include "base/map.h"

#include "base/random.h"
#include "base/siphash.h"

#include <string.h>

#define FIRST_SLOTS  ((size_t)16)
#define INLINE_BYTES 24 /* most keys are short: no allocation of their own */

/* Open addressing with linear probing; at most three quarters of the slots are used, so that every
 * probe ends at an empty one.  Removal moves later entries back instead of leaving marks. */
struct map_slot {
    uint64_t hash; /* 0: empty */
    size_t n_bytes;
    union {
        unsigned char bytes[INLINE_BYTES];
        void *block;
    } key;
    void *value;
};

struct map {
    struct map_slot *slots;
    size_t n_slots; /* 0 or a power of two */
    size_t length;
    enum alloc_purpose purpose;
    uint8_t hash_key[SIPHASH_KEY_BYTES];
};

realm_status map_create(enum alloc_purpose purpose, struct map **out, struct realm_error *error)
{
    *out = NULL;
    struct map *map = alloc_zeroed(purpose, 1, sizeof(*map));
    if (map == NULL) {
        return realm_error_out_of_memory(error, sizeof(*map), "a map");
    }
    map->purpose = purpose;
    const realm_status status = random_bytes(map->hash_key, sizeof(map->hash_key), error);
    if (status != REALM_OK) {
        alloc_free(map);
        return status;
    }
    *out = map;
    return REALM_OK;
}

static const void *slot_key(const struct map_slot *slot)
{
    return slot->n_bytes <= INLINE_BYTES ? slot->key.bytes : slot->key.block;
}

static void slot_free_key(struct map_slot *slot)
{
    if (slot->n_bytes > INLINE_BYTES) {
        alloc_free(slot->key.block);
    }
}

void map_destroy(struct map *map)
{
    if (map == NULL) {
        return;
    }
    for (size_t i = 0; i < map->n_slots; i++) {
        if (map->slots[i].hash != 0) {
            slot_free_key(&map->slots[i]);
        }
    }
    alloc_free(map->slots);
    alloc_free(map);
}

static uint64_t map_hash(const struct map *map, const void *key, size_t n_bytes)
{
    const uint64_t hash = siphash_2_4(map->hash_key, key, n_bytes);
    return hash != 0 ? hash : 1;
}

/* The slot that holds the key, or the empty one where it would go.  n_slots > 0. */
static size_t map_probe(const struct map *map, uint64_t hash, const void *key, size_t n_bytes)
{
    const size_t mask = map->n_slots - 1;
    size_t i = (size_t)hash & mask;
    for (;; i = (i + 1) & mask) {
        const struct map_slot *slot = &map->slots[i];
        if (slot->hash == 0) {
            return i;
        }
        if (slot->hash == hash && slot->n_bytes == n_bytes &&
            (n_bytes == 0 || memcmp(slot_key(slot), key, n_bytes) == 0)) {
            return i;
        }
    }
}

static bool map_grow(struct map *map)
{
    const size_t n_slots = map->n_slots == 0 ? FIRST_SLOTS : map->n_slots * 2;
    struct map_slot *slots = alloc_zeroed(map->purpose, n_slots, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < map->n_slots; i++) {
        if (map->slots[i].hash == 0) {
            continue;
        }
        size_t j = (size_t)map->slots[i].hash & (n_slots - 1);
        while (slots[j].hash != 0) {
            j = (j + 1) & (n_slots - 1);
        }
        slots[j] = map->slots[i];
    }
    alloc_free(map->slots);
    map->slots = slots;
    map->n_slots = n_slots;
    return true;
}

static bool
slot_fill(struct map *map, struct map_slot *slot, uint64_t hash, const void *key, size_t n_bytes)
{
    if (n_bytes > INLINE_BYTES) {
        void *block = alloc_bytes(map->purpose, n_bytes);
        if (block == NULL) {
            return false;
        }
        memcpy(block, key, n_bytes);
        slot->key.block = block;
    } else if (n_bytes > 0) {
        memcpy(slot->key.bytes, key, n_bytes);
    }
    slot->n_bytes = n_bytes;
    slot->hash = hash;
    return true;
}

bool map_put(struct map *map, const void *key, size_t n_bytes, void *value)
{
    const uint64_t hash = map_hash(map, key, n_bytes);
    if (map->n_slots > 0) {
        struct map_slot *slot = &map->slots[map_probe(map, hash, key, n_bytes)];
        if (slot->hash != 0) {
            slot->value = value;
            return true;
        }
    }
    if (map->length >= map->n_slots - map->n_slots / 4 && !map_grow(map)) {
        return false;
    }
    struct map_slot *slot = &map->slots[map_probe(map, hash, key, n_bytes)];
    if (!slot_fill(map, slot, hash, key, n_bytes)) {
        return false;
    }
    slot->value = value;
    map->length++;
    return true;
}

void *map_get(const struct map *map, const void *key, size_t n_bytes)
{
    if (map->length == 0) {
        return NULL;
    }
    const struct map_slot *slot =
        &map->slots[map_probe(map, map_hash(map, key, n_bytes), key, n_bytes)];
    return slot->hash != 0 ? slot->value : NULL;
}

/* Closes the hole at i: an entry further on moves into it when its own place is not behind it. */
static void map_close_hole(struct map *map, size_t i)
{
    const size_t mask = map->n_slots - 1;
    for (size_t j = (i + 1) & mask; map->slots[j].hash != 0; j = (j + 1) & mask) {
        const size_t home = (size_t)map->slots[j].hash & mask;
        if (((j - home) & mask) >= ((j - i) & mask)) {
            map->slots[i] = map->slots[j];
            i = j;
        }
    }
    map->slots[i] = (struct map_slot){0};
}

void *map_remove(struct map *map, const void *key, size_t n_bytes)
{
    if (map->length == 0) {
        return NULL;
    }
    const size_t i = map_probe(map, map_hash(map, key, n_bytes), key, n_bytes);
    struct map_slot *slot = &map->slots[i];
    if (slot->hash == 0) {
        return NULL;
    }
    void *value = slot->value;
    slot_free_key(slot);
    map_close_hole(map, i);
    map->length--;
    return value;
}

size_t map_length(const struct map *map)
{
    return map->length;
}

bool map_next(
    const struct map *map, size_t *cursor, const void **key, size_t *n_bytes, void **value)
{
    for (size_t i = *cursor; i < map->n_slots; i++) {
        const struct map_slot *slot = &map->slots[i];
        if (slot->hash != 0) {
            *key = slot_key(slot);
            *n_bytes = slot->n_bytes;
            *value = slot->value;
            *cursor = i + 1;
            return true;
        }
    }
    *cursor = map->n_slots;
    return false;
}
