#include "engine/loop.h"

#include "base/clock.h"
#include "engine/engine_model.h"
#include "engine/generation.h"
#include "engine/session_state.h"
#include "engine/step.h"

#define TAKE_AT_ONCE 64u
/* While every sequence waits for its reader: how soon the rings are looked at again. */
#define PARKED_POLL_MS 2u
/* Part of a step's time that may be spent on waiting for callers that steer, so that their rows
 * run in one step instead of two; shorter waits than the clock of a wait measures are none. */
#define WAIT_PART   8u
#define MIN_WAIT_NS UINT64_C(500000)

static void take_arrival(struct engine *engine, struct arrival *arrival)
{
    if (arrival->kind == ARRIVAL_SESSION) {
        session_arrive((struct session *)arrival);
        return;
    }
    struct generation *const generation = (struct generation *)arrival;
    fairness_arrive(&engine->fairness, generation->account);
    sequence_list_append(&generation->model->waiting, generation->sequences[0]);
}

static void take_arrivals(struct engine *engine)
{
    void *items[TAKE_AT_ONCE];
    uint32_t n;
    while ((n = queue_take(engine->arrivals, items, TAKE_AT_ONCE)) > 0) {
        for (uint32_t i = 0; i < n; i++) {
            take_arrival(engine, items[i]);
        }
    }
}

static void publish_gauges(struct engine *engine, uint32_t n_models)
{
    for (uint32_t i = 0; i < n_models; i++) {
        struct engine_model *const model = engine->models[i];
        const uint32_t n_used = page_pool_n_pages(model->pool) - page_pool_n_free(model->pool);
        const uint32_t n_cached = page_pool_n_waiting(model->pool);
        struct stats *const stats = &model->stats;
        atomic_store_explicit(&stats->running, model->running.length, memory_order_relaxed);
        atomic_store_explicit(&stats->waiting, model->waiting.length, memory_order_relaxed);
        atomic_store_explicit(&stats->pages_used, n_used, memory_order_relaxed);
        atomic_store_explicit(&stats->pages_cached, n_cached, memory_order_relaxed);
    }
}

static bool has_work(const struct engine_model *model)
{
    return model->running.length + model->waiting.length > 0;
}

/* A model that comes back after a pause is lifted to the least served of those that stayed. */
static void lift(struct engine *engine, uint32_t n_models)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < n_models; i++) {
        const struct engine_model *const model = engine->models[i];
        if (model->had_work && has_work(model) && model->served_ns < least) {
            least = model->served_ns;
        }
    }
    for (uint32_t i = 0; i < n_models; i++) {
        struct engine_model *const model = engine->models[i];
        if (!model->had_work && least != UINT64_MAX && model->served_ns < least) {
            model->served_ns = least;
        }
        model->had_work = has_work(model);
    }
}

/* The model with work whose steps took the least time so far, of those not tried yet. */
static struct engine_model *
next_model(struct engine *engine, uint32_t n_models, const bool tried[ENGINE_MAX_MODELS])
{
    struct engine_model *best = NULL;
    for (uint32_t i = 0; i < n_models; i++) {
        struct engine_model *const model = engine->models[i];
        if (!tried[i] && has_work(model) && (best == NULL || model->served_ns < best->served_ns)) {
            best = model;
        }
    }
    return best;
}

static uint32_t index_of(const struct engine *engine, const struct engine_model *model)
{
    uint32_t i = 0;
    while (engine->models[i] != model) {
        i++;
    }
    return i;
}

static bool step_model(struct engine *engine, struct engine_model *model)
{
    mutex_lock(&engine->backend_mutex);
    const uint64_t begin_ns = clock_monotonic_ns();
    atomic_store_explicit(&engine->busy, true, memory_order_relaxed);
    atomic_store_explicit(&engine->stepping, true, memory_order_relaxed);
    const bool ran = step_run(model);
    atomic_store_explicit(&engine->stepping, false, memory_order_relaxed);
    engine->last_step_ns = clock_monotonic_ns() - begin_ns;
    model->served_ns += engine->last_step_ns;
    mutex_unlock(&engine->backend_mutex);
    return ran;
}

/* One step of the model whose turn it is; of another one where that cannot run.  *any_work:
 * sequences are there; returns whether a step ran. */
static bool turn(struct engine *engine, uint32_t n_models, bool *any_work)
{
    bool tried[ENGINE_MAX_MODELS] = {false};
    bool ran = false;
    for (uint32_t i = 0; i < n_models; i++) {
        step_sweep(engine->models[i]);
    }
    lift(engine, n_models);
    struct engine_model *model;
    while (!ran && (model = next_model(engine, n_models, tried)) != NULL) {
        tried[index_of(engine, model)] = true;
        ran = step_model(engine, model);
    }
    for (uint32_t i = 0; i < n_models; i++) {
        *any_work |= has_work(engine->models[i]);
    }
    return ran;
}

/* After a step: gives those who steer a moment to ask for the next one. */
static void wait_for_callers(struct engine *engine)
{
    const uint64_t wait_ns = engine->last_step_ns / WAIT_PART;
    const uint64_t end_ns = clock_monotonic_ns() + wait_ns;
    if (wait_ns >= MIN_WAIT_NS) {
        while (engine->n_awaited > 0 && clock_monotonic_ns() < end_ns) {
            queue_wait(engine->arrivals, 1);
            take_arrivals(engine);
        }
    }
    sessions_stop_waiting(engine);
}

/* Until something arrives. */
static void rest(struct engine *engine, uint32_t most_ms)
{
    atomic_store_explicit(&engine->busy, false, memory_order_relaxed);
    queue_wait(engine->arrivals, most_ms);
}

static void run(void *context)
{
    struct engine *const engine = context;
    thread_role_assume_engine();
    thread_stay_long();
    while (!atomic_load(&engine->stopping)) {
        take_arrivals(engine);
        sessions_tell(engine);
        bool any_work = false;
        const uint32_t n_models = atomic_load(&engine->n_models);
        const bool ran = turn(engine, n_models, &any_work);
        publish_gauges(engine, n_models);
        sessions_tell(engine);
        if (ran && engine->n_awaited > 0) {
            wait_for_callers(engine);
            any_work = true; /* what came in between */
        }
        any_work |= engine->restless_sessions != NULL;
        if (!any_work) {
            rest(engine, UINT32_MAX);
        } else if (!ran) {
            rest(engine, PARKED_POLL_MS);
        }
    }
    take_arrivals(engine);
    sessions_end_all(engine);
    for (uint32_t i = 0; i < atomic_load(&engine->n_models); i++) {
        struct engine_model *const model = engine->models[i];
        step_end_all(model);
        (void)REALM_INVARIANT(page_pool_audit(model->pool) &&
                              page_pool_n_free(model->pool) == page_pool_n_pages(model->pool));
    }
    publish_gauges(engine, atomic_load(&engine->n_models));
}

realm_status loop_start(struct engine *engine, struct realm_error *error)
{
    return thread_start(&engine->thread, "realm-engine", run, engine, error);
}

void loop_stop(struct engine *engine)
{
    /* Closed first: nothing can arrive after the thread's last look. */
    if (engine->arrivals != NULL) {
        queue_close(engine->arrivals);
    }
    atomic_store(&engine->stopping, true);
    thread_join(&engine->thread);
}
