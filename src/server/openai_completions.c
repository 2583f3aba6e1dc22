/* POST /v1/completions: text or tokens, as given. */
#include "server/fields.h"

#include <string.h>

#define MAX_LOGPROBS 5u

static realm_status read_prompt(struct field_reader *reader, const char *field, const json_t *value)
{
    (void)field;
    reader->prompt = value;
    return REALM_OK;
}

static realm_status
read_logprobs(struct field_reader *reader, const char *field, const json_t *value)
{
    reader->completion->logprobs = true;
    return json_read_u32(value,
                         field,
                         0,
                         MAX_LOGPROBS,
                         &reader->completion->request.sampling.n_top_logprobs,
                         reader->problem);
}

static realm_status read_echo(struct field_reader *reader, const char *field, const json_t *value)
{
    return json_read_bool(value, field, &reader->completion->echo, reader->problem);
}

static realm_status
read_best_of(struct field_reader *reader, const char *field, const json_t *value)
{
    return json_read_u32(value, field, 1, REQUEST_MAX_CHOICES, &reader->best_of, reader->problem);
}

static realm_status read_suffix(struct field_reader *reader, const char *field, const json_t *value)
{
    return json_string_length(value) == 0 && json_is_string(value)
               ? REALM_OK
               : field_refuse(reader, field, value);
}

const struct field_row field_rows_text[] = {
    {"prompt", read_prompt},
    {"logprobs", read_logprobs},
    {"echo", read_echo},
    {"best_of", read_best_of},
    {"suffix", read_suffix},
    {NULL, NULL},
};

static realm_status out_of_memory(struct field_reader *reader)
{
    return problem_set(reader->problem, REALM_OUT_OF_MEMORY, "prompt", "no memory for the prompt");
}

static realm_status
add_text(struct field_reader *reader, const json_t *value, struct completion_prompt *prompt)
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
        return problem_set(reader->problem, status, "prompt", "%s", error.message);
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

static realm_status
add_tokens(struct field_reader *reader, const json_t *value, struct completion_prompt *prompt)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        uint32_t token = 0;
        struct realm_error error;
        REALM_TRY(json_read_u32(
            json_array_get(value, i), "prompt", 0, UINT32_MAX - 1, &token, reader->problem));
        if (token_list_append(&prompt->tokens, token, &error) != REALM_OK) {
            return out_of_memory(reader);
        }
    }
    REALM_TRY(field_check_tokens(reader, "prompt", prompt->tokens.ids, prompt->tokens.length));
    return reader->completion->echo ? echo_tokens(reader, prompt) : REALM_OK;
}

static realm_status
add_prompt(struct field_reader *reader, const json_t *value, struct completion_prompt *prompt)
{
    if (json_is_string(value)) {
        return add_text(reader, value, prompt);
    }
    if (json_is_array(value)) {
        return add_tokens(reader, value, prompt);
    }
    return problem_set(reader->problem,
                       REALM_INVALID_ARGUMENT,
                       "prompt",
                       "prompt has %s and must hold strings or arrays of token ids",
                       json_kind(value));
}

/* A string; an array of strings; an array of tokens; an array of arrays of tokens. */
static realm_status add_prompts(struct field_reader *reader)
{
    struct completion *const completion = reader->completion;
    const json_t *const value = reader->prompt;
    const bool single = !json_is_array(value) || json_is_integer(json_array_get(value, 0));
    const size_t n = single ? 1 : json_array_size(value);
    if (n == 0 || n > COMPLETION_MAX_PROMPTS) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           "prompt",
                           "prompt holds %zu prompts and may hold 1 to %u",
                           n,
                           COMPLETION_MAX_PROMPTS);
    }
    completion->prompts = alloc_zeroed(ALLOC_SERVER, n, sizeof *completion->prompts);
    if (completion->prompts == NULL) {
        return out_of_memory(reader);
    }
    completion->n_prompts = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *const item = single ? value : json_array_get(value, i);
        REALM_TRY(add_prompt(reader, item, &completion->prompts[i]));
    }
    return REALM_OK;
}

realm_status text_prepare(struct field_reader *reader)
{
    struct completion *const completion = reader->completion;
    const uint32_t n = completion->request.n_choices == 0 ? 1 : completion->request.n_choices;
    if (reader->prompt == NULL) {
        return problem_set(reader->problem, REALM_INVALID_ARGUMENT, "prompt", "prompt is missing");
    }
    if (reader->best_of != 0 && reader->best_of != n) {
        return problem_set(reader->problem,
                           REALM_UNSUPPORTED,
                           "best_of",
                           "best_of is %u and may only equal n (%u)",
                           reader->best_of,
                           n);
    }
    if (completion->echo && completion->logprobs) {
        return problem_set(reader->problem,
                           REALM_UNSUPPORTED,
                           "echo",
                           "echo together with logprobs is not supported: prompt tokens have no "
                           "log-probabilities here");
    }
    if (!reader->max_tokens_given) {
        reader->max_tokens = 16; /* the default of this endpoint since its first version */
    }
    return add_prompts(reader);
}
