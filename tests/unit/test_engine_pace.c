/* The prefill of a step is cut to what decoding sequences can wait for. */
#include "engine/pace.h"
#include "support/cmocka_all.h"

#define MS         UINT64_C(1000000)
#define TARGET_MS  100u
#define MAX_ROWS   512u
#define N_DECODING 4u

/* A machine: what a step takes there. */
struct machine {
    uint64_t decode_ns;
    uint64_t row_ns;
};

static uint64_t step_ns(const struct machine *machine, uint32_t n_prefill)
{
    return machine->decode_ns + n_prefill * machine->row_ns;
}

/* Prefill rows beside those that decode, as the scheduler takes them. */
static uint32_t rows_of(const struct pace *pace)
{
    const uint32_t n_rows = pace_rows(pace, TARGET_MS * MS, MAX_ROWS + N_DECODING);
    return n_rows > N_DECODING + PACE_MIN_ROWS ? n_rows - N_DECODING : PACE_MIN_ROWS;
}

/* Runs n steps with as much prefill as is allowed, and decoding alone in between. */
static void run(struct pace *pace, const struct machine *machine, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t rows = rows_of(pace);
        pace_learn(pace, N_DECODING, rows, step_ns(machine, rows));
        pace_learn(pace, N_DECODING, 0, step_ns(machine, 0));
    }
}

static void steps_come_near_the_target_and_stay_below(void **state)
{
    (void)state;
    const struct machine machines[] = {
        {10 * MS, MS / 2}, {30 * MS, MS}, {60 * MS, MS / 4}, {5 * MS, 2 * MS}};
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++) {
        struct pace pace = {.ns = 0};
        run(&pace, &machines[i], 100);
        const uint64_t ns = step_ns(&machines[i], rows_of(&pace));
        assert_true(ns <= TARGET_MS * MS * 21 / 20);
        assert_true(ns >= TARGET_MS * MS / 2 || rows_of(&pace) == MAX_ROWS);
    }
}

static void a_fast_machine_takes_all_rows_at_once(void **state)
{
    (void)state;
    const struct machine machine = {5 * MS, MS / 100};
    struct pace pace = {.ns = 0};
    run(&pace, &machine, 20);
    assert_int_equal(rows_of(&pace), MAX_ROWS);
}

static void a_slow_machine_still_goes_on(void **state)
{
    (void)state;
    const struct machine machine = {200 * MS, 50 * MS};
    struct pace pace = {.ns = 0};
    run(&pace, &machine, 20);
    assert_int_equal(rows_of(&pace), PACE_MIN_ROWS);
    assert_true(pace_rows(&pace, TARGET_MS * MS, MAX_ROWS) < PACE_MIN_ROWS);
}

/* A prompt that has little left says less of a row's cost than one that fills the step: whatever
 * came before, the steps that are filled find the target again. */
static void small_prompts_do_not_spoil_what_is_known(void **state)
{
    (void)state;
    const struct machine machine = {40 * MS, MS / 4};
    struct pace pace = {.ns = 0};
    run(&pace, &machine, 100);
    for (uint32_t i = 0; i < 50; i++) {
        pace_learn(&pace, N_DECODING, PACE_MIN_ROWS, step_ns(&machine, PACE_MIN_ROWS));
        assert_true(step_ns(&machine, rows_of(&pace)) <= TARGET_MS * MS * 21 / 20);
    }
    run(&pace, &machine, 30);
    assert_true(step_ns(&machine, rows_of(&pace)) >= TARGET_MS * MS * 9 / 10);
}

/* One step that took forever (the machine slept) is no reason to creep from then on. */
static void a_hiccup_is_forgotten(void **state)
{
    (void)state;
    const struct machine machine = {10 * MS, MS / 2};
    struct pace pace = {.ns = 0};
    run(&pace, &machine, 100);
    const uint32_t before = rows_of(&pace);
    pace_learn(&pace, N_DECODING, before, 60000 * MS);
    assert_true(rows_of(&pace) >= before / 2);
    run(&pace, &machine, 40);
    assert_in_range(rows_of(&pace), before * 9 / 10, before * 11 / 10);
}

/* The machine is shared and gets slower by and by, for good. */
static void a_slower_machine_is_noticed(void **state)
{
    (void)state;
    const struct machine fast = {10 * MS, MS / 2};
    const struct machine slow = {20 * MS, 3 * MS};
    struct pace pace = {.ns = 0};
    run(&pace, &fast, 100);
    run(&pace, &slow, 60);
    assert_true(step_ns(&slow, rows_of(&pace)) <= TARGET_MS * MS * 21 / 20);
    run(&pace, &fast, 60);
    assert_true(step_ns(&fast, rows_of(&pace)) >= TARGET_MS * MS / 2);
}

/* Others take the processor now and then: most steps keep to the target all the same. */
static void on_an_unsteady_machine_most_steps_keep_the_target(void **state)
{
    (void)state;
    enum { N_STEPS = 1000 };
    const struct machine machine = {0, MS};
    struct pace pace = {.ns = 0};
    uint32_t n_late = 0;
    uint32_t n_rows = 0;
    for (uint32_t i = 0; i < N_STEPS; i++) {
        const uint32_t rows = rows_of(&pace);
        const uint64_t percent = 80 + (i * UINT64_C(7919)) % 60; /* 80 to 139, in no order */
        const uint64_t ns = step_ns(&machine, rows + N_DECODING) * percent / 100;
        pace_learn(&pace, N_DECODING, rows, ns);
        n_late += ns > TARGET_MS * MS;
        n_rows += rows;
    }
    assert_in_range(n_late, 1, N_STEPS / 4);
    assert_true(n_rows / N_STEPS >= 68); /* 100 / 1.1, less a quarter */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_come_near_the_target_and_stay_below),
        cmocka_unit_test(a_fast_machine_takes_all_rows_at_once),
        cmocka_unit_test(a_slow_machine_still_goes_on),
        cmocka_unit_test(small_prompts_do_not_spoil_what_is_known),
        cmocka_unit_test(a_hiccup_is_forgotten),
        cmocka_unit_test(a_slower_machine_is_noticed),
        cmocka_unit_test(on_an_unsteady_machine_most_steps_keep_the_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
