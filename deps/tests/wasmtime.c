/* Wasmtime from C, with what the sandbox needs of it: text to module, memory64, SIMD, the pooling
 * allocator, host calls that suspend the guest, fuel, and the epoch deadline of a guest that spins.
 */
#include "check.h"

#include <stdbool.h>
#include <string.h>
#include <wasmtime.h>

#if !defined(WASMTIME_FEATURE_ASYNC) || !defined(WASMTIME_FEATURE_POOLING_ALLOCATOR) ||            \
    !defined(WASMTIME_FEATURE_WAT) || defined(WASMTIME_FEATURE_WASI)
#error "wasmtime/conf.h does not say what deps/Cargo.toml asks for"
#endif

static const char source[] =
    "(module\n"
    "  (import \"realm\" \"later\" (func $later (param i32) (result i32)))\n"
    "  (memory (export \"memory\") i64 1 4)\n"
    "  (func (export \"add\") (param i32 i32) (result i32)\n"
    "    (i32.add (local.get 0) (local.get 1)))\n"
    "  (func (export \"lanes\") (result i32)\n"
    "    (i32x4.extract_lane 2 (i32x4.add (v128.const i32x4 1 2 3 4) (v128.const i32x4 5 6 7 "
    "8))))\n"
    "  (func (export \"wait\") (param i32) (result i32)\n"
    "    (i32.add (call $later (local.get 0)) (i32.const 1)))\n"
    "  (func (export \"spin\") (loop (br 0))))\n";

static void must(wasmtime_error_t *error, wasm_trap_t *trap)
{
    wasm_byte_vec_t message;
    if (error != NULL) {
        wasmtime_error_message(error, &message);
    } else if (trap != NULL) {
        wasm_trap_message(trap, &message);
    } else {
        return;
    }
    (void)fprintf(stderr, "%.*s\n", (int)message.size, message.data);
    exit(1);
}

/* A host call that has its answer only when it is asked the third time. */
struct pending {
    int32_t argument;
    wasmtime_val_t *result;
    int n_polls;
};

static bool ask_again(void *environment)
{
    struct pending *pending = environment;
    pending->n_polls++;
    if (pending->n_polls < 3) {
        return false;
    }
    *pending->result = (wasmtime_val_t){.kind = WASMTIME_I32, .of.i32 = pending->argument * 2};
    return true;
}

static void later(void *environment,
                  wasmtime_caller_t *caller,
                  const wasmtime_val_t *arguments,
                  size_t n_arguments,
                  wasmtime_val_t *results,
                  size_t n_results,
                  wasm_trap_t **trap,
                  wasmtime_async_continuation_t *continuation)
{
    (void)caller;
    (void)trap;
    CHECK(n_arguments == 1 && n_results == 1);
    struct pending *pending = environment;
    pending->argument = arguments[0].of.i32;
    pending->result = &results[0];
    continuation->callback = ask_again;
    continuation->env = pending;
    continuation->finalizer = NULL;
}

struct guest {
    wasm_engine_t *engine;
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    wasmtime_linker_t *linker;
    wasmtime_module_t *module;
    wasmtime_instance_t instance;
    struct pending pending;
};

static wasm_engine_t *make_engine(void)
{
    wasm_config_t *config = wasm_config_new();
    wasmtime_config_wasm_memory64_set(config, true);
    wasmtime_config_consume_fuel_set(config, true);
    wasmtime_config_epoch_interruption_set(config, true);
    wasmtime_pooling_allocation_config_t *pool = wasmtime_pooling_allocation_config_new();
    wasmtime_pooling_allocation_config_total_memories_set(pool, 4);
    wasmtime_pooling_allocation_config_total_core_instances_set(pool, 4);
    wasmtime_pooling_allocation_config_total_stacks_set(pool, 4);
    wasmtime_pooling_allocation_strategy_set(config, pool);
    wasmtime_pooling_allocation_config_delete(pool);
    return wasm_engine_new_with_config(config);
}

/* Polls until the future is there; returns how often it was asked. */
static int finish(wasmtime_call_future_t *future)
{
    int n_polls = 1;
    while (!wasmtime_call_future_poll(future)) {
        n_polls++;
    }
    wasmtime_call_future_delete(future);
    return n_polls;
}

