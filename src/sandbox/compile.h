/* Compiling a module in a process of its own: no privileges, no files, no network, bounded time and
 * memory.  What a hostile module might make of the compiler ends there. */
#ifndef REALM_SANDBOX_COMPILE_H
#define REALM_SANDBOX_COMPILE_H

#include "sandbox/state.h"

/* What parent and child say to each other before the module's bytes. */
struct compile_order {
    uint64_t module_bytes;
    uint64_t memory_bytes;
    uint64_t time_ms;
};

#define COMPILE_MAX_CODE_BYTES ((size_t)512 * 1024 * 1024)

/* Compiled code of a module, by alloc_free.  compiler: see sandbox_options.
 * INVALID_FORMAT with Wasmtime's words; RESOURCE_EXHAUSTED names compile_ms (processor time, and
 * 64 times as much by the clock) or compile_memory_bytes; UNAVAILABLE: no process could be
 * started.  While the sandbox is busy such processes work for a part of the time, one after the
 * other.  Blocks. */
REALM_MUST_CHECK realm_status compile_module(struct sandbox *sandbox,
                                             struct bytes module,
                                             const struct sandbox_limits *limits,
                                             uint8_t **code,
                                             size_t *n_code_bytes,
                                             struct realm_error *error);

#endif
