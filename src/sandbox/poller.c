#include "sandbox/poller.h"

#include "base/alloc.h"
#include "base/clock.h"

#define NS_PER_MS UINT64_C(1000000)
/* Each of them that runs beside steps takes its part of a core's time from them, small as it is,
 * and a step is as late as its latest core. */
#define SLOW_THREADS 1u
/* The part of the time that an owner's tasks may run on quick threads is 1 / QUICK_PART of one
 * core; who has run for longer than that by MOMENT_NS waits, and can owe no more than MAX_OWED_NS.
 */
#define QUICK_PART  16u
#define MOMENT_NS   (NS_PER_MS / 4)
#define MAX_OWED_NS (50 * NS_PER_MS)
/* While others are busy the slow lane looks again so often, and runs a turn at least so often. */
#define ASIDE_MS      2u
#define ASIDE_MOST_NS (10 * NS_PER_MS)
/* Guests come behind the engine when cores are few: their host calls are short, its steps are what
 * everybody waits for.  As a batch thread does, a guest that is woken waits for a core that is free
 * or lent, and takes none from a step. */
#define GUEST_NICENESS 5

/* --- the heap of deadlines ---------------------------------------------------------------------
 */

static void heap_place(struct poller *poller, uint32_t index, struct task *task)
{
    poller->heap[index] = task;
    task->heap_index = index;
}

static void heap_up(struct poller *poller, uint32_t index)
{
    struct task *task = poller->heap[index];
    while (index > 0) {
        const uint32_t parent = (index - 1) / 2;
        if (poller->heap[parent]->wake_at_ns <= task->wake_at_ns) {
            break;
        }
        heap_place(poller, index, poller->heap[parent]);
        index = parent;
    }
    heap_place(poller, index, task);
}

static void heap_down(struct poller *poller, uint32_t index)
{
    struct task *task = poller->heap[index];
    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child >= poller->n_heap) {
            break;
        }
        if (child + 1 < poller->n_heap &&
            poller->heap[child + 1]->wake_at_ns < poller->heap[child]->wake_at_ns) {
            child++;
        }
        if (task->wake_at_ns <= poller->heap[child]->wake_at_ns) {
            break;
        }
        heap_place(poller, index, poller->heap[child]);
        index = child;
    }
    heap_place(poller, index, task);
}

static void heap_insert(struct poller *poller, struct task *task)
{
    if (!REALM_INVARIANT(poller->n_heap < poller->heap_capacity)) {
        return;
    }
    heap_place(poller, poller->n_heap, task);
    poller->n_heap++;
    heap_up(poller, task->heap_index);
}

static void heap_remove(struct poller *poller, struct task *task)
{
    const uint32_t index = task->heap_index;
    poller->n_heap--;
    if (index == poller->n_heap) {
        return;
    }
    heap_place(poller, index, poller->heap[poller->n_heap]);
    heap_up(poller, index);
    heap_down(poller, poller->heap[index]->heap_index);
}

/* --- the run queue -----------------------------------------------------------------------------
 */

static void enqueue(struct poller *poller, struct task *task, uint32_t number)
{
    struct lane *lane = &poller->lanes[number];
    task->state = TASK_QUEUED;
    task->next = NULL;
    if (lane->last != NULL) {
        lane->last->next = task;
    } else {
        lane->first = task;
    }
    lane->last = task;
    condition_signal(&lane->changed);
}

/* Time that went by pays for a part of the processor time that was had. */
static void pay(struct task_debt *debt, uint64_t now_ns)
{
    const uint64_t paid_ns = (now_ns - debt->owed_at_ns) / QUICK_PART;
    debt->owed_ns = debt->owed_ns > paid_ns ? debt->owed_ns - paid_ns : 0;
    debt->owed_at_ns = now_ns;
}

