#include "kv/page_pool.h"

#include "base/alloc.h"

struct page_state {
    uint32_t references;
    page_id previous; /* on the waiting list; NO_PAGE: none */
    page_id next;
    bool kept;
};

#define NO_PAGE UINT32_MAX

struct page_pool {
    struct page_state *pages; /* [n_pages] */
    page_id *free_pages;      /* stack: [0, n_free) */
    uint32_t n_pages;
    uint32_t n_free;
    uint32_t n_waiting;
    page_id first_waiting; /* longest */
    page_id last_waiting;
    void (*forget)(void *context, page_id page);
    void *forget_context;
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
    pool->pages = alloc_zeroed(ALLOC_ENGINE, n_pages, sizeof *pool->pages);
    pool->free_pages = alloc_zeroed(ALLOC_ENGINE, n_pages, sizeof *pool->free_pages);
    if (pool->pages == NULL || pool->free_pages == NULL) {
        page_pool_destroy(pool);
        return realm_error_out_of_memory(
            error, n_pages * (sizeof(struct page_state) + sizeof(page_id)), "page pool");
    }
    pool->n_pages = n_pages;
    pool->n_free = n_pages;
    pool->first_waiting = NO_PAGE;
    pool->last_waiting = NO_PAGE;
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
    alloc_free(pool->pages);
    alloc_free(pool->free_pages);
    alloc_free(pool);
}

static void append_waiting(struct page_pool *pool, page_id page)
{
    pool->pages[page].previous = pool->last_waiting;
    pool->pages[page].next = NO_PAGE;
    if (pool->last_waiting != NO_PAGE) {
        pool->pages[pool->last_waiting].next = page;
    } else {
        pool->first_waiting = page;
    }
    pool->last_waiting = page;
    pool->n_waiting++;
}

static void remove_waiting(struct page_pool *pool, page_id page)
{
    const struct page_state *const state = &pool->pages[page];
    if (state->previous != NO_PAGE) {
        pool->pages[state->previous].next = state->next;
    } else {
        pool->first_waiting = state->next;
    }
    if (state->next != NO_PAGE) {
        pool->pages[state->next].previous = state->previous;
    } else {
        pool->last_waiting = state->previous;
    }
    pool->n_waiting--;
}

bool page_pool_try_acquire(struct page_pool *pool, page_id *out)
{
    page_id page;
    if (pool->n_free > 0) {
        page = pool->free_pages[--pool->n_free];
    } else if (pool->n_waiting > 0) {
        page = pool->first_waiting;
        remove_waiting(pool, page);
        pool->pages[page].kept = false;
        pool->forget(pool->forget_context, page);
    } else {
        return false;
    }
    pool->pages[page].references = 1;
    *out = page;
    return true;
}

void page_pool_retain(struct page_pool *pool, page_id page)
{
    if (!REALM_INVARIANT(page < pool->n_pages &&
                         (pool->pages[page].references > 0 || pool->pages[page].kept))) {
        return;
    }
    if (pool->pages[page].references++ == 0) {
        remove_waiting(pool, page);
    }
}

void page_pool_release(struct page_pool *pool, page_id page)
{
    if (!REALM_INVARIANT(page < pool->n_pages && pool->pages[page].references > 0)) {
        return;
    }
    if (--pool->pages[page].references > 0) {
        return;
    }
    if (pool->pages[page].kept) {
        append_waiting(pool, page);
    } else {
        pool->free_pages[pool->n_free++] = page;
    }
}

uint32_t page_pool_references(const struct page_pool *pool, page_id page)
{
    return page < pool->n_pages ? pool->pages[page].references : 0;
}

void page_pool_keep(struct page_pool *pool, page_id page)
{
    if (REALM_INVARIANT(page < pool->n_pages && pool->pages[page].references > 0)) {
        pool->pages[page].kept = true;
    }
}

bool page_pool_is_kept(const struct page_pool *pool, page_id page)
{
    return page < pool->n_pages && pool->pages[page].kept;
}

void page_pool_on_forget(struct page_pool *pool,
                         void (*forget)(void *context, page_id page),
                         void *context)
{
    pool->forget = forget;
    pool->forget_context = context;
}

uint32_t page_pool_n_pages(const struct page_pool *pool)
{
    return pool->n_pages;
}

uint32_t page_pool_n_free(const struct page_pool *pool)
{
    return pool->n_free + pool->n_waiting;
}

uint32_t page_pool_n_waiting(const struct page_pool *pool)
{
    return pool->n_waiting;
}

bool page_pool_audit(const struct page_pool *pool)
{
    uint32_t n_held = 0;
    for (uint32_t i = 0; i < pool->n_pages; i++) {
        n_held += pool->pages[i].references > 0;
    }
    for (uint32_t i = 0; i < pool->n_free; i++) {
        const page_id page = pool->free_pages[i];
        if (page >= pool->n_pages || pool->pages[page].references != 0 || pool->pages[page].kept) {
            return false;
        }
    }
    uint32_t n_waiting = 0;
    for (page_id page = pool->first_waiting; page != NO_PAGE; page = pool->pages[page].next) {
        if (++n_waiting > pool->n_waiting || pool->pages[page].references != 0 ||
            !pool->pages[page].kept) {
            return false;
        }
    }
    return n_waiting == pool->n_waiting && n_held + pool->n_free + n_waiting == pool->n_pages;
}
