/* What a program embeds is what the engine embeds. */
#include "guests/harness.h"
#include "tokenizer/tokenizer.h"

#include <math.h>

#define TEXT        "once upon a time"
#define MAX_COLUMNS 100u

/* The engine's own embedding of the text; returns the tokens. */
static size_t engine_embedding(float *out, uint32_t *n_columns)
{
    struct token_list tokens = {.ids = NULL};
    struct realm_error error;
    const struct tokenizer_encode_options options = {.add_special = true, .parse_special = true};
    assert_int_equal(
        tokenizer_encode(
            engine_model_tokenizer(world.model), TEXT, strlen(TEXT), options, &tokens, &error),
        REALM_OK);
    const struct request request = {.model = world.model,
                                    .prompt = tokens.ids,
                                    .n_prompt = (uint32_t)tokens.length,
                                    .max_tokens = 1,
                                    .embed = true};
    struct generation *generation;
    assert_int_equal(engine_submit(world.engine, &request, &generation, &error), REALM_OK);
    struct event event = {.kind = EVENT_STARTED};
    while (event.kind != EVENT_DONE) {
        if (!generation_next(generation, &event)) {
            assert_true(generation_wait(generation, HARNESS_WAIT_MS));
        }
    }
    const float *const columns = generation_embedding(generation, n_columns);
    assert_true(*n_columns <= MAX_COLUMNS);
    memcpy(out, columns, *n_columns * sizeof *out);
    const size_t n_tokens = tokens.length;
    generation_release(generation);
    token_list_deinit(&tokens);
    return n_tokens;
}

static void a_programs_embedding_is_the_engines_as_long_as_one(void **state)
{
    (void)state;
    static struct outcome outcome;
    float columns[MAX_COLUMNS];
    uint32_t n_columns;
    double length = 0;
    world_open();
    struct program *program = load_guest("embed");
    run_program(program, TEXT, &outcome);
    assert_string_equal(outcome.message, "");
    const size_t n_tokens = engine_embedding(columns, &n_columns);
    assert_int_equal(outcome.usage.prompt_tokens, 2 * n_tokens); /* it embeds twice */
    assert_int_equal(outcome.usage.completion_tokens, 0);
    assert_int_equal(strlen(outcome.result), 8 * (size_t)n_columns + 2);
    const float factor = embedding_scale(columns, n_columns);
    for (uint32_t i = 0; i < n_columns; i++) {
        uint8_t bytes[sizeof(float)];
        float column;
        for (uint32_t k = 0; k < sizeof bytes; k++) {
            unsigned byte = 0;
            assert_int_equal(sscanf(outcome.result + 1 + 8 * i + 2 * k, "%2x", &byte), 1);
            bytes[k] = (uint8_t)byte;
        }
        memcpy(&column, bytes, sizeof column);
        assert_true(column == columns[i] * factor);
        length += (double)column * column;
    }
    assert_true(fabs(length - 1) < 1e-5);
    program_release(program);
    world_close();
}

static void a_program_that_ends_while_it_embeds_leaves_nothing(void **state)
{
    (void)state;
    static struct outcome outcome;
    world_open();
    struct program *program = load_guest("embed");
    for (uint64_t n_calls = 1; n_calls < 12; n_calls++) {
        const struct sandbox_limits limits = {.host_calls = n_calls};
        set_limits(&limits);
        run_program(program, TEXT, &outcome);
        assert_string_equal(outcome.limit, "host_calls");
    }
    set_limits(NULL);
    for (int i = 0; i < 20; i++) {
        const struct instance_options options = options_of(program, TEXT);
        instance_release(start(&options));
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
        cmocka_unit_test(a_programs_embedding_is_the_engines_as_long_as_one),
        cmocka_unit_test(a_program_that_ends_while_it_embeds_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