static void borrow(struct task_debt *debt, uint64_t ns)
{
    pay(debt, clock_monotonic_ns());
    debt->owed_ns += ns;
    if (debt->owed_ns > MAX_OWED_NS) {
        debt->owed_ns = MAX_OWED_NS;
    }
}

/* Wants a quick thread; where others are busy and its owner has had too much of their time, it
 * waits until that is paid. */
static void enqueue_quick(struct poller *poller, struct task *task)
{
    pay(task->debt, clock_monotonic_ns());
    task->paying = task->debt->owed_ns > MOMENT_NS && poller->is_busy(poller->busy_context);
    if (!task->paying) {
        enqueue(poller, task, LANE_QUICK);
        return;
    }
    task->state = TASK_WAITING;
    task->wake_at_ns = task->debt->owed_at_ns + task->debt->owed_ns * QUICK_PART;
    heap_insert(poller, task);
    condition_signal(&poller->lanes[LANE_QUICK].changed); /* it may be the first that is due */
}

static void enqueue_due(struct poller *poller)
{
    if (poller->n_heap == 0) {
        return;
    }
    const uint64_t now_ns = clock_monotonic_ns();
    while (poller->n_heap > 0 && poller->heap[0]->wake_at_ns <= now_ns) {
        struct task *task = poller->heap[0];
        heap_remove(poller, task);
        task->hungry = task->hungry && !task->paying;
        enqueue_quick(poller, task);
    }
}

/* Until something changes; the quick threads look after the deadlines. */
static void await_change(struct poller *poller, struct lane *lane) THREAD_REQUIRES(poller->lock)
{
    if (lane->slow || poller->n_heap == 0) {
        condition_wait(&lane->changed, &poller->lock);
        return;
    }
    const uint64_t now_ns = clock_monotonic_ns();
    const uint64_t due_ns = poller->heap[0]->wake_at_ns;
    const uint64_t left_ms = due_ns > now_ns ? (due_ns - now_ns) / NS_PER_MS + 1 : 0;
    (void)condition_wait_ms(
        &lane->changed, &poller->lock, left_ms < UINT32_MAX ? (uint32_t)left_ms : UINT32_MAX);
}

static bool stands_aside(const struct poller *poller, const struct lane *lane)
{
    return lane->slow && !poller->closing && poller->is_busy(poller->busy_context) &&
           clock_monotonic_ns() - lane->ran_ns < ASIDE_MOST_NS;
}

/* The next task to run, or NULL: the poller closes. */
static struct task *take(struct poller *poller, struct lane *lane) THREAD_REQUIRES(poller->lock)
{
    for (;;) {
        if (!lane->slow) {
            enqueue_due(poller);
        }
        struct task *task = lane->first;
        if (task != NULL && stands_aside(poller, lane)) {
            (void)condition_wait_ms(&lane->changed, &poller->lock, ASIDE_MS);
            continue;
        }
        if (task != NULL) {
            lane->first = task->next;
            if (lane->first == NULL) {
                lane->last = NULL;
            }
            task->state = TASK_RUNNING;
            task->slow = lane->slow;
            return task;
        }
        if (poller->closing) {
            return NULL;
        }
        await_change(poller, lane);
    }
}

static void settle(struct task *task, uint64_t ran_ns)
{
    borrow(task->debt, task->extra_ns + (task->slow ? 0 : ran_ns));
    task->extra_ns = 0;
}

static void put_back(struct poller *poller, struct task *task, enum task_turn turn)
{
    /* Who goes from lane to lane stays as it is. */
    task->hungry = turn == TURN_GOES_ON || (turn == TURN_RETURNS && task->hungry);
    if (turn == TURN_GOES_ON) {
        enqueue(poller, task, LANE_SLOW);
    } else if (turn == TURN_RETURNS || task->state == TASK_WOKEN) {
        enqueue_quick(poller, task);
    } else {
        task->state = TASK_WAITING;
        if (task->wake_at_ns != 0) {
            heap_insert(poller, task);
        }
    }
}

