/* Everything one step carries, of all tenants.  Built by the engine, read by the backend; only
 * small arrays of numbers.  All arrays are the engine's and stay unchanged until backend_wait.
 *
 * Rows of one sequence are neighbours, in order of position: sequence s owns rows
 * [first_row, first_row + n_rows), and row first_row + i stands at position first_position + i. */
#ifndef REALM_PLAN_BATCH_H
#define REALM_PLAN_BATCH_H

#include <stdint.h>

typedef uint32_t token_id;
typedef uint32_t page_id;

#define PAGE_TOKENS  16u
#define ADAPTER_NONE UINT32_MAX

struct batch_sequence {
    uint32_t first_row;
    uint32_t n_rows;         /* >= 1 */
    uint32_t first_position; /* tokens of this sequence whose KV is in the pages already */
    const page_id *pages;    /* page i holds positions [i*PAGE_TOKENS, (i+1)*PAGE_TOKENS) */
    uint32_t n_pages;        /* enough for first_position + n_rows */
    uint32_t adapter;        /* of backend_adapter_create, or ADAPTER_NONE */
};

/* Done before anything is written in the step: the first n_tokens of page `from` to page `to`, all
 * layers. */
struct page_copy {
    page_id from;
    page_id to;
    uint32_t n_tokens;
};

struct batch {
    uint32_t n_rows;
    const token_id *tokens; /* [n_rows] */
    uint32_t n_sequences;
    const struct batch_sequence *sequences;
    uint32_t n_logits;
    const uint32_t *logits_rows; /* [n_logits] rows that want logits, ascending */
    uint32_t n_copies;
    const struct page_copy *copies;
};

#endif
