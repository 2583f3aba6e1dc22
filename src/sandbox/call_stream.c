/* Streams: events of generations and of other programs. */
#include "sandbox/call_stream.h"

#include "sandbox/pipe.h"

#include <math.h>

_Static_assert(REALM_MAX_TOP_LOGPROBS == SAMPLER_MAX_TOP_LOGPROBS, "one bound for both");

/* Of the engine's events a guest sees all but DONE, which says nothing new of one choice. */
static bool look_at_generation(struct guest_stream *stream)
{
    while (generation_next(stream->generation, &stream->event)) {
        if (stream->event.kind != EVENT_DONE) {
            return true;
        }
    }
    return false;
}

/* Of a program's events, all but its log. */
static bool look_at_child(struct guest_stream *stream)
{
    while (instance_next(stream->child, &stream->child_event)) {
        if (stream->child_event.kind != GUEST_EVENT_LOG) {
            return true;
        }
    }
    return false;
}

bool stream_look(struct guest_stream *stream)
{
    if (!stream->held && !stream->ended) {
        stream->held = stream->child != NULL ? look_at_child(stream) : look_at_generation(stream);
    }
    return stream->held;
}

static struct bytes held_text(const struct guest_stream *stream)
{
    return stream->child != NULL ? stream->child_event.bytes : stream->event.text;
}

static void keep_words(struct call *call, const char *message)
{
    if (message != NULL) {
        (void)call_fail(call, REALM_GUEST_FAILED, "%s", message);
    }
}

static void describe_child(const struct guest_stream *stream, struct realm_stream_event *out)
{
    static const uint32_t kinds[] = {
        [GUEST_EVENT_TEXT] = REALM_EMIT_TEXT,
        [GUEST_EVENT_JSON] = REALM_EMIT_EVENT,
        [GUEST_EVENT_RESULT] = REALM_EMIT_RESULT,
    };
    const struct guest_event *event = &stream->child_event;
    if (event->kind == GUEST_EVENT_FINISHED) {
        out->kind = REALM_STREAM_FINISHED;
        out->finish = event->status == REALM_OK          ? REALM_STREAM_STOP
                      : event->status == REALM_CANCELLED ? REALM_STREAM_CANCELLED
                                                         : REALM_STREAM_ERROR;
        out->n_prompt_tokens = (uint32_t)event->usage.prompt_tokens;
        out->n_completion_tokens = (uint32_t)event->usage.completion_tokens;
        return;
    }
    out->kind = REALM_STREAM_OUTPUT;
    out->token = kinds[event->kind];
}

static void describe_generation(const struct guest_stream *stream, struct realm_stream_event *out)
{
    const struct event *event = &stream->event;
    out->kind = event->kind == EVENT_STARTED ? REALM_STREAM_STARTED
                : event->kind == EVENT_TOKEN ? REALM_STREAM_TOKEN
                                             : REALM_STREAM_FINISHED;
    if (event->kind == EVENT_TOKEN) {
        out->token = event->token;
        out->logprob = event->logprob;
        out->n_top = event->n_top;
        for (uint32_t i = 0; i < event->n_top && i < REALM_MAX_TOP_LOGPROBS; i++) {
            out->top[i] = (struct realm_token_score){.token = event->top[i].token,
                                                     .score = event->top[i].logprob};
        }
    }
    if (event->kind == EVENT_FINISHED) {
        out->finish = (uint32_t)event->finish;
    }
    out->n_prompt_tokens = event->kind == EVENT_STARTED ? event->n_prompt_tokens : stream->n_prompt;
    out->n_cached_tokens = event->kind == EVENT_STARTED ? event->n_cached_tokens : stream->n_cached;
    out->n_completion_tokens = stream->n_completion + (event->kind == EVENT_TOKEN ? 1 : 0);
}

static void describe(const struct guest_stream *stream, struct realm_stream_event *out)
{
    *out = (struct realm_stream_event){.logprob = NAN};
    if (stream->child != NULL) {
        describe_child(stream, out);
    } else {
        describe_generation(stream, out);
    }
    out->n_text = (uint32_t)held_text(stream).length;
}

/* Whether the stream's next token becomes one of a sequence. */
static bool grows(const struct instance *instance, const struct guest_stream *stream)
{
    const struct guest_sequence *sequence = stream->sequence;
    return sequence != NULL &&
           sequence->tokens.length < guest_context_length(instance, sequence->model);
}

static void count_token(struct instance *instance, struct guest_stream *stream)
{
    stream->n_completion++;
    instance_count_tokens(instance, 0, 1);
}

static void take_start(struct guest_stream *stream)
{
    stream->n_prompt = stream->event.n_prompt_tokens;
    stream->n_cached = stream->event.n_cached_tokens;
}

static int64_t take_token(struct call *call, struct guest_stream *stream)
{
    count_token(call->instance, stream);
    if (!grows(call->instance, stream)) {
        return 0;
    }
    const int64_t length = guest_sequence_append(call, stream->sequence, &stream->event.token, 1);
    return length > 0 ? 0 : length;
}

static void take_end(struct call *call, struct guest_stream *stream)
{
    stream->ended = true;
    if (stream->sequence != NULL) {
        stream->sequence->stream = NULL;
        stream->sequence = NULL;
    }
    if (stream->child != NULL) {
        /* Its run's tally has them already. */
        call->instance->prompt_tokens += stream->child_event.usage.prompt_tokens;
        call->instance->completion_tokens += stream->child_event.usage.completion_tokens;
        invoke_give_back(call->instance, &stream->loan, &stream->child_event.usage);
        keep_words(call, stream->child_event.message);
    } else {
        /* The token that ended it was drawn too, though the guest is not shown it. */
        if (stream->event.n_completion_tokens > stream->n_completion) {
            instance_count_tokens(
                call->instance, 0, stream->event.n_completion_tokens - stream->n_completion);
        }
        keep_words(call, stream->event.message);
    }
}

