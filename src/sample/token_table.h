/* A small table from tokens to a number: open addressing, sized at creation for the most tokens it
 * will ever hold.  Memory goes by the length of the sequence, not by the vocabulary. */
#ifndef REALM_SAMPLE_TOKEN_TABLE_H
#define REALM_SAMPLE_TOKEN_TABLE_H

#include "base/status.h"

typedef uint32_t token_id;

struct token_slot {
    token_id token;
    uint32_t value; /* 0: the slot is free */
};

struct token_table {
    struct token_slot *slots;
    uint32_t mask; /* slots - 1 */
};

/* max_tokens: most distinct tokens at once. */
REALM_MUST_CHECK realm_status token_table_init(struct token_table *table,
                                               uint32_t max_tokens,
                                               struct realm_error *error);
void token_table_deinit(struct token_table *table);
void token_table_clear(struct token_table *table);
/* The token's slot, or the free one where it belongs. */
struct token_slot *token_table_find(const struct token_table *table, token_id token);
/* Sets its value to 0 and closes the gap. */
void token_table_remove(struct token_table *table, token_id token);

#endif
