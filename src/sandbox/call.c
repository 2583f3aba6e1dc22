#include "sandbox/call.h"

#include "base/clock.h"
#include "sandbox/objects.h"

#include <stdio.h>

#define NS_PER_MS UINT64_C(1000000)
/* What a piece of output costs the guest: what the server works for the client with it, and more
 * for each byte, so that a flood is a trickle to the others. */
#define EMIT_NS      UINT64_C(1000)
#define EMIT_BYTE_NS UINT64_C(16)

static const struct {
    realm_status status;
    enum realm_guest_error number;
} numbers[] = {
    {REALM_OK, REALM_GUEST_OK},
    {REALM_INVALID_ARGUMENT, REALM_GUEST_INVALID_ARGUMENT},
    {REALM_INVALID_FORMAT, REALM_GUEST_INVALID_ARGUMENT},
    {REALM_UNSUPPORTED, REALM_GUEST_UNSUPPORTED},
    {REALM_NOT_FOUND, REALM_GUEST_NOT_FOUND},
    {REALM_ALREADY_EXISTS, REALM_GUEST_INVALID_ARGUMENT},
    {REALM_UNAUTHENTICATED, REALM_GUEST_FAILED},
    {REALM_PERMISSION_DENIED, REALM_GUEST_FAILED},
    {REALM_QUOTA_EXCEEDED, REALM_GUEST_QUOTA},
    {REALM_RESOURCE_EXHAUSTED, REALM_GUEST_QUOTA},
    {REALM_OUT_OF_MEMORY, REALM_GUEST_FAILED},
    {REALM_CANCELLED, REALM_GUEST_CLOSED},
    {REALM_DEADLINE_EXCEEDED, REALM_GUEST_TIMED_OUT},
    {REALM_UNAVAILABLE, REALM_GUEST_FAILED},
    {REALM_IO, REALM_GUEST_FAILED},
    {REALM_GUEST_TRAPPED, REALM_GUEST_FAILED},
    {REALM_INTERNAL, REALM_GUEST_FAILED},
};
_Static_assert(sizeof(numbers) / sizeof(numbers[0]) == REALM_N_STATUSES,
               "a status has no number for guests");

int64_t call_fail(struct call *call, enum realm_guest_error number, const char *format, ...)
{
    struct realm_error error;
    va_list arguments;
    va_start(arguments, format);
    (void)realm_error_setv(&error, REALM_INVALID_ARGUMENT, format, arguments);
    va_end(arguments);
    memcpy(call->instance->last_error, error.message, sizeof(error.message));
    return number;
}

int64_t call_fail_with(struct call *call, const struct realm_error *error)
{
    for (size_t i = 0; i < REALM_N_STATUSES; i++) {
        if (numbers[i].status == error->status) {
            return call_fail(call, numbers[i].number, "%s", error->message);
        }
    }
    return call_fail(call, REALM_GUEST_FAILED, "%s", error->message);
}

int64_t call_fail_to_keep(struct call *call, const struct realm_error *error)
{
    struct instance *instance = call->instance;
    if (error->status == REALM_QUOTA_EXCEEDED && !instance->store_was_full) {
        instance->store_was_full = true;
        tenant_count_breach(instance->tenant, LIMIT_stored_bytes);
    }
    return call_fail_with(call, error);
}

int64_t call_breach(struct call *call, enum limit limit)
{
    call->instance->breach = (int32_t)limit;
    return CALL_ENDS;
}

bool call_span(
    const struct call *call, uint64_t address, uint64_t n, size_t item_bytes, uint8_t **out)
{
    if (address > call->memory_bytes || n > (call->memory_bytes - address) / item_bytes) {
        return false;
    }
    *out = call->memory + address;
    return true;
}

bool call_bytes(const struct call *call, uint32_t i, struct bytes *out)
{
    uint8_t *data;
    if (!call_span(call, call->arguments[i], call->arguments[i + 1], 1, &data)) {
        return false;
    }
    *out = (struct bytes){.data = data, .length = (size_t)call->arguments[i + 1]};
    return true;
}

int64_t call_bad_pointer(struct call *call)
{
    return call_fail(call,
                     REALM_GUEST_BAD_POINTER,
                     "a pointer with its length goes past the memory's %zu bytes",
                     call->memory_bytes);
}

