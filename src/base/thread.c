#define _GNU_SOURCE /* names and affinity of threads */

#include "base/thread.h"

#include "base/alloc.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S      1000000000L
#define NS_PER_MS     1000000L
#define MS_PER_S      1000u
#define MAX_NAME      16
#define CPU_MAX_PATH  "/sys/fs/cgroup/cpu.max"
#define CPU_MAX_BYTES 64
/* Whose slice ends first by the clock of fair shares runs; with the system's own slices (1 to 3 ms)
 * one that computes is at its end too often for that to be who wakes. */
#define SOON_SLICE_NS 100000 /* the least that the system takes */
#define LONG_SLICE_NS 10000000

struct thread_role engine_thread;
struct thread_role io_thread;

THREAD_UNCHECKED void thread_role_assume_engine(void)
{
}

THREAD_UNCHECKED void thread_role_assume_io(void)
{
}

/* glibc's functions on default mutexes and conditions fail only on misuse, so their results say
 * nothing a caller could act on. */

void mutex_init(struct mutex *mutex)
{
    (void)pthread_mutex_init(&mutex->native, NULL);
}

void mutex_deinit(struct mutex *mutex)
{
    (void)pthread_mutex_destroy(&mutex->native);
}

THREAD_UNCHECKED void mutex_lock(struct mutex *mutex)
{
    (void)pthread_mutex_lock(&mutex->native);
}

THREAD_UNCHECKED void mutex_unlock(struct mutex *mutex)
{
    (void)pthread_mutex_unlock(&mutex->native);
}

void condition_init(struct condition *condition)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&condition->native, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

void condition_deinit(struct condition *condition)
{
    (void)pthread_cond_destroy(&condition->native);
}

void condition_wait(struct condition *condition, struct mutex *mutex)
{
    (void)pthread_cond_wait(&condition->native, &mutex->native);
}

bool condition_wait_ms(struct condition *condition, struct mutex *mutex, uint32_t timeout_ms)
{
    struct timespec deadline = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += (time_t)(timeout_ms / MS_PER_S);
    deadline.tv_nsec += (long)(timeout_ms % MS_PER_S) * NS_PER_MS;
    if (deadline.tv_nsec >= NS_PER_S) {
        deadline.tv_sec++;
        deadline.tv_nsec -= NS_PER_S;
    }
    return pthread_cond_timedwait(&condition->native, &mutex->native, &deadline) != ETIMEDOUT;
}

void condition_signal(struct condition *condition)
{
    (void)pthread_cond_signal(&condition->native);
}

void condition_broadcast(struct condition *condition)
{
    (void)pthread_cond_broadcast(&condition->native);
}

/* What a new thread needs; the thread frees it. */
struct thread_start {
    void (*entry)(void *);
    void *context;
    char name[MAX_NAME];
};

static void *thread_main(void *argument)
{
    struct thread_start *start = argument;
    const struct thread_start copy = *start;
    alloc_free(start);
    (void)pthread_setname_np(pthread_self(), copy.name);
    copy.entry(copy.context);
    return NULL;
}

static void signals_of_the_process(sigset_t *set)
{
    static const int faults[] = {
        SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF};
    (void)sigfillset(set);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        (void)sigdelset(set, faults[i]);
    }
}

realm_status thread_start(struct thread *thread,
                          const char *name,
                          void (*entry)(void *),
                          void *context,
                          struct realm_error *error)
{
    thread->started = false;
    struct thread_start *start = alloc_zeroed(ALLOC_BASE, 1, sizeof(*start));
    if (start == NULL) {
        return realm_error_out_of_memory(error, sizeof(*start), "a thread");
    }
    start->entry = entry;
    start->context = context;
    (void)snprintf(start->name, sizeof(start->name), "%s", name);

    sigset_t blocked;
    sigset_t before;
    signals_of_the_process(&blocked);
    (void)pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const int code = pthread_create(&thread->native, NULL, thread_main, start);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) {
        alloc_free(start);
        return realm_error_set(error,
                               REALM_UNAVAILABLE,
                               "thread %s could not be started (errno %d); raise the limit on "
                               "threads or run with fewer",
                               name,
                               code);
    }
    thread->started = true;
    return REALM_OK;
}

void thread_join(struct thread *thread)
{
    if (thread->started) {
        (void)pthread_join(thread->native, NULL);
        thread->started = false;
    }
}

/* Cores by the quota of the container ("quota period" or "max period"), rounded up; 0: no quota. */
static uint32_t cores_of_quota(void)
{
    FILE *file = fopen(CPU_MAX_PATH, "re");
    if (file == NULL) {
        return 0;
    }
    char line[CPU_MAX_BYTES] = "";
    const bool read = fgets(line, sizeof(line), file) != NULL;
    (void)fclose(file);
    char *end = line;
    const unsigned long long quota = strtoull(line, &end, 10); /* "max" gives 0 */
    const unsigned long long period = strtoull(end, NULL, 10);
    if (!read || quota == 0 || period == 0) {
        return 0;
    }
    const unsigned long long cores = quota / period + (quota % period != 0);
    return cores < UINT32_MAX ? (uint32_t)cores : 0;
}

/* What sched_setattr takes; not every C library has it. */
struct scheduling {
    uint32_t size;
    uint32_t policy; /* 0: as threads usually are */
    uint64_t flags;
    int32_t niceness;
    uint32_t priority;
    uint64_t slice_ns; /* "runtime" */
    uint64_t deadline_ns;
    uint64_t period_ns;
};

static void ask_for_slices(uint64_t ns)
{
    const struct scheduling wanted = {
        .size = sizeof wanted, .niceness = getpriority(PRIO_PROCESS, 0), .slice_ns = ns};
    (void)syscall(SYS_sched_setattr, 0, &wanted, 0);
}

void thread_come_soon(void)
{
    ask_for_slices(SOON_SLICE_NS);
}

void thread_stay_long(void)
{
    ask_for_slices(LONG_SLICE_NS);
}

void thread_stand_back(int niceness)
{
    const struct sched_param none = {0};
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), niceness);
    (void)sched_setscheduler(0, SCHED_BATCH, &none);
}

void thread_stand_last(void)
{
    const struct sched_param none = {0};
    (void)sched_setscheduler(0, SCHED_IDLE, &none);
}

void thread_yield(void)
{
    (void)sched_yield();
}

uint32_t thread_n_cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    uint32_t n_cores = 1;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
        n_cores = (uint32_t)CPU_COUNT(&set);
    }
    const uint32_t quota = cores_of_quota();
    return quota > 0 && quota < n_cores ? quota : n_cores;
}
