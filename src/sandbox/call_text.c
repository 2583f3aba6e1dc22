/* Models, and text to tokens and back. */
#include "sandbox/call_text.h"

#include "model/model.h"
#include "sandbox/call_stream.h"
#include "sandbox/objects.h"

#include <jansson.h>

#define MAX_TEXT_BYTES ((size_t)1024 * 1024)
#define KNOWN_FLAGS    (REALM_TEXT_ADD_SPECIAL | REALM_TEXT_PARSE_SPECIAL | REALM_TEXT_SHOW_SPECIAL)

int64_t call_model_open(struct call *call)
{
    struct instance *instance = call->instance;
    struct bytes name;
    char text[256];
    if (!call_bytes(call, 0, &name)) {
        return call_bad_pointer(call);
    }
    struct engine_model *model = instance->model;
    if (name.length > 0) {
        model = NULL;
        if (name.length < sizeof(text) && instance->sandbox->engine != NULL) {
            memcpy(text, name.data, name.length);
            text[name.length] = '\0';
            model = engine_find_model(instance->sandbox->engine, text);
        }
        if (instance->only_model && model != instance->model) {
            model = NULL;
        }
    }
    if (model == NULL) {
        return call_fail(call, REALM_GUEST_NOT_FOUND, "no model of that name is loaded");
    }
    return call_new_handle(call, HANDLE_MODEL, model);
}

static void append_token_id(struct strbuf *out, const char *key, token_id token)
{
    if (token == TOKEN_NONE) {
        (void)strbuf_append_format(out, ",\"%s\":null", key);
    } else {
        (void)strbuf_append_format(out, ",\"%s\":%u", key, token);
    }
}

int64_t call_model_info(struct call *call)
{
    const struct engine_model *model = call_object(call, 0, HANDLE_MODEL);
    if (model == NULL) {
        return call_bad_handle(call);
    }
    const struct tokenizer *tokenizer = engine_model_tokenizer(model);
    const char *name = engine_model_name(model);
    const char *architecture = model_architecture(engine_model_model(model));
    struct strbuf text;
    strbuf_init(&text, ALLOC_GUEST, MAX_TEXT_BYTES);
    (void)strbuf_append_text(&text, "{\"name\":");
    (void)strbuf_append_json(&text, name, strlen(name));
    (void)strbuf_append_text(&text, ",\"architecture\":");
    (void)strbuf_append_json(&text, architecture, strlen(architecture));
    (void)strbuf_append_format(&text,
                               ",\"vocabulary\":%u,\"context_length\":%u",
                               tokenizer_vocabulary(tokenizer),
                               guest_context_length(call->instance, model));
    append_token_id(&text, "bos", tokenizer_bos(tokenizer));
    append_token_id(&text, "eos", tokenizer_eos(tokenizer));
    (void)strbuf_append_char(&text, '}');
    const int64_t result = text.failed ? call_fail(call, REALM_GUEST_FAILED, "out of memory")
                                       : call_give_text(call, 1, &text);
    strbuf_deinit(&text);
    return result;
}

/* --- tokens ------------------------------------------------------------------------------------
 */

static bool flags_known(int32_t flags)
{
    return ((uint32_t)flags & ~(uint32_t)KNOWN_FLAGS) == 0;
}

static int64_t unknown_flags(struct call *call)
{
    return call_fail(call, REALM_GUEST_INVALID_ARGUMENT, "a flag that there is not");
}

int64_t call_encode(struct call *call,
                    const struct engine_model *model,
                    uint32_t i_text,
                    int32_t flags,
                    struct token_list *out)
{
    struct bytes text;
    struct realm_error error;
    if (!call_bytes(call, i_text, &text)) {
        return call_bad_pointer(call);
    }
    if (!flags_known(flags)) {
        return unknown_flags(call);
    }
    if (text.length > MAX_TEXT_BYTES) {
        return call_fail(call, REALM_GUEST_TOO_LARGE, "a text of %zu bytes", text.length);
    }
    const struct tokenizer_encode_options options = {
        .add_special = (flags & REALM_TEXT_ADD_SPECIAL) != 0,
        .parse_special = (flags & REALM_TEXT_PARSE_SPECIAL) != 0,
    };
    if (tokenizer_encode(engine_model_tokenizer(model),
                         (const char *)text.data,
                         text.length,
                         options,
                         out,
                         &error) != REALM_OK) {
        return call_fail_with(call, &error);
    }
    return 0;
}

