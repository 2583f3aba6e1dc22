/* Programs that do what they should, through the whole sandbox. */
#include "guests/harness.h"
#include "tokenizer/tokenizer.h"

#include <time.h>

/* The engine's own answer to the same prompt. */
static void engine_answer(const char *prompt, char out[4096])
{
    struct token_list tokens = {.ids = NULL};
    struct realm_error error;
    const struct tokenizer_encode_options options = {.add_special = false};
    assert_int_equal(
        tokenizer_encode(
            engine_model_tokenizer(world.model), prompt, strlen(prompt), options, &tokens, &error),
        REALM_OK);
    const struct request request = {.model = world.model,
                                    .prompt = tokens.ids,
                                    .n_prompt = (uint32_t)tokens.length,
                                    .max_tokens = 20,
                                    .ignore_end = true};
    struct generation *generation;
    assert_int_equal(engine_submit(world.engine, &request, &generation, &error), REALM_OK);
    size_t n = 0;
    struct event event = {.kind = EVENT_STARTED};
    while (event.kind != EVENT_DONE) {
        if (!generation_next(generation, &event)) {
            assert_true(generation_wait(generation, HARNESS_WAIT_MS));
            continue;
        }
        if (event.kind == EVENT_TOKEN) {
            assert_true(n + event.text.length < 4096);
            memcpy(out + n, event.text.data, event.text.length);
            n += event.text.length;
        }
    }
    out[n] = '\0';
    generation_release(generation);
    token_list_deinit(&tokens);
}

static void chat_program_gives_what_the_engine_gives(void **state)
{
    (void)state;
    world_open();
    static struct outcome first;
    static struct outcome second;
    struct program *program = load_guest("chat");
    run_program(program, "hello there", &first);
    assert_string_equal(first.message, "");
    assert_int_equal(first.status, REALM_OK);
    assert_int_equal(first.usage.completion_tokens, 20);
    assert_true(first.n_text > 0);
    run_program(program, "hello there", &second);
    assert_string_equal(first.text, second.text);
    char expected[4096];
    engine_answer("hello there", expected);
    assert_string_equal(first.text, expected);
    program_release(program);
    world_close();
}

static void stepping_by_hand_gives_what_generate_gives(void **state)
{
    (void)state;
    static struct outcome outcome;
    world_open();
    struct program *program = load_guest("step");
    run_program(program, "once upon a time", &outcome);
    assert_string_equal(outcome.message, "");
    assert_int_equal(outcome.status, REALM_OK);
    program_release(program);
    world_close();
}

/* Ended in the middle of a step, at any of its calls, nothing is left in the engine. */
static void a_guest_that_dies_while_it_steps_leaves_nothing(void **state)
{
    (void)state;
    static struct outcome outcome;
    world_open();
    struct program *program = load_guest("step");
    for (uint64_t n_calls = 1; n_calls < 25; n_calls += 3) {
        const struct sandbox_limits limits = {.host_calls = n_calls};
        set_limits(&limits);
        run_program(program, "once upon a time", &outcome);
        assert_string_equal(outcome.limit, "host_calls");
    }
    set_limits(NULL);
    for (int i = 0; i < 20; i++) {
        const struct instance_options options = options_of(program, "once upon a time");
        struct instance *instance = start(&options);
        struct guest_event event;
        if (i % 2 == 0) {
            (void)instance_wait(instance, HARNESS_WAIT_MS);
            (void)instance_next(instance, &event);
        }
        instance_release(instance);
    }
    program_release(program);
    world_close();
}

