/* Sequences: growing lists of tokens that generate and step compute. */
#include "sandbox/call_stream.h"
#include "sandbox/call_text.h"
#include "sandbox/steps.h"

#define MAX_NAME_BYTES (STORE_MAX_KEY_BYTES - 2)

/* Takes a reference more, and gives the one before back. */
static void wear(struct guest_sequence *sequence, struct engine_adapter *adapter)
{
    if (adapter != NULL) {
        engine_adapter_retain(adapter);
    }
    engine_adapter_release(sequence->adapter);
    sequence->adapter = adapter;
}

/* A new one as a handle, or the error; original: what it is a fork of, or NULL; tokens are taken
 * over (and emptied) in either case. */
static int64_t new_sequence(struct call *call,
                            struct engine_model *model,
                            struct token_list *tokens,
                            struct guest_sequence *original)
{
    struct instance *instance = call->instance;
    struct token_list taken = *tokens;
    *tokens = (struct token_list){.ids = NULL};
    int64_t result = 0;
    if (instance->n_sequences >= instance->limits.sequences) {
        result = call_breach(call, LIMIT_sequences);
    } else if (taken.length > instance->limits.sequence_tokens - instance->n_sequence_tokens) {
        result = call_breach(call, LIMIT_sequence_tokens);
    }
    struct guest_sequence *sequence = result == 0 ? guest_sequence_create(model) : NULL;
    if (sequence == NULL) {
        token_list_deinit(&taken);
        return result != 0 ? result : call_fail(call, REALM_GUEST_FAILED, "out of memory");
    }
    sequence->tokens = taken;
    instance->n_sequences++;
    instance->n_sequence_tokens += taken.length;
    if (original != NULL) {
        wear(sequence, original->adapter);
        sequence->computed = original->computed;
        steps_fork(original, sequence);
    }
    return call_new_handle(call, HANDLE_SEQUENCE, sequence);
}

int64_t call_sequence_create(struct call *call)
{
    struct engine_model *model = call_object(call, 0, HANDLE_MODEL);
    struct token_list none = {.ids = NULL};
    return model != NULL ? new_sequence(call, model, &none, NULL) : call_bad_handle(call);
}

uint32_t guest_context_length(const struct instance *instance, const struct engine_model *model)
{
    const uint32_t most = engine_model_context_length(model);
    const uint64_t own = instance->max_context;
    return own != 0 && own < most ? (uint32_t)own : most;
}

static int64_t busy(struct call *call)
{
    return call_fail(call, REALM_GUEST_BUSY, "a generation runs on the sequence");
}

int64_t guest_sequence_append(struct call *call,
                              struct guest_sequence *sequence,
                              const token_id *tokens,
                              size_t n_tokens)
{
    struct instance *instance = call->instance;
    const uint32_t context = guest_context_length(instance, sequence->model);
    if (n_tokens > context - sequence->tokens.length) {
        return call_fail(call,
                         REALM_GUEST_TOO_LARGE,
                         "%zu tokens more than the %zu there are; the context has %u",
                         n_tokens,
                         sequence->tokens.length,
                         context);
    }
    if (n_tokens > instance->limits.sequence_tokens - instance->n_sequence_tokens) {
        return call_breach(call, LIMIT_sequence_tokens);
    }
    struct realm_error error;
    for (size_t i = 0; i < n_tokens; i++) {
        if (token_list_append(&sequence->tokens, tokens[i], &error) != REALM_OK) {
            sequence->tokens.length -= i;
            return call_fail_with(call, &error);
        }
    }
    instance->n_sequence_tokens += n_tokens;
    return (int64_t)sequence->tokens.length;
}

int64_t call_sequence_append(struct call *call)
{
    struct guest_sequence *sequence = call_object(call, 0, HANDLE_SEQUENCE);
    if (sequence == NULL) {
        return call_bad_handle(call);
    }
    if (sequence->stream != NULL) {
        return busy(call);
    }
    struct token_list tokens = {.ids = NULL};
    int64_t result;
    if (call_tokens(
            call, sequence->model, call->arguments[1], call->arguments[2], &tokens, &result)) {
        result = guest_sequence_append(call, sequence, tokens.ids, tokens.length);
    }
    token_list_deinit(&tokens);
    return result;
}

