#include "engine/adapters.h"

#include "base/alloc.h"
#include "engine/adapter_state.h"
#include "engine/loop.h"
#include "model/adapter.h"

static const struct account *account_or_own(const struct engine *engine,
                                            const struct account *account)
{
    return account != NULL ? account : engine->default_account;
}

static bool of_domain(const struct engine_adapter *adapter, const uint8_t *domain)
{
    return memcmp(adapter->domain, domain, sizeof adapter->domain) == 0;
}

/* Under the mutex. */
static struct engine_adapter *find(const struct engine *engine,
                                   const struct engine_model *model,
                                   const uint8_t *domain,
                                   const char *name)
{
    struct engine_adapter *one = engine->adapters;
    while (one != NULL && !(one->named && one->model == model && of_domain(one, domain) &&
                            strcmp(one->name, name) == 0)) {
        one = one->next;
    }
    return one;
}

static void unlink_adapter(struct engine *engine, const struct engine_adapter *adapter)
{
    struct engine_adapter **at = &engine->adapters;
    while (*at != adapter) {
        at = &(*at)->next;
    }
    *at = adapter->next;
    engine->n_adapters--;
    engine->adapter_bytes -= adapter->n_bytes;
}

void engine_adapter_retain(struct engine_adapter *adapter)
{
    atomic_fetch_add_explicit(&adapter->owners, 1, memory_order_relaxed);
}

void engine_adapter_release(struct engine_adapter *adapter)
{
    if (adapter == NULL ||
        atomic_fetch_sub_explicit(&adapter->owners, 1, memory_order_acq_rel) != 1) {
        return;
    }
    /* Nobody finds it any more, and no step names it: sequences that do hold a reference. */
    struct engine *const engine = adapter->engine;
    if (engine != NULL) {
        mutex_lock(&engine->adapters_mutex);
        unlink_adapter(engine, adapter);
        mutex_unlock(&engine->adapters_mutex);
        backend_adapter_destroy(adapter->model->backend_model, adapter->number);
    }
    alloc_free(adapter);
}

void adapters_close(struct engine *engine)
{
    while (engine->adapters != NULL) {
        struct engine_adapter *const one = engine->adapters;
        unlink_adapter(engine, one);
        backend_adapter_destroy(one->model->backend_model, one->number);
        one->engine = NULL;
        if (one->named) {
            one->named = false;
            engine_adapter_release(one);
        }
    }
}

static realm_status too_large(const struct engine *engine,
                              uint64_t n_bytes,
                              uint64_t n_loaded,
                              struct realm_error *error)
{
    return realm_error_set(error,
                           REALM_RESOURCE_EXHAUSTED,
                           "the adapter takes %llu bytes and all that are loaded %llu; together "
                           "they may take %llu: remove some",
                           (unsigned long long)n_bytes,
                           (unsigned long long)n_loaded,
                           (unsigned long long)engine->max_adapter_bytes);
}

/* Its numbers as F32: about what it will take.  One that can never fit is refused before memory is
 * taken for it. */
static realm_status check_size(const struct engine *engine,
                               const struct plan *plan,
                               const struct adapter_part *parts,
                               uint32_t n_parts,
                               struct realm_error *error)
{
    uint64_t n_bytes = 0; /* fewer than 2^20 parts of 2^8 x 2^33 numbers */
    for (uint32_t i = 0; i < n_parts; i++) {
        const struct plan_tensor *const weight = plan_tensor(plan, parts[i].weight);
        n_bytes += ((uint64_t)weight->rows + weight->columns) * parts[i].rank * sizeof(float);
    }
    return n_bytes <= engine->max_adapter_bytes ? REALM_OK : too_large(engine, n_bytes, 0, error);
}

/* The weights into the backend. */
static realm_status pack(struct engine_adapter *made, struct bytes bytes, struct realm_error *error)
{
    struct adapter *file;
    uint32_t n_parts;
    const struct model *const model = engine_model_model(made->model);
    REALM_TRY(adapter_open(model, bytes, &file, error));
    const struct adapter_part *const parts = adapter_parts(file, &n_parts);
    realm_status status = check_size(made->engine, model_plan(model), parts, n_parts, error);
    if (status == REALM_OK) {
        status = backend_adapter_create(
            made->model->backend_model, parts, n_parts, &made->number, error);
    }
    adapter_close(file);
    if (status == REALM_OK) {
        made->n_bytes = backend_adapter_bytes(made->model->backend_model, made->number);
    }
    return status;
}

