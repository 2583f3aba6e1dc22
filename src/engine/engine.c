#include "engine/engine.h"

#include "base/alloc.h"
#include "base/queue.h"
#include "base/random.h"
#include "engine/account_state.h"
#include "engine/adapter_state.h"
#include "engine/engine_model.h"
#include "engine/generation.h"
#include "engine/loop.h"
#include "engine/session.h"

#define DEFAULT_MAX_WAITING   1024u
#define DEFAULT_ITL_TARGET_MS 100u
#define DEFAULT_ADAPTER_BYTES (UINT64_C(1) << 30)

static realm_status create_default_account(struct engine *engine, struct realm_error *error)
{
    struct account_options options = {.label = "default"};
    REALM_TRY(random_bytes(options.domain, sizeof options.domain, error));
    REALM_TRY(random_bytes(engine->public_domain, sizeof engine->public_domain, error));
    return account_create(&options, &engine->default_account, error);
}

realm_status
engine_create(const struct engine_options *options, struct engine **out, struct realm_error *error)
{
    *out = NULL;
    struct engine *engine = alloc_zeroed(ALLOC_ENGINE, 1, sizeof *engine);
    if (engine == NULL) {
        return realm_error_out_of_memory(error, sizeof *engine, "engine");
    }
    mutex_init(&engine->models_mutex);
    mutex_init(&engine->backend_mutex);
    mutex_init(&engine->adapters_mutex);
    fairness_init(&engine->fairness, options->prompt_weight, options->completion_weight);
    const struct backend_options backend_options = {
        .n_threads = options->n_threads,
        .level = options->cpu_level,
    };
    realm_status status = backend_create(&backend_options, &engine->backend, error);
    if (status == REALM_OK) {
        engine->max_waiting = options->max_waiting > 0 ? options->max_waiting : DEFAULT_MAX_WAITING;
        status = queue_create(
            engine->max_waiting + SESSION_MAX_SESSIONS, NULL, NULL, &engine->arrivals, error);
    }
    engine->max_adapter_bytes =
        options->max_adapter_bytes > 0 ? options->max_adapter_bytes : DEFAULT_ADAPTER_BYTES;
    engine->has_prefix_cache = !options->no_prefix_cache;
    engine->itl_target_ns =
        (uint64_t)(options->itl_target_ms > 0 ? options->itl_target_ms : DEFAULT_ITL_TARGET_MS) *
        1000000u;
    if (status == REALM_OK) {
        status = create_default_account(engine, error);
    }
    if (status == REALM_OK) {
        status = loop_start(engine, error);
    }
    if (status != REALM_OK) {
        engine_destroy(engine);
        return status;
    }
    *out = engine;
    return REALM_OK;
}

void engine_destroy(struct engine *engine)
{
    if (engine == NULL) {
        return;
    }
    loop_stop(engine);
    adapters_close(engine);
    for (uint32_t i = 0; i < atomic_load(&engine->n_models); i++) {
        engine_model_close(engine->models[i]);
    }
    account_release(engine->default_account);
    queue_destroy(engine->arrivals);
    backend_destroy(engine->backend);
    mutex_deinit(&engine->models_mutex);
    mutex_deinit(&engine->backend_mutex);
    mutex_deinit(&engine->adapters_mutex);
    alloc_free(engine);
}

const struct backend *engine_backend(const struct engine *engine)
{
    return engine->backend;
}

realm_status engine_load_model(struct engine *engine,
                               const char *name,
                               const char *path,
                               const struct engine_model_options *options,
                               struct engine_model **out,
                               struct realm_error *error)
{
    *out = NULL;
    if (name[0] == '\0') {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "a model needs a name");
    }
    if (engine_find_model(engine, name) != NULL) {
        return realm_error_set(error, REALM_ALREADY_EXISTS, "a model named %s is loaded", name);
    }
    struct engine_model *model = NULL;
    /* Packing uses the compute pool, which serves one caller at a time. */
    mutex_lock(&engine->backend_mutex);
    realm_status status = engine_model_open(engine->backend, name, path, options, &model, error);
    mutex_unlock(&engine->backend_mutex);
    if (status != REALM_OK) {
        return status;
    }
    model->itl_target_ns = engine->itl_target_ns;
    model->fairness = &engine->fairness;
    model->n_pending = &engine->n_pending;
    mutex_lock(&engine->models_mutex);
    const uint32_t n = atomic_load(&engine->n_models);
    if (n == ENGINE_MAX_MODELS) {
        status = realm_error_set(
            error, REALM_RESOURCE_EXHAUSTED, "%u models are loaded, the most there can be", n);
    } else {
        engine->models[n] = model;
        atomic_store(&engine->n_models, n + 1);
    }
    mutex_unlock(&engine->models_mutex);
    if (status != REALM_OK) {
        engine_model_close(model);
        return status;
    }
    *out = model;
    return REALM_OK;
}

struct engine_model *engine_find_model(struct engine *engine, const char *name)
{
    const uint32_t n = atomic_load(&engine->n_models);
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(engine->models[i]->name, name) == 0) {
            return engine->models[i];
        }
    }
    return NULL;
}

uint32_t engine_n_models(struct engine *engine)
{
    return atomic_load(&engine->n_models);
}

struct engine_model *engine_model_at(struct engine *engine, uint32_t index)
{
    return index < atomic_load(&engine->n_models) ? engine->models[index] : NULL;
}