int64_t call_sequence_append_text(struct call *call)
{
    struct guest_sequence *sequence = call_object(call, 0, HANDLE_SEQUENCE);
    if (sequence == NULL) {
        return call_bad_handle(call);
    }
    if (sequence->stream != NULL) {
        return busy(call);
    }
    struct token_list tokens = {.ids = NULL};
    int64_t result = call_encode(call, sequence->model, 1, call_i32(call, 3), &tokens);
    if (result == 0) {
        result = guest_sequence_append(call, sequence, tokens.ids, tokens.length);
    }
    token_list_deinit(&tokens);
    return result;
}

static int64_t copy_tokens(struct call *call, const struct token_list *from, struct token_list *out)
{
    struct realm_error error;
    *out = (struct token_list){.ids = NULL};
    for (size_t i = 0; i < from->length; i++) {
        if (token_list_append(out, from->ids[i], &error) != REALM_OK) {
            token_list_deinit(out);
            return call_fail_with(call, &error);
        }
    }
    return 0;
}

int64_t call_sequence_fork(struct call *call)
{
    struct guest_sequence *sequence = call_object(call, 0, HANDLE_SEQUENCE);
    if (sequence == NULL) {
        return call_bad_handle(call);
    }
    if (sequence->stream != NULL) {
        return busy(call);
    }
    struct token_list tokens;
    const int64_t refused = copy_tokens(call, &sequence->tokens, &tokens);
    return refused != 0 ? refused : new_sequence(call, sequence->model, &tokens, sequence);
}

int64_t call_sequence_truncate(struct call *call)
{
    struct guest_sequence *sequence = call_object(call, 0, HANDLE_SEQUENCE);
    const int32_t n_tokens = call_i32(call, 1);
    if (sequence == NULL) {
        return call_bad_handle(call);
    }
    if (sequence->stream != NULL) {
        return busy(call);
    }
    if (n_tokens < 0 || (size_t)n_tokens > sequence->tokens.length) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "truncate to %d; the sequence has %zu tokens",
                         n_tokens,
                         sequence->tokens.length);
    }
    call->instance->n_sequence_tokens -= sequence->tokens.length - (size_t)n_tokens;
    sequence->tokens.length = (size_t)n_tokens;
    steps_note_cut(sequence);
    return 0;
}

int64_t call_sequence_read(struct call *call)
{
    const struct guest_sequence *sequence = call_object(call, 0, HANDLE_SEQUENCE);
    return sequence != NULL
               ? call_give(call, 1, sequence->tokens.ids, sequence->tokens.length, sizeof(token_id))
               : call_bad_handle(call);
}

int64_t call_adapter_open(struct call *call)
{
    struct bytes name;
    char text[ENGINE_ADAPTER_NAME_BYTES];
    const struct instance *const instance = call->instance;
    const struct engine_model *const model = call_object(call, 0, HANDLE_MODEL);
    if (model == NULL) {
        return call_bad_handle(call);
    }
    if (!call_bytes(call, 1, &name)) {
        return call_bad_pointer(call);
    }
    struct engine_adapter *adapter = NULL;
    if (name.length < sizeof text) {
        memcpy(text, name.data, name.length);
        text[name.length] = '\0';
        adapter = engine_adapter_find(instance->sandbox->engine, model, instance->account, text);
    }
    return adapter != NULL ? call_new_handle(call, HANDLE_ADAPTER, adapter)
                           : call_fail(call,
                                       REALM_GUEST_NOT_FOUND,
                                       "the tenant has no adapter of that name for the model");
}

int64_t call_sequence_set_adapter(struct call *call)
{
    struct guest_sequence *const sequence = call_object(call, 0, HANDLE_SEQUENCE);
    const bool none = call_i32(call, 1) == 0;
    struct engine_adapter *const adapter = none ? NULL : call_object(call, 1, HANDLE_ADAPTER);
    if (sequence == NULL || (!none && adapter == NULL)) {
        return call_bad_handle(call);
    }
    if (sequence->stream != NULL) {
        return busy(call);
    }
    if (adapter != NULL && engine_adapter_model(adapter) != sequence->model) {
        return call_fail(
            call, REALM_GUEST_INVALID_ARGUMENT, "the adapter was opened for another model");
    }
    if (sequence->computed && adapter != sequence->adapter) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "the sequence has been computed; set its adapter before the first "
                         "generate or step");
    }
    wear(sequence, adapter);
    return 0;
}

/* --- kept between requests: "s/<name>" -> "<model>\0<tokens>" ------------------------------------
 */

