#include "sandbox/handles.h"

#include "base/alloc.h"

#define INDEX_BITS      12u
#define INDEX_MASK      (HANDLES_MAX - 1)
#define GENERATION_MASK ((1u << (31u - INDEX_BITS)) - 1)
#define NONE            HANDLES_MAX
#define FIRST_CAPACITY  8u

_Static_assert(1u << INDEX_BITS == HANDLES_MAX, "an index has as many bits as there are handles");

void handles_init(struct handle_table *table, uint64_t max)
{
    *table = (struct handle_table){
        .max = max < HANDLES_MAX ? (uint32_t)max : HANDLES_MAX,
        .first_free = NONE,
    };
}

void handles_deinit(struct handle_table *table)
{
    alloc_free(table->slots);
    *table = (struct handle_table){.first_free = NONE};
}

bool handles_full(const struct handle_table *table)
{
    return table->n_live >= table->max;
}

static bool grow(struct handle_table *table)
{
    uint32_t capacity = table->capacity == 0 ? FIRST_CAPACITY : 2 * table->capacity;
    if (capacity > HANDLES_MAX) {
        capacity = HANDLES_MAX;
    }
    struct handle_slot *slots =
        alloc_resize(ALLOC_GUEST, table->slots, capacity * sizeof(struct handle_slot));
    if (slots == NULL) {
        return false;
    }
    table->slots = slots;
    table->capacity = capacity;
    return true;
}

int32_t handles_add(struct handle_table *table, enum handle_kind kind, void *object)
{
    if (handles_full(table)) {
        return 0;
    }
    uint32_t index = table->first_free;
    if (index != NONE) {
        table->first_free = table->slots[index].next_free;
    } else {
        if (table->n_slots == table->capacity && !grow(table)) {
            return 0;
        }
        index = table->n_slots++;
        table->slots[index] = (struct handle_slot){.generation = 1};
    }
    struct handle_slot *slot = &table->slots[index];
    slot->object = object;
    slot->kind = kind;
    table->n_live++;
    return (int32_t)(slot->generation << INDEX_BITS | index);
}

/* The slot a handle names, or NULL. */
static struct handle_slot *find(const struct handle_table *table, int32_t handle)
{
    const uint32_t index = (uint32_t)handle & INDEX_MASK;
    if (handle <= 0 || index >= table->n_slots) {
        return NULL;
    }
    struct handle_slot *slot = &table->slots[index];
    if (slot->kind == HANDLE_FREE || slot->generation != (uint32_t)handle >> INDEX_BITS) {
        return NULL;
    }
    return slot;
}

void *handles_get(const struct handle_table *table, int32_t handle, enum handle_kind kind)
{
    const struct handle_slot *slot = find(table, handle);
    return slot != NULL && slot->kind == kind ? slot->object : NULL;
}

static void *vacate(struct handle_table *table, struct handle_slot *slot, enum handle_kind *kind)
{
    void *object = slot->object;
    *kind = slot->kind;
    slot->kind = HANDLE_FREE;
    slot->object = NULL;
    slot->generation = slot->generation == GENERATION_MASK ? 1 : slot->generation + 1;
    slot->next_free = table->first_free;
    table->first_free = (uint32_t)(slot - table->slots);
    table->n_live--;
    return object;
}

void *handles_remove(struct handle_table *table, int32_t handle, enum handle_kind *kind)
{
    struct handle_slot *slot = find(table, handle);
    return slot != NULL ? vacate(table, slot, kind) : NULL;
}

void *handles_pop(struct handle_table *table, enum handle_kind *kind)
{
    for (uint32_t i = 0; table->n_live > 0 && i < table->n_slots; i++) {
        if (table->slots[i].kind != HANDLE_FREE) {
            return vacate(table, &table->slots[i], kind);
        }
    }
    return NULL;
}
