/* Which KV pages are free: numbers and reference counts only; the bytes lie in the backend.
 * Owned by the engine thread.  All memory is taken at creation.
 *
 * A page whose content somebody knows (prefix_index) is *kept*: when its last reference goes, it
 * waits with its content until it is held again, or until no other page is free; then the one that
 * waits longest is given out anew.
 *
 * Invariants
 *  (1) a page is free (no references, on the free stack once), waiting (no references, kept, on the
 *      waiting list once) or held (references >= 1).
 *  (2) free + waiting + held pages == n_pages. (debug: page_pool_audit) */
#ifndef REALM_KV_PAGE_POOL_H
#define REALM_KV_PAGE_POOL_H

#include "base/status.h"
#include "plan/batch.h"

struct page_pool;

REALM_MUST_CHECK realm_status page_pool_create(uint32_t n_pages,
                                               struct page_pool **out,
                                               struct realm_error *error);
void page_pool_destroy(struct page_pool *pool);

/* A page with one reference, free or else the one that waited longest; false: all are held. */
bool page_pool_try_acquire(struct page_pool *pool, page_id *out);
/* A held or waiting page gets one more reference. */
void page_pool_retain(struct page_pool *pool, page_id page);
void page_pool_release(struct page_pool *pool, page_id page);
uint32_t page_pool_references(const struct page_pool *pool, page_id page);

/* From now on the held page's content is known, and must not change. */
void page_pool_keep(struct page_pool *pool, page_id page);
bool page_pool_is_kept(const struct page_pool *pool, page_id page);
/* Called with each kept page that is given out anew. */
void page_pool_on_forget(struct page_pool *pool,
                         void (*forget)(void *context, page_id page),
                         void *context);

uint32_t page_pool_n_pages(const struct page_pool *pool);
/* Pages that page_pool_try_acquire can give: free and waiting ones. */
uint32_t page_pool_n_free(const struct page_pool *pool);
uint32_t page_pool_n_waiting(const struct page_pool *pool);

/* Counts everything again; false: an invariant is broken. */
bool page_pool_audit(const struct page_pool *pool);

#endif