/* Calls the program its request names, and pipes what that emits. */
static const char caller[] =
    "(module (import \"realm_v1\" \"request_read\" (func $read (param i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"invoke\""
    "  (func $invoke (param i32 i32 i32 i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"stream_pipe\" (func $pipe (param i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 500) \"hello there\")"
    " (func (export \"realm_run\") (result i32) (local $s i32)"
    "  (local.set $s (call $invoke (i32.const 0)"
    "   (call $read (i32.const 0) (i32.const 0) (i32.const 100)) (i32.const 0) (i32.const 0)"
    "   (i32.const 500) (i32.const 11)))"
    "  (if (i32.lt_s (local.get $s) (i32.const 0)) (then (return (local.get $s))))"
    "  (drop (call $pipe (local.get $s) (i32.const 1024) (i32.const 200)))"
    "  (i32.sub (i32.load (i32.const 1036)) (i32.const 1))))"; /* 0: its finish is STOP */

static void publish(const char *name, const char *guest)
{
    struct realm_error error;
    struct program *program = NULL;
    char path[TEST_PATH_BYTES];
    char *text;
    size_t n_bytes;
    (void)snprintf(path, sizeof path, "%s/guests/%s.wat", REALM_TEST_DATA, guest);
    assert_int_equal(file_read(path, (size_t)1 << 20, &text, &n_bytes, &error), REALM_OK);
    wasm_byte_vec_t binary = module_of(text, n_bytes);
    const struct bytes module = {.data = (const uint8_t *)binary.data, .length = binary.size};
    assert_int_equal(program_load(world.sandbox, world.tenant, name, module, &program, &error),
                     REALM_OK);
    assert_int_equal(sandbox_tenant_publish(world.tenant, program, &error), REALM_OK);
    program_release(program);
    wasm_byte_vec_delete(&binary);
    alloc_free(text);
}

static void programs_call_each_other_within_the_first_ones_limits(void **state)
{
    (void)state;
    static struct outcome outcome;
    static struct outcome direct;
    world_open();
    struct program *program = load_text(caller);
    struct program *chat = load_guest("chat");
    publish("talk", "chat");
    publish("noise", "flood");
    run_program(chat, "hello there", &direct);
    run_program(program, "talk", &outcome);
    assert_string_equal(outcome.message, "");
    assert_string_equal(outcome.text, direct.text);
    assert_int_equal(outcome.usage.completion_tokens, 20);
    run_program(program, "nobody", &outcome);
    assert_int_equal(outcome.exit_code, -4);
    /* The flood has half of its caller's output, and what it emits is emitted once more. */
    const struct sandbox_limits limits = {.output_bytes = 100000};
    set_limits(&limits);
    run_program(program, "noise", &outcome);
    assert_true(outcome.status != REALM_OK && outcome.n_text_bytes <= 100000);
    set_limits(NULL);
    assert_true(sandbox_tenant_withdraw(world.tenant, "talk"));
    assert_false(sandbox_tenant_withdraw(world.tenant, "talk"));
    run_program(program, "talk", &outcome);
    assert_int_equal(outcome.exit_code, -4);
    program_release(chat);
    program_release(program);
    world_close();
}

static void a_guest_touches_memory_above_4_gb(void **state)
{
    (void)state;
    static struct outcome outcome;
    world_open();
    const struct sandbox_limits limits = {.memory_bytes = UINT64_C(5) << 30};
    set_limits(&limits);
    struct program *program = load_guest("above_4gb");
    run_program(program, "{}", &outcome);
    assert_string_equal(outcome.message, "");
    assert_string_equal(outcome.text, "hello");
    program_release(program);
    world_close();
}

static void messages_go_in_and_come_back_until_the_input_is_closed(void **state)
{
    (void)state;
    static struct outcome outcome;
    struct realm_error error;
    world_open();
    struct program *program = load_guest("wait_for_input");
    struct instance_options options = options_of(program, "{}");
    options.takes_input = true;
    struct instance *instance = start(&options);
    const char *const messages[] = {"one", "", "two"};
    for (int i = 0; i < 3; i++) {
        const struct bytes message = {.data = (const uint8_t *)messages[i],
                                      .length = strlen(messages[i])};
        assert_int_equal(instance_deliver(instance, message, &error), REALM_OK);
    }
    instance_close_input(instance);
    read_outcome(instance, &outcome);
    assert_string_equal(outcome.message, "");
    assert_string_equal(outcome.text, "onetwo");
    options.takes_input = false;
    read_outcome(start(&options), &outcome);
    assert_int_equal(outcome.status, REALM_OK);
    program_release(program);
    world_close();
}

