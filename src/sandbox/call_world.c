/* Random numbers, time, the log, and what is left of the limits. */
#include "base/clock.h"
#include "sandbox/call.h"

#define MAX_RANDOM_BYTES   65536u
#define MAX_LOG_LINE_BYTES 4096u

int64_t call_random(struct call *call)
{
    uint8_t *out;
    const uint64_t n = call->arguments[1];
    if (!call_span(call, call->arguments[0], n, 1, &out)) {
        return call_bad_pointer(call);
    }
    if (n > MAX_RANDOM_BYTES) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "%llu random bytes; at most %u a call",
                         (unsigned long long)n,
                         MAX_RANDOM_BYTES);
    }
    for (uint64_t at = 0; at < n; at += sizeof(uint32_t)) {
        const uint32_t word = philox_u32(&call->instance->random);
        const uint64_t left = n - at;
        memcpy(out + at, &word, left < sizeof(word) ? (size_t)left : sizeof(word));
    }
    return 0;
}

int64_t call_clock_ms(struct call *call)
{
    (void)call;
    return clock_wall_ms();
}

int64_t call_log(struct call *call)
{
    struct bytes line;
    const int32_t level = call_i32(call, 0);
    if (!call_bytes(call, 1, &line)) {
        return call_bad_pointer(call);
    }
    if (level < 0 || level > 3 || line.length > MAX_LOG_LINE_BYTES) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "log level %d with %zu bytes; 0 to 3 and at most %u",
                         level,
                         line.length,
                         MAX_LOG_LINE_BYTES);
    }
    instance_log(call->instance, (uint32_t)level, line);
    return 0;
}

int64_t call_usage(struct call *call)
{
    struct instance *instance = call->instance;
    const struct sandbox_limits *limits = &instance->limits;
    const uint64_t stored = value_store_held_bytes(&instance->tenant->store);
    uint64_t fuel_left = 0;
    wasmtime_error_t *error = wasmtime_context_get_fuel(instance->context, &fuel_left);
    if (error != NULL) {
        wasmtime_error_delete(error);
    }
    const struct realm_guest_usage usage = {
        .prompt_tokens = instance->prompt_tokens,
        .completion_tokens = instance->completion_tokens,
        .fuel_left = fuel_left,
        .host_calls_left = limits->host_calls - instance->host_calls,
        .output_bytes_left = limits->output_bytes - instance->output_bytes,
        .handles_left = limits->handles - instance->handles.n_live,
        .kv_bytes_left = stored < limits->stored_bytes ? limits->stored_bytes - stored : 0,
    };
    const int64_t size = call_give(call, 0, &usage, sizeof(usage), 1);
    return size < 0 ? size : 0;
}
