/* The request, the answer, and what comes in between. */
#include "base/utf8.h"
#include "sandbox/call.h"

#include <jansson.h>

int64_t call_request_read(struct call *call)
{
    const struct instance *instance = call->instance;
    switch (call_i32(call, 0)) {
    case REALM_REQUEST_BODY:
        return call_give(call, 1, instance->request, instance->n_request, 1);
    case REALM_REQUEST_META:
        return call_give(call, 1, instance->meta, instance->n_meta, 1);
    default:
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "part %d of a request; there are 0 and 1",
                         call_i32(call, 0));
    }
}

static bool is_json(struct bytes bytes)
{
    json_t *value = json_loadb((const char *)bytes.data, bytes.length, JSON_DECODE_ANY, NULL);
    json_decref(value);
    return value != NULL;
}

/* Looked at once, however often the call is asked again. */
static int64_t check_emitted(struct call *call, struct bytes bytes)
{
    const int32_t kind = call_i32(call, 0);
    if (call->begun) {
        return 0;
    }
    if (kind < REALM_EMIT_TEXT || kind > REALM_EMIT_RESULT) {
        return call_fail(
            call, REALM_GUEST_INVALID_ARGUMENT, "emit kind %d; there are 0 to 2", kind);
    }
    if (kind == REALM_EMIT_TEXT ? !utf8_valid(bytes.data, bytes.length) : !is_json(bytes)) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         kind == REALM_EMIT_TEXT ? "text that is not whole UTF-8 characters"
                                                 : "an event or a result that is not JSON");
    }
    call->begun = true;
    return 0;
}

int64_t call_emit(struct call *call)
{
    static const enum guest_event_kind kinds[] = {
        [REALM_EMIT_TEXT] = GUEST_EVENT_TEXT,
        [REALM_EMIT_EVENT] = GUEST_EVENT_JSON,
        [REALM_EMIT_RESULT] = GUEST_EVENT_RESULT,
    };
    struct bytes bytes;
    if (!call_bytes(call, 1, &bytes)) {
        return call_bad_pointer(call);
    }
    const int64_t refused = check_emitted(call, bytes);
    return refused != 0 ? refused : call_emit_bytes(call, kinds[call_i32(call, 0)], bytes);
}

int64_t call_recv(struct call *call)
{
    struct instance *instance = call->instance;
    struct bytes room;
    size_t n_bytes;
    if (!call_bytes(call, 0, &room)) {
        return call_bad_pointer(call);
    }
    if (!instance->takes_input) {
        return call_fail(call, REALM_GUEST_CLOSED, "this request brings no messages");
    }
    /* Asked in this order, a message put right before the close is not missed. */
    const bool closed = mailbox_closed(&instance->input);
    if (mailbox_peek(&instance->input, &n_bytes)) {
        if (n_bytes > INT32_MAX) {
            return call_fail(call, REALM_GUEST_TOO_LARGE, "a message of %zu bytes", n_bytes);
        }
        if (n_bytes > room.length) {
            return (int64_t)n_bytes;
        }
        bool has_room;
        struct message *message = mailbox_take(&instance->input, &has_room);
        const int64_t result = call_give(call, 0, message->bytes, message->n_bytes, 1);
        alloc_free(message);
        return result;
    }
    if (closed) {
        return call_fail(call, REALM_GUEST_CLOSED, "the client has closed");
    }
    if (call_timed_out(call, call_i32(call, 2))) {
        return call_fail(call, REALM_GUEST_TIMED_OUT, "no message came");
    }
    return CALL_WAITS;
}

int64_t call_last_error(struct call *call)
{
    const char *text = call->instance->last_error;
    return call_give(call, 0, text, strlen(text), 1);
}
