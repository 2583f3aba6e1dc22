/* The public C API over the engine. */
#include "base/alloc.h"
#include "base/random.h"
#include "base/strbuf.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

#define MAX_PROMPT_BYTES ((size_t)64 << 20)
#define WAIT_MS          1000u

struct realm {
    struct engine *engine;
    struct realm_options options;
};

realm_status
realm_open(const struct realm_options *options, struct realm **out, struct realm_error *error)
{
    *out = NULL;
    struct realm *realm = alloc_zeroed(ALLOC_ENGINE, 1, sizeof *realm);
    if (realm == NULL) {
        return realm_error_out_of_memory(error, sizeof *realm, "engine");
    }
    if (options != NULL) {
        realm->options = *options;
    }
    const struct engine_options engine_options = {.n_threads = realm->options.n_threads};
    const realm_status status = engine_create(&engine_options, &realm->engine, error);
    if (status != REALM_OK) {
        alloc_free(realm);
        return status;
    }
    *out = realm;
    return REALM_OK;
}

void realm_close(struct realm *realm)
{
    if (realm == NULL) {
        return;
    }
    engine_destroy(realm->engine);
    alloc_free(realm);
}

realm_status
realm_load_model(struct realm *realm, const char *name, const char *path, struct realm_error *error)
{
    const struct engine_model_options options = {
        .context_length = realm->options.context_length,
        .kv_memory_bytes = realm->options.kv_memory_bytes,
    };
    struct engine_model *model;
    return engine_load_model(realm->engine, name, path, &options, &model, error);
}

/* The prompt as one user message in the model's chat template. */
static realm_status render_chat(const struct engine_model *model,
                                const char *prompt,
                                struct strbuf *out,
                                struct realm_error *error)
{
    const struct tokenizer *const tokenizer = engine_model_tokenizer(model);
    struct strbuf context;
    strbuf_init(&context, ALLOC_REQUEST, MAX_PROMPT_BYTES);
    const struct bytes bos = tokenizer_token_bytes(tokenizer, tokenizer_bos(tokenizer), true);
    const struct bytes eos = tokenizer_token_bytes(tokenizer, tokenizer_eos(tokenizer), true);
    strbuf_append_text(&context, "{\"messages\":[{\"role\":\"user\",\"content\":");
    strbuf_append_json(&context, prompt, strlen(prompt));
    strbuf_append_text(&context, "}],\"add_generation_prompt\":true,\"bos_token\":");
    strbuf_append_json(&context, (const char *)bos.data, bos.length);
    strbuf_append_text(&context, ",\"eos_token\":");
    strbuf_append_json(&context, (const char *)eos.data, eos.length);
    strbuf_append_text(&context, "}");
    realm_status status = REALM_OK;
    if (context.failed) {
        status = realm_error_out_of_memory(error, strlen(prompt), "prompt");
    }
    if (status == REALM_OK) {
        status = engine_model_render_chat(model, context.text, context.length, out, error);
    }
    strbuf_deinit(&context);
    return status;
}

static realm_status encode_prompt(const struct engine_model *model,
                                  const struct realm_request *request,
                                  struct token_list *tokens,
                                  struct realm_error *error)
{
    const struct tokenizer *const tokenizer = engine_model_tokenizer(model);
    if (!request->chat) {
        return tokenizer_encode(tokenizer,
                                request->prompt,
                                strlen(request->prompt),
                                (struct tokenizer_encode_options){.add_special = true},
                                tokens,
                                error);
    }
    struct strbuf text;
    strbuf_init(&text, ALLOC_REQUEST, MAX_PROMPT_BYTES);
    realm_status status = render_chat(model, request->prompt, &text, error);
    if (status == REALM_OK) {
        /* Templates write BOS themselves. */
        status = tokenizer_encode(tokenizer,
                                  text.text,
                                  text.length,
                                  (struct tokenizer_encode_options){.parse_special = true},
                                  tokens,
                                  error);
    }
    strbuf_deinit(&text);
    return status;
}

static realm_status submit(struct realm *realm,
                           const struct realm_request *request,
                           struct engine_model *model,
                           const struct token_list *tokens,
                           struct generation **out,
                           struct realm_error *error)
{
    uint64_t seed = request->sampling.seed;
    if (seed == 0) {
        REALM_TRY(random_bytes(&seed, sizeof seed, error));
    }
    const struct request inner = {
        .model = model,
        .prompt = tokens->ids,
        .n_prompt = (uint32_t)tokens->length,
        .max_tokens = request->max_tokens,
        .sampling = {.temperature = request->sampling.temperature,
                     .top_k = request->sampling.top_k,
                     .top_p = request->sampling.top_p,
                     .min_p = request->sampling.min_p,
                     .repetition_penalty = request->sampling.repetition_penalty,
                     .seed = seed},
    };
    return engine_submit(realm->engine, &inner, out, error);
}

static realm_status read_events(struct generation *generation,
                                realm_text_callback on_text,
                                void *context,
                                struct realm_result *result,
                                struct realm_error *error)
{
    struct realm_result seen = {.finish = REALM_FINISH_NONE};
    realm_status status = REALM_OK;
    for (;;) {
        struct event event;
        if (!generation_next(generation, &event)) {
            (void)generation_wait(generation, WAIT_MS);
            continue;
        }
        if (event.text.length > 0 &&
            !on_text(context, (const char *)event.text.data, event.text.length)) {
            generation_cancel(generation);
        }
        if (event.kind == EVENT_FINISHED) {
            seen.finish = event.finish;
            if (event.finish == REALM_FINISH_ERROR) {
                status = realm_error_set(error, event.status, "%s", event.message);
            }
        }
        if (event.kind == EVENT_DONE) {
            seen.n_prompt_tokens = event.n_prompt_tokens;
            seen.n_completion_tokens = event.n_completion_tokens;
            break;
        }
    }
    if (result != NULL) {
        *result = seen;
    }
    return status;
}

realm_status realm_generate(struct realm *realm,
                            const struct realm_request *request,
                            realm_text_callback on_text,
                            void *context,
                            struct realm_result *result,
                            struct realm_error *error)
{
    struct engine_model *const model = engine_find_model(realm->engine, request->model);
    if (model == NULL) {
        return realm_error_set(
            error, REALM_NOT_FOUND, "no model named %s is loaded", request->model);
    }
    struct token_list tokens = {.ids = NULL};
    struct generation *generation = NULL;
    realm_status status = encode_prompt(model, request, &tokens, error);
    if (status == REALM_OK) {
        status = submit(realm, request, model, &tokens, &generation, error);
    }
    if (status == REALM_OK) {
        status = read_events(generation, on_text, context, result, error);
    }
    generation_release(generation);
    token_list_deinit(&tokens);
    return status;
}
