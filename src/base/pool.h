/* The compute pool: a fixed team of threads that runs one job at a time.
 *
 * A job is one function that every member calls with its own index: the *parallel region*.  Inside
 * it members meet at pool_barrier and share work by pool_next, so that a whole step (all operations
 * of a plan) is one region: the team wakes once.  Members spin briefly for the next region, then
 * sleep on a futex: an idle pool uses no CPU.  The thread that calls pool_run is member 0.
 *
 * A barrier tolerates a descheduled member: waiting members spin a bounded time, then yield. */
#ifndef REALM_BASE_POOL_H
#define REALM_BASE_POOL_H

#include "base/status.h"

#include <stdatomic.h>

struct pool;

/* Passed to the job: who am I, of how many. */
struct pool_member {
    struct pool *pool;
    uint32_t index; /* 0 .. n_members-1 */
    uint32_t n_members;
};

typedef void (*pool_job)(void *context, const struct pool_member *member);

/* A counter that members draw work from.  Reset it between barriers by one member. */
struct pool_counter {
    _Alignas(64) _Atomic uint32_t next;
};

/* n_threads members including the caller; 0: one per online core (of this process's affinity). */
REALM_MUST_CHECK realm_status pool_create(uint32_t n_threads,
                                          struct pool **out,
                                          struct realm_error *error);
void pool_destroy(struct pool *pool);
uint32_t pool_n_members(const struct pool *pool);

/* Runs job on all members and returns when all have left it.  One caller at a time. */
void pool_run(struct pool *pool, pool_job job, void *context);

/* All members of the running region wait for each other; memory written before is seen after. */
void pool_barrier(const struct pool_member *member);

/* Takes the next `grain` items of n: [*begin, *end).  False: nothing left. */
static inline bool
pool_next(struct pool_counter *counter, uint32_t n, uint32_t grain, uint32_t *begin, uint32_t *end)
{
    const uint32_t first = atomic_fetch_add_explicit(&counter->next, grain, memory_order_relaxed);
    if (first >= n) {
        return false;
    }
    *begin = first;
    *end = n - first < grain ? n : first + grain;
    return true;
}

#endif
