/* A compiled program, ready to be instantiated: counted, immutable once it is loaded. */
#ifndef REALM_SANDBOX_PROGRAM_H
#define REALM_SANDBOX_PROGRAM_H

#include "base/arena.h"
#include "sandbox/sandbox.h"

#include <stdatomic.h>
#include <wasmtime.h>

#define PROGRAM_MAX_FUNCTIONS 64u

struct program {
    _Atomic uint32_t owners;
    struct sandbox *sandbox;
    char *name;
    wasmtime_module_t *module;
    wasmtime_instance_pre_t *ready;
    bool wide;          /* a 64-bit memory */
    bool initializes;   /* exports _initialize */
    bool describes;     /* exports realm_describe */
    struct arena arena; /* of the functions' texts */
    struct program_function functions[PROGRAM_MAX_FUNCTIONS];
    uint32_t n_functions;
};

/* The export to call for a function's name (NULL: the default function); NULL: there is none. */
const char *program_export_of(const struct program *program, const char *function);
/* Replaces the declared functions by what JSON says.  INVALID_FORMAT names what is wrong. */
REALM_MUST_CHECK realm_status program_declare(struct program *program,
                                              struct bytes json,
                                              struct realm_error *error);

#endif
