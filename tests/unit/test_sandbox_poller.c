/* poller.h: who runs where, who stands aside, and who pays. */
#include "base/clock.h"
#include "sandbox/poller.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <stdatomic.h>

#define NS_PER_MS UINT64_C(1000000)
#define WAIT_MS   20000
#define MAX_TASKS 8u

static _Atomic bool others_are_busy;

static bool is_busy(const void *context)
{
    (void)context;
    return atomic_load(&others_are_busy);
}

/* Answers `answer` until it has had `most` turns, then ENDED. */
struct worker {
    struct task task;
    struct task_debt debt;
    enum task_turn answer;
    uint32_t most;
    _Atomic uint32_t turns;
    _Atomic uint32_t slow_turns;
    _Atomic uint64_t began_ns; /* its last turn */
};

static enum task_turn work(struct task *task)
{
    struct worker *const worker = (struct worker *)task;
    atomic_store(&worker->began_ns, clock_monotonic_ns());
    if (task->slow) {
        atomic_fetch_add(&worker->slow_turns, 1);
    }
    return atomic_fetch_add(&worker->turns, 1) + 1 < worker->most ? worker->answer : TURN_ENDED;
}

static struct worker worker_of(enum task_turn answer, uint32_t most)
{
    return (struct worker){.task = {.turn = work}, .answer = answer, .most = most};
}

static void open(struct poller *poller, bool busy)
{
    struct realm_error error;
    atomic_store(&others_are_busy, busy);
    assert_int_equal(poller_init(poller, is_busy, NULL, 2, MAX_TASKS, &error), REALM_OK);
}

static void wake(struct poller *poller, struct worker *worker, struct task_debt *debt)
{
    worker->task.debt = debt;
    poller_wake(poller, &worker->task);
}

static bool has_ended(void *context)
{
    const struct worker *const worker = context;
    return atomic_load(&worker->turns) == worker->most;
}

static void await_end(struct worker *worker)
{
    assert_true(test_poll(has_ended, worker, WAIT_MS));
}

static void who_goes_on_does_so_on_the_slow_lane(void **state)
{
    (void)state;
    struct poller poller;
    open(&poller, false);
    struct worker worker = worker_of(TURN_GOES_ON, 100);
    wake(&poller, &worker, &worker.debt);
    await_end(&worker);
    assert_int_equal(atomic_load(&worker.slow_turns), 99);
    assert_int_equal(poller_turns(&poller), 100);
    poller_deinit(&poller);
}

static void the_slow_lane_stands_aside_and_gets_on(void **state)
{
    (void)state;
    struct poller poller;
    open(&poller, true);
    struct worker worker = worker_of(TURN_GOES_ON, 7);
    const uint64_t begin_ns = clock_monotonic_ns();
    wake(&poller, &worker, &worker.debt);
    await_end(&worker);
    /* One quick turn, and six that are 10 ms apart. */
    assert_true(atomic_load(&worker.began_ns) - begin_ns >= 50 * NS_PER_MS);
    poller_deinit(&poller);
}

static void tasks_of_one_owner_pay_together(void **state)
{
    (void)state;
    struct poller poller;
    open(&poller, true);
    struct task_debt owner = {0};
    struct worker debtors[2] = {worker_of(TURN_WAITS, 1), worker_of(TURN_WAITS, 1)};
    struct worker other = worker_of(TURN_WAITS, 1);
    poller_charge(&poller, &owner, 10 * NS_PER_MS);
    const uint64_t begin_ns = clock_monotonic_ns();
    wake(&poller, &debtors[0], &owner);
    wake(&poller, &debtors[1], &owner);
    wake(&poller, &other, &other.debt);
    await_end(&other);
    await_end(&debtors[0]);
    await_end(&debtors[1]);
    for (uint32_t i = 0; i < 2; i++) {
        const uint64_t began_ns = atomic_load(&debtors[i].began_ns);
        /* Sixteen times what was had; the charge was a moment before `begin`. */
        assert_true(began_ns - begin_ns >= 150 * NS_PER_MS);
        assert_true(atomic_load(&other.began_ns) < began_ns);
    }
    poller_deinit(&poller);
}

static void nobody_pays_while_others_rest(void **state)
{
    (void)state;
    struct poller poller;
    open(&poller, false);
    struct worker worker = worker_of(TURN_WAITS, 1);
    /* More than anybody can owe: 50 ms, which take 800 to pay. */
    poller_charge(&poller, &worker.debt, 1000 * NS_PER_MS);
    wake(&poller, &worker, &worker.debt);
    await_end(&worker);
    assert_false(worker.task.paying);
    poller_deinit(&poller);
}

static void what_is_owed_has_a_bound(void **state)
{
    (void)state;
    struct poller poller;
    open(&poller, true);
    struct worker worker = worker_of(TURN_WAITS, 1);
    poller_charge(&poller, &worker.debt, 1000000 * NS_PER_MS); /* 4 hours, if all were paid */
    wake(&poller, &worker, &worker.debt);
    await_end(&worker);
    poller_deinit(&poller);
}

static void who_pays_may_be_woken_and_still_pays(void **state)
{
    (void)state;
    struct poller poller;
    open(&poller, true);
    struct worker worker = worker_of(TURN_WAITS, 1);
    poller_charge(&poller, &worker.debt, 10 * NS_PER_MS);
    const uint64_t begin_ns = clock_monotonic_ns();
    wake(&poller, &worker, &worker.debt);
    poller_wake(&poller, &worker.task);
    await_end(&worker);
    assert_true(atomic_load(&worker.began_ns) - begin_ns >= 150 * NS_PER_MS);
    poller_deinit(&poller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_goes_on_does_so_on_the_slow_lane),
        cmocka_unit_test(the_slow_lane_stands_aside_and_gets_on),
        cmocka_unit_test(tasks_of_one_owner_pay_together),
        cmocka_unit_test(nobody_pays_while_others_rest),
        cmocka_unit_test(what_is_owed_has_a_bound),
        cmocka_unit_test(who_pays_may_be_woken_and_still_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
