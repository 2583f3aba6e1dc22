/* Finds KV pages by what they hold: the prefix cache.
 *
 * A full page is known by a digest over everything its keys and values depend on: who may share it,
 * the model, the adapter, and all tokens up to its end; each page's digest covers the one before.
 * Only digests are kept.  Whoever does not know a domain's secret can neither find its pages nor
 * tell whether they are there.
 *
 * Holds no references: pages nobody holds wait in the pool (page_pool.h), oldest given out first.
 * One index a pool; owned by the engine thread.  All memory is taken at creation. */
#ifndef REALM_KV_PREFIX_INDEX_H
#define REALM_KV_PREFIX_INDEX_H

#include "kv/page_pool.h"

#define PREFIX_DIGEST_BYTES 32u
#define PREFIX_DOMAIN_BYTES 32u

struct prefix_digest {
    uint8_t bytes[PREFIX_DIGEST_BYTES];
};

struct prefix_index;

/* What a chain of pages begins with.  domain: PREFIX_DOMAIN_BYTES of secret; model: of this load;
 * adapter: whose weights are added.
 */
struct prefix_digest prefix_digest_start(const uint8_t *domain, uint64_t model, uint64_t adapter);
/* Of the page with these PAGE_TOKENS tokens behind the page (or start) `before`: SHA-256 of both.
 * Any thread. */
struct prefix_digest prefix_digest_next(const struct prefix_digest *before, const token_id *tokens);

/* Takes part in the pool's page_pool_on_forget. */
REALM_MUST_CHECK realm_status prefix_index_create(struct page_pool *pool,
                                                  struct prefix_index **out,
                                                  struct realm_error *error);
/* Before the pool.  NULL is fine. */
void prefix_index_destroy(struct prefix_index *index);

/* The page with this digest; no reference is taken.  False: none. */
bool prefix_index_find(const struct prefix_index *index,
                       const struct prefix_digest *digest,
                       page_id *out);
/* The held page is full and has this digest; it is kept from now on.  Nothing changes when another
 * page has the digest, or this page has one. */
void prefix_index_insert(struct prefix_index *index,
                         const struct prefix_digest *digest,
                         page_id page);
uint32_t prefix_index_n_pages(const struct prefix_index *index);

#endif
