#include "engine/engine_model.h"

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "engine/draw.h"

#define DEFAULT_CONTEXT_LENGTH 8192u
#define DEFAULT_MAX_ROWS       512u
#define DEFAULT_MAX_SEQUENCES  64u
#define DEFAULT_KV_TOKENS      (16u * 1024u)
#define MAX_ROWS_LIMIT         65536u

static realm_status list_end_tokens(struct engine_model *model, struct realm_error *error)
{
    const uint32_t vocabulary = tokenizer_vocabulary(model->tokenizer);
    uint32_t n = 0;
    for (token_id t = 0; t < vocabulary; t++) {
        n += tokenizer_is_end(model->tokenizer, t);
    }
    model->end_tokens = alloc_zeroed(ALLOC_MODEL, n, sizeof *model->end_tokens);
    if (model->end_tokens == NULL) {
        return realm_error_out_of_memory(error, n * sizeof(token_id), "end tokens");
    }
    for (token_id t = 0; t < vocabulary; t++) {
        if (tokenizer_is_end(model->tokenizer, t)) {
            model->end_tokens[model->n_end_tokens++] = t;
        }
    }
    return REALM_OK;
}

/* A template that does not compile leaves a model that completes text but cannot chat. */
static void compile_chat_template(struct engine_model *model)
{
    struct bytes source = {.data = (const uint8_t *)"", .length = 0};
    if (gguf_find(model_gguf(model->model), "tokenizer.chat_template") != NULL &&
        gguf_get_string(
            model_gguf(model->model), "tokenizer.chat_template", &source, &model->chat_error) !=
            REALM_OK) {
        return;
    }
    model->chat_source = source;
    if (chat_template_create(
            (const char *)source.data, source.length, &model->chat_template, &model->chat_error) !=
        REALM_OK) {
        log_warn("chat_template_unusable",
                 LOG_TEXT("model", model->name),
                 LOG_TEXT("reason", model->chat_error.message));
    }
}

static realm_status take_step_arrays(struct engine_model *model, struct realm_error *error)
{
    const uint32_t n = model->max_sequences;
    const uint32_t vocabulary = plan_vocabulary(model_plan(model->model));
    model->picked = alloc_zeroed(ALLOC_ENGINE, n, sizeof(struct sequence *));
    model->batch_tokens = alloc_zeroed(ALLOC_ENGINE, model->max_rows, sizeof(token_id));
    model->batch_logits_rows =
        alloc_zeroed(ALLOC_ENGINE, (size_t)n + MODEL_DRAFT_ROWS, sizeof(uint32_t));
    model->batch_sequences = alloc_zeroed(ALLOC_ENGINE, n, sizeof(struct batch_sequence));
    model->copies.items = alloc_zeroed(ALLOC_ENGINE, n, sizeof(struct page_copy));
    model->copies.capacity = n;
    model->fork_logits = alloc_zeroed(ALLOC_ENGINE, vocabulary, sizeof(float));
    model->raw_logits = alloc_zeroed(
        ALLOC_ENGINE, (size_t)backend_n_threads(model->backend) * vocabulary, sizeof(float));
    model->draws = alloc_zeroed(ALLOC_ENGINE, n, sizeof(struct draw));
    if (model->picked == NULL || model->batch_tokens == NULL || model->batch_logits_rows == NULL ||
        model->batch_sequences == NULL || model->copies.items == NULL ||
        model->fork_logits == NULL || model->raw_logits == NULL || model->draws == NULL) {
        return realm_error_out_of_memory(error, vocabulary * sizeof(float), "step arrays");
    }
    return REALM_OK;
}

/* Pages of the KV cache: what the option allows, at least one whole context. */
static realm_status count_pages(const struct engine_model *model,
                                const struct engine_model_options *options,
                                uint32_t *out,
                                struct realm_error *error)
{
    const struct plan_kv kv = plan_kv(model_plan(model->model));
    const uint64_t page_bytes = backend_page_bytes(&kv, options->kv_type);
    const uint32_t context_pages = model->context_length / PAGE_TOKENS + 1;
    uint64_t n_pages = DEFAULT_KV_TOKENS / PAGE_TOKENS;
    if (options->kv_memory_bytes > 0) {
        n_pages = options->kv_memory_bytes / page_bytes;
        if (n_pages < context_pages) {
            return realm_error_set(
                error,
                REALM_INVALID_ARGUMENT,
                "KV memory of %llu bytes holds %llu tokens, fewer than the context of %u; give at "
                "least %llu bytes or a shorter context",
                (unsigned long long)options->kv_memory_bytes,
                (unsigned long long)(n_pages * PAGE_TOKENS),
                model->context_length,
                (unsigned long long)(context_pages * page_bytes));
        }
    }
    if (n_pages < context_pages) {
        n_pages = context_pages;
    }
    if (!checked_narrow_u32(n_pages, out)) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "KV memory of %llu bytes is more pages than can be counted",
                               (unsigned long long)options->kv_memory_bytes);
    }
    return REALM_OK;
}

static realm_status prepare(struct engine_model *model,
                            struct backend *backend,
                            const struct engine_model_options *options,
                            struct realm_error *error)
{
    uint32_t n_pages = 0;
    REALM_TRY(count_pages(model, options, &n_pages, error));
    REALM_TRY(page_pool_create(n_pages, &model->pool, error));
    REALM_TRY(prefix_index_create(model->pool, &model->prefixes, error));
    const struct backend_model_options backend_options = {
        .max_rows = model->max_rows,
        .max_logits = model->max_sequences + MODEL_DRAFT_ROWS,
        .n_pages = n_pages,
        .kv_type = options->kv_type,
        .progress = options->progress,
        .progress_context = options->progress_context,
    };
    const struct weight_source source = model_weight_source(model->model);
    return backend_prepare(
        backend, model_plan(model->model), &source, &backend_options, &model->backend_model, error);
}

