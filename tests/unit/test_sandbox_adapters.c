/* Programs with their tenant's adapters. */
#include "guests/harness.h"
#include "support/tiny_adapter.h"
#include "tokenizer/tokenizer.h"

#include <realm_guest.h>

#define PROMPT "once upon a time"

/* Appends what the engine itself answers. */
static void engine_answer(struct engine_adapter *adapter, char out[4096])
{
    struct token_list tokens = {.ids = NULL};
    struct realm_error error;
    const struct tokenizer_encode_options options = {.add_special = false};
    assert_int_equal(
        tokenizer_encode(
            engine_model_tokenizer(world.model), PROMPT, strlen(PROMPT), options, &tokens, &error),
        REALM_OK);
    const struct request request = {.model = world.model,
                                    .adapter = adapter,
                                    .prompt = tokens.ids,
                                    .n_prompt = (uint32_t)tokens.length,
                                    .max_tokens = 12,
                                    .ignore_end = true};
    struct generation *generation;
    assert_int_equal(engine_submit(world.engine, &request, &generation, &error), REALM_OK);
    struct event event = {.kind = EVENT_STARTED};
    while (event.kind != EVENT_DONE) {
        if (!generation_next(generation, &event)) {
            assert_true(generation_wait(generation, HARNESS_WAIT_MS));
            continue;
        }
        const size_t n = strlen(out);
        assert_true(n + event.text.length < 4096);
        if (event.kind == EVENT_TOKEN || event.kind == EVENT_FINISHED) {
            memcpy(out + n, event.text.data, event.text.length);
            out[n + event.text.length] = '\0';
        }
    }
    generation_release(generation);
    token_list_deinit(&tokens);
}

static void a_program_computes_with_the_adapter_it_names(void **state)
{
    (void)state;
    static struct outcome outcome;
    char expected[4096] = "";
    char without[4096] = "";
    world_open();
    tiny_adapter_load(world.engine, world.model, NULL, "style");
    struct program *const program = load_guest("adapter");
    run_program(program, PROMPT, &outcome);
    assert_string_equal(outcome.message, "");
    assert_int_equal(outcome.status, REALM_OK);
    struct engine_adapter *const adapter =
        engine_adapter_find(world.engine, world.model, NULL, "style");
    engine_answer(adapter, expected);
    engine_answer(NULL, without);
    assert_string_not_equal(expected, without);
    (void)strcat(expected, without);
    assert_string_equal(outcome.text, expected);
    engine_adapter_release(adapter);
    program_release(program);
    world_close();
}

/* Whatever it is in the middle of, its references go with it. */
static void a_guest_that_dies_gives_its_adapters_back(void **state)
{
    (void)state;
    static struct outcome outcome;
    struct realm_error error;
    uint32_t n_adapters;
    world_open();
    tiny_adapter_load(world.engine, world.model, NULL, "style");
    struct program *const program = load_guest("adapter");
    for (uint64_t n_calls = 5; n_calls < 24; n_calls += 3) {
        const struct sandbox_limits limits = {.host_calls = n_calls};
        set_limits(&limits);
        run_program(program, PROMPT, &outcome);
        assert_string_equal(outcome.limit, "host_calls");
    }
    program_release(program);
    assert_true(test_poll(no_instance_left, NULL, HARNESS_WAIT_MS));
    assert_int_equal(engine_adapter_remove(world.engine, world.model, NULL, "style", &error),
                     REALM_OK);
    const uint64_t deadline_ns = clock_monotonic_ns() + (uint64_t)HARNESS_WAIT_MS * 1000000u;
    while (engine_adapters_bytes(world.engine, &n_adapters) > 0) {
        assert_true(clock_monotonic_ns() < deadline_ns);
    }
    assert_int_equal(n_adapters, 0);
    world_close();
}

/* Another tenant's account does not find it. */
static void other_tenants_do_not_find_it(void **state)
{
    (void)state;
    static struct outcome outcome;
    static const char asks[] =
        "(module (import \"realm_v1\" \"model_open\" (func $model (param i32 i32) (result i32)))"
        " (import \"realm_v1\" \"adapter_open\" (func $open (param i32 i32 i32) (result i32)))"
        " (memory (export \"memory\") 1) (data (i32.const 0) \"style\")"
        " (func (export \"realm_run\") (result i32)"
        "  (call $open (call $model (i32.const 0) (i32.const 0)) (i32.const 0) (i32.const 5))))";
    struct account *account;
    const struct account_options options = {.label = "other", .domain = {9}};
    world_open();
    assert_int_equal(account_create(&options, &account, NULL), REALM_OK);
    tiny_adapter_load(world.engine, world.model, NULL, "style");
    struct program *const program = load_text(asks);
    struct instance_options run = options_of(program, "");
    run.account = account;
    read_outcome(start(&run), &outcome);
    assert_int_equal(outcome.exit_code, REALM_GUEST_NOT_FOUND);
    program_release(program);
    world_close();
    account_release(account);
}

int main(int argc, char **argv)
{
    if (harness_is_compiler(argc, argv)) {
        return sandbox_compiler_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_computes_with_the_adapter_it_names),
        cmocka_unit_test(a_guest_that_dies_gives_its_adapters_back),
        cmocka_unit_test(other_tenants_do_not_find_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