int64_t stream_take(struct call *call, struct guest_stream *stream)
{
    stream->held = false;
    if (stream->child != NULL) {
        if (stream->child_event.kind == GUEST_EVENT_FINISHED) {
            take_end(call, stream);
        }
        return 0;
    }
    switch (stream->event.kind) {
    case EVENT_STARTED:
        take_start(stream);
        return 0;
    case EVENT_TOKEN:
        return take_token(call, stream);
    default:
        take_end(call, stream);
        return 0;
    }
}

bool stream_pass(struct instance *instance, struct guest_stream *stream)
{
    if (stream->event.kind == EVENT_STARTED) {
        take_start(stream);
    } else {
        if (grows(instance, stream)) {
            if (instance->n_sequence_tokens >= instance->limits.sequence_tokens ||
                token_list_append(&stream->sequence->tokens, stream->event.token, NULL) !=
                    REALM_OK) {
                return false;
            }
            instance->n_sequence_tokens++;
        }
        count_token(instance, stream);
    }
    stream->held = false;
    return true;
}

/* Writes as much of the event as the guest's header knows. */
static void give_event(uint8_t *out, uint64_t room, const struct realm_stream_event *event)
{
    memcpy(out, event, room < sizeof(*event) ? (size_t)room : sizeof(*event));
}

int64_t call_stream_next(struct call *call)
{
    struct guest_stream *stream = call_object(call, 0, HANDLE_STREAM);
    uint8_t *event_out;
    struct bytes room;
    if (stream == NULL) {
        return call_bad_handle(call);
    }
    if (!call_span(call, call->arguments[1], call->arguments[2], 1, &event_out) ||
        !call_bytes(call, 3, &room)) {
        return call_bad_pointer(call);
    }
    if (stream->ended) {
        return 0;
    }
    if (!stream_look(stream)) {
        return call_timed_out(call, call_i32(call, 5))
                   ? call_fail(call, REALM_GUEST_TIMED_OUT, "no event came")
                   : CALL_WAITS;
    }
    struct realm_stream_event event;
    describe(stream, &event);
    const struct bytes text = held_text(stream);
    give_event(event_out, call->arguments[2], &event);
    if (text.length > room.length) {
        return call_fail(call,
                         REALM_GUEST_TOO_LARGE,
                         "the event's text has %zu bytes, there is room for %zu",
                         text.length,
                         room.length);
    }
    (void)call_give(call, 3, text.data, text.length, 1);
    const int64_t refused = stream_take(call, stream);
    return refused != 0 ? refused : 1;
}

/* Whether the event has something for the client, and as what. */
static bool is_shown(const struct guest_stream *stream, enum guest_event_kind *kind)
{
    *kind = stream->child != NULL ? stream->child_event.kind : GUEST_EVENT_TEXT;
    return *kind != GUEST_EVENT_FINISHED && held_text(stream).length > 0;
}

int64_t call_stream_pipe(struct call *call)
{
    struct guest_stream *stream = call_object(call, 0, HANDLE_STREAM);
    uint8_t *event_out;
    if (stream == NULL) {
        return call_bad_handle(call);
    }
    if (!call_span(call, call->arguments[1], call->arguments[2], 1, &event_out)) {
        return call_bad_pointer(call);
    }
    if (stream->child == NULL && pipe_open(call->instance, stream)) {
        return CALL_WAITS;
    }
    while (stream_look(stream)) {
        struct realm_stream_event event;
        enum guest_event_kind kind;
        if (is_shown(stream, &kind)) {
            const int64_t refused = call_emit_bytes(call, kind, held_text(stream));
            if (refused != 0) {
                return refused;
            }
        }
        describe(stream, &event);
        event.n_text = 0; /* it was emitted */
        const bool cut_short = stream->child != NULL ? stream->child_event.cut_short
                                                     : event.finish == REALM_STREAM_LENGTH;
        const int64_t refused = stream_take(call, stream);
        if (refused != 0) {
            return refused;
        }
        if (stream->ended) {
            give_event(event_out, call->arguments[2], &event);
            call->instance->cut_short = cut_short;
            return (int64_t)event.n_completion_tokens;
        }
    }
    return stream->ended ? (int64_t)stream->n_completion : CALL_WAITS;
}

int64_t call_stream_wait(struct call *call)
{
    uint8_t *handles;
    const uint64_t n = call->arguments[1];
    if (!call_span(call, call->arguments[0], n, sizeof(int32_t), &handles)) {
        return call_bad_pointer(call);
    }
    if (n == 0 || n > HANDLES_MAX) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "%llu streams to wait for; 1 to %u",
                         (unsigned long long)n,
                         HANDLES_MAX);
    }
    for (uint64_t i = 0; i < n; i++) {
        int32_t handle;
        memcpy(&handle, handles + i * sizeof(handle), sizeof(handle));
        struct guest_stream *stream = handles_get(&call->instance->handles, handle, HANDLE_STREAM);
        if (stream == NULL) {
            return call_bad_handle(call);
        }
        if (stream->ended || stream_look(stream)) {
            return (int64_t)i;
        }
    }
    return call_timed_out(call, call_i32(call, 2))
               ? call_fail(call, REALM_GUEST_TIMED_OUT, "no event came")
               : CALL_WAITS;
}
