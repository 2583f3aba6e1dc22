/* Threads with a name and a role, mutexes and conditions, and the annotations by which clang
 * checks that functions run on the thread they belong to.
 *
 * Roles (see docs/architecture.md): io, prepare, engine, pool, sandbox, ledger.
 * Lock order: no function holds two mutexes. */
#ifndef REALM_BASE_THREAD_H
#define REALM_BASE_THREAD_H

#include "base/status.h"

#include <pthread.h>

#if defined(__clang__)
#define THREAD_CAPABILITY(name) __attribute__((capability(name)))
#define ON_THREAD(role)         __attribute__((requires_capability(role)))
#define ASSERT_THREAD(role)     __attribute__((assert_capability(role)))
#define THREAD_REQUIRES(lock)   __attribute__((requires_capability(lock)))
#define THREAD_ACQUIRES(lock)   __attribute__((acquire_capability(lock)))
#define THREAD_RELEASES(lock)   __attribute__((release_capability(lock)))
#define THREAD_UNCHECKED        __attribute__((no_thread_safety_analysis))
#else
#define THREAD_CAPABILITY(name)
#define ON_THREAD(role)
#define ASSERT_THREAD(role)
#define THREAD_REQUIRES(lock)
#define THREAD_ACQUIRES(lock)
#define THREAD_RELEASES(lock)
#define THREAD_UNCHECKED
#endif

/* A role is a capability without state: the objects exist for the compiler only. */
struct THREAD_CAPABILITY("role") thread_role {
    char unused;
};
extern struct thread_role engine_thread;
extern struct thread_role io_thread;
/* The entry function of a thread says once which role it has. */
void thread_role_assume_engine(void) ASSERT_THREAD(engine_thread);
void thread_role_assume_io(void) ASSERT_THREAD(io_thread);

struct THREAD_CAPABILITY("mutex") mutex {
    pthread_mutex_t native;
};

void mutex_init(struct mutex *mutex);
void mutex_deinit(struct mutex *mutex);
void mutex_lock(struct mutex *mutex) THREAD_ACQUIRES(*mutex);
void mutex_unlock(struct mutex *mutex) THREAD_RELEASES(*mutex);

struct condition {
    pthread_cond_t native; /* monotonic clock */
};

void condition_init(struct condition *condition);
void condition_deinit(struct condition *condition);
void condition_wait(struct condition *condition, struct mutex *mutex) THREAD_REQUIRES(*mutex);
/* False: timeout_ms went by. */
bool condition_wait_ms(struct condition *condition, struct mutex *mutex, uint32_t timeout_ms)
    THREAD_REQUIRES(*mutex);
void condition_signal(struct condition *condition);
void condition_broadcast(struct condition *condition);

struct thread {
    pthread_t native;
    bool started;
};

/* name: at most 15 bytes, shown by the system's tools. UNAVAILABLE: no thread could be started.
 * The thread has all signals blocked but those that a fault of its own raises: the process's
 * signals go to the thread that began it. */
REALM_MUST_CHECK realm_status thread_start(struct thread *thread,
                                           const char *name,
                                           void (*entry)(void *),
                                           void *context,
                                           struct realm_error *error);
/* Waits for the end; a thread that was never started is fine. */
void thread_join(struct thread *thread);
/* The calling thread works for moments only: it has a core as soon as it wakes and does not wait
 * for the system's next tick.  Its part of a core stays what it is.  Linux 6.12 or newer. */
void thread_come_soon(void);
/* The calling thread computes for long: who works for moments may interrupt it at any time. */
void thread_stay_long(void);
/* The calling thread comes behind others where cores are few: its part of a core shrinks by a fifth
 * with each step of niceness, and when it wakes it waits for a core that is free or lent. */
void thread_stand_back(int niceness);
/* The calling thread runs where nobody else would.  It may stand still for a second, so it should
 * hold no lock that others wait for. */
void thread_stand_last(void);
/* Lets another thread have the core: between two looks at what it is about to change. */
void thread_yield(void);

/* Cores this process may use (affinity and cgroup limits). */
uint32_t thread_n_cores(void);

#endif
