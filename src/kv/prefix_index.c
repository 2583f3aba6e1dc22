#include "kv/prefix_index.h"

#include "base/alloc.h"

#include <openssl/sha.h>
#include <string.h>

#define NO_PAGE UINT32_MAX

/* A page has one digest at most, so entries are by page, chained in buckets. */
struct entry {
    struct prefix_digest digest;
    page_id next;
    bool used;
};

struct prefix_index {
    struct page_pool *pool;
    struct entry *entries; /* by page */
    page_id *buckets;      /* [n_buckets], a power of two */
    uint32_t n_buckets;
    uint32_t n_used;
};

struct prefix_digest prefix_digest_start(const uint8_t *domain, uint64_t model, uint64_t adapter)
{
    uint8_t text[PREFIX_DOMAIN_BYTES + 2 * sizeof(uint64_t)];
    struct prefix_digest digest;
    memcpy(text, domain, PREFIX_DOMAIN_BYTES);
    memcpy(text + PREFIX_DOMAIN_BYTES, &model, sizeof model);
    memcpy(text + PREFIX_DOMAIN_BYTES + sizeof model, &adapter, sizeof adapter);
    (void)SHA256(text, sizeof text, digest.bytes);
    return digest;
}

struct prefix_digest prefix_digest_next(const struct prefix_digest *before, const token_id *tokens)
{
    uint8_t text[PREFIX_DIGEST_BYTES + PAGE_TOKENS * sizeof(token_id)];
    struct prefix_digest digest;
    memcpy(text, before->bytes, PREFIX_DIGEST_BYTES);
    memcpy(text + PREFIX_DIGEST_BYTES, tokens, PAGE_TOKENS * sizeof(token_id));
    (void)SHA256(text, sizeof text, digest.bytes);
    return digest;
}

/* The digest is as good as random to whoever does not know the domain. */
static page_id *bucket_of(const struct prefix_index *index, const struct prefix_digest *digest)
{
    uint32_t word;
    memcpy(&word, digest->bytes, sizeof word);
    return &index->buckets[word & (index->n_buckets - 1)];
}

static void forget(void *context, page_id page)
{
    struct prefix_index *const index = context;
    struct entry *const entry = &index->entries[page];
    if (!REALM_INVARIANT(entry->used)) {
        return;
    }
    page_id *link = bucket_of(index, &entry->digest);
    while (*link != page) {
        if (!REALM_INVARIANT(*link != NO_PAGE)) {
            return;
        }
        link = &index->entries[*link].next;
    }
    *link = entry->next;
    entry->used = false;
    index->n_used--;
}

realm_status
prefix_index_create(struct page_pool *pool, struct prefix_index **out, struct realm_error *error)
{
    *out = NULL;
    const uint32_t n_pages = page_pool_n_pages(pool);
    struct prefix_index *index = alloc_zeroed(ALLOC_ENGINE, 1, sizeof *index);
    if (index == NULL) {
        return realm_error_out_of_memory(error, sizeof *index, "prefix index");
    }
    index->pool = pool;
    index->n_buckets = 1;
    while (index->n_buckets < n_pages && index->n_buckets < 1u << 31) {
        index->n_buckets *= 2;
    }
    index->entries = alloc_zeroed(ALLOC_ENGINE, n_pages, sizeof *index->entries);
    index->buckets = alloc_zeroed(ALLOC_ENGINE, index->n_buckets, sizeof *index->buckets);
    if (index->entries == NULL || index->buckets == NULL) {
        prefix_index_destroy(index);
        return realm_error_out_of_memory(error, n_pages * sizeof(struct entry), "prefix index");
    }
    for (uint32_t i = 0; i < index->n_buckets; i++) {
        index->buckets[i] = NO_PAGE;
    }
    page_pool_on_forget(pool, forget, index);
    *out = index;
    return REALM_OK;
}

void prefix_index_destroy(struct prefix_index *index)
{
    if (index == NULL) {
        return;
    }
    alloc_free(index->entries);
    alloc_free(index->buckets);
    alloc_free(index);
}

bool prefix_index_find(const struct prefix_index *index,
                       const struct prefix_digest *digest,
                       page_id *out)
{
    for (page_id page = *bucket_of(index, digest); page != NO_PAGE;
         page = index->entries[page].next) {
        if (memcmp(&index->entries[page].digest, digest, sizeof *digest) == 0) {
            *out = page;
            return true;
        }
    }
    return false;
}

void prefix_index_insert(struct prefix_index *index,
                         const struct prefix_digest *digest,
                         page_id page)
{
    page_id known;
    struct entry *const entry = &index->entries[page];
    if (entry->used || prefix_index_find(index, digest, &known)) {
        return;
    }
    page_id *const bucket = bucket_of(index, digest);
    *entry = (struct entry){.digest = *digest, .next = *bucket, .used = true};
    *bucket = page;
    index->n_used++;
    page_pool_keep(index->pool, page);
}

uint32_t prefix_index_n_pages(const struct prefix_index *index)
{
    return index->n_used;
}