/* A reader that lags makes the guest wait; nothing is lost. */
static void a_slow_reader_gets_every_byte(void **state)
{
    (void)state;
    static struct outcome outcome;
    world_open();
    const struct sandbox_limits limits = {.output_bytes = 1000000};
    set_limits(&limits);
    struct program *program = load_guest("flood");
    const struct instance_options options = options_of(program, "{}");
    struct instance *instance = start(&options);
    assert_true(instance_wait(instance, HARNESS_WAIT_MS));
    struct sandbox_stats before;
    struct sandbox_stats after;
    sandbox_stats(world.sandbox, &before);
    do { /* until it does nothing any more: it waits */
        after = before;
        const struct timespec a_while = {.tv_nsec = 20000000};
        (void)nanosleep(&a_while, NULL);
        sandbox_stats(world.sandbox, &before);
    } while (before.polls != after.polls);
    read_outcome(instance, &outcome);
    assert_string_equal(outcome.limit, "output_bytes");
    assert_int_equal(outcome.n_text_bytes, 1000000 / 44 * 44);
    program_release(program);
    world_close();
}

static void the_same_seed_gives_the_same_run(void **state)
{
    (void)state;
    static struct outcome first;
    static struct outcome second;
    world_open();
    struct program *program = load_guest("world");
    run_program(program, "{}", &first);
    run_program(program, "{}", &second);
    assert_string_equal(first.message, "");
    assert_int_equal(strlen(first.text), 32);
    assert_string_equal(first.text, second.text);
    struct instance_options options = options_of(program, "{}");
    options.seed = 8;
    read_outcome(start(&options), &second);
    assert_string_not_equal(first.text, second.text);
    program_release(program);
    world_close();
}

static void what_a_program_stores_survives_the_sandbox(void **state)
{
    (void)state;
    static struct outcome outcome;
    struct temp_folder folder;
    temp_folder_make(&folder);
    const char *const logs[] = {"x", "xx", "xxx"};
    for (int i = 0; i < 3; i++) {
        world_open_sized(folder.path, 4, NULL);
        struct program *program = load_guest("world");
        run_program(program, "{}", &outcome);
        assert_string_equal(outcome.message, "");
        assert_string_equal(outcome.log, logs[i]);
        assert_string_equal(outcome.json, "[\"counter\"]");
        program_release(program);
        world_close();
    }
    temp_folder_remove(&folder);
}

static void many_guests_wait_at_once_in_two_threads(void **state)
{
    (void)state;
    static struct outcome outcome;
    struct instance *instances[HARNESS_INSTANCES];
    struct realm_error error;
    world_open();
    struct program *program = load_guest("wait_for_input");
    struct instance_options options = options_of(program, "{}");
    options.takes_input = true;
    for (uint32_t i = 0; i < HARNESS_INSTANCES; i++) {
        instances[i] = start(&options);
    }
    struct instance *one_more = NULL;
    assert_int_equal(sandbox_start(world.sandbox, &options, &one_more, &error), REALM_UNAVAILABLE);
    for (uint32_t i = HARNESS_INSTANCES; i-- > 0;) {
        const struct bytes message = {.data = (const uint8_t *)"ping", .length = 4};
        assert_int_equal(instance_deliver(instances[i], message, &error), REALM_OK);
        instance_close_input(instances[i]);
        read_outcome(instances[i], &outcome);
        assert_string_equal(outcome.text, "ping");
        assert_int_equal(outcome.status, REALM_OK);
    }
    program_release(program);
    world_close();
}

