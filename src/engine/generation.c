#include "engine/generation.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/adapters.h"
#include "engine/dry_breakers.h"
#include "engine/engine.h"
#include "engine/engine_model.h"
#include "model/model.h"

#include <math.h>

/* Records a ring holds per choice before its reader must read: enough for a reader that wakes a few
 * times a second. */
#define RECORDS_PER_CHOICE 32u

static void generation_free(struct generation *generation)
{
    if (generation->sequences != NULL) {
        for (uint32_t i = 0; i < generation->n_choices; i++) {
            sequence_destroy(generation->sequences[i]);
        }
    }
    alloc_free(generation->sequences);
    alloc_free(generation->embedding);
    account_release(generation->account);
    engine_adapter_release(generation->adapter);
    alloc_free(generation->stop_tokens);
    alloc_free(generation->banned);
    event_ring_deinit(&generation->ring);
    condition_deinit(&generation->readable);
    mutex_deinit(&generation->mutex);
    alloc_free(generation);
}

/* Copies the stop tokens and lists what is banned before min_tokens. */
static realm_status copy_stop_tokens(struct generation *generation,
                                     const struct request *request,
                                     struct realm_error *error)
{
    uint32_t n_end;
    const token_id *const end = engine_model_end_tokens(request->model, &n_end);
    const uint32_t n_stop = request->n_stop_tokens;
    generation->stop_tokens = alloc_zeroed(ALLOC_REQUEST, n_stop, sizeof(token_id));
    generation->banned = alloc_zeroed(ALLOC_REQUEST, (size_t)n_stop + n_end, sizeof(token_id));
    if (generation->stop_tokens == NULL || generation->banned == NULL) {
        return realm_error_out_of_memory(error, n_stop * sizeof(token_id), "stop tokens");
    }
    for (uint32_t i = 0; i < n_stop; i++) {
        generation->stop_tokens[i] = request->stop_tokens[i];
        generation->banned[i] = request->stop_tokens[i];
    }
    for (uint32_t i = 0; i < n_end; i++) {
        generation->banned[n_stop + i] = end[i];
    }
    generation->n_stop_tokens = n_stop;
    generation->n_banned = n_stop + n_end;
    return REALM_OK;
}

static realm_status create_choices(struct generation *generation,
                                   const struct request *request,
                                   uint32_t max_tokens,
                                   const struct prefix_chains *chains,
                                   struct page_pool *pool,
                                   struct realm_error *error)
{
    const uint32_t n_choices = request->n_choices == 0 ? 1 : request->n_choices;
    generation->sequences = alloc_zeroed(ALLOC_REQUEST, n_choices, sizeof(struct sequence *));
    if (generation->sequences == NULL) {
        return realm_error_out_of_memory(error, n_choices * sizeof(void *), "choices");
    }
    generation->n_choices = n_choices;
    generation->n_live = n_choices;
    for (uint32_t i = 0; i < n_choices; i++) {
        REALM_TRY(sequence_create(
            generation, request, i, max_tokens, chains, pool, &generation->sequences[i], error));
    }
    return event_ring_init(&generation->ring,
                           text_stream_max_bytes(generation->sequences[0]->text),
                           request->sampling.logprobs ? request->sampling.n_top_logprobs : 0,
                           n_choices * RECORDS_PER_CHOICE,
                           error);
}

static realm_status take_embedding(struct generation *generation, struct realm_error *error)
{
    generation->n_embedding = model_width(engine_model_model(generation->model));
    generation->embedding =
        alloc_zeroed(ALLOC_REQUEST, generation->n_embedding, sizeof *generation->embedding);
    return generation->embedding != NULL
               ? REALM_OK
               : realm_error_out_of_memory(
                     error, generation->n_embedding * sizeof(float), "embedding");
}

/* Every choice begins at the same place and goes its own way. */
static realm_status constrain(struct generation *generation,
                              const struct constraint *constraint,
                              struct realm_error *error)
{
    for (uint32_t i = 0; constraint != NULL && i < generation->n_choices; i++) {
        REALM_TRY(constraint_fork(constraint, &generation->sequences[i]->constraint, error));
    }
    return REALM_OK;
}

/* The breakers' texts become tokens once for all choices. */
static realm_status create_sequences(struct generation *generation,
                                     const struct request *request,
                                     uint32_t max_tokens,
                                     const struct prefix_chains *chains,
                                     struct page_pool *pool,
                                     struct realm_error *error)
{
    struct dry_breakers breakers = {.items = NULL};
    if (request->sampling.dry_multiplier > 0) {
        REALM_TRY(dry_breakers_find(engine_model_tokenizer(request->model),
                                    request->dry_breakers,
                                    request->n_dry_breakers,
                                    &breakers,
                                    error));
    }
    struct request resolved = *request;
    resolved.sampling.dry_breakers = breakers.items;
    resolved.sampling.n_dry_breakers = breakers.n_items;
    const realm_status status =
        create_choices(generation, &resolved, max_tokens, chains, pool, error);
    dry_breakers_deinit(&breakers);
    return status;
}