static realm_status open_parts(struct engine_model *model,
                               struct backend *backend,
                               const char *path,
                               const struct engine_model_options *options,
                               struct realm_error *error)
{
    uint32_t wanted = options->context_length;
    const struct model_options model_options = {.context_length = wanted};
    REALM_TRY(model_open(path, &model_options, &model->model, error));
    const uint32_t trained = model_context_length(model->model);
    if (wanted == 0) {
        wanted = trained < DEFAULT_CONTEXT_LENGTH ? trained : DEFAULT_CONTEXT_LENGTH;
    }
    model->context_length = wanted;
    REALM_TRY(tokenizer_create(model_gguf(model->model), &model->tokenizer, error));
    const uint32_t vocabulary = plan_vocabulary(model_plan(model->model));
    if (tokenizer_vocabulary(model->tokenizer) > vocabulary) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "the tokenizer has %u tokens and the output only %u rows",
                               tokenizer_vocabulary(model->tokenizer),
                               vocabulary);
    }
    REALM_TRY(list_end_tokens(model, error));
    compile_chat_template(model);
    model->backend = backend;
    REALM_TRY(take_step_arrays(model, error));
    REALM_TRY(prepare(model, backend, options, error));
    /* Vocabulary and weights have been taken over; what is asked for still is read again. */
    gguf_forget_files(model_gguf(model->model));
    return REALM_OK;
}

realm_status engine_model_open(struct backend *backend,
                               const char *name,
                               const char *path,
                               const struct engine_model_options *options,
                               struct engine_model **out,
                               struct realm_error *error)
{
    *out = NULL;
    if (options->max_rows > MAX_ROWS_LIMIT || options->max_sequences > MAX_ROWS_LIMIT) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "%u rows and %u sequences a step: at most %u each",
                               options->max_rows,
                               options->max_sequences,
                               MAX_ROWS_LIMIT);
    }
    struct engine_model *model = alloc_zeroed(ALLOC_ENGINE, 1, sizeof *model);
    if (model == NULL) {
        return realm_error_out_of_memory(error, sizeof *model, "model");
    }
    mutex_init(&model->constraint_mutex);
    model->max_rows = options->max_rows > 0 ? options->max_rows : DEFAULT_MAX_ROWS;
    model->max_sequences =
        options->max_sequences > 0 ? options->max_sequences : DEFAULT_MAX_SEQUENCES;
    if (model->max_sequences > model->max_rows) {
        model->max_sequences = model->max_rows;
    }
    realm_status status = REALM_OK;
    model->name = alloc_string(ALLOC_ENGINE, name, strlen(name));
    status = random_bytes(&model->id, sizeof model->id, error);
    if (status != REALM_OK) {
        /* without an id of its own, pages of two models could be taken for each other */
    } else if (model->name == NULL) {
        status = realm_error_out_of_memory(error, strlen(name), "model name");
    } else {
        status = open_parts(model, backend, path, options, error);
    }
    if (status != REALM_OK) {
        engine_model_close(model);
        return status;
    }
    model->loaded_at_s = clock_wall_s();
    *out = model;
    return REALM_OK;
}

void engine_model_close(struct engine_model *model)
{
    if (model == NULL) {
        return;
    }
    backend_model_destroy(model->backend_model);
    prefix_index_destroy(model->prefixes);
    page_pool_destroy(model->pool);
    chat_template_destroy(model->chat_template);
    constraint_vocabulary_destroy(model->constraint_vocabulary);
    mutex_deinit(&model->constraint_mutex);
    tokenizer_destroy(model->tokenizer);
    model_close(model->model);
    alloc_free(model->picked);
    alloc_free(model->batch_tokens);
    alloc_free(model->batch_logits_rows);
    alloc_free(model->batch_sequences);
    alloc_free(model->copies.items);
    alloc_free(model->fork_logits);
    alloc_free(model->raw_logits);
    alloc_free(model->draws);
    alloc_free(model->end_tokens);
    alloc_free(model->name);
    alloc_free(model);
}

const token_id *engine_model_end_tokens(const struct engine_model *model, uint32_t *n)
{
    *n = model->n_end_tokens;
    return model->end_tokens;
}

const char *engine_model_name(const struct engine_model *model)
{
    return model->name;
}

const struct model *engine_model_model(const struct engine_model *model)
{
    return model->model;
}

const struct tokenizer *engine_model_tokenizer(const struct engine_model *model)
{
    return model->tokenizer;
}

struct bytes engine_model_chat_source(const struct engine_model *model)
{
    return model->chat_source;
}

realm_status engine_model_render_chat(const struct engine_model *model,
                                      const char *context_json,
                                      size_t n_bytes,
                                      struct strbuf *out,
                                      struct realm_error *error)
{
    if (model->chat_template == NULL) {
        return realm_error_set(error,
                               model->chat_error.status,
                               "the chat template of model %s cannot be used: %s",
                               model->name,
                               model->chat_error.message);
    }
    return chat_template_render(model->chat_template, context_json, n_bytes, out, error);
}

uint32_t engine_model_context_length(const struct engine_model *model)
{
    return model->context_length;
}

uint64_t engine_model_memory_bytes(const struct engine_model *model)
{
    return backend_model_weight_bytes(model->backend_model) +
           backend_model_kv_bytes(model->backend_model) +
           backend_model_scratch_bytes(model->backend_model);
}

int64_t engine_model_loaded_at_s(const struct engine_model *model)
{
    return model->loaded_at_s;
}
