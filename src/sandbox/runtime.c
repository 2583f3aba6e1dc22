#include "sandbox/runtime.h"

#include "base/checked.h"
#include "sandbox/linker.h"

#include <sys/mman.h>

/* The clock goes on for a while after the last guest, so that guests which wait often do not wake
 * its thread each time. */
#define TICKS_BEFORE_SLEEP 12u
/* A tick that is late costs nothing; one that takes a core from a step does. */
#define CLOCK_NICENESS 5

/* What compiled code depends on must be the same here and in the compiler process. */
static wasm_config_t *make_config(void)
{
    wasm_config_t *config = wasm_config_new();
    wasmtime_config_strategy_set(config, WASMTIME_STRATEGY_CRANELIFT);
    wasmtime_config_consume_fuel_set(config, true);
    wasmtime_config_epoch_interruption_set(config, true);
    wasmtime_config_max_wasm_stack_set(config, RUNTIME_WASM_STACK);
    wasmtime_config_async_stack_size_set(config, RUNTIME_STACK);
    wasmtime_config_wasm_memory64_set(config, true);
    wasmtime_config_wasm_simd_set(config, true);
    wasmtime_config_wasm_tail_call_set(config, true);
    wasmtime_config_wasm_multi_memory_set(config, false);
    /* The same module, seed and host results give the same run: on every machine. */
    wasmtime_config_cranelift_nan_canonicalization_set(config, true);
    wasmtime_config_wasm_relaxed_simd_deterministic_set(config, true);
    wasmtime_config_memory_reservation_set(config, SANDBOX_MAX_MEMORY_BYTES);
    wasmtime_config_memory_guard_size_set(config, RUNTIME_MEMORY_GUARD);
    wasmtime_config_memory_may_move_set(config, false);
    wasmtime_config_memory_init_cow_set(config, true);
    wasmtime_config_native_unwind_info_set(config, false);
    wasmtime_config_parallel_compilation_set(config, false);
    return config;
}

static void set_pool(wasm_config_t *config, uint32_t max_instances)
{
    wasmtime_pooling_allocation_config_t *pool = wasmtime_pooling_allocation_config_new();
    wasmtime_pooling_allocation_config_total_core_instances_set(pool, max_instances);
    wasmtime_pooling_allocation_config_total_memories_set(pool, max_instances);
    wasmtime_pooling_allocation_config_total_tables_set(pool, max_instances * RUNTIME_MAX_TABLES);
    wasmtime_pooling_allocation_config_total_stacks_set(pool, max_instances);
    wasmtime_pooling_allocation_config_max_memories_per_module_set(pool, 1);
    wasmtime_pooling_allocation_config_max_tables_per_module_set(pool, RUNTIME_MAX_TABLES);
    wasmtime_pooling_allocation_config_table_elements_set(pool, RUNTIME_MAX_ELEMENTS);
    wasmtime_pooling_allocation_config_max_memory_size_set(pool, SANDBOX_MAX_MEMORY_BYTES);
    wasmtime_pooling_allocation_strategy_set(config, pool);
    wasmtime_pooling_allocation_config_delete(pool);
}

wasm_engine_t *runtime_compiler_engine(void)
{
    return wasm_engine_new_with_config(make_config());
}

/* Wasmtime ends the process when it cannot reserve its pool, so it is tried before. */
static realm_status check_address_space(const struct runtime *runtime, struct realm_error *error)
{
    const uint64_t slot = SANDBOX_MAX_MEMORY_BYTES + 2 * RUNTIME_MEMORY_GUARD + RUNTIME_STACK +
                          RUNTIME_MAX_TABLES * RUNTIME_MAX_ELEMENTS * sizeof(void *);
    uint64_t wanted;
    if (!checked_mul_u64(slot, (uint64_t)runtime->max_instances + 2, &wanted)) {
        wanted = UINT64_MAX;
    }
    void *trial = wanted > SIZE_MAX / 2 ? MAP_FAILED
                                        : mmap(NULL,
                                               (size_t)wanted,
                                               PROT_NONE,
                                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                               -1,
                                               0);
    if (trial == MAP_FAILED) {
        return realm_error_set(
            error,
            REALM_UNAVAILABLE,
            "%u guests of %llu bytes need %llu bytes of address space, which this "
            "process cannot have; ask for fewer, or raise its limit (ulimit -v)",
            runtime->max_instances,
            (unsigned long long)SANDBOX_MAX_MEMORY_BYTES,
            (unsigned long long)wanted);
    }
    (void)munmap(trial, (size_t)wanted);
    return REALM_OK;
}

