#include "sandbox/sandbox.h"

#include "base/log.h"
#include "engine/engine.h"
#include "sandbox/state.h"

#include <unistd.h>

#define DEFAULT_INSTANCES 1024u
#define LEAST_INSTANCES   16u
#define DEFAULT_THREADS   2u
#define MAX_ID_BYTES      64u
/* Wasmtime hands a guest's stack on to the next guest under a lock that the thread sanitizer does
 * not see, and in two threads it would take that for a race. */
#ifdef REALM_SANITIZE_THREAD
#define MAX_THREADS 1u
#else
#define MAX_THREADS POLLER_MAX_THREADS
#endif
#define SELF "/proc/self/exe"

/* Where nobody asked for a number, what the address space has room for will do. */
static realm_status open_runtime(struct runtime *runtime,
                                 bool number_is_asked_for,
                                 uint32_t *max_instances,
                                 struct realm_error *error)
{
    realm_status status = runtime_init(runtime, *max_instances, error);
    while (status == REALM_UNAVAILABLE && !number_is_asked_for &&
           *max_instances > LEAST_INSTANCES) {
        *max_instances /= 2;
        log_warn("fewer_guests", LOG_U64("at_once", *max_instances));
        status = runtime_init(runtime, *max_instances, error);
    }
    return status;
}

bool sandbox_is_stepping(const void *sandbox)
{
    const struct engine *const engine = ((const struct sandbox *)sandbox)->engine;
    return engine != NULL && engine_is_stepping(engine);
}

bool sandbox_is_busy(const struct sandbox *sandbox)
{
    return sandbox->engine != NULL && engine_is_busy(sandbox->engine);
}

realm_status
sandbox_open(const struct sandbox_options *options, struct sandbox **out, struct realm_error *error)
{
    *out = NULL;
    uint32_t max_instances =
        options->max_instances != 0 ? options->max_instances : DEFAULT_INSTANCES;
    uint32_t n_threads = options->n_threads != 0 ? options->n_threads : DEFAULT_THREADS;
    n_threads = n_threads < MAX_THREADS ? n_threads : MAX_THREADS;
    struct sandbox *sandbox = alloc_zeroed(ALLOC_GUEST, 1, sizeof(struct sandbox));
    if (sandbox == NULL) {
        return realm_error_out_of_memory(error, sizeof(struct sandbox), "the sandbox");
    }
    mutex_init(&sandbox->lock);
    sandbox->engine = options->engine;
    sandbox->compiler = options->compiler != NULL ? options->compiler : SELF;
    realm_status status = map_create(ALLOC_GUEST, &sandbox->tenants, error);
    if (status == REALM_OK && options->folder != NULL) {
        sandbox->folder = alloc_string(ALLOC_GUEST, options->folder, strlen(options->folder));
        status = sandbox->folder != NULL
                     ? REALM_OK
                     : realm_error_out_of_memory(error, strlen(options->folder), "a path");
    }
    if (status == REALM_OK) {
        status = artefacts_open(&sandbox->artefacts, sandbox->folder, error);
    }
    if (status == REALM_OK) {
        status =
            open_runtime(&sandbox->runtime, options->max_instances != 0, &max_instances, error);
    }
    if (status != REALM_OK) {
        goto fail_runtime;
    }
    status = poller_init(
        &sandbox->poller, sandbox_is_stepping, sandbox, n_threads, max_instances, error);
    if (status != REALM_OK) {
        goto fail_poller;
    }
    *out = sandbox;
    return REALM_OK;

fail_poller:
    runtime_deinit(&sandbox->runtime);
fail_runtime:
    artefacts_close(&sandbox->artefacts);
    map_destroy(sandbox->tenants);
    mutex_deinit(&sandbox->lock);
    alloc_free(sandbox->folder);
    alloc_free(sandbox);
    return status;
}

void sandbox_close(struct sandbox *sandbox)
{
    if (sandbox == NULL) {
        return;
    }
    poller_deinit(&sandbox->poller);
    runtime_deinit(&sandbox->runtime);
    artefacts_close(&sandbox->artefacts);
    map_destroy(sandbox->tenants);
    mutex_deinit(&sandbox->lock);
    alloc_free(sandbox->folder);
    alloc_free(sandbox);
}

static void read_counters(struct sandbox_counters *counters, struct sandbox_stats *out)
{
    *out = (struct sandbox_stats){
        .instances = atomic_load(&counters->instances),
        .started = atomic_load(&counters->started),
        .succeeded = atomic_load(&counters->succeeded),
        .failed = atomic_load(&counters->failed),
        .cancelled = atomic_load(&counters->cancelled),
        .host_calls = atomic_load(&counters->host_calls),
    };
    for (uint32_t i = 0; i < N_LIMITS; i++) {
        out->breaches[i] = atomic_load(&counters->breaches[i]);
    }
}

void sandbox_stats(struct sandbox *sandbox, struct sandbox_stats *out)
{
    read_counters(&sandbox->counters, out);
    out->polls = poller_turns(&sandbox->poller);
}

void sandbox_tenant_stats(struct sandbox_tenant *tenant, struct sandbox_stats *out)
{
    read_counters(&tenant->counters, out);
}

/* --- tenants -----------------------------------------------------------------------------------
 */

static bool id_is_good(const char *id)
{
    const size_t n = strlen(id);
    return n > 0 && n <= MAX_ID_BYTES &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == n;
}