/* Lists it under its name, and takes that from an older one, which is the caller's then. */
static realm_status
enter(struct engine *engine, struct engine_adapter *made, struct engine_adapter **older)
{
    *older = find(engine, made->model, made->domain, made->name);
    const uint64_t freed = *older != NULL ? (*older)->n_bytes : 0;
    if (engine->adapter_bytes - freed + made->n_bytes > engine->max_adapter_bytes) {
        *older = NULL;
        return REALM_RESOURCE_EXHAUSTED;
    }
    if (*older != NULL) {
        (*older)->named = false;
    }
    made->named = true;
    made->next = engine->adapters;
    engine->adapters = made;
    engine->n_adapters++;
    engine->adapter_bytes += made->n_bytes;
    return REALM_OK;
}

static realm_status load(struct engine *engine,
                         struct engine_adapter *made,
                         struct bytes bytes,
                         struct realm_error *error)
{
    REALM_TRY(pack(made, bytes, error));
    struct engine_adapter *older;
    mutex_lock(&engine->adapters_mutex);
    made->id = ENGINE_FIRST_ADAPTER_ID + engine->n_adapters_ever++;
    const realm_status status = enter(engine, made, &older);
    const uint64_t n_bytes = engine->adapter_bytes;
    mutex_unlock(&engine->adapters_mutex);
    engine_adapter_release(older);
    if (status != REALM_OK) {
        backend_adapter_destroy(made->model->backend_model, made->number);
        return too_large(engine, made->n_bytes, n_bytes, error);
    }
    return REALM_OK;
}

realm_status engine_adapter_load(struct engine *engine,
                                 struct engine_model *model,
                                 const struct account *account,
                                 const char *name,
                                 struct bytes bytes,
                                 struct realm_error *error)
{
    const size_t n_name = strlen(name);
    if (n_name == 0 || n_name >= ENGINE_ADAPTER_NAME_BYTES) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "an adapter's name has %zu bytes; 1 to %u are allowed",
                               n_name,
                               ENGINE_ADAPTER_NAME_BYTES - 1);
    }
    struct engine_adapter *const made = alloc_zeroed(ALLOC_ENGINE, 1, sizeof *made);
    if (made == NULL) {
        return realm_error_out_of_memory(error, sizeof *made, "an adapter");
    }
    atomic_init(&made->owners, 1);
    made->engine = engine;
    made->model = model;
    memcpy(made->name, name, n_name);
    memcpy(made->domain, account_or_own(engine, account)->domain, sizeof made->domain);
    const realm_status status = load(engine, made, bytes, error);
    if (status != REALM_OK) {
        alloc_free(made);
    }
    return status;
}

realm_status engine_adapter_remove(struct engine *engine,
                                   struct engine_model *model,
                                   const struct account *account,
                                   const char *name,
                                   struct realm_error *error)
{
    mutex_lock(&engine->adapters_mutex);
    struct engine_adapter *const adapter =
        find(engine, model, account_or_own(engine, account)->domain, name);
    if (adapter != NULL) {
        adapter->named = false;
    }
    mutex_unlock(&engine->adapters_mutex);
    engine_adapter_release(adapter);
    return adapter != NULL ? REALM_OK
                           : realm_error_set(error,
                                             REALM_NOT_FOUND,
                                             "there is no adapter %.63s of the model %s",
                                             name,
                                             engine_model_name(model));
}

struct engine_adapter *engine_adapter_find(struct engine *engine,
                                           const struct engine_model *model,
                                           const struct account *account,
                                           const char *name)
{
    mutex_lock(&engine->adapters_mutex);
    struct engine_adapter *const adapter =
        find(engine, model, account_or_own(engine, account)->domain, name);
    if (adapter != NULL) {
        engine_adapter_retain(adapter);
    }
    mutex_unlock(&engine->adapters_mutex);
    return adapter;
}

const struct engine_model *engine_adapter_model(const struct engine_adapter *adapter)
{
    return adapter->model;
}

uint64_t engine_adapters_bytes(struct engine *engine, uint32_t *n_adapters)
{
    mutex_lock(&engine->adapters_mutex);
    const uint64_t n_bytes = engine->adapter_bytes;
    *n_adapters = engine->n_adapters;
    mutex_unlock(&engine->adapters_mutex);
    return n_bytes;
}

realm_status adapter_check(const struct engine_adapter *adapter,
                           const struct engine_model *model,
                           const struct account *account,
                           struct realm_error *error)
{
    if (adapter == NULL || (adapter->model == model && of_domain(adapter, account->domain))) {
        return REALM_OK;
    }
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "the adapter is of another model than %s, or another account's",
                           engine_model_name(model));
}
