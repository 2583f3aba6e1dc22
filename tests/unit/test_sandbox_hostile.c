/* Hostile guests: each is ended with the right error, and a good program goes on beside it. */
#include "guests/harness.h"

struct hostile {
    const char *guest;
    realm_status status;
    const char *limit; /* NULL: none */
    const char *words; /* in the message */
    struct sandbox_limits limits;
};

#define LIMITED(name) .status = REALM_RESOURCE_EXHAUSTED, .limit = (name), .words = (name)

static const struct hostile all[] = {
    {"spin", LIMITED("cpu_ms"), .limits = {.cpu_ms = 30}},
    {"spin", LIMITED("fuel"), .limits = {.fuel = 1000000}},
    {"start_spin", LIMITED("cpu_ms"), .limits = {.cpu_ms = 30}},
    {"grow_memory", LIMITED("memory_bytes"), .limits = {.memory_bytes = 4 << 20}},
    {"grow_memory", LIMITED("memory_bytes"), .limits = {.memory_bytes = 1000}},
    {"above_4gb", LIMITED("memory_bytes")},
    {"grow_table", LIMITED("table_elements"), .limits = {.table_elements = 5000}},
    {"recurse", REALM_GUEST_TRAPPED, .words = "stack"},
    {"storm", LIMITED("host_calls"), .limits = {.host_calls = 10000}},
    {"storm", LIMITED("fuel"), .limits = {.fuel = 100000}},
    {"handles", LIMITED("handles"), .limits = {.handles = 100}},
    {"sequences", LIMITED("sequences"), .limits = {.sequences = 10}},
    {"sequences", LIMITED("handles"), .limits = {.handles = 10}},
    {"tokens", LIMITED("sequence_tokens"), .limits = {.sequence_tokens = 1000}},
    {"flood", LIMITED("output_bytes"), .limits = {.output_bytes = 300000}},
    {"start_trap", REALM_GUEST_TRAPPED, .words = "unreachable"},
    {"out_of_bounds", REALM_GUEST_TRAPPED, .words = "out of bounds"},
};

#define N_HOSTILE (sizeof(all) / sizeof(all[0]))

static struct outcome outcome;
static struct outcome good;

static void check_hostile(const struct hostile *hostile)
{
    assert_int_equal(outcome.status, hostile->status);
    assert_string_equal(outcome.limit, hostile->limit != NULL ? hostile->limit : "");
    if (strstr(outcome.message, hostile->words) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", hostile->guest, outcome.message, hostile->words);
    }
}

static void every_hostile_guest_is_ended_and_a_good_one_goes_on(void **state)
{
    (void)state;
    world_open();
    struct program *chat = load_guest("chat");
    run_program(chat, "good", &good);
    assert_int_equal(good.status, REALM_OK);
    for (size_t i = 0; i < N_HOSTILE; i++) {
        set_limits(NULL);
        struct program *program = load_guest(all[i].guest);
        const struct instance_options beside = options_of(chat, "good");
        static struct outcome again;
        struct instance *companion = start(&beside);
        set_limits(&all[i].limits);
        run_program(program, "{}", &outcome);
        check_hostile(&all[i]);
        read_outcome(companion, &again);
        assert_int_equal(again.status, REALM_OK);
        assert_string_equal(again.text, good.text);
        program_release(program);
    }
    program_release(chat);
    world_close();
}

static void breaches_are_counted_by_limit(void **state)
{
    (void)state;
    struct sandbox_stats before;
    struct sandbox_stats after;
    world_open();
    struct program *program = load_guest("storm");
    sandbox_stats(world.sandbox, &before);
    const struct sandbox_limits limits = {.host_calls = 100};
    set_limits(&limits);
    run_program(program, "{}", &outcome);
    sandbox_stats(world.sandbox, &after);
    assert_int_equal(after.failed - before.failed, 1);
    for (uint32_t i = 0; sandbox_limit_name(i) != NULL; i++) {
        const bool this_one = strcmp(sandbox_limit_name(i), "host_calls") == 0;
        assert_int_equal(after.breaches[i] - before.breaches[i], this_one ? 1 : 0);
    }
    assert_int_equal(outcome.usage.host_calls, 101);
    program_release(program);
    world_close();
}