/* Ranges of a request; *max_tokens: prompt and completion together. */
static realm_status
check_request(const struct request *request, uint32_t *max_tokens, struct realm_error *error)
{
    const struct engine_model *const model = request->model;
    const uint32_t context = model->context_length;
    if (request->n_prompt == 0) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "the prompt has no tokens");
    }
    if (request->n_prompt >= context) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the prompt has %u tokens and the context length is %u tokens, of "
                               "which at least 1 is for the completion",
                               request->n_prompt,
                               context);
    }
    if (request->n_choices > REQUEST_MAX_CHOICES) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "n is %u and at most %u choices can be asked for",
                               request->n_choices,
                               REQUEST_MAX_CHOICES);
    }
    const uint32_t vocabulary = tokenizer_vocabulary(model->tokenizer);
    for (uint32_t i = 0; i < request->n_prompt; i++) {
        if (request->prompt[i] >= vocabulary) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "prompt token %u is %u and the vocabulary has %u tokens",
                                   i,
                                   request->prompt[i],
                                   vocabulary);
        }
    }
    REALM_TRY(sampler_check(&request->sampling, vocabulary, error));
    const uint32_t max_pages = account_page_cap(request->account);
    if (max_pages > 0 && request->n_prompt / PAGE_TOKENS >= max_pages) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the prompt has %u tokens and the account may hold %u KV pages of "
                               "%u tokens",
                               request->n_prompt,
                               max_pages,
                               (unsigned)PAGE_TOKENS);
    }
    const uint32_t room = context - request->n_prompt;
    *max_tokens = request->max_tokens == 0 || request->max_tokens > room
                      ? context
                      : request->n_prompt + request->max_tokens;
    return REALM_OK;
}

/* Where the request's pages are found, and under what others find them. */
static realm_status create_generation(struct engine *engine,
                                      const struct request *request,
                                      uint32_t max_tokens,
                                      struct generation **out,
                                      struct realm_error *error)
{
    const struct engine_model *const model = request->model;
    const struct prefix_digest common =
        prefix_digest_start(engine->public_domain, model->id, adapter_id(request->adapter));
    const struct prefix_digest own =
        prefix_digest_start(request->account->domain, model->id, adapter_id(request->adapter));
    struct prefix_chains chains = {.own = NULL};
    if (engine->has_prefix_cache) {
        chains.own = request->publish ? &common : &own;
        chains.other = !request->publish && atomic_load(&engine->has_published) ? &common : NULL;
    }
    return generation_create(request, max_tokens, &chains, model->pool, out, error);
}

/* Queues the generation; the engine has its part of it then. */
static realm_status
push(struct engine *engine, struct generation *generation, struct realm_error *error)
{
    struct account *const account = generation->account;
    if (!account_try_enter(account)) {
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "the account has as many requests running and waiting as it may; "
                               "try again later");
    }
    /* Counted before the push, so that a drained engine has none on the way. */
    const uint32_t n_before = atomic_fetch_add(&engine->n_pending, 1);
    if (n_before >= engine->max_waiting || !queue_try_push(engine->arrivals, generation)) {
        atomic_fetch_sub(&engine->n_pending, 1);
        account_leave(account);
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "%u requests are running or waiting, the most there can be; try "
                               "again later",
                               n_before);
    }
    return REALM_OK;
}

realm_status engine_submit(struct engine *engine,
                           const struct request *asked,
                           struct generation **out,
                           struct realm_error *error)
{
    *out = NULL;
    uint32_t max_tokens = 0;
    struct request request = *asked;
    if (request.account == NULL) {
        request.account = engine->default_account;
    }
    REALM_TRY(check_request(&request, &max_tokens, error));
    REALM_TRY(adapter_check(request.adapter, request.model, request.account, error));
    if (atomic_load(&engine->draining)) {
        return realm_error_set(error, REALM_UNAVAILABLE, "the server is shutting down");
    }
    struct generation *generation = NULL;
    REALM_TRY(create_generation(engine, &request, max_tokens, &generation, error));
    const realm_status status = push(engine, generation, error);
    if (status != REALM_OK) {
        generation_drop(generation);
        generation_drop(generation);
        return status;
    }
    if (request.publish) {
        atomic_store(&engine->has_published, true);
    }
    *out = generation;
    return REALM_OK;
}

bool engine_drain(struct engine *engine)
{
    atomic_store(&engine->draining, true);
    return atomic_load(&engine->n_pending) == 0 && atomic_load(&engine->n_operations) == 0;
}

bool engine_is_stepping(const struct engine *engine)
{
    return atomic_load_explicit(&engine->stepping, memory_order_relaxed);
}

bool engine_is_busy(const struct engine *engine)
{
    return atomic_load_explicit(&engine->busy, memory_order_relaxed);
}

void engine_model_stats(const struct engine_model *model, struct engine_stats *out)
{
    *out = (struct engine_stats){.pages_total = page_pool_n_pages(model->pool)};
    stats_sum(&model->stats, out);
}

void engine_stats(struct engine *engine, struct engine_stats *out)
{
    *out = (struct engine_stats){.steps = 0};
    const uint32_t n = atomic_load(&engine->n_models);
    for (uint32_t i = 0; i < n; i++) {
        stats_sum(&engine->models[i]->stats, out);
        out->pages_total += page_pool_n_pages(engine->models[i]->pool);
    }
}

const struct account *engine_default_account(const struct engine *engine)
{
    return engine->default_account;
}
