/* alloc.h, arena.h and checked.h. */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/checked.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <string.h>

static void blocks_are_aligned_counted_and_given_back(void **state)
{
    (void)state;
    const uint64_t held = alloc_held_bytes(ALLOC_TEST);
    const uint64_t count = alloc_count();
    void *blocks[64];
    for (size_t i = 0; i < 64; i++) {
        blocks[i] = alloc_bytes(ALLOC_TEST, i * 7);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % ALLOC_ALIGNMENT, 0);
        memset(blocks[i], 0xAB, i * 7);
    }
    assert_int_equal(alloc_held_bytes(ALLOC_TEST) - held, 7 * 63 * 64 / 2);
    assert_int_equal(alloc_count() - count, 64);
    for (size_t i = 0; i < 64; i++) {
        alloc_free(blocks[i]);
    }
    alloc_free(NULL);
    assert_int_equal(alloc_held_bytes(ALLOC_TEST), held);
}

static void zeroed_refuses_what_overflows(void **state)
{
    (void)state;
    assert_null(alloc_zeroed(ALLOC_TEST, SIZE_MAX / 2, 3));
    assert_null(alloc_bytes(ALLOC_TEST, SIZE_MAX));
    assert_null(alloc_bytes(ALLOC_TEST, SIZE_MAX - 100));
    unsigned char *block = alloc_zeroed(ALLOC_TEST, 10, 10);
    assert_non_null(block);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(block[i], 0);
    }
    alloc_free(block);
}

static void resize_keeps_contents_and_the_old_block_on_failure(void **state)
{
    (void)state;
    char *block = alloc_string(ALLOC_TEST, "abcdef", 6);
    assert_string_equal(block, "abcdef");
    char *larger = alloc_resize(ALLOC_TEST, block, 1000);
    assert_non_null(larger);
    assert_string_equal(larger, "abcdef");
    alloc_fail_after(0);
    assert_null(alloc_resize(ALLOC_TEST, larger, 2000));
    alloc_fail_after(UINT64_MAX);
    assert_string_equal(larger, "abcdef");
    char *smaller = alloc_resize(ALLOC_TEST, larger, 3);
    assert_memory_equal(smaller, "abc", 3);
    alloc_free(smaller);
    char *fresh = alloc_resize(ALLOC_TEST, NULL, 5);
    assert_non_null(fresh);
    alloc_free(fresh);
    assert_int_equal(alloc_held_bytes(ALLOC_TEST), 0);
}

static void pages_are_zero_and_counted(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 4096, 5 * 1024 * 1024 + 3};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        unsigned char *pages = alloc_pages(ALLOC_TEST, sizes[i]);
        assert_non_null(pages);
        assert_int_equal((uintptr_t)pages % ALLOC_ALIGNMENT, 0);
        for (size_t j = 0; j < sizes[i]; j += 1000) {
            assert_int_equal(pages[j], 0);
            pages[j] = 1;
        }
        if (sizes[i] > 0) {
            pages[sizes[i] - 1] = 1;
        }
        assert_int_equal(alloc_held_bytes(ALLOC_TEST), sizes[i]);
        alloc_pages_free(ALLOC_TEST, pages, sizes[i]);
        assert_int_equal(alloc_held_bytes(ALLOC_TEST), 0);
    }
    assert_null(alloc_pages(ALLOC_TEST, SIZE_MAX));
    assert_null(alloc_pages(ALLOC_TEST, SIZE_MAX / 2));
    alloc_pages_free(ALLOC_TEST, NULL, 1);
}

static void the_nth_allocation_and_all_after_it_fail(void **state)
{
    (void)state;
    alloc_fail_after(2);
    void *first = alloc_bytes(ALLOC_TEST, 1);
    void *second = alloc_zeroed(ALLOC_TEST, 1, 1);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(alloc_bytes(ALLOC_TEST, 1));
    assert_null(alloc_pages(ALLOC_TEST, 1));
    assert_null(alloc_string(ALLOC_TEST, "x", 1));
    alloc_fail_after(UINT64_MAX);
    void *third = alloc_bytes(ALLOC_TEST, 1);
    assert_non_null(third);
    alloc_free(first);
    alloc_free(second);
    alloc_free(third);
}

static void every_purpose_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < ALLOC_N_PURPOSES; i++) {
        assert_string_not_equal(alloc_purpose_name((enum alloc_purpose)i), "unknown");
    }
    assert_string_equal(alloc_purpose_name(ALLOC_N_PURPOSES), "unknown");
}

