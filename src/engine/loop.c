#include "engine/loop.h"

#include "engine/engine_model.h"
#include "engine/generation.h"
#include "engine/step.h"

#define TAKE_AT_ONCE 64u
/* While every sequence waits for its reader: how soon the rings are looked at again. */
#define PARKED_POLL_MS 2u

static void take_arrivals(struct engine *engine)
{
    void *items[TAKE_AT_ONCE];
    uint32_t n;
    while ((n = queue_take(engine->arrivals, items, TAKE_AT_ONCE)) > 0) {
        for (uint32_t i = 0; i < n; i++) {
            struct generation *const generation = items[i];
            sequence_list_append(&generation->model->waiting, generation->sequences[0]);
        }
    }
}

static void publish_stats(struct engine *engine, uint32_t n_models)
{
    uint32_t running = 0;
    uint32_t waiting = 0;
    uint32_t pages_used = 0;
    for (uint32_t i = 0; i < n_models; i++) {
        const struct engine_model *const model = engine->models[i];
        running += model->running.length;
        waiting += model->waiting.length;
        pages_used += page_pool_n_pages(model->pool) - page_pool_n_free(model->pool);
    }
    atomic_store_explicit(&engine->stats.running, running, memory_order_relaxed);
    atomic_store_explicit(&engine->stats.waiting, waiting, memory_order_relaxed);
    atomic_store_explicit(&engine->stats.pages_used, pages_used, memory_order_relaxed);
}

/* One step of each model that has work.  *any_work: sequences are there; returns whether one ran.
 */
static bool turn(struct engine *engine, uint32_t n_models, bool *any_work)
{
    bool ran = false;
    for (uint32_t i = 0; i < n_models; i++) {
        struct engine_model *const model = engine->models[i];
        step_sweep(model, &engine->stats);
        if (model->running.length + model->waiting.length == 0) {
            continue;
        }
        mutex_lock(&engine->backend_mutex);
        ran |= step_run(model, &engine->stats);
        mutex_unlock(&engine->backend_mutex);
        *any_work |= model->running.length + model->waiting.length > 0;
    }
    return ran;
}

static void run(void *context)
{
    struct engine *const engine = context;
    thread_role_assume_engine();
    while (!atomic_load(&engine->stopping)) {
        take_arrivals(engine);
        bool any_work = false;
        const uint32_t n_models = atomic_load(&engine->n_models);
        const bool ran = turn(engine, n_models, &any_work);
        publish_stats(engine, n_models);
        if (!any_work) {
            queue_wait(engine->arrivals, UINT32_MAX);
        } else if (!ran) {
            queue_wait(engine->arrivals, PARKED_POLL_MS);
        }
    }
    take_arrivals(engine);
    for (uint32_t i = 0; i < atomic_load(&engine->n_models); i++) {
        step_end_all(engine->models[i], &engine->stats);
    }
    publish_stats(engine, atomic_load(&engine->n_models));
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