static void tick(void *context)
{
    struct runtime *runtime = context;
    uint32_t n_idle = 0;
    thread_stand_back(CLOCK_NICENESS);
    mutex_lock(&runtime->lock);
    while (!runtime->closing) {
        const bool runs = atomic_load(&runtime->running) > 0;
        if (runs) {
            n_idle = 0;
        } else if (++n_idle > TICKS_BEFORE_SLEEP) {
            atomic_store(&runtime->asleep, true);
            /* Whoever enters between these two sees asleep; whoever entered before is seen here. */
            if (atomic_load(&runtime->running) == 0) {
                condition_wait(&runtime->changed, &runtime->lock);
            }
            atomic_store(&runtime->asleep, false);
            n_idle = 0;
            continue;
        }
        (void)condition_wait_ms(
            &runtime->changed, &runtime->lock, runs ? RUNTIME_TICK_MS : RUNTIME_IDLE_TICK_MS);
        wasmtime_engine_increment_epoch(runtime->engine);
    }
    mutex_unlock(&runtime->lock);
}

realm_status
runtime_init(struct runtime *runtime, uint32_t max_instances, struct realm_error *error)
{
    *runtime = (struct runtime){
        .max_instances = max_instances,
    };
    mutex_init(&runtime->lock);
    condition_init(&runtime->changed);
    realm_status status = check_address_space(runtime, error);
    if (status != REALM_OK) {
        goto fail;
    }
    wasm_config_t *config = make_config();
    set_pool(config, max_instances);
    runtime->engine = wasm_engine_new_with_config(config);
    for (int wide = 0; wide < 2; wide++) {
        runtime->linkers[wide] = wasmtime_linker_new(runtime->engine);
        status = linker_define(runtime->linkers[wide], wide != 0, error);
        if (status != REALM_OK) {
            goto fail;
        }
    }
    status = thread_start(&runtime->ticker, "guest-clock", tick, runtime, error);
    if (status == REALM_OK) {
        return REALM_OK;
    }
fail:
    runtime_deinit(runtime);
    return status;
}

void runtime_deinit(struct runtime *runtime)
{
    mutex_lock(&runtime->lock);
    runtime->closing = true;
    condition_signal(&runtime->changed);
    mutex_unlock(&runtime->lock);
    thread_join(&runtime->ticker);
    for (int wide = 0; wide < 2; wide++) {
        if (runtime->linkers[wide] != NULL) {
            wasmtime_linker_delete(runtime->linkers[wide]);
        }
    }
    if (runtime->engine != NULL) {
        wasm_engine_delete(runtime->engine);
    }
    condition_deinit(&runtime->changed);
    mutex_deinit(&runtime->lock);
}

void runtime_enter(struct runtime *runtime)
{
    atomic_fetch_add(&runtime->running, 1);
    if (atomic_load(&runtime->asleep)) {
        mutex_lock(&runtime->lock);
        condition_signal(&runtime->changed);
        mutex_unlock(&runtime->lock);
    }
}

void runtime_leave(struct runtime *runtime)
{
    atomic_fetch_sub(&runtime->running, 1);
}

realm_status
runtime_error(struct realm_error *error, realm_status status, wasmtime_error_t *wasmtime_error)
{
    wasm_byte_vec_t message;
    wasmtime_error_message(wasmtime_error, &message);
    const int length = message.size < 200 ? (int)message.size : 200;
    (void)realm_error_set(error, status, "%.*s", length, message.data);
    wasm_byte_vec_delete(&message);
    wasmtime_error_delete(wasmtime_error);
    return status;
}
