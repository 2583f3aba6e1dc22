/* Tenants' programs beside the engine: WebAssembly modules that speak the guest ABI
 * (include/realm_guest.h, docs/formats/guest-abi.md).
 *
 *   sandbox    one a process: Wasmtime's engine, the pool of instances, the threads that run them
 *   tenant     whose program it is: limits, stored values, how many instances run
 *   program    a compiled module; counted, shared by its instances
 *   instance   one run of one function for one request, with memory of its own
 *
 * Whatever a guest does ends at most its instance: a limit that is passed ends it with
 * RESOURCE_EXHAUSTED and the limit's name, a trap with GUEST_TRAPPED.  Two limits do less: a log
 * beyond log_bytes is dropped, and stored_bytes is a quota of all the tenant's programs together,
 * whose full store refuses the call that would keep more.  A guest that waits costs no thread.  All
 * functions are for any thread unless they say otherwise. */
#ifndef REALM_SANDBOX_SANDBOX_H
#define REALM_SANDBOX_SANDBOX_H

#include "base/bytes.h"
#include "base/status.h"

struct account;
struct engine;
struct engine_model;
struct instance;
struct program;
struct sandbox;
struct sandbox_tenant;

/* --- limits ------------------------------------------------------------------------------------
 */

/* X(field, name told to clients, default) */
#define SANDBOX_LIMITS(X)                                                                          \
    X(cpu_ms, "cpu_ms", 500)                      /* running without a host call */                \
    X(fuel, "fuel", 20000000000)                  /* instructions of a request, about */           \
    X(memory_bytes, "memory_bytes", 268435456)    /* linear memory */                              \
    X(table_elements, "table_elements", 20000)    /* of each table */                              \
    X(instances, "instances", 100)                /* of a tenant at once */                        \
    X(handles, "handles", 256)                    /* alive at once */                              \
    X(host_calls, "host_calls", 10000000)         /* of a request */                               \
    X(sequences, "sequences", 64)                 /* alive at once */                              \
    X(sequence_tokens, "sequence_tokens", 131072) /* in all living sequences together */           \
    X(output_bytes, "output_bytes", 16777216)     /* emitted in a request */                       \
    X(log_bytes, "log_bytes", 65536)              /* logged in a request; more is dropped */       \
    X(invoke_depth, "invoke_depth", 4)            /* programs that invoke programs */              \
    X(stored_bytes, "stored_bytes", 16777216)     /* keys, values and saved sequences */           \
    X(module_bytes, "module_bytes", 33554432)     /* of an uploaded module */                      \
    X(programs, "programs", 100)                  /* on the tenant's shelf */                      \
    X(shelf_bytes, "shelf_bytes", 268435456)      /* of all versions there */                      \
    X(compile_ms, "compile_ms", 30000)            /* of its compilation */                         \
    X(compile_memory_bytes, "compile_memory_bytes", 2147483648)

/* 0 means default in every field. */
struct sandbox_limits {
#define SANDBOX_LIMIT_FIELD(field, name, value) uint64_t field;
    SANDBOX_LIMITS(SANDBOX_LIMIT_FIELD)
#undef SANDBOX_LIMIT_FIELD
};

/* --- the sandbox -------------------------------------------------------------------------------
 */

/* What a guest may ever have, whatever its limit. */
#define SANDBOX_MAX_MEMORY_BYTES (UINT64_C(8) << 30)

/* Zero means default in every field but engine. */
struct sandbox_options {
    struct engine *engine;  /* outlives the sandbox; NULL: programs find no model */
    const char *folder;     /* for compiled code and its secret, made if missing; NULL: none kept */
    const char *compiler;   /* program started as "<compiler> compile-program", whose main calls
                               sandbox_compiler_main; NULL: this very program */
    uint32_t max_instances; /* 1024.  SANDBOX_MAX_MEMORY_BYTES of address space each is reserved */
    uint32_t n_threads;     /* that run guests; 2.  One more runs those that compute */
};

REALM_MUST_CHECK realm_status sandbox_open(const struct sandbox_options *options,
                                           struct sandbox **out,
                                           struct realm_error *error);
/* Ends what runs.  Programs, tenants and instances must have been released.  NULL is fine. */
void sandbox_close(struct sandbox *sandbox);

#define SANDBOX_COMPILE_COMMAND "compile-program"

/* What `compile-program` does: a module from standard input, compiled code or a message to standard
 * output, under limits that are laid down before the first byte is read.  Returns the exit code. */
int sandbox_compiler_main(void);

struct sandbox_stats {
    uint32_t instances; /* alive now */
    uint64_t started;
    uint64_t succeeded;
    uint64_t failed; /* returned an error or trapped */
    uint64_t cancelled;
    uint64_t host_calls;
    uint64_t polls; /* of the sandbox; 0 for a tenant */
    /* Ended by a limit, or met it where it refuses only, in the order of SANDBOX_LIMITS. */
    uint64_t breaches[sizeof(struct sandbox_limits) / sizeof(uint64_t)];
};

void sandbox_stats(struct sandbox *sandbox, struct sandbox_stats *out);
/* Name of the i-th limit ("cpu_ms"), NULL behind the last. */
const char *sandbox_limit_name(uint32_t index);
/* Name of the limit that a RESOURCE_EXHAUSTED error tells of; NULL: none. */
const char *sandbox_limit_of(const struct realm_error *error);

/* --- tenants -----------------------------------------------------------------------------------
 */

/* The tenant of that id (1 to 64 letters, digits, '-' and '_'), made when it is new; limits replace
 * what it had, for instances that start later (NULL: default ones).  Ends with
 * sandbox_tenant_release. */
