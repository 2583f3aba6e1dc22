/* The host calls of abi.def and of WASI, as Wasmtime's linker wants them. */
#ifndef REALM_SANDBOX_LINKER_H
#define REALM_SANDBOX_LINKER_H

#include "base/status.h"

#include <wasmtime.h>

#define LINKER_MODULE "realm_v1"

/* wide: for modules with a 64-bit memory. */
REALM_MUST_CHECK realm_status linker_define(wasmtime_linker_t *linker,
                                            bool wide,
                                            struct realm_error *error);

/* Room for the call a guest is suspended in. */
size_t linker_wait_bytes(void);

/* A row of abi.def, for tests and documentation; NULL behind the last. */
struct abi_row {
    const char *name;
    const char *parameters;
    bool waits;
    bool long_result; /* 64 bits */
    uint32_t fuel;
};
const struct abi_row *linker_row(uint32_t index);

#endif
