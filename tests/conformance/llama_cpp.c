/* Greedy continuations of the real models against llama.cpp's, all prompts at once in one engine.
 */
#include "engine/engine.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROMPTS 32u
#define MAX_TOKENS  128u
/* The margins are the least of four ways in which llama.cpp computes the same (the golden files
 * say which); below this they are within rounding: those four move a margin by up to 0.55 in 99 of
 * 100 places. */
#define TIE 0.8f
/* Ties that may go the other way, in parts of all tokens. */
#define MAX_TIES_PART 0.06

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

static struct generation *submit(struct engine *engine,
                                 struct engine_model *model,
                                 const struct golden *golden,
                                 uint32_t n_given)
{
    token_id prompt[2 * MAX_TOKENS];
    struct generation *generation;
    struct realm_error error;
    memcpy(prompt, golden->prompt, golden->n_prompt * sizeof *prompt);
    memcpy(prompt + golden->n_prompt, golden->tokens, n_given * sizeof *prompt);
    const struct request request = {.model = model,
                                    .prompt = prompt,
                                    .n_prompt = golden->n_prompt + n_given,
                                    .max_tokens = golden->n_tokens - n_given};
    assert_int_equal(engine_submit(engine, &request, &generation, &error), REALM_OK);
    return generation;
}

/* Every token of a prompt: after a tie that went the other way, the rest follows llama.cpp's
 * choice.  Returns how many ties did. */
static uint32_t compare(struct engine *engine,
                        struct engine_model *model,
                        const struct golden *golden,
                        struct generation *generation)
{
    uint32_t n_ties = 0;
    uint32_t given = 0;
    for (;;) {
        token_id tokens[MAX_TOKENS];
        const uint32_t n = read_tokens(generation, tokens);
        generation_release(generation);
        uint32_t i = 0;
        while (given + i < golden->n_tokens && i < n && tokens[i] == golden->tokens[given + i]) {
            i++;
        }
        given += i;
        if (given == golden->n_tokens) {
            return n_ties;
        }
        if (golden->margins[given] > TIE) {
            fail_msg("token %u is %u instead of %u, margin %.3f",
                     given,
                     i < n ? tokens[i] : 0,
                     golden->tokens[given],
                     (double)golden->margins[given]);
        }
        n_ties++;
        given++;
        if (given == golden->n_tokens) {
            return n_ties;
        }
        generation = submit(engine, model, golden, given);
    }
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
        generations[i] = submit(engine, model, &goldens[i], 0);
    }
    uint32_t n_ties = 0;
    uint32_t n_all = 0;
    for (uint32_t i = 0; i < n_prompts; i++) {
        n_ties += compare(engine, model, &goldens[i], generations[i]);
        n_all += goldens[i].n_tokens;
    }
    print_message("%s: %u tokens, %u ties went the other way\n", name, n_all, n_ties);
    assert_true(n_all > 64 * 15);
    assert_true(n_ties < MAX_TIES_PART * n_all);
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
