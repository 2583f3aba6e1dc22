#include "server/completion.h"

#include "base/clock.h"
#include "base/random.h"
#include "server/answer.h"
#include "server/fields.h"
#include "server/model_name.h"
#include "server/response.h"

#include <string.h>

#define MAX_ANSWER_BYTES ((size_t)512 << 20)

static enum source_progress pull(struct source *source, struct frames *frames, size_t max_bytes);
static bool readable(const struct source *source);
static void usage(const struct source *source, struct source_usage *out);
static void destroy(struct source *source);

/* What sets one kind of request apart from the others. */
struct completion_type {
    const char *id_prefix;
    const char *prompt_field; /* which is to blame for a prompt that does not fit */
    const struct field_row *own;
    const struct field_row *common; /* or NULL */
    /* Checks across fields, and the prompts. */
    realm_status (*prepare)(struct field_reader *reader);
    const struct answer_form *answer; /* NULL: no generation */
};

static const struct completion_type types[] = {
    [COMPLETION_CHAT] = {"chatcmpl-",
                         "messages",
                         field_rows_chat,
                         field_rows_common,
                         chat_prepare,
                         &answer_completions},
    [COMPLETION_TEXT] =
        {"cmpl-", "prompt", field_rows_text, field_rows_common, text_prepare, &answer_completions},
    [COMPLETION_EMBEDDINGS] =
        {"embd-", "input", field_rows_embeddings, NULL, embeddings_prepare, &answer_embeddings},
    [COMPLETION_RESPONSE] = {"resp_",
                             "input",
                             field_rows_response,
                             field_rows_common,
                             response_prepare,
                             &answer_response},
    [COMPLETION_TEMPLATE] =
        {"", "messages", field_rows_chat, field_rows_common, template_prepare, NULL},
    [COMPLETION_TOKENIZE] = {"", "content", field_rows_tokenize, NULL, tokenize_prepare, NULL},
    [COMPLETION_DETOKENIZE] = {"", "tokens", field_rows_detokenize, NULL, detokenize_prepare, NULL},
};

static const struct source_type source_type = {
    .pull = pull,
    .readable = readable,
    .usage = usage,
    .counts_what_is_pulled = true,
    .destroy = destroy,
};

/* --- parsing ------------------------------------------------------------------------------------
 */

static realm_status out_of_memory(struct problem *problem)
{
    return problem_set(problem, REALM_OUT_OF_MEMORY, "", "no memory for the request");
}

static realm_status make_id(struct completion *completion, struct problem *problem)
{
    uint8_t random[12];
    struct realm_error error;
    const realm_status status = random_bytes(random, sizeof random, &error);
    if (status != REALM_OK) {
        return problem_set(problem, status, "", "%s", error.message);
    }
    char hex[2 * sizeof random + 1];
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", random[i]);
    }
    (void)snprintf(completion->id, sizeof completion->id, "%s%s", completion->type->id_prefix, hex);
    completion->created_s = clock_wall_s();
    return REALM_OK;
}

static realm_status find_model(struct field_reader *reader)
{
    if (reader->model_name.length == 0 && reader->completion->type->answer == NULL &&
        engine_n_models(reader->engine) == 1) {
        reader->completion->model = engine_model_at(reader->engine, 0);
        reader->completion->model_name = engine_model_name(reader->completion->model);
        return REALM_OK;
    }
    if (reader->model_name.length == 0) {
        return problem_set(reader->problem, REALM_INVALID_ARGUMENT, "model", "model is missing");
    }
    /* jansson's strings are terminated and hold no zero bytes. */
    const char *const name = (const char *)reader->model_name.data;
    const struct completion_scope *const scope = reader->scope;
    const struct adapter_owner owner = {.tenant = scope->tenant, .account = scope->account};
    struct completion *const completion = reader->completion;
    REALM_TRY(model_name_find(reader->engine,
                              scope->adapters,
                              &owner,
                              name,
                              &completion->model,
                              &completion->adapter,
                              reader->problem));
    completion->request.model = completion->model;
    completion->request.adapter = completion->adapter;
    completion->model_name = arena_string(&completion->arena, name, reader->model_name.length);
    return completion->model_name != NULL ? REALM_OK : out_of_memory(reader->problem);
}