static void make_guest(struct guest *guest)
{
    wasm_byte_vec_t binary;
    guest->engine = make_engine();
    CHECK(guest->engine != NULL);
    must(wasmtime_wat2wasm(source, sizeof source - 1, &binary), NULL);
    must(wasmtime_module_new(
             guest->engine, (const uint8_t *)binary.data, binary.size, &guest->module),
         NULL);
    wasm_byte_vec_delete(&binary);

    guest->linker = wasmtime_linker_new(guest->engine);
    wasm_functype_t *type = wasm_functype_new_1_1(wasm_valtype_new_i32(), wasm_valtype_new_i32());
    must(wasmtime_linker_define_async_func(
             guest->linker, "realm", 5, "later", 5, type, later, &guest->pending, NULL),
         NULL);
    wasm_functype_delete(type);

    guest->store = wasmtime_store_new(guest->engine, NULL, NULL);
    guest->context = wasmtime_store_context(guest->store);
    must(wasmtime_context_set_fuel(guest->context, 1000000), NULL);
    wasmtime_context_set_epoch_deadline(guest->context, 1);
    wasm_trap_t *trap = NULL;
    wasmtime_error_t *error = NULL;
    (void)finish(wasmtime_linker_instantiate_async(
        guest->linker, guest->context, guest->module, &guest->instance, &trap, &error));
    must(error, trap);
}

/* Calls an export; *trap is set when the guest trapped.  Returns the number of polls. */
static int call(struct guest *guest,
                const char *name,
                const wasmtime_val_t *arguments,
                size_t n_arguments,
                wasmtime_val_t *result,
                wasm_trap_t **trap)
{
    wasmtime_extern_t export;
    CHECK(wasmtime_instance_export_get(
        guest->context, &guest->instance, name, strlen(name), &export));
    CHECK(export.kind == WASMTIME_EXTERN_FUNC);
    wasmtime_error_t *error = NULL;
    *trap = NULL;
    const int n_polls = finish(wasmtime_func_call_async(guest->context,
                                                        &export.of.func,
                                                        arguments,
                                                        n_arguments,
                                                        result,
                                                        result != NULL ? 1 : 0,
                                                        trap,
                                                        &error));
    must(error, NULL);
    return n_polls;
}

static void check_trap(wasm_trap_t *trap, wasmtime_trap_code_t expected)
{
    wasmtime_trap_code_t code;
    CHECK(trap != NULL);
    CHECK(wasmtime_trap_code(trap, &code));
    CHECK(code == expected);
    wasm_trap_delete(trap);
}

int main(void)
{
    struct guest guest = {.engine = NULL};
    make_guest(&guest);
    const wasmtime_val_t numbers[2] = {
        {.kind = WASMTIME_I32, .of.i32 = 40},
        {.kind = WASMTIME_I32, .of.i32 = 2},
    };
    wasmtime_val_t result;
    wasm_trap_t *trap;
    (void)call(&guest, "add", numbers, 2, &result, &trap);
    CHECK(trap == NULL && result.kind == WASMTIME_I32 && result.of.i32 == 42);
    (void)call(&guest, "lanes", NULL, 0, &result, &trap);
    CHECK(trap == NULL && result.of.i32 == 10);
    CHECK(call(&guest, "wait", numbers, 1, &result, &trap) > 1);
    CHECK(trap == NULL && result.of.i32 == 81 && guest.pending.n_polls == 3);

    (void)call(&guest, "spin", NULL, 0, NULL, &trap);
    check_trap(trap, WASMTIME_TRAP_CODE_OUT_OF_FUEL);
    must(wasmtime_context_set_fuel(guest.context, UINT64_MAX), NULL);
    wasm_engine_t *engine = guest.engine;
    wasmtime_engine_increment_epoch(engine);
    (void)call(&guest, "spin", NULL, 0, NULL, &trap);
    check_trap(trap, WASMTIME_TRAP_CODE_INTERRUPT);

    wasmtime_linker_delete(guest.linker);
    wasmtime_store_delete(guest.store);
    wasmtime_module_delete(guest.module);
    wasm_engine_delete(guest.engine);
    (void)puts("wasmtime works from C");
    return 0;
}
