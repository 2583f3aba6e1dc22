#include "server/fields.h"

#include "base/clock.h"
#include "base/text.h"

#include <string.h>

#define MAX_END_USER_BYTES 256u
#define MAX_TIMEOUT_S      86400.0
#define MAX_TOKENS_FIELD   (1u << 24)
#define NARROWEST_PART     1e-9f
#define NEAR_ENOUGH        3u

/* --- rows that need no more than a range --------------------------------------------------------
 */

#define FLOAT_FIELD(function, member, low, high)                                                   \
    static realm_status function(                                                                  \
        struct field_reader *reader, const char *field, const json_t *value)                       \
    {                                                                                              \
        return json_read_float(value,                                                              \
                               field,                                                              \
                               low,                                                                \
                               high,                                                               \
                               &reader->completion->request.sampling.member,                       \
                               reader->problem);                                                   \
    }

#define U32_FIELD(function, member, low, high)                                                     \
    static realm_status function(                                                                  \
        struct field_reader *reader, const char *field, const json_t *value)                       \
    {                                                                                              \
        return json_read_u32(value, field, low, high, &reader->member, reader->problem);           \
    }

#define BOOL_FIELD(function, member)                                                               \
    static realm_status function(                                                                  \
        struct field_reader *reader, const char *field, const json_t *value)                       \
    {                                                                                              \
        return json_read_bool(value, field, &reader->member, reader->problem);                     \
    }

FLOAT_FIELD(read_temperature, temperature, 0, 2)
FLOAT_FIELD(read_min_p, min_p, 0, 1)
FLOAT_FIELD(read_repetition_penalty, repetition_penalty, 0.01, 100)
FLOAT_FIELD(read_presence_penalty, presence_penalty, -2, 2)
FLOAT_FIELD(read_frequency_penalty, frequency_penalty, -2, 2)
FLOAT_FIELD(read_dry_multiplier, dry_multiplier, 0, 100)
FLOAT_FIELD(read_dry_base, dry_base, 1, 100)
FLOAT_FIELD(read_mirostat_tau, mirostat_tau, 0.01, 100)
FLOAT_FIELD(read_mirostat_eta, mirostat_eta, 0.001, 1)
U32_FIELD(read_top_k, completion->request.sampling.top_k, 0, UINT32_MAX)
U32_FIELD(read_repeat_last_n, completion->request.sampling.penalty_window, 0, UINT32_MAX)
U32_FIELD(read_dry_allowed_length, completion->request.sampling.dry_allowed_length, 1, 10000)
U32_FIELD(read_dry_window, completion->request.sampling.dry_window, 0, UINT32_MAX)
U32_FIELD(read_mirostat, completion->request.sampling.mirostat, 0, 2)
U32_FIELD(read_n, completion->request.n_choices, 1, REQUEST_MAX_CHOICES)
U32_FIELD(read_min_tokens, completion->request.min_tokens, 0, MAX_TOKENS_FIELD)
BOOL_FIELD(read_ignore_eos, completion->request.ignore_end)
BOOL_FIELD(read_publish_prefix, completion->request.publish)
BOOL_FIELD(read_stream, completion->source.stream)

/* To a client 0 is the narrowest cut, to the sampler it is none. */
#define PART_FIELD(function, member)                                                               \
    static realm_status function(                                                                  \
        struct field_reader *reader, const char *field, const json_t *value)                       \
    {                                                                                              \
        float *const part = &reader->completion->request.sampling.member;                          \
        REALM_TRY(json_read_float(value, field, 0, 1, part, reader->problem));                     \
        *part = *part > NARROWEST_PART ? *part : NARROWEST_PART;                                   \
        return REALM_OK;                                                                           \
    }

PART_FIELD(read_top_p, top_p)
PART_FIELD(read_typical_p, typical_p)

static realm_status
read_special(struct field_reader *reader, const char *field, const json_t *value)
{
    bool skip = true;
    REALM_TRY(json_read_bool(value, field, &skip, reader->problem));
    reader->completion->request.echo_special = !skip;
    return REALM_OK;
}

realm_status field_max_tokens(struct field_reader *reader, const char *field, const json_t *value)
{
    uint32_t max_tokens = 0;
    REALM_TRY(json_read_u32(value, field, 1, MAX_TOKENS_FIELD, &max_tokens, reader->problem));
    if (reader->max_tokens_given && reader->max_tokens != max_tokens) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "max_tokens and max_completion_tokens differ (%u and %u); give one",
                           reader->max_tokens,
                           max_tokens);
    }
    reader->max_tokens = max_tokens;
    reader->max_tokens_given = true;
    return REALM_OK;
}

realm_status field_model(struct field_reader *reader, const char *field, const json_t *value)
{
    return json_read_text(value, field, &reader->model_name, reader->problem);
}

static realm_status read_seed(struct field_reader *reader, const char *field, const json_t *value)
{
    if (!json_is_integer(value)) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "seed is %s and must be a whole number",
                           json_kind(value));
    }
    reader->completion->request.sampling.seed = (uint64_t)json_integer_value(value);
    reader->seed_given = true;
    return REALM_OK;
}

realm_status field_timeout(struct field_reader *reader, const char *field, const json_t *value)
{
    float seconds = 0;
    REALM_TRY(json_read_float(value, field, 0.001, MAX_TIMEOUT_S, &seconds, reader->problem));
    reader->completion->request.deadline_ns =
        clock_monotonic_ns() + (uint64_t)((double)seconds * 1e9);
    return REALM_OK;
}

