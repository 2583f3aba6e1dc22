/* thread.h, queue.h and pool.h. */
#include "base/alloc.h"
#include "base/pool.h"
#include "base/queue.h"
#include "base/thread.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <stdatomic.h>
#include <string.h>

#define DEADLINE_MS 20000

struct counted {
    struct mutex lock;
    struct condition changed;
    uint32_t value;
};

static void add_many(void *context)
{
    struct counted *counted = context;
    for (int i = 0; i < 10000; i++) {
        mutex_lock(&counted->lock);
        counted->value++;
        mutex_unlock(&counted->lock);
    }
    mutex_lock(&counted->lock);
    condition_broadcast(&counted->changed);
    mutex_unlock(&counted->lock);
}

static void threads_exclude_and_wake_each_other(void **state)
{
    (void)state;
    struct counted counted = {.value = 0};
    struct thread threads[4];
    mutex_init(&counted.lock);
    condition_init(&counted.changed);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(thread_start(&threads[i], "adder", add_many, &counted, NULL), REALM_OK);
    }
    mutex_lock(&counted.lock);
    while (counted.value < 40000) {
        condition_wait(&counted.changed, &counted.lock);
    }
    assert_false(condition_wait_ms(&counted.changed, &counted.lock, 0) && counted.value != 40000);
    mutex_unlock(&counted.lock);
    for (size_t i = 0; i < 4; i++) {
        thread_join(&threads[i]);
        thread_join(&threads[i]);
    }
    assert_int_equal(counted.value, 40000);
    condition_deinit(&counted.changed);
    mutex_deinit(&counted.lock);
}

static void a_timed_wait_ends(void **state)
{
    (void)state;
    struct mutex lock;
    struct condition never;
    mutex_init(&lock);
    condition_init(&never);
    mutex_lock(&lock);
    bool woken = true;
    for (int i = 0; woken && i < 1000; i++) { /* it may wake without cause, but not for ever */
        woken = condition_wait_ms(&never, &lock, 1);
    }
    assert_false(woken);
    mutex_unlock(&lock);
    condition_deinit(&never);
    mutex_deinit(&lock);
    assert_true(thread_n_cores() >= 1);
}

static void a_queue_keeps_order_and_refuses_when_full(void **state)
{
    (void)state;
    struct queue *queue;
    int items[10];
    void *taken[10];
    assert_int_equal(queue_create(0, NULL, NULL, &queue, NULL), REALM_INVALID_ARGUMENT);
    assert_int_equal(queue_create(4, NULL, NULL, &queue, NULL), REALM_OK);
    for (size_t round = 0; round < 7; round++) {
        for (size_t i = 0; i < 4; i++) {
            assert_true(queue_try_push(queue, &items[i]));
        }
        assert_false(queue_try_push(queue, &items[4]));
        assert_int_equal(queue_length(queue), 4);
        assert_int_equal(queue_take(queue, taken, 3), 3);
        assert_true(queue_try_push(queue, &items[5]));
        assert_int_equal(queue_take(queue, taken + 3, 7), 2);
        for (size_t i = 0; i < 4; i++) {
            assert_ptr_equal(taken[i], &items[i]);
        }
        assert_ptr_equal(taken[4], &items[5]);
        assert_int_equal(queue_take(queue, taken, 10), 0);
    }
    assert_true(queue_try_push(queue, &items[0]));
    assert_false(queue_closed(queue));
    queue_close(queue);
    assert_true(queue_closed(queue));
    assert_false(queue_try_push(queue, &items[1]));
    queue_wait(queue, UINT32_MAX);
    assert_int_equal(queue_take(queue, taken, 10), 1);
    queue_wait(queue, UINT32_MAX);
    queue_destroy(queue);
    queue_destroy(NULL);
}

enum { n_producers = 4, n_per_producer = 5000 };

struct producer {
    struct thread thread;
    struct queue *queue;
    uint32_t numbers[n_per_producer];
};

static void produce(void *context)
{
    struct producer *producer = context;
    for (uint32_t i = 0; i < n_per_producer; i++) {
        producer->numbers[i] = i;
        while (!queue_try_push(producer->queue, &producer->numbers[i])) {
            /* full: the consumer is at work */
        }
    }
}

