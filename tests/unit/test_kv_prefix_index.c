/* Pages found by what they hold, and pages that wait with their content until room is needed. */
#include "kv/page_table.h"
#include "kv/prefix_index.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <string.h>

#define N_PAGES 8u

static struct page_pool *pool;
static struct prefix_index *prefixes;

static int open_pool(void **state)
{
    (void)state;
    return page_pool_create(N_PAGES, &pool, NULL) == REALM_OK &&
                   prefix_index_create(pool, &prefixes, NULL) == REALM_OK
               ? 0
               : -1;
}

static int close_pool(void **state)
{
    (void)state;
    const bool sound = page_pool_audit(pool) && page_pool_n_free(pool) == N_PAGES;
    prefix_index_destroy(prefixes);
    page_pool_destroy(pool);
    return sound ? 0 : -1;
}

static struct prefix_digest digest_of(uint8_t secret, uint64_t model, uint64_t adapter, token_id t)
{
    uint8_t domain[PREFIX_DOMAIN_BYTES];
    token_id tokens[PAGE_TOKENS];
    memset(domain, secret, sizeof domain);
    for (uint32_t i = 0; i < PAGE_TOKENS; i++) {
        tokens[i] = t + i;
    }
    const struct prefix_digest start = prefix_digest_start(domain, model, adapter);
    return prefix_digest_next(&start, tokens);
}

static bool same(const struct prefix_digest *a, const struct prefix_digest *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void a_digest_depends_on_all_a_page_depends_on(void **state)
{
    (void)state;
    const struct prefix_digest a = digest_of(1, 2, 3, 4);
    const struct prefix_digest again = digest_of(1, 2, 3, 4);
    assert_true(same(&a, &again));
    const struct prefix_digest others[] = {
        digest_of(9, 2, 3, 4), digest_of(1, 9, 3, 4), digest_of(1, 2, 9, 4), digest_of(1, 2, 3, 9)};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(same(&a, &others[i]));
    }
    /* The same tokens further on are another page. */
    token_id tokens[PAGE_TOKENS];
    for (uint32_t i = 0; i < PAGE_TOKENS; i++) {
        tokens[i] = 4 + i;
    }
    const struct prefix_digest behind = prefix_digest_next(&a, tokens);
    assert_false(same(&a, &behind));
}

static page_id take_page(void)
{
    page_id page;
    assert_true(page_pool_try_acquire(pool, &page));
    return page;
}

static void a_page_is_found_until_its_room_is_needed(void **state)
{
    (void)state;
    page_id found;
    page_id held[N_PAGES];
    const struct prefix_digest digest = digest_of(1, 2, 3, 4);
    assert_false(prefix_index_find(prefixes, &digest, &found));
    const page_id page = take_page();
    prefix_index_insert(prefixes, &digest, page);
    assert_true(prefix_index_find(prefixes, &digest, &found));
    assert_int_equal(found, page);
    page_pool_release(pool, page);
    assert_int_equal(page_pool_n_waiting(pool), 1);
    assert_true(prefix_index_find(prefixes, &digest, &found));
    /* Held again, it does not wait; nobody else gets it. */
    page_pool_retain(pool, page);
    assert_int_equal(page_pool_n_waiting(pool), 0);
    for (uint32_t i = 0; i < N_PAGES - 1; i++) {
        held[i] = take_page();
        assert_int_not_equal(held[i], page);
    }
    assert_false(page_pool_try_acquire(pool, &found));
    page_pool_release(pool, page);
    /* The last resort. */
    held[N_PAGES - 1] = take_page();
    assert_int_equal(held[N_PAGES - 1], page);
    assert_false(prefix_index_find(prefixes, &digest, &found));
    assert_int_equal(prefix_index_n_pages(prefixes), 0);
    for (uint32_t i = 0; i < N_PAGES; i++) {
        page_pool_release(pool, held[i]);
    }
}

