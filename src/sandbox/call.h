/* A host call: what a guest asks for, seen by the function that answers.
 *
 * Each call of abi.def is `int64_t call_<name>(struct call *call)`: arguments come as the table has
 * them, addresses and lengths as 64 bits; the result is what the guest gets, or one of
 *   CALL_WAITS  (ABI_WAIT only) ask again after a wake, or when call->deadline_ns has passed
 *   CALL_ENDS   a limit was passed: the instance ends
 * Guest memory is read and written through the functions here only.  It does not move or change
 * while the guest is suspended. */
#ifndef REALM_SANDBOX_CALL_H
#define REALM_SANDBOX_CALL_H

#include "base/strbuf.h"
#include "sandbox/instance.h"
#include "sandbox/state.h"

#include <realm_guest.h>

#define CALL_MAX_PARAMETERS 9u
#define CALL_WAITS          INT64_MIN
#define CALL_ENDS           (INT64_MIN + 1)

struct call {
    struct instance *instance;
    uint8_t *memory;
    size_t memory_bytes;
    uint64_t arguments[CALL_MAX_PARAMETERS];
    /* Of calls that wait; zero when the call begins: */
    uint64_t deadline_ns; /* 0: none */
    uint64_t progress;    /* the function's own */
    bool begun;
};

typedef int64_t (*call_function)(struct call *call);

#define ABI_CALL(name, result, parameters, fuel) int64_t call_##name(struct call *call);
#define ABI_WAIT(name, result, parameters, fuel) int64_t call_##name(struct call *call);
#include "sandbox/abi.def"
#undef ABI_CALL
#undef ABI_WAIT

static inline int32_t call_i32(const struct call *call, uint32_t i)
{
    return (int32_t)(uint32_t)call->arguments[i];
}

/* Keeps the words for last_error and returns the number. */
__attribute__((format(printf, 3, 4))) int64_t call_fail(struct call *call,
                                                        enum realm_guest_error number,
                                                        const char *format,
                                                        ...);
/* The same with an error of ours. */
int64_t call_fail_with(struct call *call, const struct realm_error *error);
/* The same where the tenant's store refused to keep something; a full one is told of and counted,
 * once a run. */
int64_t call_fail_to_keep(struct call *call, const struct realm_error *error);
/* The instance has passed a limit; returns CALL_ENDS. */
int64_t call_breach(struct call *call, enum limit limit);

/* n items of item_bytes at an address; false: not wholly in memory (call_bad_pointer is the result
 * then).  n 0 is fine at any address that is not past the end. */
bool call_span(
    const struct call *call, uint64_t address, uint64_t n, size_t item_bytes, uint8_t **out);
/* Bytes at arguments i (address) and i + 1 (length). */
bool call_bytes(const struct call *call, uint32_t i, struct bytes *out);
int64_t call_bad_pointer(struct call *call);
/* Copies what fits to the room at arguments i (address) and i + 1 (capacity in items); the whole
 * number of items is the result. */
int64_t call_give(struct call *call, uint32_t i, const void *items, size_t n, size_t item_bytes);
int64_t call_give_text(struct call *call, uint32_t i, const struct strbuf *text);

/* An object by handle in argument i; NULL: call_bad_handle is the result. */
void *call_object(const struct call *call, uint32_t i, enum handle_kind kind);
int64_t call_bad_handle(struct call *call);
/* A handle for a new object; the object is destroyed when there is none to be had. */
int64_t call_new_handle(struct call *call, enum handle_kind kind, void *object);
/* Ends what a handle stood for. */
void call_destroy_object(struct instance *instance, enum handle_kind kind, void *object);

/* The deadline of a timeout argument: set at the first ask. True: it has passed. */
bool call_timed_out(struct call *call, int32_t timeout_ms);

/* Emits for emit, stream_pipe and the WASI calls: 0, CALL_WAITS, CALL_ENDS or an error. */
int64_t call_emit_bytes(struct call *call, enum guest_event_kind kind, struct bytes bytes);

#endif
