#include "sandbox/linker.h"

#include "base/clock.h"
#include "sandbox/call.h"
#include "sandbox/wasi.h"

/* A call as the trampolines see it; one set for each width of memory. */
struct entry {
    struct abi_row row;
    call_function function;
    bool wide;
};

enum result_kind { RESULT_I32, RESULT_I64 };

/* A guest's turn on a slow thread is over after so long, which is looked at every so many calls. */
#define MOMENT_NS         UINT64_C(150000)
#define CALLS_BEFORE_LOOK 256u
/* And any turn's is, when its output takes the server so long. */
#define MOST_EXTRA_NS UINT64_C(100000)

#define WASI_MODULE "wasi_snapshot_preview1"
#define WASI_FUEL   200

#define ROW(n, r, p, f, w, is_wide)                                                                \
    {                                                                                              \
        .row = {.name = #n,                                                                        \
                .parameters = (p),                                                                 \
                .waits = (w),                                                                      \
                .long_result = RESULT_##r == RESULT_I64,                                           \
                .fuel = (f)},                                                                      \
        .function = call_##n,                                                                      \
        .wide = (is_wide),                                                                         \
    },

#define ABI_CALL(name, result, parameters, fuel) ROW(name, result, parameters, fuel, false, false)
#define ABI_WAIT(name, result, parameters, fuel) ROW(name, result, parameters, fuel, true, false)
static const struct entry narrow_entries[] = {
#include "sandbox/abi.def"
};
#undef ABI_CALL
#undef ABI_WAIT

#define ABI_CALL(name, result, parameters, fuel) ROW(name, result, parameters, fuel, false, true)
#define ABI_WAIT(name, result, parameters, fuel) ROW(name, result, parameters, fuel, true, true)
static const struct entry wide_entries[] = {
#include "sandbox/abi.def"
};
#undef ABI_CALL
#undef ABI_WAIT

#define N_ENTRIES (sizeof(narrow_entries) / sizeof(narrow_entries[0]))