static void run(void *context)
{
    struct lane *lane = context;
    struct poller *poller = lane->poller;
    if (lane->slow) {
        thread_stand_last();
    } else {
        thread_stand_back(GUEST_NICENESS);
    }
    mutex_lock(&poller->lock);
    for (;;) {
        struct task *task = take(poller, lane);
        if (task == NULL) {
            break;
        }
        poller->turns++;
        mutex_unlock(&poller->lock);
        const uint64_t begin_ns = clock_thread_ns();
        const enum task_turn turn = task->turn(task);
        const uint64_t ran_ns = clock_thread_ns() - begin_ns;
        mutex_lock(&poller->lock);
        lane->ran_ns = lane->slow ? clock_monotonic_ns() : 0;
        if (turn != TURN_ENDED) {
            settle(task, ran_ns);
            put_back(poller, task, turn);
        }
    }
    mutex_unlock(&poller->lock);
}

realm_status poller_init(struct poller *poller,
                         bool (*is_busy)(const void *context),
                         const void *busy_context,
                         uint32_t n_threads,
                         uint32_t max_tasks,
                         struct realm_error *error)
{
    *poller = (struct poller){
        .heap_capacity = max_tasks, .is_busy = is_busy, .busy_context = busy_context};
    mutex_init(&poller->lock);
    for (uint32_t i = 0; i < N_LANES; i++) {
        poller->lanes[i] = (struct lane){.poller = poller, .slow = i == LANE_SLOW};
        condition_init(&poller->lanes[i].changed);
    }
    realm_status status = REALM_OK;
    poller->heap = alloc_zeroed(ALLOC_GUEST, max_tasks, sizeof(struct task *));
    if (poller->heap == NULL) {
        status = realm_error_out_of_memory(
            error, max_tasks * sizeof(struct task *), "the guests' deadlines");
    }
    while (status == REALM_OK && poller->n_threads < n_threads + SLOW_THREADS) {
        struct lane *lane = &poller->lanes[poller->n_threads < n_threads ? LANE_QUICK : LANE_SLOW];
        status = thread_start(&poller->threads[poller->n_threads],
                              lane->slow ? "guest-slow" : "guest",
                              run,
                              lane,
                              error);
        poller->n_threads += status == REALM_OK ? 1 : 0;
    }
    if (status != REALM_OK) {
        poller_deinit(poller);
    }
    return status;
}

void poller_deinit(struct poller *poller)
{
    mutex_lock(&poller->lock);
    poller->closing = true;
    for (uint32_t i = 0; i < N_LANES; i++) {
        condition_broadcast(&poller->lanes[i].changed);
    }
    mutex_unlock(&poller->lock);
    for (uint32_t i = 0; i < poller->n_threads; i++) {
        thread_join(&poller->threads[i]);
    }
    poller->n_threads = 0;
    alloc_free(poller->heap);
    poller->heap = NULL;
    for (uint32_t i = 0; i < N_LANES; i++) {
        condition_deinit(&poller->lanes[i].changed);
    }
    mutex_deinit(&poller->lock);
}

void poller_wake(struct poller *poller, struct task *task)
{
    mutex_lock(&poller->lock);
    if (task->state == TASK_RUNNING) {
        task->state = TASK_WOKEN;
    } else if (task->state == TASK_WAITING || task->state == TASK_IDLE) {
        if (task->state == TASK_WAITING && task->wake_at_ns != 0) {
            heap_remove(poller, task);
        }
        enqueue_quick(poller, task);
    }
    mutex_unlock(&poller->lock);
}

void poller_charge(struct poller *poller, struct task_debt *debt, uint64_t ns)
{
    mutex_lock(&poller->lock);
    borrow(debt, ns);
    mutex_unlock(&poller->lock);
}

uint64_t poller_turns(struct poller *poller)
{
    mutex_lock(&poller->lock);
    const uint64_t turns = poller->turns;
    mutex_unlock(&poller->lock);
    return turns;
}