struct tally {
    _Atomic uint32_t n;
};

static void count_wake(void *context)
{
    struct tally *tally = context;
    atomic_fetch_add(&tally->n, 1);
}

static void a_queue_loses_nothing_between_threads(void **state)
{
    (void)state;
    static struct producer producers[n_producers];
    static struct tally wakes;
    struct queue *queue;
    assert_int_equal(queue_create(64, count_wake, &wakes, &queue, NULL), REALM_OK);
    for (size_t i = 0; i < n_producers; i++) {
        producers[i].queue = queue;
        assert_int_equal(
            thread_start(&producers[i].thread, "producer", produce, &producers[i], NULL), REALM_OK);
    }
    uint32_t next[n_producers] = {0};
    uint32_t n_taken = 0;
    while (n_taken < n_producers * n_per_producer) {
        void *items[64];
        queue_wait(queue, DEADLINE_MS);
        const uint32_t n = queue_take(queue, items, 64);
        assert_int_not_equal(n, 0);
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t *number = items[i];
            for (size_t p = 0; p < n_producers; p++) {
                const uint32_t *first = producers[p].numbers;
                if (number >= first && number < first + n_per_producer) {
                    assert_int_equal(*number, next[p]++); /* each producer's own order is kept */
                }
            }
        }
        n_taken += n;
    }
    for (size_t i = 0; i < n_producers; i++) {
        thread_join(&producers[i].thread);
        assert_int_equal(next[i], n_per_producer);
    }
    assert_true(atomic_load(&wakes.n) >= 1);
    queue_destroy(queue);
}

struct consumer {
    struct thread thread;
    struct queue *queue;
    _Atomic uint32_t *n_busy;
};

/* Takes one item and no second one. */
static void consume_one(void *context)
{
    struct consumer *consumer = context;
    void *item;
    while (queue_take(consumer->queue, &item, 1) == 0 && !queue_closed(consumer->queue)) {
        queue_wait(consumer->queue, UINT32_MAX);
    }
    atomic_fetch_add(consumer->n_busy, 1);
}

static bool both_are_busy(void *context)
{
    struct tally *tally = context;
    return atomic_load(&tally->n) == 2;
}

/* Two items pushed at once wake two sleeping consumers, not one after the other. */
static void every_item_wakes_a_consumer(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        struct queue *queue;
        struct tally n_busy = {.n = 0};
        struct consumer consumers[2];
        int items[2];
        assert_int_equal(queue_create(4, NULL, NULL, &queue, NULL), REALM_OK);
        for (size_t i = 0; i < 2; i++) {
            consumers[i].queue = queue;
            consumers[i].n_busy = &n_busy.n;
            assert_int_equal(
                thread_start(&consumers[i].thread, "consumer", consume_one, &consumers[i], NULL),
                REALM_OK);
        }
        assert_true(queue_try_push(queue, &items[0]));
        assert_true(queue_try_push(queue, &items[1]));
        assert_true(test_poll(both_are_busy, &n_busy, DEADLINE_MS));
        queue_close(queue);
        for (size_t i = 0; i < 2; i++) {
            thread_join(&consumers[i].thread);
        }
        queue_destroy(queue);
    }
}

static const uint32_t team_sizes[] = {1, 2, 3, 4, 16};
#define N_TEAM_SIZES (sizeof(team_sizes) / sizeof(team_sizes[0]))

struct marks {
    uint32_t of[64];
    uint32_t n_bad; /* written by member 0 only */
};

/* Every member marks its place, all meet, and every member must see all marks. */
static void mark_and_meet(void *context, const struct pool_member *member)
{
    struct marks *marks = context;
    for (uint32_t round = 1; round <= 50; round++) {
        marks->of[member->index] = round;
        pool_barrier(member);
        for (uint32_t i = 0; i < member->n_members; i++) {
            if (marks->of[i] != round && member->index == 0) {
                marks->n_bad++;
            }
        }
        pool_barrier(member);
    }
}