static realm_status choose_seed(struct field_reader *reader)
{
    struct realm_error error;
    if (reader->seed_given) {
        return REALM_OK;
    }
    uint64_t *const seed = &reader->completion->request.sampling.seed;
    const realm_status status = random_bytes(seed, sizeof *seed, &error);
    return status == REALM_OK ? REALM_OK
                              : problem_set(reader->problem, status, "", "%s", error.message);
}

static realm_status take_choices(struct completion *completion, struct problem *problem)
{
    completion->n_choices = completion->request.n_choices > 0 ? completion->request.n_choices : 1;
    const uint32_t n = completion->n_prompts * completion->n_choices;
    completion->choices = alloc_zeroed(ALLOC_SERVER, n, sizeof *completion->choices);
    if (completion->choices == NULL) {
        return out_of_memory(problem);
    }
    for (uint32_t i = 0; i < n; i++) {
        struct completion_choice *const choice = &completion->choices[i];
        choice->parser.format = completion->tool_format;
        strbuf_init(&choice->text, ALLOC_SERVER, MAX_ANSWER_BYTES);
        strbuf_init(&choice->calls, ALLOC_SERVER, MAX_ANSWER_BYTES);
        strbuf_init(&choice->arguments, ALLOC_SERVER, MAX_ANSWER_BYTES);
        strbuf_init(&choice->logprobs, ALLOC_SERVER, MAX_ANSWER_BYTES);
        strbuf_init(&choice->tokens, ALLOC_SERVER, MAX_ANSWER_BYTES);
        strbuf_init(&choice->token_logprobs, ALLOC_SERVER, MAX_ANSWER_BYTES);
        strbuf_init(&choice->text_offsets, ALLOC_SERVER, MAX_ANSWER_BYTES);
    }
    return REALM_OK;
}

/* What the fields mean for the model they name. */
static realm_status apply_model(struct field_reader *reader)
{
    REALM_TRY(find_model(reader));
    REALM_TRY(fields_check_lists(reader));
    REALM_TRY(tools_prepare(reader));
    return fields_constrain(reader);
}

static realm_status read_body(struct field_reader *reader, const json_t *body)
{
    struct completion *const completion = reader->completion;
    reader->body = body;
    REALM_TRY(fields_read(reader, body, completion->type->own, completion->type->common));
    REALM_TRY(apply_model(reader));
    REALM_TRY(choose_seed(reader));
    if (completion->include_usage && !completion->source.stream) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           "stream_options",
                           "stream_options needs stream to be true");
    }
    REALM_TRY(completion->type->prepare(reader));
    completion->request.max_tokens = reader->max_tokens;
    completion->request.sampling.logprobs = completion->logprobs;
    if (completion->request.n_choices * completion->n_prompts > REQUEST_MAX_CHOICES) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           "n",
                           "n times the number of prompts is %u and may be at most %u",
                           completion->request.n_choices * completion->n_prompts,
                           REQUEST_MAX_CHOICES);
    }
    return take_choices(completion, reader->problem);
}

realm_status completion_parse(enum completion_kind kind,
                              const struct completion_scope *scope,
                              const char *body,
                              size_t n_bytes,
                              struct completion **out,
                              struct problem *problem)
{
    *out = NULL;
    struct completion *completion = alloc_zeroed(ALLOC_SERVER, 1, sizeof *completion);
    if (completion == NULL) {
        return out_of_memory(problem);
    }
    completion->source.type = &source_type;
    completion->kind = kind;
    completion->type = &types[kind];
    completion->request.sampling.temperature = 1; /* the API's defaults */
    completion->request.sampling.top_p = 1;
    arena_init(&completion->arena, ALLOC_SERVER, n_bytes * 4 + 65536);
    struct field_reader reader = {
        .completion = completion, .engine = scope->engine, .scope = scope, .problem = problem};
    json_t *json = NULL;
    realm_status status = make_id(completion, problem);
    if (status == REALM_OK) {
        status = json_parse_object(body, n_bytes, &json, problem);
    }
    if (status == REALM_OK) {
        status = read_body(&reader, json);
    }
    json_decref(json);
    json_decref(reader.owned);
    if (status != REALM_OK) {
        completion_destroy(completion);
        return status;
    }
    *out = completion;
    return REALM_OK;
}

