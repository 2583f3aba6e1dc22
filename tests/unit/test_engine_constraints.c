/* Completions under a constraint, over a tiny model that would write noise. */
#include "engine/engine.h"
#include "sample/constraint.h"
#include "support/cmocka_all.h"
#include "tokenizer/tokenizer.h"

#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS     20000u
#define MAX_CHOICES 4u

static struct engine *engine;
static struct engine_model *model;

struct answer {
    char text[MAX_CHOICES][512];
    realm_finish finish[MAX_CHOICES];
    uint32_t n_tokens;
    uint32_t n_logprobs; /* tokens that came with one */
    realm_status status;
    char message[256];
};

static int load(void **state)
{
    (void)state;
    char path[1024];
    const struct engine_options options = {.n_threads = 1};
    const struct engine_model_options model_options = {.context_length = 128};
    (void)snprintf(path, sizeof path, "%s/golden/models/llama_tied.gguf", REALM_TEST_DATA);
    return engine_create(&options, &engine, NULL) != REALM_OK ||
           engine_load_model(engine, "tiny", path, &model_options, &model, NULL) != REALM_OK;
}

static int unload(void **state)
{
    (void)state;
    engine_destroy(engine);
    return 0;
}

static void take_event(const struct event *event, struct answer *answer)
{
    if (event->text.length > 0) {
        (void)strncat(
            answer->text[event->choice], (const char *)event->text.data, event->text.length);
    }
    if (event->kind == EVENT_TOKEN) {
        answer->n_tokens++;
        answer->n_logprobs += isfinite(event->logprob) && event->logprob <= 0;
    } else if (event->kind == EVENT_FINISHED) {
        answer->finish[event->choice] = event->finish;
        if (event->message != NULL) {
            (void)snprintf(answer->message, sizeof answer->message, "%s", event->message);
        }
    }
    answer->status = event->status;
}

static void run(struct request *request, struct answer *answer)
{
    static const token_id prompt[] = {1, 2, 3, 70, 80};
    struct generation *generation;
    struct event event = {.kind = EVENT_STARTED};
    memset(answer, 0, sizeof *answer);
    request->model = model;
    request->prompt = prompt;
    request->n_prompt = 5;
    struct realm_error error;
    if (engine_submit(engine, request, &generation, &error) != REALM_OK) {
        answer->status = error.status;
        (void)snprintf(answer->message, sizeof answer->message, "%s", error.message);
        return;
    }
    while (event.kind != EVENT_DONE) {
        assert_true(generation_wait(generation, WAIT_MS));
        while (generation_next(generation, &event)) {
            take_event(&event, answer);
        }
    }
    generation_release(generation);
    constraint_destroy((struct constraint *)(uintptr_t)request->constraint);
}

static struct constraint *constrain(enum constraint_kind kind, const char *text)
{
    struct constraint *constraint;
    struct realm_error error;
    const struct constraint_rule rule = {kind, {(const uint8_t *)text, strlen(text)}};
    if (engine_model_constrain(model, &rule, &constraint, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return constraint;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t judge;
    assert_int_equal(regcomp(&judge, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&judge, text, 0, NULL, 0) != 0) {
        fail_msg("\"%s\" does not match %s", text, pattern);
    }
    regfree(&judge);
}

static void every_choice_matches_and_ends_by_itself(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 8; round++) {
        struct answer answer;
        struct request request = {
            .n_choices = MAX_CHOICES,
            .max_tokens = 60,
            .constraint = constrain(CONSTRAINT_REGEX, "(the|an|is)( [0-9]{2,4}){2}!"),
            .sampling = {.temperature = (float)(round % 4),
                         .seed = round,
                         .logprobs = true,
                         .n_top_logprobs = 3},
        };
        run(&request, &answer);
        assert_int_equal(answer.status, REALM_OK);
        assert_int_equal(answer.n_logprobs, answer.n_tokens);
        for (uint32_t i = 0; i < MAX_CHOICES; i++) {
            assert_matches(answer.text[i], "^(the|an|is)( [0-9]{2,4}){2}!$");
            assert_int_equal(answer.finish[i], REALM_FINISH_STOP);
        }
    }
}

static void choices_go_their_own_ways(void **state)
{
    (void)state;
    struct answer answer;
    struct request request = {.n_choices = MAX_CHOICES,
                              .max_tokens = 60,
                              .constraint = constrain(CONSTRAINT_REGEX, "[a-z]{12}"),
                              .sampling = {.temperature = 60, .seed = 9}};
    run(&request, &answer);
    for (uint32_t i = 1; i < MAX_CHOICES; i++) {
        assert_string_not_equal(answer.text[0], answer.text[i]);
    }
}

static void biases_and_stops_compose_with_a_constraint(void **state)
{
    (void)state;
    struct answer answer;
    const struct sampler_bias bias = {'b', 100};
    const struct bytes stop = {(const uint8_t *)"bbb", 3};
    struct request request = {.max_tokens = 60,
                              .constraint = constrain(CONSTRAINT_REGEX, "a[a-z]*;"),
                              .stops = &stop,
                              .n_stops = 1,
                              .sampling = {.biases = &bias, .n_biases = 1}};
    run(&request, &answer);
    assert_matches(answer.text[0], "^a[a-z]*$");
    assert_null(strstr(answer.text[0], "bbb"));
    assert_in_range(answer.n_tokens, 4, 10);
    assert_int_equal(answer.finish[0], REALM_FINISH_STOP);
}

static void a_constraint_that_needs_more_ends_at_the_limit(void **state)
{
    (void)state;
    struct answer answer;
    struct request request = {.max_tokens = 5,
                              .constraint = constrain(CONSTRAINT_REGEX, "[0-9]{40}"),
                              .sampling = {.temperature = 1}};
    run(&request, &answer);
    assert_matches(answer.text[0], "^[0-9]{5,}$");
    assert_int_equal(answer.finish[0], REALM_FINISH_LENGTH);
}

static void what_leaves_no_token_ends_with_words(void **state)
{
    (void)state;
    struct answer answer;
    const struct sampler_bias bias = {'x', -100};
    struct request request = {.max_tokens = 5,
                              .constraint = constrain(CONSTRAINT_REGEX, "x"),
                              .sampling = {.biases = &bias, .n_biases = 1}};
    run(&request, &answer);
    assert_int_equal(answer.finish[0], REALM_FINISH_ERROR);
    assert_non_null(strstr(answer.message, "no token"));
}

static void a_bad_rule_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"type\": 7}";
    struct constraint *constraint;
    struct realm_error error;
    const struct constraint_rule rule = {CONSTRAINT_JSON_SCHEMA,
                                         {(const uint8_t *)text, sizeof text - 1}};
    assert_int_equal(engine_model_constrain(model, &rule, &constraint, &error),
                     REALM_INVALID_ARGUMENT);
    assert_null(constraint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_choice_matches_and_ends_by_itself),
        cmocka_unit_test(choices_go_their_own_ways),
        cmocka_unit_test(biases_and_stops_compose_with_a_constraint),
        cmocka_unit_test(a_constraint_that_needs_more_ends_at_the_limit),
        cmocka_unit_test(what_leaves_no_token_ends_with_words),
        cmocka_unit_test(a_bad_rule_is_refused),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
