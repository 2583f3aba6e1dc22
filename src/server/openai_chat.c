/* POST /v1/chat/completions: messages through the model's template. */
#include "server/chat_messages.h"
#include "server/fields.h"

#include <string.h>

#define MAX_PROMPT_BYTES ((size_t)128 << 20)

/* --- values that may only say what is so anyway -------------------------------------------------
 */

realm_status field_service_tier(struct field_reader *reader, const char *field, const json_t *value)
{
    const char *const tier = json_string_value(value);
    if (tier != NULL && (strcmp(tier, "auto") == 0 || strcmp(tier, "default") == 0)) {
        return REALM_OK;
    }
    return problem_set(
        reader->problem, REALM_UNSUPPORTED, field, "service_tier may be \"auto\" or \"default\"");
}

static realm_status read_store(struct field_reader *reader, const char *field, const json_t *value)
{
    return json_is_false(value) ? REALM_OK : field_refuse(reader, field, value);
}

static realm_status
read_messages(struct field_reader *reader, const char *field, const json_t *value)
{
    if (!json_is_array(value) || json_array_size(value) == 0) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "messages is %s and must be an array of at least one message",
                           json_is_array(value) ? "empty" : json_kind(value));
    }
    reader->messages = value;
    return REALM_OK;
}

static realm_status
read_logprobs(struct field_reader *reader, const char *field, const json_t *value)
{
    return json_read_bool(value, field, &reader->completion->logprobs, reader->problem);
}

static realm_status
read_top_logprobs(struct field_reader *reader, const char *field, const json_t *value)
{
    reader->top_logprobs_given = true;
    return json_read_u32(
        value, field, 0, SAMPLER_MAX_TOP_LOGPROBS, &reader->top_logprobs, reader->problem);
}

static realm_status
read_template_arguments(struct field_reader *reader, const char *field, const json_t *value)
{
    if (!json_is_object(value)) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "chat_template_kwargs is %s and must be an object",
                           json_kind(value));
    }
    reader->template_arguments = value;
    return REALM_OK;
}

static realm_status
read_generation_prompt(struct field_reader *reader, const char *field, const json_t *value)
{
    bool add = true;
    REALM_TRY(json_read_bool(value, field, &add, reader->problem));
    reader->no_generation_prompt = !add;
    return REALM_OK;
}

static realm_status
read_modalities(struct field_reader *reader, const char *field, const json_t *value)
{
    const char *const first = json_string_value(json_array_get(value, 0));
    return json_array_size(value) == 1 && first != NULL && strcmp(first, "text") == 0
               ? REALM_OK
               : field_refuse(reader, field, value);
}

const struct field_row field_rows_chat[] = {
    {"messages", read_messages},
    {"logprobs", read_logprobs},
    {"top_logprobs", read_top_logprobs},
    {"max_completion_tokens", field_max_tokens},
    {"add_generation_prompt", read_generation_prompt},
    {"chat_template_kwargs", read_template_arguments},
    {"service_tier", field_service_tier},
    {"store", read_store},
    {"metadata", field_refuse},
    {"tool_choice", field_tool_choice},
    {"modalities", read_modalities},
    {"tools", field_tools},
    {"functions", field_refuse},
    {"function_call", field_none_only},
    {"parallel_tool_calls", field_parallel_tool_calls},
    {"audio", field_refuse},
    {"prediction", field_refuse},
    {"reasoning_effort", field_none_only},
    {"verbosity", field_refuse},
    {"web_search_options", field_refuse},
    {"safety_identifier", field_end_user},
    {"moderation", field_refuse},
    {"prompt_cache_key", field_refuse},
    {"prompt_cache_options", field_refuse},
    {"prompt_cache_retention", field_refuse},
    {NULL, NULL},
};

static realm_status encode(struct field_reader *reader, const struct strbuf *text)
{
    struct completion *const completion = reader->completion;
    completion->prompts = alloc_zeroed(ALLOC_SERVER, 1, sizeof *completion->prompts);
    if (completion->prompts == NULL) {
        return problem_set(reader->problem, REALM_OUT_OF_MEMORY, "", "no memory for the prompt");
    }
    completion->n_prompts = 1;
    struct realm_error error;
    /* Templates write BOS themselves. */
    const realm_status status =
        tokenizer_encode(engine_model_tokenizer(completion->model),
                         text->text,
                         text->length,
                         (struct tokenizer_encode_options){.parse_special = true},
                         &completion->prompts[0].tokens,
                         &error);
    return status == REALM_OK
               ? REALM_OK
               : problem_set(reader->problem, status, "messages", "%s", error.message);
}

realm_status chat_prepare(struct field_reader *reader)
{
    struct completion *const completion = reader->completion;
    if (reader->messages == NULL) {
        return problem_set(
            reader->problem, REALM_INVALID_ARGUMENT, "messages", "messages is missing");
    }
    if (reader->top_logprobs_given && !completion->logprobs) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           "top_logprobs",
                           "top_logprobs needs logprobs to be true");
    }
    completion->request.sampling.n_top_logprobs = reader->top_logprobs;
    struct strbuf text;
    strbuf_init(&text, ALLOC_SERVER, MAX_PROMPT_BYTES);
    realm_status status = chat_messages_render(reader, &text);
    if (status == REALM_OK) {
        status = encode(reader, &text);
    }
    strbuf_deinit(&text);
    return status;
}