void completion_destroy(struct completion *completion)
{
    if (completion == NULL) {
        return;
    }
    response_destroy(completion->response); /* first: until then others may cancel it */
    for (uint32_t i = 0; i < completion->n_prompts; i++) {
        generation_release(completion->prompts[i].generation);
        token_list_deinit(&completion->prompts[i].tokens);
    }
    if (completion->choices != NULL) {
        for (uint32_t i = 0; i < completion->n_prompts * completion->n_choices; i++) {
            strbuf_deinit(&completion->choices[i].text);
            strbuf_deinit(&completion->choices[i].calls);
            strbuf_deinit(&completion->choices[i].arguments);
            strbuf_deinit(&completion->choices[i].logprobs);
            strbuf_deinit(&completion->choices[i].tokens);
            strbuf_deinit(&completion->choices[i].token_logprobs);
            strbuf_deinit(&completion->choices[i].text_offsets);
        }
    }
    constraint_destroy(completion->constraint);
    engine_adapter_release(completion->adapter);
    alloc_free(completion->prompts);
    alloc_free(completion->choices);
    arena_deinit(&completion->arena);
    alloc_free(completion);
}

/* --- running ------------------------------------------------------------------------------------
 */

/* Tokens that a choice of the prompt's answer may have; at least 1. */
static uint32_t n_answer_tokens(const struct completion *completion,
                                const struct completion_prompt *prompt)
{
    const uint64_t model_context = engine_model_context_length(completion->model);
    const uint64_t context = completion->max_context != 0 && completion->max_context < model_context
                                 ? completion->max_context
                                 : model_context;
    const uint64_t room = context > prompt->tokens.length ? context - prompt->tokens.length : 1;
    const uint32_t wanted = completion->request.max_tokens;
    return wanted != 0 && wanted < room ? wanted : (uint32_t)room;
}

void completion_size(const struct completion *completion, uint64_t *n_longest, uint64_t *n_tokens)
{
    *n_longest = 0;
    *n_tokens = 0;
    for (uint32_t i = 0; i < completion->n_prompts; i++) {
        const struct completion_prompt *const prompt = &completion->prompts[i];
        const uint64_t n = prompt->tokens.length;
        *n_longest = n > *n_longest ? n : *n_longest;
        *n_tokens += n + (uint64_t)completion->n_choices * n_answer_tokens(completion, prompt);
    }
}

static realm_status submit_prompt(struct completion *completion,
                                  struct engine *engine,
                                  struct completion_prompt *prompt,
                                  struct problem *problem)
{
    const uint32_t context = engine_model_context_length(completion->model);
    const char *const field = completion->type->prompt_field;
    if (prompt->tokens.length >= context) {
        problem->code = "context_length_exceeded";
        return problem_set(problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "the prompt has %zu tokens and the context length of the model is %u "
                           "tokens, of which at least 1 is for the completion",
                           prompt->tokens.length,
                           context);
    }
    struct request request = completion->request;
    request.prompt = prompt->tokens.ids;
    request.n_prompt = (uint32_t)prompt->tokens.length;
    request.max_tokens = n_answer_tokens(completion, prompt);
    struct realm_error error;
    const realm_status status = engine_submit(engine, &request, &prompt->generation, &error);
    return status == REALM_OK ? REALM_OK : problem_set(problem, status, field, "%s", error.message);
}

realm_status completion_submit(struct completion *completion,
                               struct engine *engine,
                               void (*wake)(void *context),
                               void *wake_context,
                               struct problem *problem)
{
    completion->request.wake = wake;
    completion->request.wake_context = wake_context;
    for (uint32_t i = 0; i < completion->n_prompts; i++) {
        REALM_TRY(submit_prompt(completion, engine, &completion->prompts[i], problem));
    }
    return REALM_OK;
}

/* --- pulling ------------------------------------------------------------------------------------
 */