int64_t call_give(struct call *call, uint32_t i, const void *items, size_t n, size_t item_bytes)
{
    uint8_t *out;
    if (!call_span(call, call->arguments[i], call->arguments[i + 1], item_bytes, &out)) {
        return call_bad_pointer(call);
    }
    if (n > INT32_MAX) {
        return call_fail(call, REALM_GUEST_TOO_LARGE, "%zu items are too many", n);
    }
    const size_t fits = n < call->arguments[i + 1] ? n : (size_t)call->arguments[i + 1];
    if (fits > 0) {
        memcpy(out, items, fits * item_bytes);
    }
    return (int64_t)n;
}

int64_t call_give_text(struct call *call, uint32_t i, const struct strbuf *text)
{
    return call_give(call, i, text->text, text->length, 1);
}

void *call_object(const struct call *call, uint32_t i, enum handle_kind kind)
{
    return handles_get(&call->instance->handles, call_i32(call, i), kind);
}

int64_t call_bad_handle(struct call *call)
{
    return call_fail(
        call, REALM_GUEST_BAD_HANDLE, "no live handle of the right kind in this instance");
}

int64_t call_new_handle(struct call *call, enum handle_kind kind, void *object)
{
    struct instance *instance = call->instance;
    const int32_t handle = handles_add(&instance->handles, kind, object);
    if (handle != 0) {
        return handle;
    }
    const bool full = handles_full(&instance->handles);
    call_destroy_object(instance, kind, object);
    return full ? call_breach(call, LIMIT_handles)
                : call_fail(call, REALM_GUEST_FAILED, "out of memory");
}

void call_destroy_object(struct instance *instance, enum handle_kind kind, void *object)
{
    switch (kind) {
    case HANDLE_SEQUENCE:
        guest_sequence_destroy(instance, object);
        break;
    case HANDLE_SAMPLER:
        guest_sampler_destroy(object);
        break;
    case HANDLE_STREAM:
        guest_stream_destroy(instance, object);
        break;
    case HANDLE_MATCHER:
        guest_matcher_destroy(object);
        break;
    case HANDLE_ADAPTER:
        engine_adapter_release(object);
        break;
    case HANDLE_MODEL: /* the engine's */
    case HANDLE_FREE:
        break;
    }
}

int64_t call_drop(struct call *call)
{
    enum handle_kind kind;
    struct instance *instance = call->instance;
    /* A sequence whose generation runs stays until its stream has gone. */
    const struct guest_sequence *sequence = call_object(call, 0, HANDLE_SEQUENCE);
    if (sequence != NULL && sequence->stream != NULL) {
        return call_fail(
            call, REALM_GUEST_BUSY, "the sequence generates; drop its stream before it");
    }
    void *object = handles_remove(&instance->handles, call_i32(call, 0), &kind);
    if (object == NULL) {
        return call_bad_handle(call);
    }
    call_destroy_object(instance, kind, object);
    return 0;
}

bool call_timed_out(struct call *call, int32_t timeout_ms)
{
    if (timeout_ms < 0) {
        return false;
    }
    const uint64_t now_ns = clock_monotonic_ns();
    if (!call->begun) {
        call->begun = true;
        call->deadline_ns = now_ns + (uint64_t)timeout_ms * NS_PER_MS;
    }
    return now_ns >= call->deadline_ns;
}

/* A box that is full says so until its reader has taken half of it and wakes the guest. */
int64_t call_emit_bytes(struct call *call, enum guest_event_kind kind, struct bytes bytes)
{
    struct instance *instance = call->instance;
    if (bytes.length > instance->limits.output_bytes - instance->output_bytes) {
        return call_breach(call, LIMIT_output_bytes);
    }
    bool was_empty;
    switch (mailbox_put(&instance->output, kind, 0, bytes, &was_empty)) {
    case MAILBOX_PUT:
        instance->output_bytes += bytes.length;
        instance->task.extra_ns += EMIT_NS + bytes.length * EMIT_BYTE_NS;
        if (was_empty) {
            instance_signal(instance);
        }
        return 0;
    case MAILBOX_FULL:
        return CALL_WAITS;
    case MAILBOX_CLOSED:
        return call_fail(call, REALM_GUEST_CLOSED, "nobody reads the output any more");
    case MAILBOX_OUT_OF_MEMORY:
        break;
    }
    return call_fail(call, REALM_GUEST_FAILED, "out of memory");
}
