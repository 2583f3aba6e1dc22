#include "sandbox/objects.h"

#include "sandbox/steps.h"

struct guest_sequence *guest_sequence_create(struct engine_model *model)
{
    struct guest_sequence *sequence = alloc_zeroed(ALLOC_GUEST, 1, sizeof(struct guest_sequence));
    if (sequence != NULL) {
        sequence->model = model;
    }
    return sequence;
}

void guest_sequence_destroy(struct instance *instance, struct guest_sequence *sequence)
{
    instance->n_sequences--;
    instance->n_sequence_tokens -= sequence->tokens.length;
    if (sequence->stream != NULL) {
        sequence->stream->sequence = NULL;
    }
    steps_forget(sequence);
    engine_adapter_release(sequence->adapter);
    token_list_deinit(&sequence->tokens);
    alloc_free(sequence);
}

void guest_sampler_destroy(struct guest_sampler *sampler)
{
    alloc_free(sampler->biases);
    alloc_free(sampler);
}

void guest_matcher_destroy(struct guest_matcher *matcher)
{
    constraint_destroy(matcher->constraint);
    alloc_free(matcher);
}

/* What was drawn counts, read or not. */
static void count_unread(struct instance *instance, struct guest_stream *stream)
{
    uint32_t n = stream->n_completion;
    bool there = stream->held;
    while (there || generation_next(stream->generation, &stream->event)) {
        there = false;
        if (stream->event.kind == EVENT_TOKEN) {
            n++;
        } else if (stream->event.kind == EVENT_FINISHED && stream->event.n_completion_tokens > n) {
            n = stream->event.n_completion_tokens;
        }
    }
    instance_count_tokens(instance, 0, n - stream->n_completion);
}

void guest_stream_destroy(struct instance *instance, struct guest_stream *stream)
{
    if (stream->generation != NULL && !stream->ended) {
        count_unread(instance, stream);
    }
    if (stream->sequence != NULL) {
        stream->sequence->stream = NULL;
    }
    generation_release(stream->generation);
    instance_release(stream->child);
    alloc_free(stream);
}