/* The key of a saved sequence; false: *refused is the error. */
static bool saved_key(struct call *call,
                      uint32_t i_name,
                      char key[STORE_MAX_KEY_BYTES],
                      struct bytes *out,
                      int64_t *refused)
{
    struct bytes name;
    if (!call_bytes(call, i_name, &name)) {
        *refused = call_bad_pointer(call);
        return false;
    }
    if (name.length == 0 || name.length > MAX_NAME_BYTES) {
        *refused = call_fail(call,
                             REALM_GUEST_INVALID_ARGUMENT,
                             "a name of %zu bytes; 1 to %u are allowed",
                             name.length,
                             MAX_NAME_BYTES);
        return false;
    }
    key[0] = 's';
    key[1] = '/';
    memcpy(key + 2, name.data, name.length);
    *out = (struct bytes){.data = (const uint8_t *)key, .length = name.length + 2};
    return true;
}

int64_t call_sequence_save(struct call *call)
{
    const struct guest_sequence *sequence = call_object(call, 0, HANDLE_SEQUENCE);
    char key_text[STORE_MAX_KEY_BYTES];
    struct bytes key;
    struct realm_error error;
    int64_t result = 0;
    if (sequence == NULL) {
        return call_bad_handle(call);
    }
    if (!saved_key(call, 1, key_text, &key, &result)) {
        return result;
    }
    const char *model = engine_model_name(sequence->model);
    struct strbuf value;
    strbuf_init(&value, ALLOC_GUEST, SIZE_MAX);
    (void)strbuf_append(&value, model, strlen(model) + 1);
    if (sequence->tokens.length > 0) {
        (void)strbuf_append(
            &value, (const char *)sequence->tokens.ids, sequence->tokens.length * sizeof(token_id));
    }
    const struct bytes bytes = {.data = (const uint8_t *)value.text, .length = value.length};
    if (value.failed) {
        result = call_fail(call, REALM_GUEST_FAILED, "out of memory");
    } else if (value_store_set(&call->instance->tenant->store,
                               key,
                               bytes,
                               call->instance->limits.stored_bytes,
                               &error) != REALM_OK) {
        result = call_fail_to_keep(call, &error);
    }
    strbuf_deinit(&value);
    return result;
}

/* A sequence of what was saved. */
static int64_t open_saved(struct call *call, struct engine_model *model, const struct strbuf *value)
{
    const size_t n_name = strlen(value->text) + 1;
    if (strcmp(value->text, engine_model_name(model)) != 0) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "the sequence was saved of the model %s",
                         value->text);
    }
    struct token_list tokens = {.ids = NULL};
    struct realm_error error;
    const uint32_t vocabulary = tokenizer_vocabulary(engine_model_tokenizer(model));
    for (size_t at = n_name; at + sizeof(token_id) <= value->length; at += sizeof(token_id)) {
        token_id token;
        memcpy(&token, value->text + at, sizeof(token));
        if (token >= vocabulary) {
            token_list_deinit(&tokens);
            return call_fail(call,
                             REALM_GUEST_INVALID_ARGUMENT,
                             "the model %s has changed since the sequence was saved",
                             value->text);
        }
        if (token_list_append(&tokens, token, &error) != REALM_OK) {
            token_list_deinit(&tokens);
            return call_fail_with(call, &error);
        }
    }
    if (tokens.length > guest_context_length(call->instance, model)) {
        token_list_deinit(&tokens);
        return call_fail(call, REALM_GUEST_TOO_LARGE, "longer than the context is now");
    }
    return new_sequence(call, model, &tokens, NULL);
}

int64_t call_sequence_open(struct call *call)
{
    struct engine_model *model = call_object(call, 0, HANDLE_MODEL);
    char key_text[STORE_MAX_KEY_BYTES];
    struct bytes key;
    struct realm_error error;
    int64_t result = 0;
    if (model == NULL) {
        return call_bad_handle(call);
    }
    if (!saved_key(call, 1, key_text, &key, &result)) {
        return result;
    }
    struct strbuf value;
    strbuf_init(&value, ALLOC_GUEST, SIZE_MAX);
    if (value_store_get(&call->instance->tenant->store, key, &value, &error) != REALM_OK) {
        result = call_fail_with(call, &error);
    } else {
        result = open_saved(call, model, &value);
    }
    strbuf_deinit(&value);
    return result;
}
