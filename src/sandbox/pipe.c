#include "sandbox/pipe.h"

#include "base/alloc.h"
#include "sandbox/call_stream.h"

/* Under the lock: whether an event is there. */
static bool has_event(const struct instance *instance)
{
    const struct guest_stream *stream = instance->piped;
    return stream != NULL && (stream->held || generation_readable(stream->generation));
}

/* Whether the held event is one for the reader alone, and within the limits. */
static bool can_pass(const struct instance *instance, const struct guest_stream *stream)
{
    const struct event *event = &stream->event;
    return (event->kind == EVENT_STARTED || event->kind == EVENT_TOKEN) &&
           event->text.length <= instance->limits.output_bytes - instance->output_bytes;
}

static void tell_reader(struct instance *instance)
{
    instance_signal(instance);
    if (instance->wake == NULL) {
        mailbox_poke(&instance->output); /* it may be in instance_wait */
    }
}

bool pipe_open(struct instance *instance, struct guest_stream *stream)
{
    mutex_lock(&instance->lock);
    const bool opens =
        !stream->ended && !stream->by_turn && (!stream_look(stream) || can_pass(instance, stream));
    instance->n_pipes += opens && instance->piped != stream ? 1 : 0;
    instance->piped = opens ? stream : NULL;
    /* What came before it was open has woken the guest alone. */
    const bool tell = has_event(instance);
    mutex_unlock(&instance->lock);
    if (tell) {
        tell_reader(instance);
    }
    return opens;
}

void pipe_close(struct instance *instance)
{
    mutex_lock(&instance->lock);
    instance->piped = NULL;
    mutex_unlock(&instance->lock);
}

void pipe_wake(void *context)
{
    const struct guest_stream *stream = context;
    struct instance *instance = stream->instance;
    mutex_lock(&instance->lock);
    const bool piped = instance->piped == stream;
    mutex_unlock(&instance->lock);
    if (piped) {
        tell_reader(instance);
    } else {
        instance_wake(instance);
    }
}

uint64_t pipe_number(struct instance *instance)
{
    mutex_lock(&instance->lock);
    const uint64_t number = instance->piped != NULL ? instance->n_pipes : 0;
    mutex_unlock(&instance->lock);
    return number;
}

bool pipe_readable(struct instance *instance)
{
    mutex_lock(&instance->lock);
    const bool readable = has_event(instance);
    mutex_unlock(&instance->lock);
    return readable;
}

/* Under the lock: the text of the held event as a message; NULL: out of memory. */
static struct message *copy_text(const struct guest_stream *stream)
{
    const struct bytes text = stream->event.text;
    struct message *message = alloc_bytes(ALLOC_GUEST, sizeof(struct message) + text.length);
    if (message != NULL) {
        *message = (struct message){.kind = GUEST_EVENT_TEXT, .n_bytes = text.length};
        memcpy(message->bytes, text.data, text.length);
    }
    return message;
}

/* Under the lock: passes the held event on, its text as instance->reading.  False: that needs the
 * guest. */
static bool pass(struct instance *instance, struct guest_stream *stream)
{
    const size_t n_text = stream->event.text.length;
    if (!can_pass(instance, stream)) {
        return false;
    }
    struct message *message = n_text > 0 ? copy_text(stream) : NULL;
    if ((n_text > 0 && message == NULL) || !stream_pass(instance, stream)) {
        alloc_free(message);
        return false;
    }
    instance->output_bytes += n_text;
    instance->reading = message;
    return true;
}

bool pipe_next(struct instance *instance, uint64_t number)
{
    bool needs_guest = false;
    mutex_lock(&instance->lock);
    struct guest_stream *stream = instance->n_pipes == number ? instance->piped : NULL;
    while (stream != NULL && !needs_guest && instance->reading == NULL && stream_look(stream)) {
        needs_guest = !pass(instance, stream);
    }
    if (needs_guest) {
        stream->by_turn = true;
        instance->piped = NULL;
    }
    mutex_unlock(&instance->lock);
    if (needs_guest) {
        instance_wake(instance);
    }
    return instance->reading != NULL;
}