int64_t call_tokenize(struct call *call)
{
    const struct engine_model *model = call_object(call, 0, HANDLE_MODEL);
    if (model == NULL) {
        return call_bad_handle(call);
    }
    struct token_list tokens = {.ids = NULL};
    int64_t result = call_encode(call, model, 1, call_i32(call, 3), &tokens);
    if (result == 0) {
        result = call_give(call, 4, tokens.ids, tokens.length, sizeof(token_id));
    }
    token_list_deinit(&tokens);
    return result;
}

bool call_tokens(struct call *call,
                 const struct engine_model *model,
                 uint64_t address,
                 uint64_t n,
                 struct token_list *out,
                 int64_t *refused)
{
    uint8_t *bytes;
    if (!call_span(call, address, n, sizeof(token_id), &bytes)) {
        *refused = call_bad_pointer(call);
        return false;
    }
    const uint32_t vocabulary = tokenizer_vocabulary(engine_model_tokenizer(model));
    struct realm_error error;
    for (uint64_t i = 0; i < n; i++) {
        token_id token;
        memcpy(&token, bytes + i * sizeof(token_id), sizeof(token_id));
        if (token >= vocabulary) {
            *refused = call_fail(call,
                                 REALM_GUEST_INVALID_ARGUMENT,
                                 "token %u; the vocabulary has %u",
                                 token,
                                 vocabulary);
            return false;
        }
        if (token_list_append(out, token, &error) != REALM_OK) {
            *refused = call_fail_with(call, &error);
            return false;
        }
    }
    return true;
}

int64_t call_detokenize(struct call *call)
{
    const struct engine_model *model = call_object(call, 0, HANDLE_MODEL);
    const int32_t flags = call_i32(call, 3);
    int64_t result = 0;
    if (model == NULL) {
        return call_bad_handle(call);
    }
    if (!flags_known(flags)) {
        return unknown_flags(call);
    }
    struct token_list tokens = {.ids = NULL};
    if (call_tokens(call, model, call->arguments[1], call->arguments[2], &tokens, &result)) {
        struct strbuf text;
        strbuf_init(&text, ALLOC_GUEST, MAX_TEXT_BYTES);
        const bool done = tokenizer_decode(engine_model_tokenizer(model),
                                           tokens.ids,
                                           tokens.length,
                                           true,
                                           (flags & REALM_TEXT_SHOW_SPECIAL) != 0,
                                           &text);
        result = done ? call_give_text(call, 4, &text)
                      : call_fail(call, REALM_GUEST_TOO_LARGE, "the text is too long");
        strbuf_deinit(&text);
    }
    token_list_deinit(&tokens);
    return result;
}

static int append_json(const char *text, size_t n_bytes, void *out)
{
    return strbuf_append(out, text, n_bytes) ? 0 : -1;
}

static void
set_token(json_t *context, const char *key, const struct tokenizer *tokenizer, token_id token)
{
    const struct bytes text = tokenizer_token_bytes(tokenizer, token, true);
    (void)json_object_set_new(context, key, json_stringn((const char *)text.data, text.length));
}

/* The guest's object with what the model itself brings; false: it is no object. */
static bool
complete_context(const struct engine_model *model, struct bytes json, struct strbuf *out)
{
    json_t *context = json_loadb((const char *)json.data, json.length, 0, NULL);
    if (!json_is_object(context)) {
        json_decref(context);
        return false;
    }
    const struct tokenizer *tokenizer = engine_model_tokenizer(model);
    set_token(context, "bos_token", tokenizer, tokenizer_bos(tokenizer));
    set_token(context, "eos_token", tokenizer, tokenizer_eos(tokenizer));
    const bool whole = json_dump_callback(context, append_json, out, JSON_COMPACT) == 0;
    json_decref(context);
    return whole;
}

int64_t call_apply_template(struct call *call)
{
    const struct engine_model *model = call_object(call, 0, HANDLE_MODEL);
    struct bytes json;
    struct realm_error error;
    if (model == NULL) {
        return call_bad_handle(call);
    }
    if (!call_bytes(call, 1, &json)) {
        return call_bad_pointer(call);
    }
    struct strbuf context;
    struct strbuf text;
    strbuf_init(&context, ALLOC_GUEST, 2 * MAX_TEXT_BYTES);
    strbuf_init(&text, ALLOC_GUEST, MAX_TEXT_BYTES);
    int64_t result;
    if (json.length > MAX_TEXT_BYTES || !complete_context(model, json, &context)) {
        result = call_fail(call,
                           REALM_GUEST_INVALID_ARGUMENT,
                           "the template's context is not a JSON object of at most 1 MiB");
    } else if (engine_model_render_chat(model, context.text, context.length, &text, &error) !=
               REALM_OK) {
        result = call_fail_with(call, &error);
    } else {
        result = call_give_text(call, 3, &text);
    }
    strbuf_deinit(&text);
    strbuf_deinit(&context);
    return result;
}
