/* Embeddings of the tiny golden models against the hidden states that transformers computes. */
#include "base/alloc.h"
#include "base/file.h"
#include "engine/engine.h"
#include "support/backend_run.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <string.h>

#define TOLERANCE  1e-3 /* as for logits: keys and values in half precision */
#define MAX_TOKENS 256u
#define WAIT_MS    20000u
#define HEAD_BYTES 12u

static const char *const names[] = {"gemma3",
                                    "gemma3_f16",
                                    "llama_linear",
                                    "llama_llama3",
                                    "llama_tied",
                                    "llama_tied_f16",
                                    "llama_yarn",
                                    "llama_untied",
                                    "phi3",
                                    "phi3_f16",
                                    "phi3_longrope",
                                    "qwen2",
                                    "qwen2_f16",
                                    "qwen3",
                                    "qwen3_f16"};

#define N_NAMES (sizeof names / sizeof names[0])

static char *read_golden(const char *name, const char *end, size_t *n_bytes)
{
    char path[512];
    char *bytes;
    struct realm_error error;
    (void)snprintf(path, sizeof path, "%s/golden/models/%s%s", REALM_TEST_DATA, name, end);
    if (file_read(path, (size_t)1 << 24, &bytes, n_bytes, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return bytes;
}

static uint32_t u32_at(const char *bytes, size_t at)
{
    uint32_t value;
    memcpy(&value, bytes + at, sizeof value);
    return value;
}

/* The tokens of NAME.logits.bin. */
static uint32_t read_tokens(const char *name, token_id tokens[MAX_TOKENS])
{
    size_t n_bytes;
    char *const bytes = read_golden(name, ".logits.bin", &n_bytes);
    const uint32_t n_tokens = u32_at(bytes, 4);
    const size_t first = HEAD_BYTES + 4 + u32_at(bytes, HEAD_BYTES);
    assert_in_range(n_tokens, 1, MAX_TOKENS);
    memcpy(tokens, bytes + first, n_tokens * sizeof *tokens);
    alloc_free(bytes);
    return n_tokens;
}

static struct generation *
embed(struct engine *engine, struct engine_model *model, const token_id *tokens, uint32_t n_tokens)
{
    const struct request request = {
        .model = model, .prompt = tokens, .n_prompt = n_tokens, .embed = true};
    struct generation *generation;
    struct realm_error error;
    if (engine_submit(engine, &request, &generation, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    struct event event = {.kind = EVENT_STARTED};
    while (event.kind != EVENT_DONE) {
        assert_true(generation_wait(generation, WAIT_MS));
        while (generation_next(generation, &event)) {
            assert_int_not_equal(event.kind, EVENT_TOKEN);
            assert_true(event.kind != EVENT_FINISHED || event.finish == REALM_FINISH_STOP);
        }
    }
    assert_int_equal(event.n_prompt_tokens, n_tokens);
    assert_int_equal(event.n_completion_tokens, 0);
    return generation;
}

static void check_model(struct engine *engine, const char *name)
{
    char path[512];
    token_id tokens[MAX_TOKENS];
    struct engine_model *model;
    struct realm_error error;
    (void)snprintf(path, sizeof path, "%s/golden/models/%s.gguf", REALM_TEST_DATA, name);
    const struct engine_model_options options = {.context_length = 2 * MAX_TOKENS, .max_rows = 24};
    if (engine_load_model(engine, name, path, &options, &model, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    const uint32_t n_tokens = read_tokens(name, tokens);
    size_t n_bytes;
    char *const expected = read_golden(name, ".hidden.bin", &n_bytes);
    /* Twice: the second one finds its pages. */
    for (uint32_t i = 0; i < 2; i++) {
        struct generation *const generation = embed(engine, model, tokens, n_tokens);
        uint32_t n_columns;
        const float *const embedding = generation_embedding(generation, &n_columns);
        assert_int_equal(n_columns * sizeof(float), n_bytes);
        const double distance =
            backend_run_distance(embedding, (const float *)(const void *)expected, n_columns);
        if (!(distance < TOLERANCE)) {
            fail_msg("%s: %g away; allowed is %g", name, distance, TOLERANCE);
        }
        generation_release(generation);
    }
    alloc_free(expected);
}

static void embeddings_are_the_hidden_states_of_transformers(void **state)
{
    (void)state;
    uint32_t n_levels = 0;
    for (const char *const *level = backend_run_levels; *level != NULL; level++) {
        struct engine *engine;
        struct realm_error error;
        const struct engine_options options = {.n_threads = 2, .cpu_level = *level};
        if (engine_create(&options, &engine, &error) != REALM_OK) {
            assert_int_equal(error.status, REALM_UNSUPPORTED);
            continue;
        }
        n_levels++;
        for (size_t i = 0; i < N_NAMES; i++) {
            check_model(engine, names[i]);
        }
        engine_destroy(engine);
    }
    assert_true(n_levels >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embeddings_are_the_hidden_states_of_transformers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
