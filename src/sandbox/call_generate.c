/* generate: a whole generation in the engine, and the stream it comes by. */
#include "sandbox/call.h"
#include "sandbox/call_stream.h"
#include "sandbox/pipe.h"

#define MAX_STOPS 16u
#define KNOWN_FLAGS                                                                                \
    (REALM_GENERATE_IGNORE_END | REALM_GENERATE_ECHO_SPECIAL | REALM_GENERATE_LOGPROBS)

struct generate_request {
    struct realm_generate_options options;
    struct bytes stops[MAX_STOPS];
    uint32_t n_stops;
    struct guest_sequence *sequence;
    const struct guest_sampler *sampler; /* NULL: greedy */
    const struct guest_matcher *matcher; /* NULL: none */
};

/* Strings, each followed by a zero byte. */
static int64_t read_stops(struct call *call, struct bytes list, struct generate_request *out)
{
    while (list.length > 0) {
        const uint8_t *end = memchr(list.data, 0, list.length);
        if (end == NULL || end == list.data || out->n_stops == MAX_STOPS) {
            return call_fail(call,
                             REALM_GUEST_INVALID_ARGUMENT,
                             "stop strings: at most %u, none empty, a zero byte behind each",
                             MAX_STOPS);
        }
        const size_t n = (size_t)(end - list.data);
        out->stops[out->n_stops++] = (struct bytes){.data = list.data, .length = n};
        list.data += n + 1;
        list.length -= n + 1;
    }
    return 0;
}

static int64_t read_options(struct call *call, struct generate_request *out)
{
    struct bytes options;
    struct bytes stops;
    if (!call_bytes(call, 1, &options) || !call_bytes(call, 3, &stops)) {
        return call_bad_pointer(call);
    }
    memcpy(&out->options,
           options.data,
           options.length < sizeof(out->options) ? options.length : sizeof(out->options));
    if ((out->options.flags & ~(uint32_t)KNOWN_FLAGS) != 0 ||
        out->options.n_top_logprobs > REALM_MAX_TOP_LOGPROBS) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "flags %u with %u top log-probabilities; at most %u",
                         out->options.flags,
                         out->options.n_top_logprobs,
                         REALM_MAX_TOP_LOGPROBS);
    }
    const int32_t sampler = out->options.sampler;
    out->sampler = handles_get(&call->instance->handles, sampler, HANDLE_SAMPLER);
    const int32_t matcher = out->options.matcher;
    out->matcher = handles_get(&call->instance->handles, matcher, HANDLE_MATCHER);
    if ((sampler != 0 && out->sampler == NULL) || (matcher != 0 && out->matcher == NULL)) {
        return call_bad_handle(call);
    }
    if (out->matcher != NULL && out->matcher->model != out->sequence->model) {
        return call_fail(
            call, REALM_GUEST_INVALID_ARGUMENT, "the matcher was made for another model");
    }
    return read_stops(call, stops, out);
}

/* Tokens that fit behind the prompt are generated, where the tenant may use less than the model's
 * context; the engine knows the latter only.  0: as many as there is room for. */
static int64_t bound_tokens(struct call *call, const struct guest_sequence *sequence, uint32_t *max)
{
    const uint32_t most = guest_context_length(call->instance, sequence->model);
    if (most == engine_model_context_length(sequence->model)) {
        return 0;
    }
    if (sequence->tokens.length >= most) {
        return call_fail(call,
                         REALM_GUEST_TOO_LARGE,
                         "the sequence has all %u tokens that max_context allows",
                         most);
    }
    const uint32_t room = most - (uint32_t)sequence->tokens.length;
    *max = *max == 0 || *max > room ? room : *max;
    return 0;
}

static int64_t submit(struct call *call, const struct generate_request *wanted)
{
    const struct guest_sequence *sequence = wanted->sequence;
    const uint32_t flags = wanted->options.flags;
    struct guest_stream *stream = alloc_zeroed(ALLOC_GUEST, 1, sizeof(struct guest_stream));
    if (stream == NULL) {
        return call_fail(call, REALM_GUEST_FAILED, "out of memory");
    }
    stream->instance = call->instance;
    struct request request = {
        .model = sequence->model,
        .account = call->instance->account,
        .adapter = sequence->adapter,
        .prompt = sequence->tokens.ids,
        .n_prompt = (uint32_t)sequence->tokens.length,
        .max_tokens = wanted->options.max_tokens,
        .min_tokens = wanted->options.min_tokens,
        .ignore_end = (flags & REALM_GENERATE_IGNORE_END) != 0,
        .echo_special = (flags & REALM_GENERATE_ECHO_SPECIAL) != 0,
        .stops = wanted->stops,
        .n_stops = wanted->n_stops,
        .constraint = wanted->matcher != NULL ? wanted->matcher->constraint : NULL,
        .wake = pipe_wake,
        .wake_context = stream,
    };
    if (wanted->sampler != NULL) {
        request.sampling = wanted->sampler->options;
    }
    request.sampling.logprobs = (flags & REALM_GENERATE_LOGPROBS) != 0;
    request.sampling.n_top_logprobs =
        request.sampling.logprobs ? wanted->options.n_top_logprobs : 0;
    struct realm_error error;
    if (engine_submit(call->instance->sandbox->engine, &request, &stream->generation, &error) !=
        REALM_OK) {
        alloc_free(stream);
        return call_fail_with(call, &error);
    }
    stream->sequence = wanted->sequence;
    wanted->sequence->stream = stream;
    instance_count_tokens(call->instance, request.n_prompt, 0);
    wanted->sequence->computed = true;
    return call_new_handle(call, HANDLE_STREAM, stream);
}

int64_t call_generate(struct call *call)
{
    struct generate_request wanted = {.sequence = call_object(call, 0, HANDLE_SEQUENCE)};
    if (wanted.sequence == NULL) {
        return call_bad_handle(call);
    }
    if (wanted.sequence->stream != NULL) {
        return call_fail(call, REALM_GUEST_BUSY, "a generation runs on the sequence already");
    }
    if (wanted.sequence->tokens.length == 0) {
        return call_fail(call, REALM_GUEST_INVALID_ARGUMENT, "the sequence is empty");
    }
    int64_t refused = read_options(call, &wanted);
    if (refused == 0) {
        refused = bound_tokens(call, wanted.sequence, &wanted.options.max_tokens);
    }
    return refused != 0 ? refused : submit(call, &wanted);
}
