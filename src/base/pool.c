#include "base/pool.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_MEMBERS     1024u
#define SPINS_PER_LOOK  64     /* pauses between two looks at the clock */
#define REGION_SPIN_NS  50000u /* a member waits so long for the next region before it sleeps */
#define BARRIER_SPIN_NS 20000u /* longer than the imbalance of a well-cut operation */

/* A number that one side changes and others wait for: first spinning, then asleep in the kernel.
 * Never by giving the core away: who stands behind everything would have it until the system's next
 * tick.
 *
 * No wake-up is lost: a waiter adds itself to n_sleepers before its last look at `value`, a changer
 * looks at n_sleepers after changing `value`, all four sequentially consistent; so either the
 * waiter sees the change or the changer sees the waiter. */
struct signal_word {
    _Alignas(64) _Atomic uint32_t value;
    _Atomic uint32_t n_sleepers;
};

struct worker {
    struct pool *pool;
    struct thread thread;
    uint32_t index;
};

struct pool {
    struct signal_word region; /* counts regions; a change begins one (or ends the team) */
    struct signal_word n_busy; /* workers that have not left the region */
    struct signal_word phase;  /* counts barriers passed */
    _Alignas(64) _Atomic uint32_t n_arrived;

    /* Written by the caller before `region` changes, read by the workers after. */
    pool_job job;
    void *context;
    bool stop;

    uint32_t n_members;
    uint64_t region_spin_ns;
    uint64_t barrier_spin_ns;
    struct worker workers[];
};

#if defined(__x86_64__) || defined(__i386__)
static void cpu_pause(void)
{
    __builtin_ia32_pause();
}
#elif defined(__aarch64__)
static void cpu_pause(void)
{
    __asm__ volatile("yield");
}
#else
static void cpu_pause(void)
{
}
#endif

static void futex_wait(_Atomic uint32_t *word, uint32_t expected)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake_all(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Tells the waiters that value has changed. */
static void signal_word_announce(struct signal_word *word)
{
    if (atomic_load(&word->n_sleepers) != 0) {
        futex_wake_all(&word->value);
    }
}

/* Returns once value is not `old`; all that was written before the change is seen then. */
static void signal_word_wait(struct signal_word *word, uint32_t old, uint64_t spin_ns)
{
    const uint64_t start_ns = clock_monotonic_ns();
    uint64_t waited_ns = 0;
    while (waited_ns < spin_ns) {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (atomic_load_explicit(&word->value, memory_order_acquire) != old) {
                return;
            }
            cpu_pause();
        }
        const uint64_t now_ns = clock_monotonic_ns();
        if (now_ns == start_ns + waited_ns) {
            break; /* the clock stands still (a test froze it): sleep rather than spin for ever */
        }
        waited_ns = now_ns - start_ns;
    }
    atomic_fetch_add(&word->n_sleepers, 1);
    while (atomic_load(&word->value) == old) {
        futex_wait(&word->value, old);
    }
    atomic_fetch_sub(&word->n_sleepers, 1);
}

static void worker_main(void *argument)
{
    const struct worker *worker = argument;
    struct pool *pool = worker->pool;
    const struct pool_member member = {
        .pool = pool, .index = worker->index, .n_members = pool->n_members};
    thread_stay_long();
    for (uint32_t seen = 0;; seen++) {
        signal_word_wait(&pool->region, seen, pool->region_spin_ns);
        if (pool->stop) {
            return;
        }
        pool->job(pool->context, &member);
        if (atomic_fetch_sub(&pool->n_busy.value, 1) == 1) {
            signal_word_announce(&pool->n_busy);
        }
    }
}

/* Begins a region (or, with stop set, the end). */
static void pool_begin(struct pool *pool)
{
    atomic_fetch_add(&pool->region.value, 1);
    signal_word_announce(&pool->region);
}

static realm_status pool_start_workers(struct pool *pool, struct realm_error *error)
{
    for (uint32_t i = 1; i < pool->n_members; i++) {
        struct worker *worker = &pool->workers[i];
        worker->pool = pool;
        worker->index = i;
        char name[16];
        (void)snprintf(name, sizeof(name), "pool-%u", i);
        REALM_TRY(thread_start(&worker->thread, name, worker_main, worker, error));
    }
    return REALM_OK;
}

realm_status pool_create(uint32_t n_threads, struct pool **out, struct realm_error *error)
{
    *out = NULL;
    const uint32_t n_cores = thread_n_cores();
    const uint32_t n_members = n_threads != 0 ? n_threads : n_cores;
    if (n_members > MAX_MEMBERS) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "%u threads are more than the %u that a pool may have",
                               n_members,
                               MAX_MEMBERS);
    }
    const size_t n_bytes = sizeof(struct pool) + (size_t)n_members * sizeof(struct worker);
    struct pool *pool = alloc_zeroed(ALLOC_BASE, 1, n_bytes);
    if (pool == NULL) {
        return realm_error_out_of_memory(error, n_bytes, "the compute pool");
    }
    pool->n_members = n_members;
    /* With more members than cores a spinning one only keeps the core from the one it waits for. */
    const bool may_spin = n_members <= n_cores;
    pool->region_spin_ns = may_spin ? REGION_SPIN_NS : 0;
    pool->barrier_spin_ns = may_spin ? BARRIER_SPIN_NS : 0;
    const realm_status status = pool_start_workers(pool, error);
    if (status != REALM_OK) {
        pool_destroy(pool);
        return status;
    }
    *out = pool;
    return REALM_OK;
}

void pool_destroy(struct pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pool->stop = true;
    pool_begin(pool);
    for (uint32_t i = 1; i < pool->n_members; i++) {
        thread_join(&pool->workers[i].thread);
    }
    alloc_free(pool);
}

uint32_t pool_n_members(const struct pool *pool)
{
    return pool->n_members;
}

void pool_run(struct pool *pool, pool_job job, void *context)
{
    const struct pool_member caller = {.pool = pool, .index = 0, .n_members = pool->n_members};
    if (pool->n_members == 1) {
        job(context, &caller);
        return;
    }
    pool->job = job;
    pool->context = context;
    atomic_store_explicit(&pool->n_busy.value, pool->n_members - 1, memory_order_relaxed);
    pool_begin(pool);
    job(context, &caller);
    for (;;) {
        const uint32_t n_busy = atomic_load_explicit(&pool->n_busy.value, memory_order_acquire);
        if (n_busy == 0) {
            return;
        }
        signal_word_wait(&pool->n_busy, n_busy, pool->barrier_spin_ns);
    }
}

void pool_barrier(const struct pool_member *member)
{
    struct pool *pool = member->pool;
    if (pool->n_members == 1) {
        return;
    }
    /* The phase cannot change before this member has arrived. */
    const uint32_t phase = atomic_load_explicit(&pool->phase.value, memory_order_relaxed);
    if (atomic_fetch_add(&pool->n_arrived, 1) + 1 < pool->n_members) {
        signal_word_wait(&pool->phase, phase, pool->barrier_spin_ns);
        return;
    }
    atomic_store_explicit(&pool->n_arrived, 0, memory_order_relaxed);
    atomic_store(&pool->phase.value, phase + 1);
    signal_word_announce(&pool->phase);
}