realm_status generation_create_bare(const struct request *request,
                                    struct generation **out,
                                    struct realm_error *error)
{
    *out = NULL;
    struct generation *generation = alloc_zeroed(ALLOC_REQUEST, 1, sizeof *generation);
    if (generation == NULL) {
        return realm_error_out_of_memory(error, sizeof *generation, "generation");
    }
    mutex_init(&generation->mutex);
    condition_init(&generation->readable);
    atomic_init(&generation->owners, 1);
    atomic_init(&generation->cancelled, false);
    generation->model = request->model;
    generation->account = request->account;
    account_retain(generation->account);
    generation->adapter = request->adapter;
    if (generation->adapter != NULL) {
        engine_adapter_retain(generation->adapter);
    }
    generation->wake = request->wake;
    generation->wake_context = request->wake_context;
    generation->submitted_ns = clock_monotonic_ns();
    generation->deadline_ns = request->deadline_ns;
    generation->min_tokens = request->min_tokens;
    generation->ignore_end = request->ignore_end;
    generation->logprobs = request->sampling.logprobs;
    generation->n_prompt = request->n_prompt;
    const realm_status status = copy_stop_tokens(generation, request, error);
    if (status != REALM_OK) {
        generation_free(generation);
        return status;
    }
    *out = generation;
    return REALM_OK;
}

realm_status generation_create(const struct request *request,
                               uint32_t max_tokens,
                               const struct prefix_chains *chains,
                               struct page_pool *pool,
                               struct generation **out,
                               struct realm_error *error)
{
    *out = NULL;
    struct generation *generation;
    REALM_TRY(generation_create_bare(request, &generation, error));
    atomic_init(&generation->owners, 2);
    realm_status status = create_sequences(generation, request, max_tokens, chains, pool, error);
    if (status == REALM_OK) {
        status = constrain(generation, request->constraint, error);
    }
    if (status == REALM_OK && request->embed) {
        status = take_embedding(generation, error);
    }
    if (status != REALM_OK) {
        generation_free(generation);
        return status;
    }
    *out = generation;
    return REALM_OK;
}

const float *generation_embedding(const struct generation *generation, uint32_t *n_columns)
{
    *n_columns = generation->n_embedding;
    return generation->embedding;
}

float embedding_scale(const float *columns, uint32_t n_columns)
{
    double sum = 0;
    for (uint32_t i = 0; i < n_columns; i++) {
        sum += (double)columns[i] * columns[i];
    }
    return sum > 0 ? (float)(1 / sqrt(sum)) : 0;
}

void generation_drop(struct generation *generation)
{
    if (atomic_fetch_sub_explicit(&generation->owners, 1, memory_order_acq_rel) == 1) {
        generation_free(generation);
    }
}

void generation_signal(struct generation *generation, struct wake_call *last)
{
    mutex_lock(&generation->mutex);
    const struct wake_call call = {generation->wake, generation->wake_context};
    if (call.wake != NULL && (call.wake != last->wake || call.context != last->context)) {
        call.wake(call.context);
        *last = call;
    }
    condition_signal(&generation->readable);
    mutex_unlock(&generation->mutex);
}

bool generation_next(struct generation *generation, struct event *out)
{
    return event_ring_next(&generation->ring, out);
}

struct generation_moments generation_read_moments(const struct generation *generation)
{
    return (struct generation_moments){
        .submitted_ns = generation->submitted_ns,
        .entered_ns = atomic_load(&generation->entered_ns),
        .started_ns = atomic_load(&generation->started_ns),
        .ended_ns = atomic_load(&generation->ended_ns),
    };
}

bool generation_readable(const struct generation *generation)
{
    return !event_ring_empty(&generation->ring);
}

bool generation_wait(struct generation *generation, uint32_t timeout_ms)
{
    bool in_time = true;
    mutex_lock(&generation->mutex);
    while (in_time && event_ring_empty(&generation->ring)) {
        in_time = condition_wait_ms(&generation->readable, &generation->mutex, timeout_ms);
    }
    const bool readable = !event_ring_empty(&generation->ring);
    mutex_unlock(&generation->mutex);
    return readable;
}

void generation_cancel(struct generation *generation)
{
    atomic_store_explicit(&generation->cancelled, true, memory_order_release);
}

void generation_release(struct generation *generation)
{
    if (generation == NULL) {
        return;
    }
    mutex_lock(&generation->mutex);
    generation->wake = NULL;
    mutex_unlock(&generation->mutex);
    generation_cancel(generation);
    generation_drop(generation);
}
