/* Page pool and page tables: accounting, forks, copy-on-write. */
#include "kv/page_table.h"
#include "support/cmocka_all.h"

#include <string.h>

#define POOL_PAGES 8u
#define MAX_TOKENS 1024u

struct fixture {
    struct page_pool *pool;
    struct page_table *table;
    struct page_copy copies[4];
    struct page_copies list;
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct realm_error error;
    fixture.list = (struct page_copies){.items = fixture.copies, .capacity = 4};
    assert_int_equal(page_pool_create(POOL_PAGES, &fixture.pool, &error), REALM_OK);
    assert_int_equal(page_table_create(fixture.pool, MAX_TOKENS, &fixture.table, &error), REALM_OK);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *const f = *state;
    page_table_destroy(f->table);
    assert_int_equal(page_pool_n_free(f->pool), POOL_PAGES);
    assert_true(page_pool_audit(f->pool));
    page_pool_destroy(f->pool);
    return 0;
}

static void reserve_takes_only_the_pages_the_tokens_need(void **state)
{
    struct fixture *const f = *state;
    const uint32_t steps[] = {1, 14, 1, 1, 30};
    const uint32_t pages[] = {1, 1, 1, 2, 3};
    for (size_t i = 0; i < 5; i++) {
        const uint32_t before = page_table_n_pages(f->table);
        assert_int_equal(page_table_needs(f->table, steps[i]), pages[i] - before);
        assert_int_equal(page_table_reserve(f->table, steps[i], &f->list, NULL), REALM_OK);
        assert_int_equal(page_table_n_pages(f->table), pages[i]);
    }
    assert_int_equal(page_table_n_tokens(f->table), 47);
    assert_int_equal(f->list.n, 0);
}

static void reserve_beyond_the_pool_changes_nothing(void **state)
{
    struct fixture *const f = *state;
    struct realm_error error;
    assert_int_equal(page_table_reserve(f->table, 100, &f->list, &error), REALM_OK);
    assert_int_equal(page_table_reserve(f->table, 29, &f->list, &error), REALM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.message, "2 KV pages"));
    assert_int_equal(page_table_n_tokens(f->table), 100);
    assert_int_equal(page_table_n_pages(f->table), 7);
    assert_int_equal(page_pool_n_free(f->pool), 1);
    assert_int_equal(page_table_reserve(f->table, MAX_TOKENS, &f->list, &error),
                     REALM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.message, "1024"));
}

static void a_fork_copies_its_partly_filled_page_before_writing(void **state)
{
    struct fixture *const f = *state;
    struct page_table *fork;
    assert_int_equal(page_table_create(f->pool, MAX_TOKENS, &fork, NULL), REALM_OK);
    assert_int_equal(page_table_reserve(f->table, 20, &f->list, NULL), REALM_OK);
    page_table_fork(f->table, fork);
    assert_int_equal(page_pool_n_free(f->pool), POOL_PAGES - 2);
    const page_id shared = page_table_pages(f->table)[1];

    assert_int_equal(page_table_needs(fork, 1), 1);
    assert_int_equal(page_table_reserve(fork, 1, &f->list, NULL), REALM_OK);
    assert_int_equal(f->list.n, 1);
    assert_int_equal(f->copies[0].from, shared);
    assert_int_equal(f->copies[0].to, page_table_pages(fork)[1]);
    assert_int_equal(f->copies[0].n_tokens, 4);
    assert_int_not_equal(page_table_pages(fork)[1], shared);
    assert_int_equal(page_table_pages(fork)[0], page_table_pages(f->table)[0]);

    /* The other holder is alone on the page now and writes without a copy. */
    assert_int_equal(page_table_reserve(f->table, 1, &f->list, NULL), REALM_OK);
    assert_int_equal(f->list.n, 1);
    page_table_destroy(fork);
}

static void a_fork_at_a_page_boundary_needs_no_copy(void **state)
{
    struct fixture *const f = *state;
    struct page_table *fork;
    assert_int_equal(page_table_create(f->pool, MAX_TOKENS, &fork, NULL), REALM_OK);
    assert_int_equal(page_table_reserve(f->table, 32, &f->list, NULL), REALM_OK);
    page_table_fork(f->table, fork);
    assert_int_equal(page_table_reserve(fork, 1, &f->list, NULL), REALM_OK);
    assert_int_equal(f->list.n, 0);
    assert_int_equal(page_table_n_pages(fork), 3);
    page_table_destroy(fork);
}

static void truncate_gives_whole_pages_back(void **state)
{
    struct fixture *const f = *state;
    assert_int_equal(page_table_reserve(f->table, 64, &f->list, NULL), REALM_OK);
    page_table_truncate(f->table, 33);
    assert_int_equal(page_table_n_pages(f->table), 3);
    page_table_truncate(f->table, 40);
    assert_int_equal(page_table_n_tokens(f->table), 33);
    page_table_truncate(f->table, 0);
    assert_int_equal(page_pool_n_free(f->pool), POOL_PAGES);
}

static void a_random_life_of_many_tables_keeps_the_accounts(void **state)
{
    struct fixture *const f = *state;
    struct page_table *tables[6];
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(page_table_create(f->pool, MAX_TOKENS, &tables[i], NULL), REALM_OK);
    }
    uint32_t random = 12345;
    for (int round = 0; round < 20000; round++) {
        random = random * 1664525u + 1013904223u;
        struct page_table *const table = tables[(random >> 8) % 6];
        struct page_table *const other = tables[(random >> 16) % 6];
        f->list.n = 0;
        switch ((random >> 24) % 4) {
        case 0:
        case 1:
            if (page_table_reserve(table, (random >> 12) % 20, &f->list, NULL) != REALM_OK) {
                page_table_truncate(table, 0);
            }
            break;
        case 2:
            page_table_truncate(table, (random >> 12) % 64);
            break;
        default:
            if (table != other) {
                page_table_truncate(other, 0);
                page_table_fork(table, other);
            }
        }
        assert_true(page_pool_audit(f->pool));
        for (uint32_t i = 0; i < f->list.n; i++) {
            assert_int_equal(page_pool_references(f->pool, f->copies[i].to), 1);
        }
    }
    for (size_t i = 0; i < 6; i++) {
        page_table_destroy(tables[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            reserve_takes_only_the_pages_the_tokens_need, setup, teardown),
        cmocka_unit_test_setup_teardown(reserve_beyond_the_pool_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_fork_copies_its_partly_filled_page_before_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fork_at_a_page_boundary_needs_no_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(truncate_gives_whole_pages_back, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_random_life_of_many_tables_keeps_the_accounts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