static void a_tenant_runs_no_more_instances_than_it_may(void **state)
{
    (void)state;
    world_open();
    const struct sandbox_limits limits = {.instances = 3};
    set_limits(&limits);
    struct program *program = load_guest("wait_for_input");
    struct instance_options options = options_of(program, "{}");
    options.takes_input = true;
    struct instance *instances[3];
    struct instance *one_more = NULL;
    struct realm_error error;
    for (int i = 0; i < 3; i++) {
        instances[i] = start(&options);
    }
    assert_int_equal(sandbox_start(world.sandbox, &options, &one_more, &error),
                     REALM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.message, "limit instances"));
    for (int i = 0; i < 3; i++) {
        instance_release(instances[i]);
    }
    assert_true(test_poll(no_instance_left, NULL, HARNESS_WAIT_MS));
    instance_release(start(&options));
    program_release(program);
    world_close();
}

static void no_number_but_an_own_live_handle_is_taken(void **state)
{
    (void)state;
    world_open();
    const struct sandbox_limits limits = {.cpu_ms = 10000};
    set_limits(&limits);
    /* Somebody else's first handle, alive meanwhile. */
    struct program *owner = load_text(
        "(module (import \"realm_v1\" \"model_open\" (func $open (param i32 i32) (result i32)))"
        " (import \"realm_v1\" \"recv\" (func $recv (param i32 i32 i32) (result i32)))"
        " (memory (export \"memory\") 1)"
        " (func (export \"realm_run\") (result i32)"
        "  (drop (call $open (i32.const 0) (i32.const 0)))"
        "  (call $recv (i32.const 0) (i32.const 0) (i32.const -1))))");
    struct instance_options options = options_of(owner, "{}");
    options.takes_input = true;
    struct instance *waiting = start(&options);
    struct program *program = load_guest("forge");
    const char first_handle[5] = {0x00, 0x10, 0x00, 0x00, 0};
    struct instance_options forging = options_of(program, "");
    forging.request = (struct bytes){.data = (const uint8_t *)first_handle, .length = 4};
    read_outcome(start(&forging), &outcome);
    assert_string_equal(outcome.message, "");
    assert_int_equal(outcome.exit_code, 0);
    instance_release(waiting);
    program_release(owner);
    program_release(program);
    world_close();
}

/* The n-th host call ends it, for every n: whatever it held by then is given back (world_close). */
static void a_guest_that_dies_at_any_call_leaves_nothing(void **state)
{
    (void)state;
    world_open();
    struct program *program = load_guest("chat");
    uint64_t n_calls = 0;
    do {
        n_calls++;
        const struct sandbox_limits limits = {.host_calls = n_calls};
        set_limits(&limits);
        run_program(program, "hello", &outcome);
        if (outcome.status != REALM_OK) {
            assert_string_equal(outcome.limit, "host_calls");
        }
        assert_true(test_poll(engine_is_idle, NULL, HARNESS_WAIT_MS));
    } while (outcome.status != REALM_OK);
    assert_int_equal(n_calls, 6);
    program_release(program);
    world_close();
}

static void cancelled_and_forgotten_guests_end(void **state)
{
    (void)state;
    world_open();
    const struct sandbox_limits limits = {.cpu_ms = 1000000};
    set_limits(&limits);
    const char *const guests[] = {"spin", "wait_for_input", "flood", "chat"};
    for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
        struct program *program = load_guest(guests[i]);
        struct instance_options options = options_of(program, "hello");
        options.takes_input = true;
        struct instance *instance = start(&options);
        instance_release(start(&options));
        instance_cancel(instance);
        read_outcome(instance, &outcome);
        if (outcome.status != REALM_OK) { /* chat may be quicker */
            assert_int_equal(outcome.status, REALM_CANCELLED);
        }
        assert_true(test_poll(no_instance_left, NULL, HARNESS_WAIT_MS));
        program_release(program);
    }
    world_close();
}

int main(int argc, char **argv)
{
    if (harness_is_compiler(argc, argv)) {
        return sandbox_compiler_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_hostile_guest_is_ended_and_a_good_one_goes_on),
        cmocka_unit_test(breaches_are_counted_by_limit),
        cmocka_unit_test(a_tenant_runs_no_more_instances_than_it_may),
        cmocka_unit_test(no_number_but_an_own_live_handle_is_taken),
        cmocka_unit_test(a_guest_that_dies_at_any_call_leaves_nothing),
        cmocka_unit_test(cancelled_and_forgotten_guests_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