static void fail(struct completion *completion, realm_status status, const char *message)
{
    completion->source.failed = true;
    (void)problem_set(&completion->source.problem, status, "", "%s", message);
}

/* By the client's own wish, which is no error. */
static bool was_cancelled(const struct completion *completion)
{
    return completion->response != NULL && atomic_load(&completion->response->cancelled);
}

static void take_event(struct completion *completion,
                       uint32_t i_prompt,
                       const struct event *event,
                       struct frames *frames)
{
    const uint32_t index = i_prompt * completion->n_choices + event->choice;
    switch (event->kind) {
    case EVENT_STARTED:
        completion->n_prompt_tokens += event->n_prompt_tokens;
        completion->n_cached_tokens += event->n_cached_tokens;
        completion->type->answer->begin(completion, i_prompt, frames);
        return;
    case EVENT_TOKEN:
        completion->n_completion_tokens++;
        completion->prompts[i_prompt].n_completion_tokens++;
        completion->type->answer->token(completion, index, event, frames);
        return;
    case EVENT_FINISHED:
        if (event->finish == REALM_FINISH_ERROR ||
            (event->finish == REALM_FINISH_CANCELLED && !was_cancelled(completion))) {
            fail(completion,
                 event->status,
                 event->message != NULL ? event->message : "the request was cancelled");
            return;
        }
        completion->type->answer->finish(completion, index, event, frames);
        return;
    case EVENT_DONE:
        completion->prompts[i_prompt].done = true;
        completion->n_done++;
        completion->n_completion_tokens +=
            event->n_completion_tokens - completion->prompts[i_prompt].n_completion_tokens;
        return;
    case EVENT_LOGITS:
        return; /* of a session, not of a request */
    }
}

/* Every event there is now, until `out` is long enough. */
static void take_events(struct completion *completion, struct frames *frames, size_t max_bytes)
{
    for (uint32_t i = 0; i < completion->n_prompts && !completion->source.failed; i++) {
        struct event event;
        while (!completion->prompts[i].done && !completion->source.failed &&
               frames->out->length < max_bytes &&
               generation_next(completion->prompts[i].generation, &event)) {
            take_event(completion, i, &event, frames);
        }
    }
}

static enum source_progress pull(struct source *source, struct frames *frames, size_t max_bytes)
{
    struct completion *const completion = (struct completion *)source;
    if (completion->ended) {
        return SOURCE_DONE;
    }
    take_events(completion, frames, max_bytes);
    if (source->failed) {
        completion->ended = true;
        return SOURCE_DONE;
    }
    if (completion->n_done == completion->n_prompts) {
        completion->ended = true;
        if (source->stream) {
            completion->type->answer->end_stream(completion, frames);
        } else {
            completion->type->answer->whole(completion, frames->out);
        }
        return SOURCE_DONE;
    }
    return frames->out->length >= max_bytes ? SOURCE_MORE : SOURCE_WAITING;
}

static bool readable(const struct source *source)
{
    const struct completion *const completion = (const struct completion *)source;
    for (uint32_t i = 0; i < completion->n_prompts; i++) {
        if (!completion->prompts[i].done &&
            generation_readable(completion->prompts[i].generation)) {
            return true;
        }
    }
    return false;
}

static void usage(const struct source *source, struct source_usage *out)
{
    const struct completion *const completion = (const struct completion *)source;
    *out = (struct source_usage){
        .model = engine_model_name(completion->model),
        .end_user = completion->end_user != NULL ? completion->end_user : "",
        .prompt_tokens = completion->n_prompt_tokens,
        .cached_tokens = completion->n_cached_tokens,
        .completion_tokens = completion->n_completion_tokens,
    };
    if (completion->n_prompts > 0 && completion->prompts[0].generation != NULL) {
        out->moments = generation_read_moments(completion->prompts[0].generation);
    }
    if (completion->n_done > 0 && completion->type->answer != &answer_embeddings) {
        out->finish_reason = answer_finish_reason(&completion->choices[0]);
    }
}

static void destroy(struct source *source)
{
    completion_destroy((struct completion *)source);
}
