/* Programs that do what they should, through the whole sandbox. */
#include "guests/harness.h"
#include "tokenizer/tokenizer.h"

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

int main(int argc, char **argv)
{
    if (harness_is_compiler(argc, argv)) {
        return sandbox_compiler_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat_program_gives_what_the_engine_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
