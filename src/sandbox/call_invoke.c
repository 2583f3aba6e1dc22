/* invoke: another program of the same tenant, as an instance of its own.
 *
 * It gets half of what its caller may still spend; what it leaves comes back when it has ended, so
 * that a tree of programs never spends more than the first of them may. */
#include "sandbox/call.h"
#include "sandbox/objects.h"

#define MAX_NAME_BYTES 128u

static void wake_guest(void *context)
{
    instance_wake(context);
}

static bool copy_name(struct bytes from, char out[MAX_NAME_BYTES])
{
    if (from.length >= MAX_NAME_BYTES) {
        return false;
    }
    memcpy(out, from.data, from.length);
    out[from.length] = '\0';
    return true;
}

/* Takes the loan out of what the caller has left, and sets the limits by it. */
static bool lend(struct instance *instance, struct invoke_loan *loan, struct sandbox_limits *limits)
{
    uint64_t fuel = 0;
    wasmtime_error_t *error = wasmtime_context_get_fuel(instance->context, &fuel);
    *limits = instance->limits;
    loan->fuel = fuel / 2;
    loan->host_calls = (limits->host_calls - instance->host_calls) / 2;
    loan->output_bytes = (limits->output_bytes - instance->output_bytes) / 2;
    if (error == NULL) {
        error = wasmtime_context_set_fuel(instance->context, fuel - loan->fuel);
    }
    if (error != NULL) {
        wasmtime_error_delete(error);
        return false;
    }
    instance->host_calls += loan->host_calls;
    instance->output_bytes += loan->output_bytes;
    limits->fuel = loan->fuel;
    limits->host_calls = loan->host_calls;
    limits->output_bytes = loan->output_bytes;
    return true;
}

void invoke_give_back(struct instance *instance,
                      const struct invoke_loan *loan,
                      const struct instance_usage *usage)
{
    const uint64_t fuel = usage->fuel < loan->fuel ? usage->fuel : loan->fuel;
    const uint64_t calls =
        usage->host_calls < loan->host_calls ? usage->host_calls : loan->host_calls;
    const uint64_t output =
        usage->output_bytes < loan->output_bytes ? usage->output_bytes : loan->output_bytes;
    instance->fuel_back += loan->fuel - fuel; /* taken up by the next call, see linker.c */
    instance->host_calls -= loan->host_calls - calls;
    instance->output_bytes -= loan->output_bytes - output;
}

static int64_t start(struct call *call, const struct instance_options *options)
{
    struct instance *instance = call->instance;
    struct sandbox_limits limits;
    struct realm_error error;
    struct guest_stream *stream = alloc_zeroed(ALLOC_GUEST, 1, sizeof(struct guest_stream));
    if (stream == NULL || !lend(instance, &stream->loan, &limits)) {
        alloc_free(stream);
        return call_fail(call, REALM_GUEST_FAILED, "out of memory");
    }
    if (instance_start(instance->sandbox, options, instance, &limits, &stream->child, &error) !=
        REALM_OK) {
        const struct instance_usage none = {.fuel = 0};
        invoke_give_back(instance, &stream->loan, &none);
        alloc_free(stream);
        return call_fail_with(call, &error);
    }
    return call_new_handle(call, HANDLE_STREAM, stream);
}

int64_t call_invoke(struct call *call)
{
    struct instance *instance = call->instance;
    struct bytes name;
    struct bytes function;
    struct bytes request;
    char name_text[MAX_NAME_BYTES];
    char function_text[MAX_NAME_BYTES];
    if (!call_bytes(call, 0, &name) || !call_bytes(call, 2, &function) ||
        !call_bytes(call, 4, &request)) {
        return call_bad_pointer(call);
    }
    if (!copy_name(name, name_text) || !copy_name(function, function_text)) {
        return call_fail(call, REALM_GUEST_NOT_FOUND, "no program or function of that name");
    }
    if (instance->depth + 1 >= instance->limits.invoke_depth) {
        return call_breach(call, LIMIT_invoke_depth);
    }
    struct program *program = tenant_find_program(instance->tenant, name_text);
    if (program == NULL) {
        return call_fail(call, REALM_GUEST_NOT_FOUND, "no program \"%s\"", name_text);
    }
    const struct instance_options options = {
        .program = program,
        .function = function.length > 0 ? function_text : NULL,
        .tenant = instance->tenant,
        .account = instance->account,
        .model = instance->model,
        .request = request,
        .only_model = instance->only_model,
        .max_context = instance->max_context,
        .source = "invoke",
        /* Its own numbers, and the same ones when the caller is run again. */
        .seed = (uint64_t)philox_u32(&instance->random) << 1 | 1,
        .wake = wake_guest,
        .wake_context = instance,
    };
    const int64_t result = start(call, &options);
    program_release(program);
    return result;
}
