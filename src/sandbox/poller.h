/* A few threads that run many tasks, each for a short while at a time; a task that waits is in no
 * thread and costs nothing.
 *
 * There are two lanes of threads.  The quick ones come behind the engine, the slow one behind
 * everything: it has what the machine leaves, and stands aside while others are busy, but for a
 * moment now and then.  A task that has used up a slice is hungry and goes on on the slow one,
 * until it waits.  There it may hold no lock that others need: it asks for a quick thread before
 * (TURN_RETURNS).  The tasks of one owner may together have a part of a quick thread's time; while
 * they owe more than a moment and others are busy, those that want one wait until that is paid.
 *
 * Invariants (all under `lock`)
 *  (1) a task is in one run queue exactly while it is QUEUED, in the heap exactly while it is
 *      WAITING with a deadline.
 *  (2) a wake that comes while the task runs is not lost: RUNNING becomes WOKEN, and the task is
 *      queued again when its turn ends.
 *  (3) no function of anybody else is called while the lock is held, but is_busy, which takes none.
 */
#ifndef REALM_SANDBOX_POLLER_H
#define REALM_SANDBOX_POLLER_H

#include "base/thread.h"

#define POLLER_MAX_THREADS 16u

enum task_state { TASK_IDLE, TASK_QUEUED, TASK_RUNNING, TASK_WOKEN, TASK_WAITING };
/* RETURNS: it goes on, on a quick thread. */
enum task_turn { TURN_WAITS, TURN_GOES_ON, TURN_RETURNS, TURN_ENDED };

/* What the tasks of one owner have had of the quick threads beyond their part.  Zero at first; it
 * lives longer than they do. */
struct task_debt {
    uint64_t owed_ns; /* under the poller's lock */
    uint64_t owed_at_ns;
};

struct task {
    enum task_state state;
    bool slow;   /* this turn runs on a slow thread */
    bool hungry; /* the poller's, for the turn to see */
    bool paying; /* in the heap until its owner owes little */
    struct task_debt *debt;
    uint64_t extra_ns;                         /* that others work for it: its turn adds it */
    struct task *next;                         /* in a lane's queue */
    uint64_t wake_at_ns;                       /* set by the turn that WAITS; 0: only a wake */
    uint32_t heap_index;                       /* while in the heap */
    enum task_turn (*turn)(struct task *task); /* a poller thread; after ENDED the task is gone */
};

struct lane {
    struct poller *poller;
    struct condition changed;
    struct task *first; /* of the run queue */
    struct task *last;
    uint64_t ran_ns; /* when it ran last; the slow one's only */
    bool slow;
};

enum { LANE_QUICK, LANE_SLOW, N_LANES };

struct poller {
    struct mutex lock;
    struct lane lanes[N_LANES];
    struct task **heap; /* WAITING tasks by wake_at_ns */
    uint32_t n_heap;
    uint32_t heap_capacity;
    uint64_t turns;
    bool closing;
    bool (*is_busy)(const void *context); /* whether the slow lane is to stand aside; any thread */
    const void *busy_context;
    uint32_t n_threads;
    struct thread threads[POLLER_MAX_THREADS + 1];
};

/* n_threads: quick ones; max_tasks: alive at once; is_busy: of others, for the slow lane. */
REALM_MUST_CHECK realm_status poller_init(struct poller *poller,
                                          bool (*is_busy)(const void *context),
                                          const void *busy_context,
                                          uint32_t n_threads,
                                          uint32_t max_tasks,
                                          struct realm_error *error);
/* No task may be left. */
void poller_deinit(struct poller *poller);

/* Queues a task that waits or is new; nothing else changes.  Any thread. */
void poller_wake(struct poller *poller, struct task *task);
/* Adds what was done for an owner's tasks, or what one has taken of its last turn.  Any thread. */
void poller_charge(struct poller *poller, struct task_debt *debt, uint64_t ns);
uint64_t poller_turns(struct poller *poller);

#endif
