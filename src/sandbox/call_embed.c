/* embed: tokens to a vector, computed in the engine's batches as any prompt is. */
#include "model/model.h"
#include "sandbox/call_stream.h"
#include "sandbox/call_text.h"

static void wake_guest(void *context)
{
    instance_wake(context);
}

static int64_t
submit(struct call *call, struct engine_model *model, const struct token_list *tokens)
{
    struct instance *instance = call->instance;
    const struct request request = {
        .model = model,
        .account = instance->account,
        .embed = true,
        .prompt = tokens->ids,
        .n_prompt = (uint32_t)tokens->length,
        .max_tokens = 1,
        .wake = wake_guest,
        .wake_context = instance,
    };
    struct realm_error error;
    if (engine_submit(instance->sandbox->engine, &request, &instance->embedding, &error) !=
        REALM_OK) {
        instance->embedding = NULL;
        return call_fail_with(call, &error);
    }
    instance_count_tokens(instance, request.n_prompt, 0);
    return CALL_WAITS;
}

/* Checks the tokens and queues them. */
static int64_t begin(struct call *call, struct engine_model *model)
{
    const uint64_t n = call->arguments[2];
    const uint32_t most = guest_context_length(call->instance, model);
    if (n > most) {
        return call_fail(call,
                         REALM_GUEST_TOO_LARGE,
                         "%llu tokens to embed; the context has %u",
                         (unsigned long long)n,
                         most);
    }
    struct token_list tokens = {.ids = NULL};
    int64_t result;
    if (call_tokens(call, model, call->arguments[1], n, &tokens, &result)) {
        result = tokens.length > 0
                     ? submit(call, model, &tokens)
                     : call_fail(call, REALM_GUEST_INVALID_ARGUMENT, "no tokens to embed");
    }
    token_list_deinit(&tokens);
    return result;
}

/* What fits, as long as 1. */
static int64_t give(struct call *call)
{
    uint8_t *out;
    uint32_t n;
    const float *const values = generation_embedding(call->instance->embedding, &n);
    const float factor = embedding_scale(values, n);
    if (!call_span(call, call->arguments[3], call->arguments[4], sizeof(float), &out)) {
        return call_bad_pointer(call);
    }
    for (uint32_t i = 0; i < n && i < call->arguments[4]; i++) {
        const float value = values[i] * factor;
        memcpy(out + i * sizeof(value), &value, sizeof(value));
    }
    return (int64_t)n;
}

static int64_t finish(struct call *call, const struct event *event)
{
    struct instance *instance = call->instance;
    int64_t result = 0;
    if (event->status == REALM_OK) {
        result = give(call);
    } else {
        struct realm_error error;
        (void)realm_error_set(
            &error, event->status, "%s", event->message != NULL ? event->message : "cancelled");
        result = call_fail_with(call, &error);
    }
    generation_release(instance->embedding);
    instance->embedding = NULL;
    return result;
}

int64_t call_embed(struct call *call)
{
    struct instance *instance = call->instance;
    struct engine_model *model = call_object(call, 0, HANDLE_MODEL);
    uint8_t *tokens;
    uint8_t *out;
    if (model == NULL) {
        return call_bad_handle(call);
    }
    if (!call_span(call, call->arguments[1], call->arguments[2], sizeof(token_id), &tokens) ||
        !call_span(call, call->arguments[3], call->arguments[4], sizeof(float), &out)) {
        return call_bad_pointer(call);
    }
    if (call->arguments[4] == 0) {
        return model_width(engine_model_model(model));
    }
    if (!call->begun) {
        call->begun = true;
        const int64_t result = begin(call, model);
        if (result != CALL_WAITS) {
            return result;
        }
    }
    struct event event;
    while (generation_next(instance->embedding, &event)) {
        if (event.kind == EVENT_FINISHED) {
            return finish(call, &event);
        }
    }
    return CALL_WAITS;
}
