/* What a guest pipes goes from the engine to the reader; the guest sleeps. */
#include "guests/harness.h"

#define N_TOKENS 200

/* "<", what the model generates after the request, ">".  Fails unless the sequence has all of it.
 */
static const char piper[] =
    "(module (import \"realm_v1\" \"request_read\" (func $read (param i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"emit\" (func $emit (param i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"model_open\" (func $model (param i32 i32) (result i32)))"
    " (import \"realm_v1\" \"sequence_create\" (func $create (param i32) (result i32)))"
    " (import \"realm_v1\" \"sequence_append_text\""
    "  (func $append (param i32 i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"sequence_read\" (func $tokens (param i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"generate\" (func $generate (param i32 i32 i32 i32 i32) (result i32)))"
    " (import \"realm_v1\" \"stream_pipe\" (func $pipe (param i32 i32 i32) (result i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 0) \"<>\")"
    /* size 28, max_tokens 200, IGNORE_END */
    " (data (i32.const 64) \"\\1c\\00\\00\\00\" \"\\00\\00\\00\\00\" \"\\00\\00\\00\\00\""
    "  \"\\c8\\00\\00\\00\" \"\\00\\00\\00\\00\" \"\\01\\00\\00\\00\" \"\\00\\00\\00\\00\")"
    " (func (export \"realm_run\") (result i32) (local $s i32) (local $n i32) (local $piped i32)"
    "  (local.set $s (call $create (call $model (i32.const 0) (i32.const 0))))"
    "  (local.set $n (call $append (local.get $s) (i32.const 1024)"
    "   (call $read (i32.const 0) (i32.const 1024) (i32.const 100)) (i32.const 0)))"
    "  (drop (call $emit (i32.const 0) (i32.const 0) (i32.const 1)))"
    "  (local.set $piped (call $pipe (call $generate (local.get $s) (i32.const 64) (i32.const 28)"
    "   (i32.const 0) (i32.const 0)) (i32.const 4096) (i32.const 200)))"
    "  (drop (call $emit (i32.const 0) (i32.const 1) (i32.const 1)))"
    "  (if (i32.ne (local.get $piped) (i32.const 200)) (then (return (local.get $piped))))"
    "  (i32.sub (call $tokens (local.get $s) (i32.const 8192) (i32.const 256))"
    "   (i32.add (local.get $n) (i32.const 200)))))";

static uint64_t n_turns(void)
{
    struct sandbox_stats stats;
    sandbox_stats(world.sandbox, &stats);
    return stats.polls;
}

static void what_is_piped_takes_no_turn_of_the_guest(void **state)
{
    (void)state;
    static struct outcome outcome;
    world_open();
    struct program *program = load_text(piper);
    const uint64_t before = n_turns();
    run_program(program, "once upon a time", &outcome);
    assert_string_equal(outcome.message, "");
    assert_int_equal(outcome.usage.completion_tokens, N_TOKENS);
    assert_int_equal(outcome.usage.output_bytes, outcome.n_text_bytes);
    assert_int_equal(outcome.text[0], '<');
    assert_int_equal(outcome.text[outcome.n_text - 1], '>');
    assert_true(n_turns() - before < N_TOKENS / 10);
    program_release(program);
    world_close();
}

static bool is_well_on(void *context)
{
    (void)context;
    struct engine_stats stats;
    engine_stats(world.engine, &stats);
    return stats.completion_tokens >= 32;
}

/* The sequence waits in the engine, and nothing is lost or comes out of order. */
static void a_reader_that_lags_gets_all_of_a_pipe(void **state)
{
    (void)state;
    static struct outcome soon;
    static struct outcome late;
    world_open();
    struct program *program = load_text(piper);
    const struct instance_options options = options_of(program, "once upon a time");
    struct instance *instance = start(&options);
    assert_true(test_poll(is_well_on, NULL, HARNESS_WAIT_MS));
    read_outcome(instance, &late);
    run_program(program, "once upon a time", &soon);
    assert_string_equal(late.message, "");
    assert_string_equal(late.text, soon.text);
    program_release(program);
    world_close();
}

static void limits_hold_in_a_pipe(void **state)
{
    (void)state;
    static struct outcome outcome;
    world_open();
    struct program *program = load_text(piper);
    const struct sandbox_limits output = {.output_bytes = 50};
    set_limits(&output);
    run_program(program, "once upon a time", &outcome);
    assert_string_equal(outcome.limit, "output_bytes");
    assert_true(outcome.n_text_bytes > 1 && outcome.n_text_bytes <= 50);
    const struct sandbox_limits tokens = {.sequence_tokens = 60};
    set_limits(&tokens);
    run_program(program, "once upon a time", &outcome);
    assert_string_equal(outcome.limit, "sequence_tokens");
    assert_true(outcome.usage.completion_tokens > 40); /* with what was drawn and never passed on */
    program_release(program);
    world_close();
}

static void a_pipe_may_be_left_at_any_event(void **state)
{
    (void)state;
    world_open();
    struct program *program = load_text(piper);
    for (int n_events = 0; n_events < 24; n_events++) {
        const struct instance_options options = options_of(program, "once upon a time");
        struct instance *instance = start(&options);
        struct guest_event event = {.kind = GUEST_EVENT_TEXT};
        for (int i = 0; i < n_events && event.kind != GUEST_EVENT_FINISHED;) {
            if (instance_next(instance, &event)) {
                i++;
            } else {
                assert_true(instance_wait(instance, HARNESS_WAIT_MS));
            }
        }
        if (n_events % 2 == 0) {
            instance_cancel(instance);
        }
        instance_release(instance);
    }
    program_release(program);
    world_close();
}

int main(int argc, char **argv)
{
    if (harness_is_compiler(argc, argv)) {
        return sandbox_compiler_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_piped_takes_no_turn_of_the_guest),
        cmocka_unit_test(a_reader_that_lags_gets_all_of_a_pipe),
        cmocka_unit_test(limits_hold_in_a_pipe),
        cmocka_unit_test(a_pipe_may_be_left_at_any_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
