/* The engine thread: takes arrivals, steps the models by turns, sleeps when there is nothing to do.
 */
#ifndef REALM_ENGINE_LOOP_H
#define REALM_ENGINE_LOOP_H

#include "backend/backend.h"
#include "base/queue.h"
#include "base/thread.h"
#include "engine/engine.h"
#include "engine/fairness.h"
#include "engine/saved.h"

#define ENGINE_MAX_MODELS 64u

struct engine {
    struct backend *backend;
    struct mutex backend_mutex; /* one caller of the compute pool: a step, or a load */
    struct mutex models_mutex;  /* serialises loads; readers go by n_models */
    struct engine_model *models[ENGINE_MAX_MODELS];
    _Atomic uint32_t n_models;
    struct queue *arrivals; /* of struct arrival */
    uint32_t max_waiting;
    _Atomic bool draining;
    _Atomic bool stopping;
    _Atomic uint32_t n_pending; /* requests submitted and not done */
    _Atomic uint32_t n_sessions;
    _Atomic uint32_t n_operations; /* of sessions, not told yet */
    uint64_t itl_target_ns;
    bool has_prefix_cache;
    uint64_t max_adapter_bytes;
    struct mutex adapters_mutex; /* of the next four; held for moments only */
    struct engine_adapter *adapters;
    uint32_t n_adapters;
    uint64_t n_adapters_ever;
    uint64_t adapter_bytes;
    struct account *default_account;
    uint8_t public_domain[ACCOUNT_DOMAIN_BYTES]; /* of published prefixes */
    _Atomic bool has_published;
    /* Engine thread: */
    struct fairness fairness;
    struct session *sessions;
    struct session *restless_sessions; /* see sessions_tell */
    uint32_t n_awaited;                /* sessions */
    uint64_t last_step_ns;
    _Atomic bool stepping;
    _Atomic bool busy; /* from a step's begin until no other follows */
    struct saved_list saved;
    struct thread thread;
};

REALM_MUST_CHECK realm_status loop_start(struct engine *engine, struct realm_error *error);
/* Cancels everything and joins.  Fine when it was never started. */
void loop_stop(struct engine *engine);

#endif