REALM_MUST_CHECK realm_status sandbox_tenant_acquire(struct sandbox *sandbox,
                                                     const char *id,
                                                     const struct sandbox_limits *limits,
                                                     struct sandbox_tenant **out,
                                                     struct realm_error *error);
void sandbox_tenant_release(struct sandbox_tenant *tenant);
/* For instances and modules that come later. */
void sandbox_tenant_set_limits(struct sandbox_tenant *tenant, const struct sandbox_limits *limits);
/* Of the time since it was made. */
void sandbox_tenant_stats(struct sandbox_tenant *tenant, struct sandbox_stats *out);

/* --- programs ----------------------------------------------------------------------------------
 */

/* A function a program declares; text as JSON; lives as long as the program. */
struct program_function {
    const char *name; /* of the export */
    const char *description;
    const char *parameters_json; /* a JSON schema */
    bool streaming;
};

/* Checks a module, compiles it in a process of its own (or takes what was compiled before) and
 * makes it ready.  Blocks: seconds for a large module that is new.
 * name: shown in messages, copied.  *out ends with program_release.
 * INVALID_FORMAT: not a module, or one that asks for what a guest may not have, with the reason;
 * RESOURCE_EXHAUSTED names the limit; UNAVAILABLE: the compiler could not be started. */
REALM_MUST_CHECK realm_status program_load(struct sandbox *sandbox,
                                           struct sandbox_tenant *tenant,
                                           const char *name,
                                           struct bytes module,
                                           struct program **out,
                                           struct realm_error *error);
void program_acquire(struct program *program);
void program_release(struct program *program);
const char *program_name(const struct program *program);
uint32_t program_n_functions(const struct program *program);
const struct program_function *program_function_at(const struct program *program, uint32_t index);

/* Makes a program callable by the tenant's other programs under its name, in place of what was
 * there; the tenant holds it until it is withdrawn or released itself. */
REALM_MUST_CHECK realm_status sandbox_tenant_publish(struct sandbox_tenant *tenant,
                                                     struct program *program,
                                                     struct realm_error *error);
/* False: there was none of that name. */
bool sandbox_tenant_withdraw(struct sandbox_tenant *tenant, const char *name);

/* --- instances ---------------------------------------------------------------------------------
 */

enum guest_event_kind {
    GUEST_EVENT_TEXT,     /* whole UTF-8 characters */
    GUEST_EVENT_JSON,     /* a structured event */
    GUEST_EVENT_RESULT,   /* the function's result, JSON */
    GUEST_EVENT_LOG,      /* a line of its log; level */
    GUEST_EVENT_FINISHED, /* the last one */
};

struct instance_usage {
    uint64_t prompt_tokens;
    uint64_t completion_tokens;
    uint64_t fuel;
    uint64_t host_calls;
    uint64_t output_bytes;
    uint64_t memory_bytes; /* at the end */
};

struct guest_event {
    enum guest_event_kind kind;
    struct bytes bytes;
    uint32_t level;      /* LOG: 0 error to 3 debug */
    realm_status status; /* FINISHED from here */
    int32_t exit_code;   /* what the function returned */
    const char *limit;   /* the limit that ended it, or NULL */
    const char *message; /* of a status that is not OK */
    bool cut_short;      /* the generation it piped out last ended for want of tokens */
    const char *quota;   /* the limit for which calls of it were refused with QUOTA, or NULL */
    struct instance_usage usage;
};

struct instance_options {
    struct program *program;
    const char *function; /* NULL: the default one */
    struct sandbox_tenant *tenant;
    struct account *account;    /* whom the engine counts it for; NULL: its own */
    struct engine_model *model; /* of the request; NULL: none */
    struct bytes request;       /* JSON; copied */
    uint32_t version;           /* of the program, told to the guest */
    const char *source;         /* "run", "chat", "websocket": told to the guest; NULL: "run" */
    bool stream;                /* told to the guest */
    bool takes_input;           /* instance_deliver may bring messages */
    uint64_t max_context;       /* tokens of each of its sequences; 0: the model's context length */
    bool only_model;            /* it finds no model but the request's */
    uint64_t seed;              /* of its random numbers and samplers; 0: from the system */
    /* Called when events are there to read and none were before; must only wake somebody.  NULL:
     * instance_wait serves. */
    void (*wake)(void *context);
    void *wake_context;
};

/* Begins a run.  *out is the reader's and ends with instance_release.
 * NOT_FOUND: no such function; RESOURCE_EXHAUSTED: the tenant's limit of instances;
 * UNAVAILABLE: no room for one more guest, come again. */
REALM_MUST_CHECK realm_status sandbox_start(struct sandbox *sandbox,
                                            const struct instance_options *options,
                                            struct instance **out,
                                            struct realm_error *error);

/* The next event, or false: none now.  Its pointers stay valid until the next call.  One reader. */
bool instance_next(struct instance *instance, struct guest_event *out);
/* Waits until there is an event or timeout_ms passed; false: timeout.  One reader. */
bool instance_wait(struct instance *instance, uint32_t timeout_ms);
/* Tokens it has used so far. */
void instance_tokens(struct instance *instance, uint64_t *prompt, uint64_t *completion);
/* Gives the guest a message for `recv`, copied.  RESOURCE_EXHAUSTED: it has not read the last ones
 * (1 MiB).  INVALID_ARGUMENT: it takes no input, or its input was closed. */
REALM_MUST_CHECK realm_status instance_deliver(struct instance *instance,
                                               struct bytes message,
                                               struct realm_error *error);
/* No more input: `recv` gives CLOSED once all is read. */
void instance_close_input(struct instance *instance);
/* Ends it soon; FINISHED with CANCELLED follows. */
void instance_cancel(struct instance *instance);
/* The reader goes away (and cancels what still runs).  NULL is fine. */
void instance_release(struct instance *instance);

#endif
