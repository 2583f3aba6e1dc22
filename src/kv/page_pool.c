#include "kv/page_pool.h"

#include "base/alloc.h"

struct page_pool {
    uint32_t *references; /* [n_pages] */
    page_id *free_pages;  /* stack: [0, n_free) */
    uint32_t n_pages;
    uint32_t n_free;
};

realm_status page_pool_create(uint32_t n_pages, struct page_pool **out, struct realm_error *error)
{
    *out = NULL;
    if (n_pages == 0) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "a page pool needs at least 1 page");
    }
    struct page_pool *pool = alloc_zeroed(ALLOC_ENGINE, 1, sizeof *pool);
    if (pool == NULL) {
        return realm_error_out_of_memory(error, sizeof *pool, "page pool");
    }
    pool->references = alloc_zeroed(ALLOC_ENGINE, n_pages, sizeof *pool->references);
    pool->free_pages = alloc_zeroed(ALLOC_ENGINE, n_pages, sizeof *pool->free_pages);
    if (pool->references == NULL || pool->free_pages == NULL) {
        page_pool_destroy(pool);
        return realm_error_out_of_memory(
            error, (size_t)n_pages * (sizeof(uint32_t) + sizeof(page_id)), "page pool");
    }
    pool->n_pages = n_pages;
    pool->n_free = n_pages;
    /* The lowest page is taken first: a lightly used pool touches little memory. */
    for (uint32_t i = 0; i < n_pages; i++) {
        pool->free_pages[i] = n_pages - 1 - i;
    }
    *out = pool;
    return REALM_OK;
}

void page_pool_destroy(struct page_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    alloc_free(pool->references);
    alloc_free(pool->free_pages);
    alloc_free(pool);
}

bool page_pool_try_acquire(struct page_pool *pool, page_id *out)
{
    if (pool->n_free == 0) {
        return false;
    }
    const page_id page = pool->free_pages[--pool->n_free];
    pool->references[page] = 1;
    *out = page;
    return true;
}

void page_pool_retain(struct page_pool *pool, page_id page)
{
    if (!REALM_INVARIANT(page < pool->n_pages && pool->references[page] > 0)) {
        return;
    }
    pool->references[page]++;
}

void page_pool_release(struct page_pool *pool, page_id page)
{
    if (!REALM_INVARIANT(page < pool->n_pages && pool->references[page] > 0)) {
        return;
    }
    if (--pool->references[page] == 0) {
        pool->free_pages[pool->n_free++] = page;
    }
}

uint32_t page_pool_references(const struct page_pool *pool, page_id page)
{
    return page < pool->n_pages ? pool->references[page] : 0;
}

uint32_t page_pool_n_pages(const struct page_pool *pool)
{
    return pool->n_pages;
}

uint32_t page_pool_n_free(const struct page_pool *pool)
{
    return pool->n_free;
}

bool page_pool_audit(const struct page_pool *pool)
{
    uint32_t n_held = 0;
    for (uint32_t i = 0; i < pool->n_pages; i++) {
        n_held += pool->references[i] > 0;
    }
    for (uint32_t i = 0; i < pool->n_free; i++) {
        if (pool->free_pages[i] >= pool->n_pages || pool->references[pool->free_pages[i]] != 0) {
            return false;
        }
    }
    return n_held + pool->n_free == pool->n_pages;
}
