/* What the sandbox is inside. */
#ifndef REALM_SANDBOX_STATE_H
#define REALM_SANDBOX_STATE_H

#include "base/map.h"
#include "sandbox/artefact.h"
#include "sandbox/limits.h"
#include "sandbox/poller.h"
#include "sandbox/runtime.h"
#include "sandbox/value_store.h"

/* Of the sandbox, and of each tenant. */
struct sandbox_counters {
    _Atomic uint32_t instances;
    _Atomic uint64_t started;
    _Atomic uint64_t succeeded;
    _Atomic uint64_t failed;
    _Atomic uint64_t cancelled;
    _Atomic uint64_t host_calls;
    _Atomic uint64_t breaches[N_LIMITS];
};

struct sandbox {
    struct engine *engine;
    const char *compiler;
    char *folder; /* NULL: nothing is kept */
    struct runtime runtime;
    struct artefacts artefacts;
    struct poller poller;
    struct sandbox_counters counters;
    _Atomic uint64_t next_window_ns; /* when a compiler may work next beside the engine */
    struct mutex lock;               /* tenants */
    struct map *tenants;             /* id -> struct sandbox_tenant */
};

/* One tenant: found by its id as long as somebody holds it. */
struct sandbox_tenant {
    struct sandbox *sandbox;
    uint32_t owners; /* under sandbox->lock */
    char *id;
    struct mutex lock;            /* limits, programs */
    struct map *programs;         /* name -> struct program, for invoke */
    struct sandbox_limits limits; /* complete */
    struct sandbox_counters counters;
    struct task_debt debt; /* of its guests */
    struct value_store store;
};

/* Whether the engine computes this moment, and whether it does again and again: who only wants what
 * is left over stands aside.  Any thread. */
bool sandbox_is_stepping(const void *sandbox);
bool sandbox_is_busy(const struct sandbox *sandbox);
struct sandbox_limits tenant_limits(struct sandbox_tenant *tenant);
/* A program by name, one more owner of it; NULL: none was published. */
struct program *tenant_find_program(struct sandbox_tenant *tenant, const char *name);
/* Counts a limit that was passed, for its tenant and all together. */
void tenant_count_breach(struct sandbox_tenant *tenant, enum limit limit);
/* One more owner. */
void tenant_hold(struct sandbox_tenant *tenant);

#endif