realm_status field_end_user(struct field_reader *reader, const char *field, const json_t *value)
{
    struct completion *const completion = reader->completion;
    struct bytes name = {.length = 0};
    REALM_TRY(json_read_text(value, field, &name, reader->problem));
    if (name.length > MAX_END_USER_BYTES) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s has %zu bytes and may have at most %u",
                           field,
                           name.length,
                           MAX_END_USER_BYTES);
    }
    if (completion->end_user != NULL &&
        strcmp(completion->end_user, (const char *)name.data) != 0) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "user and safety_identifier differ; give one");
    }
    completion->end_user = arena_string(&completion->arena, (const char *)name.data, name.length);
    return completion->end_user != NULL
               ? REALM_OK
               : problem_set(
                     reader->problem, REALM_OUT_OF_MEMORY, field, "no memory for %s", field);
}

static realm_status
read_stream_option(struct field_reader *reader, const char *key, const json_t *value)
{
    bool obfuscate = false;
    if (strcmp(key, "include_usage") == 0) {
        return json_read_bool(value,
                              "stream_options.include_usage",
                              &reader->completion->include_usage,
                              reader->problem);
    }
    if (strcmp(key, "include_obfuscation") != 0) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           "stream_options",
                           "stream_options.%.40s is not known; known: include_usage",
                           key);
    }
    REALM_TRY(
        json_read_bool(value, "stream_options.include_obfuscation", &obfuscate, reader->problem));
    return obfuscate ? field_refuse(reader, "stream_options.include_obfuscation", value) : REALM_OK;
}

static realm_status
read_stream_options(struct field_reader *reader, const char *field, const json_t *value)
{
    const char *key;
    json_t *member;
    if (!json_is_object(value)) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "stream_options is %s and must be an object",
                           json_kind(value));
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        if (!json_is_null(member)) {
            REALM_TRY(read_stream_option(reader, key, member));
        }
    }
    return REALM_OK;
}

/* --- refusing and the table ----------------------------------------------------------------------
 */

realm_status field_refuse(struct field_reader *reader, const char *field, const json_t *value)
{
    (void)value;
    return problem_set(
        reader->problem, REALM_UNSUPPORTED, field, "%s is not supported; leave it out", field);
}

realm_status field_none_only(struct field_reader *reader, const char *field, const json_t *value)
{
    const char *const text = json_string_value(value);
    return text != NULL && strcmp(text, "none") == 0 ? REALM_OK
                                                     : field_refuse(reader, field, value);
}

const struct field_row field_rows_common[] = {
    {"model", field_model},
    {"stream", read_stream},
    {"stream_options", read_stream_options},
    {"n", read_n},
    {"max_tokens", field_max_tokens},
    {"min_tokens", read_min_tokens},
    {"stop", field_stop},
    {"stop_token_ids", field_stop_token_ids},
    {"ignore_eos", read_ignore_eos},
    {"publish_prefix", read_publish_prefix},
    {"skip_special_tokens", read_special},
    {"temperature", read_temperature},
    {"top_p", read_top_p},
    {"top_k", read_top_k},
    {"min_p", read_min_p},
    {"typical_p", read_typical_p},
    {"repetition_penalty", read_repetition_penalty},
    {"presence_penalty", read_presence_penalty},
    {"frequency_penalty", read_frequency_penalty},
    {"repeat_last_n", read_repeat_last_n},
    {"dry_multiplier", read_dry_multiplier},
    {"dry_base", read_dry_base},
    {"dry_allowed_length", read_dry_allowed_length},
    {"dry_penalty_last_n", read_dry_window},
    {"dry_sequence_breakers", field_dry_breakers},
    {"mirostat", read_mirostat},
    {"mirostat_tau", read_mirostat_tau},
    {"mirostat_eta", read_mirostat_eta},
    {"seed", read_seed},
    {"timeout", field_timeout},
    {"logit_bias", field_logit_bias},
    {"response_format", field_response_format},
    {"guided_regex", field_guided_regex},
    {"guided_grammar", field_guided_grammar},
    {"user", field_end_user},
    {NULL, NULL},
};

/* --- the walk -----------------------------------------------------------------------------------
 */

static const struct field_row *find_row(const struct field_row *rows, const char *name)
{
    for (; rows->name != NULL; rows++) {
        if (strcmp(rows->name, name) == 0) {
            return rows;
        }
    }
    return NULL;
}

static realm_status refuse_unknown(struct field_reader *reader,
                                   const struct field_row *own,
                                   const struct field_row *common,
                                   const char *name)
{
    const struct field_row *const tables[] = {own, common};
    const char *nearest = NULL;
    uint32_t nearest_distance = NEAR_ENOUGH + 1;
    for (size_t t = 0; t < 2 && tables[t] != NULL; t++) {
        for (const struct field_row *row = tables[t]; row->name != NULL; row++) {
            const uint32_t distance = text_distance(name, row->name);
            if (distance < nearest_distance) {
                nearest_distance = distance;
                nearest = row->name;
            }
        }
    }
    reader->problem->code = "unknown_parameter";
    if (nearest != NULL) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           name,
                           "unknown field \"%.60s\"; did you mean \"%s\"?",
                           name,
                           nearest);
    }
    return problem_set(
        reader->problem, REALM_INVALID_ARGUMENT, name, "unknown field \"%.60s\"", name);
}

realm_status fields_read(struct field_reader *reader,
                         const json_t *body,
                         const struct field_row *own,
                         const struct field_row *common)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        const struct field_row *row = find_row(own, name);
        if (row == NULL && common != NULL) {
            row = find_row(common, name);
        }
        if (row == NULL) {
            return refuse_unknown(reader, own, common, name);
        }
        if (!json_is_null(value)) {
            REALM_TRY(row->read(reader, row->name, value));
        }
    }
    return REALM_OK;
}
