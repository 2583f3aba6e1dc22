/* Wasmtime as the sandbox uses it: one engine with a pool of instances, the linkers with the host
 * calls for 32-bit and 64-bit memories, and the clock that ends guests that spin.
 *
 * The clock (Wasmtime's epoch) ticks only while guests run: an idle server uses no CPU.  Guests
 * that steer token by token run for some 20 us at a time: a clock that finds none running takes its
 * time, so that its waking does not cost the engine's steps more than those guests do. */
#ifndef REALM_SANDBOX_RUNTIME_H
#define REALM_SANDBOX_RUNTIME_H

#include "base/thread.h"
#include "sandbox/sandbox.h"

#include <stdatomic.h>
#include <wasmtime.h>

#define RUNTIME_TICK_MS      2u
#define RUNTIME_IDLE_TICK_MS 8u /* while none runs; a guest that spins is seen that much later */
#define RUNTIME_WASM_STACK   ((size_t)512 * 1024)
#define RUNTIME_STACK        ((size_t)1024 * 1024) /* the host's part of a guest's stack too */
#define RUNTIME_MAX_TABLES   4u
#define RUNTIME_MAX_ELEMENTS ((size_t)100000)
#define RUNTIME_MEMORY_GUARD ((uint64_t)32 * 1024 * 1024)
#define RUNTIME_WASMTIME     "wasmtime 48.0.8"

struct runtime {
    wasm_engine_t *engine;
    wasmtime_linker_t *linkers[2]; /* [1]: 64-bit memory */
    uint32_t max_instances;

    struct thread ticker;
    struct mutex lock; /* closing */
    struct condition changed;
    bool closing;
    _Atomic bool asleep;
    _Atomic uint32_t running; /* threads inside a guest */
};

/* UNAVAILABLE: the address space for the pool cannot be had. */
REALM_MUST_CHECK realm_status runtime_init(struct runtime *runtime,
                                           uint32_t max_instances,
                                           struct realm_error *error);
void runtime_deinit(struct runtime *runtime);

/* An engine that compiles for runtime's, without a pool; for the compiler process. */
wasm_engine_t *runtime_compiler_engine(void);

/* Around every piece of work in which a guest may run. */
void runtime_enter(struct runtime *runtime);
void runtime_leave(struct runtime *runtime);

/* Sets error from what Wasmtime says, and ends the Wasmtime error.  Returns status. */
realm_status
runtime_error(struct realm_error *error, realm_status status, wasmtime_error_t *wasmtime_error);

#endif
