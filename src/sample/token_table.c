#include "sample/token_table.h"

#include "base/alloc.h"

#include <string.h>

realm_status
token_table_init(struct token_table *table, uint32_t max_tokens, struct realm_error *error)
{
    uint64_t n_slots = 16;
    while (n_slots < (uint64_t)max_tokens * 2) {
        n_slots *= 2;
    }
    table->slots = alloc_zeroed(ALLOC_REQUEST, (size_t)n_slots, sizeof *table->slots);
    if (table->slots == NULL) {
        return realm_error_out_of_memory(
            error, (size_t)n_slots * sizeof *table->slots, "sampler history");
    }
    table->mask = (uint32_t)(n_slots - 1);
    return REALM_OK;
}

void token_table_deinit(struct token_table *table)
{
    alloc_free(table->slots);
    table->slots = NULL;
}

void token_table_clear(struct token_table *table)
{
    memset(table->slots, 0, ((size_t)table->mask + 1) * sizeof *table->slots);
}

static uint32_t home_slot(const struct token_table *table, token_id token)
{
    return (token * 2654435769u >> 7) & table->mask; /* Knuth's multiplicative hash */
}

struct token_slot *token_table_find(const struct token_table *table, token_id token)
{
    uint32_t i = home_slot(table, token);
    while (table->slots[i].value != 0 && table->slots[i].token != token) {
        i = (i + 1) & table->mask;
    }
    table->slots[i].token = token;
    return &table->slots[i];
}

void token_table_remove(struct token_table *table, token_id token)
{
    struct token_slot *const slots = table->slots;
    uint32_t gap = (uint32_t)(token_table_find(table, token) - slots);
    slots[gap].value = 0;
    for (uint32_t i = (gap + 1) & table->mask; slots[i].value != 0; i = (i + 1) & table->mask) {
        const uint32_t home = home_slot(table, slots[i].token);
        /* It may move back only if its home does not lie behind the gap. */
        if (((i - home) & table->mask) >= ((i - gap) & table->mask)) {
            slots[gap] = slots[i];
            slots[i].value = 0;
            gap = i;
        }
    }
}
