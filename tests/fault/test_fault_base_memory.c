/* The n-th allocation fails, n = 0, 1, ... until all goes through: nothing leaks, and the status
 * says what happened. */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/queue.h"
#include "base/strbuf.h"
#include "support/cmocka_all.h"

#include <string.h>

#define MAX_ALLOCATIONS 1000

static uint64_t held(void)
{
    uint64_t n_bytes = 0;
    for (int i = 0; i < ALLOC_N_PURPOSES; i++) {
        n_bytes += alloc_held_bytes((enum alloc_purpose)i);
    }
    return n_bytes;
}

/* Runs the scenario with every allocation failing in turn; it returns OK or OUT_OF_MEMORY. */
static void fail_each(realm_status (*scenario)(void))
{
    for (uint64_t n = 0; n < MAX_ALLOCATIONS; n++) {
        alloc_fail_after(n);
        const realm_status status = scenario();
        alloc_fail_after(UINT64_MAX);
        assert_int_equal(held(), 0);
        if (status == REALM_OK) {
            assert_true(n > 0); /* the scenario does allocate */
            return;
        }
        assert_int_equal(status, REALM_OUT_OF_MEMORY);
    }
    fail_msg("still failing after %d allocations", MAX_ALLOCATIONS);
}

static realm_status use_arena(void)
{
    struct arena arena;
    arena_init(&arena, ALLOC_TEST, 0);
    realm_status status = REALM_OK;
    for (size_t i = 0; i < 100 && status == REALM_OK; i++) {
        const struct arena_mark mark = arena_mark(&arena);
        if (arena_zeroed(&arena, i, 1000) == NULL || arena_string(&arena, "text", 4) == NULL) {
            status = REALM_OUT_OF_MEMORY;
        } else if (i % 3 == 0) {
            arena_reset_to(&arena, mark);
        }
    }
    arena_deinit(&arena);
    return status;
}

static realm_status use_strbuf(void)
{
    struct strbuf buffer;
    strbuf_init(&buffer, ALLOC_TEST, SIZE_MAX);
    size_t n_kept = 0;
    for (int i = 0; i < 2000; i++) {
        const size_t before = buffer.length;
        if (!strbuf_append_json(&buffer, "some \"text\"", 11)) {
            assert_int_equal(buffer.length, before);
            break;
        }
        n_kept++;
    }
    const bool failed = buffer.failed;
    assert_int_equal(failed, n_kept < 2000);
    assert_int_equal(strlen(buffer.text), buffer.length);
    strbuf_deinit(&buffer);
    return failed ? REALM_OUT_OF_MEMORY : REALM_OK;
}

static realm_status use_map(void)
{
    struct map *map;
    static int value;
    realm_status status = map_create(ALLOC_TEST, &map, NULL);
    for (int i = 0; i < 100 && status == REALM_OK; i++) {
        char key[64];
        memset(key, 'a' + i % 26, sizeof(key));
        const size_t n_bytes = (size_t)i % sizeof(key);
        const size_t length = map_length(map);
        if (!map_put(map, key, n_bytes, &value)) {
            status = REALM_OUT_OF_MEMORY;
            assert_int_equal(map_length(map), length);
            assert_null(map_get(map, key, n_bytes));
        }
    }
    map_destroy(map);
    return status;
}

static realm_status use_queue_and_pool(void)
{
    struct queue *queue = NULL;
    struct pool *pool = NULL;
    struct realm_error error = {.status = REALM_OK};
    realm_status status = queue_create(10, NULL, NULL, &queue, &error);
    if (status == REALM_OK) {
        status = pool_create(3, &pool, &error);
    }
    assert_int_equal(error.status, status);
    pool_destroy(pool);
    queue_destroy(queue);
    return status;
}

static void arena(void **state)
{
    (void)state;
    fail_each(use_arena);
}

static void strbuf(void **state)
{
    (void)state;
    fail_each(use_strbuf);
}

static void map(void **state)
{
    (void)state;
    fail_each(use_map);
}

static void queue_and_pool(void **state)
{
    (void)state;
    fail_each(use_queue_and_pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena),
        cmocka_unit_test(strbuf),
        cmocka_unit_test(map),
        cmocka_unit_test(queue_and_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