static void tenant_destroy(struct sandbox_tenant *tenant)
{
    size_t cursor = 0;
    const void *name;
    size_t n_name;
    void *program;
    while (tenant->programs != NULL &&
           map_next(tenant->programs, &cursor, &name, &n_name, &program)) {
        program_release(program);
    }
    map_destroy(tenant->programs);
    value_store_close(&tenant->store);
    mutex_deinit(&tenant->lock);
    alloc_free(tenant->id);
    alloc_free(tenant);
}

static realm_status tenant_create(struct sandbox *sandbox,
                                  const char *id,
                                  struct sandbox_tenant **out,
                                  struct realm_error *error)
{
    struct sandbox_tenant *tenant = alloc_zeroed(ALLOC_GUEST, 1, sizeof(struct sandbox_tenant));
    if (tenant == NULL) {
        return realm_error_out_of_memory(error, sizeof(struct sandbox_tenant), "a tenant");
    }
    mutex_init(&tenant->lock);
    tenant->sandbox = sandbox;
    tenant->id = alloc_string(ALLOC_GUEST, id, strlen(id));
    realm_status status = map_create(ALLOC_GUEST, &tenant->programs, error);
    if (status != REALM_OK) {
        mutex_deinit(&tenant->lock);
        alloc_free(tenant->id);
        alloc_free(tenant);
        return status;
    }
    status = tenant->id != NULL ? value_store_open(&tenant->store, sandbox->folder, id, error)
                                : realm_error_out_of_memory(error, strlen(id), "a tenant");
    if (status == REALM_OK && !map_put(sandbox->tenants, id, strlen(id), tenant)) {
        status = realm_error_out_of_memory(error, strlen(id), "a tenant");
    }
    if (status != REALM_OK) {
        tenant_destroy(tenant);
        return status;
    }
    *out = tenant;
    return REALM_OK;
}

realm_status sandbox_tenant_acquire(struct sandbox *sandbox,
                                    const char *id,
                                    const struct sandbox_limits *limits,
                                    struct sandbox_tenant **out,
                                    struct realm_error *error)
{
    *out = NULL;
    if (!id_is_good(id)) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "\"%.80s\" is no tenant's id: 1 to %u letters, digits, '-', '_'",
                               id,
                               MAX_ID_BYTES);
    }
    mutex_lock(&sandbox->lock);
    struct sandbox_tenant *tenant = map_get(sandbox->tenants, id, strlen(id));
    realm_status status = tenant != NULL ? REALM_OK : tenant_create(sandbox, id, &tenant, error);
    if (status == REALM_OK) {
        tenant->owners++;
        *out = tenant;
    }
    mutex_unlock(&sandbox->lock);
    if (status == REALM_OK) {
        sandbox_tenant_set_limits(tenant, limits);
    }
    return status;
}

void sandbox_tenant_set_limits(struct sandbox_tenant *tenant, const struct sandbox_limits *limits)
{
    mutex_lock(&tenant->lock);
    tenant->limits = limits_complete(limits);
    mutex_unlock(&tenant->lock);
}

void tenant_count_breach(struct sandbox_tenant *tenant, enum limit limit)
{
    atomic_fetch_add(&tenant->sandbox->counters.breaches[limit], 1);
    atomic_fetch_add(&tenant->counters.breaches[limit], 1);
}

void tenant_hold(struct sandbox_tenant *tenant)
{
    mutex_lock(&tenant->sandbox->lock);
    tenant->owners++;
    mutex_unlock(&tenant->sandbox->lock);
}

void sandbox_tenant_release(struct sandbox_tenant *tenant)
{
    if (tenant == NULL) {
        return;
    }
    struct sandbox *sandbox = tenant->sandbox;
    mutex_lock(&sandbox->lock);
    const bool last = --tenant->owners == 0;
    if (last) {
        (void)map_remove(sandbox->tenants, tenant->id, strlen(tenant->id));
    }
    mutex_unlock(&sandbox->lock);
    if (last) {
        tenant_destroy(tenant);
    }
}

struct sandbox_limits tenant_limits(struct sandbox_tenant *tenant)
{
    mutex_lock(&tenant->lock);
    const struct sandbox_limits limits = tenant->limits;
    mutex_unlock(&tenant->lock);
    return limits;
}

/* --- programs that programs may call -----------------------------------------------------------
 */

realm_status sandbox_tenant_publish(struct sandbox_tenant *tenant,
                                    struct program *program,
                                    struct realm_error *error)
{
    const char *name = program_name(program);
    mutex_lock(&tenant->lock);
    struct program *old = map_get(tenant->programs, name, strlen(name));
    const bool done = map_put(tenant->programs, name, strlen(name), program);
    if (done) {
        program_acquire(program);
    }
    mutex_unlock(&tenant->lock);
    if (!done) {
        return realm_error_out_of_memory(error, strlen(name), "a program's name");
    }
    program_release(old);
    return REALM_OK;
}

bool sandbox_tenant_withdraw(struct sandbox_tenant *tenant, const char *name)
{
    mutex_lock(&tenant->lock);
    struct program *old = map_remove(tenant->programs, name, strlen(name));
    mutex_unlock(&tenant->lock);
    program_release(old);
    return old != NULL;
}

struct program *tenant_find_program(struct sandbox_tenant *tenant, const char *name)
{
    mutex_lock(&tenant->lock);
    struct program *program = map_get(tenant->programs, name, strlen(name));
    if (program != NULL) {
        program_acquire(program);
    }
    mutex_unlock(&tenant->lock);
    return program;
}
