/* Greedy continuations of the real models against llama.cpp's, all prompts at once in one engine. */
#include "support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#define MAX_PROMPTS 32u
#define MAX_TOKENS  128u
/* Log-probabilities closer than this are a tie: 4-bit weights meet 8-bit activations in other orders. */
#define TIE 0.35f

struct golden {
    token_id prompt[MAX_TOKENS];
    uint32_t n_prompt;
    token_id tokens[MAX_TOKENS];
    float margins[MAX_TOKENS];
    uint32_t n_tokens;
};

static uint32_t read_numbers(char *line, double out[MAX_TOKENS])
{
    uint32_t n = 0;
    char *rest = NULL;
    char *word = strtok_r(line, " \n", &rest); /* the line's name */
    while ((word = strtok_r(NULL, " \n", &rest)) != NULL && n < MAX_TOKENS) {
        out[n++] = strtod(word, NULL);
    }
    return n;
}

static uint32_t read_goldens(const char *name, struct golden *out)
{
    char path[1024];
    char line[8192];
    double numbers[MAX_TOKENS];
    uint32_t n = 0;
    (void)snprintf(path, sizeof path, "%s/golden/llama_cpp/%s.txt", REALM_TEST_DATA, name);
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        const char kind = line[0];
        const uint32_t n_numbers = kind == '#' ? 0 : read_numbers(line, numbers);
        if (kind == 'p') {
            assert_true(n < MAX_PROMPTS);
            out[n].n_prompt = n_numbers;
        } else if (kind == 't') {
            out[n].n_tokens = n_numbers;
        }
        for (uint32_t i = 0; i < n_numbers; i++) {
            if (kind == 'p') {
                out[n].prompt[i] = (token_id)numbers[i];
            } else if (kind == 't') {
                out[n].tokens[i] = (token_id)numbers[i];
            } else {
                out[n].margins[i] = (float)numbers[i];
            }
        }
        n += kind == 'm';
    }
    (void)fclose(file);
    assert_true(n >= 20);
    return n;
}

/* Reads one generation to its end; returns its tokens. */
static uint32_t read_tokens(struct generation *generation, token_id out[MAX_TOKENS])
{
    uint32_t n = 0;
    for (;;) {
        struct event event;
        if (!generation_next(generation, &event)) {
            (void)generation_wait(generation, 10000);
            continue;
        }
        if (event.kind == EVENT_TOKEN) {
            assert_true(n < MAX_TOKENS);
            out[n++] = event.token;
        } else if (event.kind == EVENT_FINISHED) {
            assert_int_equal(event.status, REALM_OK);
            if (event.stop_token != UINT32_MAX) {
                out[n++] = event.stop_token;
            }
        } else if (event.kind == EVENT_DONE) {
            return n;
        }
    }
}

/* Tokens compared before the first tie that went the other way. */
static uint32_t compare(const struct golden *golden, const token_id *tokens, uint32_t n, uint32_t i_prompt)
{
    for (uint32_t i = 0; i < golden->n_tokens; i++) {
        if (i < n && tokens[i] == golden->tokens[i]) {
            continue;
        }
        if (golden->margins[i] > TIE) {
            print_error("prompt %u, token %u: %u instead of %u, margin %.3f\n",
                        i_prompt,
                        i,
                        i < n ? tokens[i] : 0,
                        golden->tokens[i],
                        (double)golden->margins[i]);
            fail();
        }
        return i;
    }
    return golden->n_tokens;
}

static void check_model(const char *name, const char *variable)
{
    static struct golden goldens[MAX_PROMPTS];
    struct generation *generations[MAX_PROMPTS];
    struct realm_error error = {.status = REALM_OK};
    struct engine *engine;
    struct engine_model *model;
    const char *const path = getenv(variable);
    if (path == NULL) {
        print_message("%s is not set: %s was not tested\n", variable, name);
        skip();
        return;
    }
    memset(goldens, 0, sizeof goldens);
    const uint32_t n_prompts = read_goldens(name, goldens);
    const struct engine_options engine_options = {.n_threads = 2};
    const struct engine_model_options model_options = {.context_length = 1024};
    assert_int_equal(engine_create(&engine_options, &engine, &error), REALM_OK);
    if (engine_load_model(engine, name, path, &model_options, &model, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    for (uint32_t i = 0; i < n_prompts; i++) {
        const struct request request = {.model = model,
                                        .prompt = goldens[i].prompt,
                                        .n_prompt = goldens[i].n_prompt,
                                        .max_tokens = goldens[i].n_tokens};
        assert_int_equal(engine_submit(engine, &request, &generations[i], &error), REALM_OK);
    }
    uint32_t n_same = 0;
    uint32_t n_all = 0;
    for (uint32_t i = 0; i < n_prompts; i++) {
        token_id tokens[MAX_TOKENS];
        const uint32_t n = read_tokens(generations[i], tokens);
        n_same += compare(&goldens[i], tokens, n, i);
        n_all += goldens[i].n_tokens;
        generation_release(generations[i]);
    }
    print_message("%s: %u of %u tokens before a tie\n", name, n_same, n_all);
    assert_true(n_same * 2 > n_all);
    engine_destroy(engine);
}

static void smollm2_continues_as_llama_cpp_does(void **state)
{
    (void)state;
    check_model("smollm2", "REALM_MODEL_SMOLLM2");
}

static void gemma3_continues_as_llama_cpp_does(void **state)
{
    (void)state;
    check_model("gemma3", "REALM_MODEL_GEMMA3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smollm2_continues_as_llama_cpp_does),
        cmocka_unit_test(gemma3_continues_as_llama_cpp_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
