/* Prompts that are text or tokens as given: prompt of completions, input of embeddings. */
#include "server/fields.h"

#include <string.h>

static realm_status out_of_memory(struct field_reader *reader)
{
    return problem_set(reader->problem, REALM_OUT_OF_MEMORY, "", "no memory for the prompts");
}

static realm_status add_text(struct field_reader *reader,
                             const char *field,
                             const json_t *value,
                             struct completion_prompt *prompt)
{
    struct completion *const completion = reader->completion;
    const char *const text = json_string_value(value);
    const size_t n_bytes = json_string_length(value);
    struct realm_error error;
    const realm_status status = tokenizer_encode(
        engine_model_tokenizer(completion->model),
        text,
        n_bytes,
        (struct tokenizer_encode_options){.add_special = true, .parse_special = true},
        &prompt->tokens,
        &error);
    if (status != REALM_OK) {
        return problem_set(reader->problem, status, field, "%s", error.message);
    }
    if (completion->echo) {
        const char *const copy = arena_string(&completion->arena, text, n_bytes);
        if (copy == NULL) {
            return out_of_memory(reader);
        }
        prompt->echo = (struct bytes){.data = (const uint8_t *)copy, .length = n_bytes};
    }
    return REALM_OK;
}

static realm_status echo_tokens(struct field_reader *reader, struct completion_prompt *prompt)
{
    struct completion *const completion = reader->completion;
    struct strbuf text;
    strbuf_init(&text, ALLOC_SERVER, (size_t)1 << 30);
    const char *copy = NULL;
    if (tokenizer_decode(engine_model_tokenizer(completion->model),
                         prompt->tokens.ids,
                         prompt->tokens.length,
                         true,
                         false,
                         &text)) {
        copy = arena_string(&completion->arena, text.text, text.length);
        prompt->echo = (struct bytes){.data = (const uint8_t *)copy, .length = text.length};
    }
    strbuf_deinit(&text);
    return copy != NULL ? REALM_OK : out_of_memory(reader);
}

static realm_status add_tokens(struct field_reader *reader,
                               const char *field,
                               const json_t *value,
                               struct completion_prompt *prompt)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        uint32_t token = 0;
        struct realm_error error;
        REALM_TRY(json_read_u32(
            json_array_get(value, i), field, 0, UINT32_MAX - 1, &token, reader->problem));
        if (token_list_append(&prompt->tokens, token, &error) != REALM_OK) {
            return out_of_memory(reader);
        }
    }
    REALM_TRY(field_check_tokens(reader, field, prompt->tokens.ids, prompt->tokens.length));
    return reader->completion->echo ? echo_tokens(reader, prompt) : REALM_OK;
}

static realm_status add_prompt(struct field_reader *reader,
                               const char *field,
                               const json_t *value,
                               struct completion_prompt *prompt)
{
    if (json_is_string(value)) {
        return add_text(reader, field, value, prompt);
    }
    if (json_is_array(value)) {
        return add_tokens(reader, field, value, prompt);
    }
    return problem_set(reader->problem,
                       REALM_INVALID_ARGUMENT,
                       field,
                       "%s has %s and must hold strings or arrays of token ids",
                       field,
                       json_kind(value));
}

/* A string; an array of strings; an array of tokens; an array of arrays of tokens. */
realm_status prompts_add(struct field_reader *reader, const char *field, uint32_t most)
{
    struct completion *const completion = reader->completion;
    const json_t *const value = reader->prompt;
    const bool single = !json_is_array(value) || json_is_integer(json_array_get(value, 0));
    const size_t n = single ? 1 : json_array_size(value);
    if (n == 0 || n > most) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s holds %zu prompts and may hold 1 to %u",
                           field,
                           n,
                           most);
    }
    completion->prompts = alloc_zeroed(ALLOC_SERVER, n, sizeof *completion->prompts);
    if (completion->prompts == NULL) {
        return out_of_memory(reader);
    }
    completion->n_prompts = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *const item = single ? value : json_array_get(value, i);
        REALM_TRY(add_prompt(reader, field, item, &completion->prompts[i]));
    }
    return REALM_OK;
}