static void the_page_that_waits_longest_goes_first(void **state)
{
    (void)state;
    page_id pages[3];
    struct prefix_digest digests[3];
    page_id found;
    for (uint32_t i = 0; i < 3; i++) {
        pages[i] = take_page();
        digests[i] = digest_of(1, 2, 3, 100 * i);
        prefix_index_insert(prefixes, &digests[i], pages[i]);
    }
    page_pool_release(pool, pages[1]);
    page_pool_release(pool, pages[0]);
    page_pool_release(pool, pages[2]);
    page_pool_retain(pool, pages[1]); /* used again: it is the youngest then */
    page_pool_release(pool, pages[1]);
    page_id held[N_PAGES];
    for (uint32_t i = 0; i < N_PAGES - 1; i++) {
        held[i] = take_page();
    }
    assert_false(prefix_index_find(prefixes, &digests[0], &found));
    assert_false(prefix_index_find(prefixes, &digests[2], &found));
    assert_true(prefix_index_find(prefixes, &digests[1], &found));
    for (uint32_t i = 0; i < N_PAGES - 1; i++) {
        page_pool_release(pool, held[i]);
    }
}

static void a_second_page_with_the_same_content_stays_unknown(void **state)
{
    (void)state;
    page_id found;
    const struct prefix_digest digest = digest_of(1, 2, 3, 4);
    const page_id first = take_page();
    const page_id second = take_page();
    prefix_index_insert(prefixes, &digest, first);
    prefix_index_insert(prefixes, &digest, second);
    assert_true(prefix_index_find(prefixes, &digest, &found));
    assert_int_equal(found, first);
    assert_false(page_pool_is_kept(pool, second));
    page_pool_release(pool, first);
    page_pool_release(pool, second);
    assert_int_equal(page_pool_n_waiting(pool), 1);
}

static void a_known_page_is_copied_before_it_is_written_again(void **state)
{
    (void)state;
    struct page_copy copy;
    struct page_copies copies = {.items = &copy, .capacity = 1};
    struct page_table *table;
    assert_int_equal(page_table_create(pool, 64, &table, NULL), REALM_OK);
    assert_int_equal(page_table_reserve(table, PAGE_TOKENS, &copies, NULL), REALM_OK);
    const page_id known = page_table_pages(table)[0];
    const struct prefix_digest digest = digest_of(1, 2, 3, 4);
    prefix_index_insert(prefixes, &digest, known);
    page_table_truncate(table, 5);
    assert_int_equal(page_table_needs(table, 1), 1);
    assert_int_equal(page_table_reserve(table, 1, &copies, NULL), REALM_OK);
    assert_int_equal(copies.n, 1);
    assert_int_equal(copy.from, known);
    assert_int_equal(copy.n_tokens, 5);
    assert_int_not_equal(page_table_pages(table)[0], known);
    page_table_destroy(table);
}

/* Pages come, are made known, go and are found, at random; the accounts stay right, and what is
 * found always holds what was put there. */
static void a_random_life_keeps_the_accounts(void **state)
{
    (void)state;
    struct test_random random;
    test_random_init(&random, "a_random_life_keeps_the_accounts");
    token_id content[N_PAGES]; /* by page: whose digest it has */
    page_id held[2 * N_PAGES];
    uint32_t n_held = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        const token_id t = (token_id)test_random_below(&random, 12);
        const struct prefix_digest digest = digest_of(1, 2, 3, 100 * t);
        page_id page;
        if (prefix_index_find(prefixes, &digest, &page)) {
            assert_int_equal(content[page], t);
            if (n_held < 2 * N_PAGES) {
                page_pool_retain(pool, page);
                held[n_held++] = page;
            }
        } else if (n_held < 2 * N_PAGES && page_pool_try_acquire(pool, &page)) {
            held[n_held++] = page;
            content[page] = t;
            prefix_index_insert(prefixes, &digest, page);
        }
        if (n_held > 0 && test_random_below(&random, 2) == 0) {
            const uint32_t gone = (uint32_t)test_random_below(&random, n_held);
            page_pool_release(pool, held[gone]);
            held[gone] = held[--n_held];
        }
        assert_true(page_pool_audit(pool));
    }
    while (n_held > 0) {
        page_pool_release(pool, held[--n_held]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_digest_depends_on_all_a_page_depends_on, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(
            a_page_is_found_until_its_room_is_needed, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(
            the_page_that_waits_longest_goes_first, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(
            a_second_page_with_the_same_content_stays_unknown, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(
            a_known_page_is_copied_before_it_is_written_again, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(a_random_life_keeps_the_accounts, open_pool, close_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
