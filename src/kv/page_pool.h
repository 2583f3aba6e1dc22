/* Which KV pages are free: numbers and reference counts only; the bytes lie in the backend.
 * Owned by the engine thread.  All memory is taken at creation.
 *
 * Invariants
 *  (1) a page is free (references 0, on the free list once) or held (references >= 1).
 *  (2) n_free + pages held == n_pages. (debug: page_pool_audit) */
#ifndef REALM_KV_PAGE_POOL_H
#define REALM_KV_PAGE_POOL_H

#include "base/status.h"
#include "plan/batch.h"

struct page_pool;

REALM_MUST_CHECK realm_status page_pool_create(uint32_t n_pages,
                                               struct page_pool **out,
                                               struct realm_error *error);
void page_pool_destroy(struct page_pool *pool);

/* A free page with one reference; false: none is free. */
bool page_pool_try_acquire(struct page_pool *pool, page_id *out);
void page_pool_retain(struct page_pool *pool, page_id page);
void page_pool_release(struct page_pool *pool, page_id page);
uint32_t page_pool_references(const struct page_pool *pool, page_id page);

uint32_t page_pool_n_pages(const struct page_pool *pool);
uint32_t page_pool_n_free(const struct page_pool *pool);

/* Counts everything again; false: an invariant is broken. */
bool page_pool_audit(const struct page_pool *pool);

#endif
