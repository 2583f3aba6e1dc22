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

void guest_stream_destroy(struct instance *instance, struct guest_stream *stream)
{
    (void)instance;
    if (stream->sequence != NULL) {
        stream->sequence->stream = NULL;
    }
    generation_release(stream->generation);
    instance_release(stream->child);
    alloc_free(stream);
}
