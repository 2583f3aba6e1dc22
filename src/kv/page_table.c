#include "kv/page_table.h"

#include "base/alloc.h"

struct page_table {
    struct page_pool *pool;
    page_id *pages; /* [max_pages] */
    uint32_t n_pages;
    uint32_t n_tokens;
    uint32_t max_tokens;
};

static uint32_t pages_for(uint32_t n_tokens)
{
    return n_tokens / PAGE_TOKENS + (n_tokens % PAGE_TOKENS != 0);
}

realm_status page_table_create(struct page_pool *pool,
                               uint32_t max_tokens,
                               struct page_table **out,
                               struct realm_error *error)
{
    *out = NULL;
    struct page_table *table = alloc_zeroed(ALLOC_REQUEST, 1, sizeof *table);
    if (table == NULL) {
        return realm_error_out_of_memory(error, sizeof *table, "page table");
    }
    table->pages = alloc_zeroed(ALLOC_REQUEST, pages_for(max_tokens) + 1u, sizeof *table->pages);
    if (table->pages == NULL) {
        alloc_free(table);
        return realm_error_out_of_memory(error, max_tokens, "page table");
    }
    table->pool = pool;
    table->max_tokens = max_tokens;
    *out = table;
    return REALM_OK;
}

void page_table_destroy(struct page_table *table)
{
    if (table == NULL) {
        return;
    }
    page_table_truncate(table, 0);
    alloc_free(table->pages);
    alloc_free(table);
}

/* The last page is partly filled and somebody else knows it too: it must not be written. */
static bool last_page_is_shared(const struct page_table *table)
{
    if (table->n_tokens % PAGE_TOKENS == 0) {
        return false;
    }
    const page_id last = table->pages[table->n_pages - 1];
    return page_pool_references(table->pool, last) > 1 || page_pool_is_kept(table->pool, last);
}

uint32_t page_table_needs(const struct page_table *table, uint32_t n_tokens)
{
    if (n_tokens == 0) {
        return 0;
    }
    return pages_for(table->n_tokens + n_tokens) - table->n_pages +
           (last_page_is_shared(table) ? 1u : 0u);
}

realm_status page_table_reserve(struct page_table *table,
                                uint32_t n_tokens,
                                struct page_copies *copies,
                                struct realm_error *error)
{
    if (n_tokens > table->max_tokens - table->n_tokens) {
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "%u more tokens after %u pass the sequence's limit of %u",
                               n_tokens,
                               table->n_tokens,
                               table->max_tokens);
    }
    const uint32_t needs = page_table_needs(table, n_tokens);
    const bool copy = n_tokens > 0 && last_page_is_shared(table);
    if (needs > page_pool_n_free(table->pool) || (copy && copies->n == copies->capacity)) {
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "%u KV pages are needed and %u are free",
                               needs,
                               page_pool_n_free(table->pool));
    }
    if (copy) {
        page_id *const last = &table->pages[table->n_pages - 1];
        const page_id shared = *last;
        if (!REALM_INVARIANT(page_pool_try_acquire(table->pool, last))) {
            return realm_error_set(error, REALM_INTERNAL, "page pool lost a page");
        }
        copies->items[copies->n++] = (struct page_copy){
            .from = shared, .to = *last, .n_tokens = table->n_tokens % PAGE_TOKENS};
        page_pool_release(table->pool, shared);
    }
    const uint32_t n_pages = pages_for(table->n_tokens + n_tokens);
    while (table->n_pages < n_pages) {
        if (!REALM_INVARIANT(page_pool_try_acquire(table->pool, &table->pages[table->n_pages]))) {
            return realm_error_set(error, REALM_INTERNAL, "page pool lost a page");
        }
        table->n_pages++;
    }
    table->n_tokens += n_tokens;
    return REALM_OK;
}

void page_table_truncate(struct page_table *table, uint32_t n_tokens)
{
    if (n_tokens >= table->n_tokens) {
        return;
    }
    const uint32_t n_pages = pages_for(n_tokens);
    while (table->n_pages > n_pages) {
        page_pool_release(table->pool, table->pages[--table->n_pages]);
    }
    table->n_tokens = n_tokens;
}

void page_table_adopt(struct page_table *table, page_id page)
{
    if (!REALM_INVARIANT(table->n_tokens % PAGE_TOKENS == 0 &&
                         table->max_tokens - table->n_tokens >= PAGE_TOKENS)) {
        return;
    }
    page_pool_retain(table->pool, page);
    table->pages[table->n_pages++] = page;
    table->n_tokens += PAGE_TOKENS;
}

void page_table_fork(const struct page_table *table, struct page_table *fork)
{
    if (!REALM_INVARIANT(fork->n_pages == 0 && fork->max_tokens >= table->n_tokens)) {
        return;
    }
    for (uint32_t i = 0; i < table->n_pages; i++) {
        page_pool_retain(table->pool, table->pages[i]);
        fork->pages[i] = table->pages[i];
    }
    fork->n_pages = table->n_pages;
    fork->n_tokens = table->n_tokens;
}

uint32_t page_table_n_tokens(const struct page_table *table)
{
    return table->n_tokens;
}

uint32_t page_table_n_pages(const struct page_table *table)
{
    return table->n_pages;
}

const page_id *page_table_pages(const struct page_table *table)
{
    return table->pages;
}
