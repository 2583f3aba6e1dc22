/* Any bytes as the body of a completion request, of both kinds, over a tiny model: it becomes a
 * request whose every number lies in its range, or it is refused with words that are JSON
 * themselves. Then once more while memory runs out at a place that the input chooses. */
#include "base/alloc.h"
#include "engine/engine.h"
#include "server/completion.h"
#include "server/json.h"

#include <stdio.h>

#define ENOUGH_BYTES ((size_t)1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct engine *engine;

static void require(bool holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct realm_error error;
    struct engine_model *model;
    const struct engine_options options = {.n_threads = 1};
    const struct engine_model_options model_options = {.context_length = 128};
    json_use_our_allocator();
    require(engine_create(&options, &engine, &error) == REALM_OK);
    require(engine_load_model(engine,
                              "tiny",
                              REALM_TEST_DATA "/golden/models/llama_tied.gguf",
                              &model_options,
                              &model,
                              &error) == REALM_OK);
    return 0;
}

static void check_tokens(const struct completion *completion, const token_id *tokens, size_t n)
{
    const uint32_t vocabulary = tokenizer_vocabulary(engine_model_tokenizer(completion->model));
    for (size_t i = 0; i < n; i++) {
        require(tokens[i] < vocabulary);
    }
}

static void check_request(const struct completion *completion)
{
    const struct request *const request = &completion->request;
    const struct sampler_options *const sampling = &request->sampling;
    const uint32_t n_choices = completion->n_choices * completion->n_prompts;
    require(completion->n_prompts >= 1 && completion->n_prompts <= COMPLETION_MAX_PROMPTS);
    require(n_choices >= 1 && n_choices <= REQUEST_MAX_CHOICES);
    require(sampling->temperature >= 0 && sampling->temperature <= 2);
    require(sampling->top_p >= 0 && sampling->top_p <= 1);
    require(sampling->n_top_logprobs <= SAMPLER_MAX_TOP_LOGPROBS);
    for (uint32_t i = 0; i < completion->n_prompts; i++) {
        check_tokens(
            completion, completion->prompts[i].tokens.ids, completion->prompts[i].tokens.length);
    }
    check_tokens(completion, request->stop_tokens, request->n_stop_tokens);
    for (uint32_t i = 0; i < sampling->n_biases; i++) {
        check_tokens(completion, &sampling->biases[i].token, 1);
        require(sampling->biases[i].bias >= -100 && sampling->biases[i].bias <= 100);
    }
    for (uint32_t i = 0; i < request->n_stops; i++) {
        require(request->stops[i].data != NULL && request->stops[i].length > 0);
    }
}

/* What the client would read is one JSON object, whatever the message quotes. */
static void check_refusal(const struct problem *problem, realm_status status)
{
    struct strbuf text;
    json_t *json = NULL;
    struct problem none = {.http_status = 0};
    const int http_status = problem_http_status(problem);
    require(problem->error.status == status && problem->error.message[0] != '\0');
    require(http_status >= 400 && http_status < 600);
    strbuf_init(&text, ALLOC_TEST, ENOUGH_BYTES);
    problem_write(problem, &text);
    require(json_parse_object(text.text, text.length, &json, &none) == REALM_OK);
    require(json_is_object(json_object_get(json, "error")));
    json_decref(json);
    strbuf_deinit(&text);
}

static void parse(enum completion_kind kind, const char *body, size_t n_bytes, uint64_t fail_after)
{
    struct completion *completion = NULL;
    struct problem problem = {.http_status = 0};
    alloc_fail_after(fail_after);
    const realm_status status = completion_parse(
        kind, &(struct completion_scope){.engine = engine}, body, n_bytes, &completion, &problem);
    alloc_fail_after(UINT64_MAX);
    if (status == REALM_OK) {
        check_request(completion);
    } else {
        require(completion == NULL);
        check_refusal(&problem, status);
    }
    completion_destroy(completion);
    require(alloc_held_bytes(ALLOC_SERVER) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const char *const body = (const char *)data;
    const uint64_t fail_after = n_bytes > 0 ? data[n_bytes / 2] : 0;
    for (uint64_t fail = UINT64_MAX;; fail = fail_after) {
        for (int kind = COMPLETION_CHAT; kind <= COMPLETION_DETOKENIZE; kind++) {
            parse((enum completion_kind)kind, body, n_bytes, fail);
        }
        if (fail == fail_after) {
            return 0;
        }
    }
}
