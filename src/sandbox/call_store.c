/* The tenant's key-value store.  Keys of guests begin with "k/" in it. */
#include "sandbox/call.h"

#define MAX_LISTED_KEYS 1000u
#define PREFIX_BYTES    2u

struct store_key {
    char text[STORE_MAX_KEY_BYTES + PREFIX_BYTES];
    struct bytes bytes;
};

/* False: *refused is the error.  An empty key is only good as a prefix. */
static bool
read_key(struct call *call, uint32_t i, bool may_be_empty, struct store_key *out, int64_t *refused)
{
    struct bytes key;
    if (!call_bytes(call, i, &key)) {
        *refused = call_bad_pointer(call);
        return false;
    }
    if ((key.length == 0 && !may_be_empty) || key.length > STORE_MAX_KEY_BYTES) {
        *refused = call_fail(call,
                             REALM_GUEST_INVALID_ARGUMENT,
                             "a key of %zu bytes; 1 to %u are allowed",
                             key.length,
                             STORE_MAX_KEY_BYTES);
        return false;
    }
    memcpy(out->text, "k/", PREFIX_BYTES);
    if (key.length > 0) {
        memcpy(out->text + PREFIX_BYTES, key.data, key.length);
    }
    out->bytes =
        (struct bytes){.data = (const uint8_t *)out->text, .length = key.length + PREFIX_BYTES};
    return true;
}

static int64_t give_found(struct call *call,
                          realm_status status,
                          const struct strbuf *text,
                          const struct realm_error *error)
{
    return status == REALM_OK ? call_give_text(call, 2, text) : call_fail_with(call, error);
}

int64_t call_kv_get(struct call *call)
{
    struct store_key key;
    struct realm_error error;
    int64_t result;
    if (!read_key(call, 0, false, &key, &result)) {
        return result;
    }
    struct strbuf value;
    strbuf_init(&value, ALLOC_GUEST, STORE_MAX_VALUE_BYTES);
    const realm_status status =
        value_store_get(&call->instance->tenant->store, key.bytes, &value, &error);
    result = give_found(call, status, &value, &error);
    strbuf_deinit(&value);
    return result;
}

int64_t call_kv_set(struct call *call)
{
    struct store_key key;
    struct bytes value;
    struct realm_error error;
    int64_t result;
    if (!read_key(call, 0, false, &key, &result)) {
        return result;
    }
    if (!call_bytes(call, 2, &value)) {
        return call_bad_pointer(call);
    }
    if (value.length > STORE_MAX_VALUE_BYTES) {
        return call_fail(call,
                         REALM_GUEST_TOO_LARGE,
                         "a value of %zu bytes; at most %u",
                         value.length,
                         STORE_MAX_VALUE_BYTES);
    }
    return value_store_set(&call->instance->tenant->store,
                           key.bytes,
                           value,
                           call->instance->limits.stored_bytes,
                           &error) == REALM_OK
               ? 0
               : call_fail_to_keep(call, &error);
}

int64_t call_kv_delete(struct call *call)
{
    struct store_key key;
    struct realm_error error;
    int64_t result;
    if (!read_key(call, 0, false, &key, &result)) {
        return result;
    }
    return value_store_delete(&call->instance->tenant->store, key.bytes, &error) == REALM_OK
               ? 0
               : call_fail_with(call, &error);
}

int64_t call_kv_list(struct call *call)
{
    struct store_key prefix;
    struct realm_error error;
    int64_t result;
    if (!read_key(call, 0, true, &prefix, &result)) {
        return result;
    }
    struct strbuf list;
    strbuf_init(&list, ALLOC_GUEST, (size_t)8 * MAX_LISTED_KEYS * STORE_MAX_KEY_BYTES);
    const realm_status status = value_store_list(
        &call->instance->tenant->store, prefix.bytes, PREFIX_BYTES, MAX_LISTED_KEYS, &list, &error);
    result = give_found(call, status, &list, &error);
    strbuf_deinit(&list);
    return result;
}
