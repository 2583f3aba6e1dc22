/* A sequence's pages, in token order.  Owned by the engine thread; never shared.  Memory for the
 * longest sequence is taken at creation.
 *
 * Invariants
 *  (1) page i holds positions [i*PAGE_TOKENS, (i+1)*PAGE_TOKENS) of the sequence.
 *  (2) n_pages == ceil(n_tokens / PAGE_TOKENS): all pages but the last are full.
 *  (3) a page with more than one reference, or that is kept, is never written: page_table_reserve
 *      replaces it first and records the copy. */
#ifndef REALM_KV_PAGE_TABLE_H
#define REALM_KV_PAGE_TABLE_H

#include "kv/page_pool.h"

struct page_table;

/* Copies that the next step must do before it writes; storage of the caller. */
struct page_copies {
    struct page_copy *items;
    uint32_t n;
    uint32_t capacity;
};

REALM_MUST_CHECK realm_status page_table_create(struct page_pool *pool,
                                                uint32_t max_tokens,
                                                struct page_table **out,
                                                struct realm_error *error);
/* Releases its pages. */
void page_table_destroy(struct page_table *table);

/* Makes room for n_tokens more tokens (counted as present after).
 * RESOURCE_EXHAUSTED: too few free pages, or more than max_tokens; nothing has changed. */
REALM_MUST_CHECK realm_status page_table_reserve(struct page_table *table,
                                                 uint32_t n_tokens,
                                                 struct page_copies *copies,
                                                 struct realm_error *error);
/* Pages that page_table_reserve would take from the pool for n_tokens more. */
uint32_t page_table_needs(const struct page_table *table, uint32_t n_tokens);
/* Keeps the first n_tokens; releases the pages behind. */
void page_table_truncate(struct page_table *table, uint32_t n_tokens);
/* Appends one full page that another sequence computed: holds it, and has PAGE_TOKENS tokens more.
 * The table's tokens end at a page's end and leave room for them. */
void page_table_adopt(struct page_table *table, page_id page);
/* Makes `fork` (empty) share all of table's pages. */
void page_table_fork(const struct page_table *table, struct page_table *fork);

uint32_t page_table_n_tokens(const struct page_table *table);
uint32_t page_table_n_pages(const struct page_table *table);
const page_id *page_table_pages(const struct page_table *table);

#endif