#define WASI_ROW(n, p, f, w)                                                                       \
    {                                                                                              \
        .row = {.name = #n, .parameters = (p), .waits = (w), .fuel = WASI_FUEL},                   \
        .function = (f),                                                                           \
    },
#define WASI_CALL(name, parameters) WASI_ROW(name, parameters, wasi_##name, false)
#define WASI_WAIT(name, parameters) WASI_ROW(name, parameters, wasi_##name, true)
#define WASI_NONE(name, parameters) WASI_ROW(name, parameters, wasi_none, false)
static const struct entry wasi_entries[] = {
#include "sandbox/wasi.def"
};
#undef WASI_CALL
#undef WASI_WAIT
#undef WASI_NONE

#define N_WASI_ENTRIES (sizeof(wasi_entries) / sizeof(wasi_entries[0]))

/* What a suspended guest waits for; lives in the instance's turn. */
struct call_wait {
    struct call call;
    const struct entry *entry;
    wasmtime_val_t *result;
    wasm_trap_t **trap;
};

/* --- every call begins so ----------------------------------------------------------------------
 */

static bool find_memory(struct instance *instance, wasmtime_caller_t *caller)
{
    wasmtime_extern_t export;
    if (!instance->has_memory && wasmtime_caller_export_get(caller, "memory", 6, &export)) {
        instance->has_memory = export.kind == WASMTIME_EXTERN_MEMORY;
        instance->memory = export.of.memory;
    }
    return instance->has_memory;
}

/* Counts the call and takes its fuel; false: a limit was passed. */
static bool pay(struct instance *instance, uint32_t fuel)
{
    uint64_t left = 0;
    wasmtime_error_t *error = wasmtime_context_get_fuel(instance->context, &left);
    left += instance->fuel_back;
    instance->fuel_back = 0;
    if (error == NULL && left >= fuel) {
        error = wasmtime_context_set_fuel(instance->context, left - fuel);
    } else if (error == NULL) {
        instance->breach = LIMIT_fuel;
        return false;
    }
    if (error != NULL) {
        wasmtime_error_delete(error);
        return false;
    }
    if (++instance->host_calls > instance->limits.host_calls) {
        instance->breach = LIMIT_host_calls;
        return false;
    }
    instance->counting = false;
    return true;
}

/* Fills call but for its arguments.  False: the guest ends. */
static bool begin(struct call *call, const struct entry *entry, wasmtime_caller_t *caller)
{
    wasmtime_context_t *context = wasmtime_caller_context(caller);
    struct instance *instance = wasmtime_context_get_data(context);
    *call = (struct call){.instance = instance};
    if (!pay(instance, entry->row.fuel) || !find_memory(instance, caller)) {
        return false;
    }
    /* Calls take time that fuel does not tell. */
    if (instance->task.slow && ++instance->calls_in_turn % CALLS_BEFORE_LOOK == 0 &&
        clock_thread_ns() - instance->turn_from_ns > MOMENT_NS) {
        instance_go_back(instance);
    }
    call->memory = wasmtime_memory_data(context, &instance->memory);
    call->memory_bytes = wasmtime_memory_data_size(context, &instance->memory);
    return true;
}

static bool is_wide(const struct entry *entry, char parameter)
{
    return parameter == 'l' || (entry->wide && (parameter == 'p' || parameter == 'n'));
}

/* The instance knows why; Wasmtime only needs something to unwind with. */
static wasm_trap_t *end_guest(void)
{
    static const char message[] = "ended by the host";
    return wasmtime_trap_new(message, sizeof(message) - 1);
}

/* --- calls that answer at once -----------------------------------------------------------------
 */

static wasm_trap_t *
call_now(void *context, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t n_values)
{
    (void)n_values;
    const struct entry *entry = context;
    struct call call;
    if (!begin(&call, entry, caller)) {
        return end_guest();
    }
    for (uint32_t i = 0; entry->row.parameters[i] != '\0'; i++) {
        call.arguments[i] = is_wide(entry, entry->row.parameters[i])
                                ? (uint64_t)values[i].i64
                                : (uint64_t)(uint32_t)values[i].i32;
    }
    const int64_t result = entry->function(&call);
    if (result == CALL_ENDS) {
        return end_guest();
    }
    if (entry->row.long_result) {
        values[0].i64 = result;
    } else {
        values[0].i32 = (int32_t)result;
    }
    return NULL;
}

/* --- calls that may wait -----------------------------------------------------------------------
 */

/* Wasmtime asks this at once, and then each time the guest is polled; true: go on. */
static bool ask(void *context)
{
    struct call_wait *wait = context;
    struct instance *instance = wait->call.instance;
    /* What it looks at is locked against others, or they have much to do for it already. */
    if (instance->task.slow || instance->task.extra_ns > MOST_EXTRA_NS) {
        instance->returns = true;
        return false;
    }
    const int64_t result = wait->entry->function(&wait->call);
    if (result == CALL_WAITS) {
        instance->task.wake_at_ns = wait->call.deadline_ns;
        instance->waits = true;
        return false;
    }
    if (result == CALL_ENDS) {
        *wait->trap = end_guest();
    }
    *wait->result = (wasmtime_val_t){.kind = WASMTIME_I32, .of.i32 = (int32_t)result};
    instance->counting = false;
    instance->quick_ns = 0;
    if (instance->task.hungry) {
        instance_go_back(instance);
    }
    return true;
}

static bool nothing_to_ask(void *context)
{
    (void)context;
    return true;
}

static void call_later(void *context,
                       wasmtime_caller_t *caller,
                       const wasmtime_val_t *arguments,
                       size_t n_arguments,
                       wasmtime_val_t *results,
                       size_t n_results,
                       wasm_trap_t **trap,
                       wasmtime_async_continuation_t *continuation)
{
    (void)n_results;
    const struct entry *entry = context;
    *continuation = (wasmtime_async_continuation_t){.callback = nothing_to_ask};
    results[0] = (wasmtime_val_t){.kind = WASMTIME_I32};
    struct call call;
    if (!begin(&call, entry, caller)) {
        *trap = end_guest();
        return;
    }
    /* One call at a time: the instance has room for it, allocated when it was made. */
    struct call_wait *wait = call.instance->waiting;
    *wait = (struct call_wait){.call = call, .entry = entry, .result = &results[0], .trap = trap};
    for (size_t i = 0; i < n_arguments; i++) {
        wait->call.arguments[i] = arguments[i].kind == WASMTIME_I64
                                      ? (uint64_t)arguments[i].of.i64
                                      : (uint64_t)(uint32_t)arguments[i].of.i32;
    }
    continuation->callback = ask;
    continuation->env = wait;
}

size_t linker_wait_bytes(void)
{
    return sizeof(struct call_wait);
}

/* --- definitions -------------------------------------------------------------------------------
 */

/* proc_exit is the one call without a result. */
static bool never_returns(const struct entry *entry)
{
    return entry->function == wasi_proc_exit;
}

static wasm_functype_t *make_type(const struct entry *entry)
{
    wasm_valtype_t *types[CALL_MAX_PARAMETERS];
    const size_t n = strlen(entry->row.parameters);
    for (size_t i = 0; i < n; i++) {
        types[i] = is_wide(entry, entry->row.parameters[i]) ? wasm_valtype_new_i64()
                                                            : wasm_valtype_new_i32();
    }
    wasm_valtype_t *result =
        entry->row.long_result ? wasm_valtype_new_i64() : wasm_valtype_new_i32();
    wasm_valtype_vec_t parameters;
    wasm_valtype_vec_t results;
    wasm_valtype_vec_new(&parameters, n, types);
    if (never_returns(entry)) {
        wasm_valtype_delete(result);
        wasm_valtype_vec_new_empty(&results);
    } else {
        wasm_valtype_vec_new(&results, 1, &result);
    }
    return wasm_functype_new(&parameters, &results);
}

static wasmtime_error_t *
define(wasmtime_linker_t *linker, const char *module, const struct entry *entry)
{
    wasm_functype_t *type = make_type(entry);
    const char *name = entry->row.name;
    const size_t n_module = strlen(module);
    const size_t n_name = strlen(name);
    void *context = (void *)(uintptr_t)entry; /* only ever read */
    wasmtime_error_t *error =
        entry->row.waits
            ? wasmtime_linker_define_async_func(
                  linker, module, n_module, name, n_name, type, call_later, context, NULL)
            : wasmtime_linker_define_func_unchecked(
                  linker, module, n_module, name, n_name, type, call_now, context, NULL);
    wasm_functype_delete(type);
    return error;
}

static realm_status define_all(wasmtime_linker_t *linker,
                               const char *module,
                               const struct entry *entries,
                               size_t n_entries,
                               struct realm_error *error)
{
    for (size_t i = 0; i < n_entries; i++) {
        wasmtime_error_t *wasm_error = define(linker, module, &entries[i]);
        if (wasm_error != NULL) {
            return runtime_error(error, REALM_INTERNAL, wasm_error);
        }
    }
    return REALM_OK;
}

realm_status linker_define(wasmtime_linker_t *linker, bool wide, struct realm_error *error)
{
    REALM_TRY(
        define_all(linker, LINKER_MODULE, wide ? wide_entries : narrow_entries, N_ENTRIES, error));
    return define_all(linker, WASI_MODULE, wasi_entries, N_WASI_ENTRIES, error);
}

const struct abi_row *linker_row(uint32_t index)
{
    return index < N_ENTRIES ? &narrow_entries[index].row : NULL;
}