static void members_meet_at_barriers(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_TEAM_SIZES; i++) {
        struct pool *pool;
        assert_int_equal(pool_create(team_sizes[i], &pool, NULL), REALM_OK);
        assert_int_equal(pool_n_members(pool), team_sizes[i]);
        struct marks marks = {.n_bad = 0};
        for (int run = 0; run < 10; run++) {
            pool_run(pool, mark_and_meet, &marks);
        }
        assert_int_equal(marks.n_bad, 0);
        for (uint32_t m = 0; m < team_sizes[i]; m++) {
            assert_int_equal(marks.of[m], 50);
        }
        pool_destroy(pool);
    }
    assert_int_equal(alloc_held_bytes(ALLOC_BASE), 0);
}

struct shared_work {
    struct pool_counter counter;
    uint32_t n_items;
    uint32_t grain;
    unsigned char *done;
};

static void do_items(void *context, const struct pool_member *member)
{
    struct shared_work *work = context;
    (void)member;
    uint32_t begin;
    uint32_t end;
    while (pool_next(&work->counter, work->n_items, work->grain, &begin, &end)) {
        for (uint32_t i = begin; i < end; i++) {
            work->done[i]++;
        }
    }
}

static void work_is_shared_without_gap_or_overlap(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 2, 7, 64, 1000, 12345};
    for (size_t i = 0; i < N_TEAM_SIZES; i++) {
        struct pool *pool;
        assert_int_equal(pool_create(team_sizes[i], &pool, NULL), REALM_OK);
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            for (uint32_t grain = 1; grain <= 100; grain *= 7) {
                /* Not on the stack: gcc's checker of stale frames does not align those to 64. */
                static struct shared_work work;
                work = (struct shared_work){.n_items = counts[c], .grain = grain};
                work.done = alloc_zeroed(ALLOC_TEST, counts[c], 1);
                assert_non_null(work.done);
                pool_run(pool, do_items, &work);
                for (uint32_t k = 0; k < counts[c]; k++) {
                    assert_int_equal(work.done[k], 1);
                }
                alloc_free(work.done);
            }
        }
        pool_destroy(pool);
    }
}

static void count_members(void *context, const struct pool_member *member)
{
    (void)member;
    struct tally *tally = context;
    atomic_fetch_add(&tally->n, 1);
}

/* Regions back to back: none is missed and none runs twice, also when the team went to sleep. */
static void every_member_runs_every_region_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_TEAM_SIZES; i++) {
        struct pool *pool;
        assert_int_equal(pool_create(team_sizes[i], &pool, NULL), REALM_OK);
        struct tally calls;
        for (uint32_t run = 0; run < 500; run++) {
            atomic_store(&calls.n, 0);
            pool_run(pool, count_members, &calls);
            assert_int_equal(atomic_load(&calls.n), team_sizes[i]);
        }
        pool_destroy(pool);
    }
}

static void a_pool_is_refused_with_a_reason(void **state)
{
    (void)state;
    struct pool *pool;
    struct realm_error error;
    assert_int_equal(pool_create(UINT32_MAX, &pool, &error), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "4294967295"));
    assert_null(pool);
    for (uint64_t n = 0; n < 5; n++) { /* the pool's block, then one a thread */
        alloc_fail_after(n);
        assert_int_equal(pool_create(5, &pool, &error), REALM_OUT_OF_MEMORY);
        alloc_fail_after(UINT64_MAX);
        assert_null(pool);
    }
    assert_int_equal(pool_create(0, &pool, &error), REALM_OK);
    assert_int_equal(pool_n_members(pool), thread_n_cores());
    pool_destroy(pool);
    pool_destroy(NULL);
    assert_int_equal(alloc_held_bytes(ALLOC_BASE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_exclude_and_wake_each_other),
        cmocka_unit_test(a_timed_wait_ends),
        cmocka_unit_test(a_queue_keeps_order_and_refuses_when_full),
        cmocka_unit_test(a_queue_loses_nothing_between_threads),
        cmocka_unit_test(every_item_wakes_a_consumer),
        cmocka_unit_test(members_meet_at_barriers),
        cmocka_unit_test(work_is_shared_without_gap_or_overlap),
        cmocka_unit_test(every_member_runs_every_region_once),
        cmocka_unit_test(a_pool_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
