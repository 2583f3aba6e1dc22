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
    return prompts_add(reader, "prompt", COMPLETION_MAX_PROMPTS);
}