static bool has_used(void *context)
{
    uint64_t prompt;
    uint64_t completion;
    instance_tokens(context, &prompt, &completion);
    return completion >= 200;
}

static bool has_drawn(void *context)
{
    const uint64_t *wanted = context;
    struct engine_stats stats;
    engine_stats(world.engine, &stats);
    return stats.completion_tokens >= *wanted;
}

/* A stream that is dropped unread cost its tokens all the same. */
static void tokens_count_that_were_drawn_and_not_read(void **state)
{
    (void)state;
    static struct outcome outcome;
    struct engine_stats stats;
    struct realm_error error;
    world_open();
    struct program *program = load_guest("unread");
    struct instance_options options = options_of(program, "{}");
    options.takes_input = true;
    engine_stats(world.engine, &stats);
    uint64_t wanted = stats.completion_tokens + 3;
    struct instance *instance = start(&options);
    assert_true(test_poll(has_drawn, &wanted, HARNESS_WAIT_MS));
    assert_int_equal(instance_deliver(instance, options.request, &error), REALM_OK);
    read_outcome(instance, &outcome);
    assert_int_equal(outcome.status, REALM_OK);
    assert_int_equal(outcome.usage.completion_tokens, 3);
    program_release(program);
    world_close();
}

/* A program says nothing and does not read what the one it invoked says: the reader sees the tokens
 * while both still run, and they are in the usage at the end. */
static void tokens_of_programs_below_are_seen_while_they_run(void **state)
{
    (void)state;
    static struct outcome outcome;
    struct realm_error error;
    world_open();
    struct program *below = load_guest("mute");
    assert_int_equal(sandbox_tenant_publish(world.tenant, below, &error), REALM_OK);
    struct program *program = load_text(
        "(module (import \"realm_v1\" \"invoke\""
        "  (func $invoke (param i32 i32 i32 i32 i32 i32) (result i32)))"
        " (import \"realm_v1\" \"recv\" (func $recv (param i32 i32 i32) (result i32)))"
        " (memory (export \"memory\") 1) (data (i32.const 0) \"test\")"
        " (func (export \"realm_run\") (result i32)"
        "  (drop (call $invoke (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0)"
        "   (i32.const 0) (i32.const 0)))"
        "  (drop (call $recv (i32.const 64) (i32.const 64) (i32.const -1))) (i32.const 0)))");
    struct instance_options options = options_of(program, "{}");
    options.takes_input = true;
    struct instance *instance = start(&options);
    assert_true(test_poll(has_used, instance, HARNESS_WAIT_MS));
    assert_int_equal(instance_deliver(instance, options.request, &error), REALM_OK);
    read_outcome(instance, &outcome);
    assert_int_equal(outcome.status, REALM_OK);
    assert_int_equal(outcome.usage.completion_tokens, 200);
    program_release(below);
    program_release(program);
    world_close();
}

int main(int argc, char **argv)
{
    if (harness_is_compiler(argc, argv)) {
        return sandbox_compiler_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat_program_gives_what_the_engine_gives),
        cmocka_unit_test(stepping_by_hand_gives_what_generate_gives),
        cmocka_unit_test(a_guest_that_dies_while_it_steps_leaves_nothing),
        cmocka_unit_test(programs_call_each_other_within_the_first_ones_limits),
        cmocka_unit_test(a_guest_touches_memory_above_4_gb),
        cmocka_unit_test(messages_go_in_and_come_back_until_the_input_is_closed),
        cmocka_unit_test(a_slow_reader_gets_every_byte),
        cmocka_unit_test(the_same_seed_gives_the_same_run),
        cmocka_unit_test(what_a_program_stores_survives_the_sandbox),
        cmocka_unit_test(many_guests_wait_at_once_in_two_threads),
        cmocka_unit_test(tokens_count_that_were_drawn_and_not_read),
        cmocka_unit_test(tokens_of_programs_below_are_seen_while_they_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