static void arena_blocks_are_apart_and_aligned(void **state)
{
    (void)state;
    struct test_random random;
    test_random_init(&random, "arena_blocks_are_apart_and_aligned");
    struct arena arena;
    arena_init(&arena, ALLOC_TEST, 0);
    struct {
        unsigned char *data;
        size_t n_bytes;
    } blocks[300];
    for (size_t i = 0; i < 300; i++) {
        blocks[i].n_bytes = test_random_below(&random, i % 10 == 0 ? 20000 : 100);
        blocks[i].data = arena_alloc(&arena, blocks[i].n_bytes);
        assert_non_null(blocks[i].data);
        assert_int_equal((uintptr_t)blocks[i].data % 16, 0);
        memset(blocks[i].data, (int)(i & 0xFF), blocks[i].n_bytes);
    }
    for (size_t i = 0; i < 300; i++) {
        for (size_t j = 0; j < blocks[i].n_bytes; j++) {
            assert_int_equal(blocks[i].data[j], i & 0xFF);
        }
    }
    arena_deinit(&arena);
    assert_int_equal(alloc_held_bytes(ALLOC_TEST), 0);
}

static void arena_refuses_beyond_its_ceiling(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ALLOC_TEST, 1024);
    assert_non_null(arena_alloc(&arena, 1000));
    assert_null(arena_alloc(&arena, 100));
    assert_non_null(arena_alloc(&arena, 16));
    assert_null(arena_alloc(&arena, 1));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_zeroed(&arena, SIZE_MAX, SIZE_MAX));
    assert_null(arena_string(&arena, "", SIZE_MAX));
    assert_true(alloc_held_bytes(ALLOC_TEST) < 2048);
    arena_deinit(&arena);
}

static void arena_comes_back_to_its_mark(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ALLOC_TEST, 0);
    char *kept = arena_string(&arena, "kept", 4);
    const struct arena_mark mark = arena_mark(&arena);
    for (int i = 0; i < 1000; i++) {
        assert_non_null(arena_alloc(&arena, 1000));
    }
    arena_reset_to(&arena, mark);
    assert_int_equal(arena.used_bytes, mark.used_bytes);
    assert_string_equal(kept, "kept");
    char *next = arena_alloc(&arena, 16);
    assert_ptr_equal(next, kept + 16);
    arena_deinit(&arena);
    assert_int_equal(alloc_held_bytes(ALLOC_TEST), 0);
}

/* What the engine's step needs: the same work again and again takes nothing from the heap. */
static void a_reset_arena_stops_allocating(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ALLOC_TEST, 0);
    uint64_t count = 0;
    for (int round = 0; round < 20; round++) {
        if (round == 10) {
            count = alloc_count();
        }
        const struct arena_mark mark = arena_mark(&arena);
        for (int i = 0; i < 50; i++) {
            assert_non_null(arena_alloc(&arena, 3000));
        }
        arena_reset_to(&arena, mark);
    }
    assert_int_equal(alloc_count(), count);
    arena_deinit(&arena);
    assert_int_equal(alloc_held_bytes(ALLOC_TEST), 0);
}

static void checked_arithmetic_reports_overflow(void **state)
{
    (void)state;
    size_t size = 5;
    uint64_t number = 5;
    uint32_t narrow = 5;
    assert_false(checked_add_size(SIZE_MAX, 1, &size));
    assert_false(checked_mul_size(SIZE_MAX / 2 + 1, 2, &size));
    assert_int_equal(size, 5);
    assert_true(checked_add_size(SIZE_MAX, 0, &size));
    assert_int_equal(size, SIZE_MAX);
    assert_false(checked_add_u64(UINT64_MAX, 1, &number));
    assert_false(checked_mul_u64(UINT64_MAX, 2, &number));
    assert_false(checked_align_up_u64(UINT64_MAX - 5, 32, &number));
    assert_int_equal(number, 5);
    assert_true(checked_align_up_u64(33, 32, &number));
    assert_int_equal(number, 64);
    assert_true(checked_align_up_u64(64, 32, &number));
    assert_int_equal(number, 64);
    assert_false(checked_narrow_u32((uint64_t)UINT32_MAX + 1, &narrow));
    assert_int_equal(narrow, 5);
    assert_true(checked_narrow_u32(UINT32_MAX, &narrow));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_counted_and_given_back),
        cmocka_unit_test(zeroed_refuses_what_overflows),
        cmocka_unit_test(resize_keeps_contents_and_the_old_block_on_failure),
        cmocka_unit_test(pages_are_zero_and_counted),
        cmocka_unit_test(the_nth_allocation_and_all_after_it_fail),
        cmocka_unit_test(every_purpose_has_a_name),
        cmocka_unit_test(arena_blocks_are_apart_and_aligned),
        cmocka_unit_test(arena_refuses_beyond_its_ceiling),
        cmocka_unit_test(arena_comes_back_to_its_mark),
        cmocka_unit_test(a_reset_arena_stops_allocating),
        cmocka_unit_test(checked_arithmetic_reports_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
