/* Fields that hold lists: stop strings, token ids, biases. */
#include "server/fields.h"

#define MAX_STOPS         16u
#define MAX_STOP_BYTES    256u
#define MAX_STOP_TOKENS   64u
#define MAX_BREAKERS      64u
#define MAX_BREAKER_BYTES 40u
#define MAX_BIASES        1024u

static realm_status out_of_memory(struct field_reader *reader, const char *field)
{
    return problem_set(reader->problem, REALM_OUT_OF_MEMORY, field, "no memory for %s", field);
}

static realm_status
refuse_count(struct field_reader *reader, const char *field, size_t count, uint32_t most)
{
    return problem_set(reader->problem,
                       REALM_INVALID_ARGUMENT,
                       field,
                       "%s has %zu items and may have at most %u",
                       field,
                       count,
                       most);
}

/* A string or an array of them, each 1 to max_bytes long. */
static realm_status read_texts(struct field_reader *reader,
                               const char *field,
                               const json_t *value,
                               uint32_t max_bytes,
                               const struct bytes **out,
                               uint32_t *n_out)
{
    struct arena *const arena = &reader->completion->arena;
    const size_t n = json_is_array(value) ? json_array_size(value) : 1;
    struct bytes *const texts = arena_zeroed(arena, n, sizeof *texts);
    if (texts == NULL) {
        return out_of_memory(reader, field);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *const item = json_is_array(value) ? json_array_get(value, i) : value;
        struct bytes text = {.length = 0};
        REALM_TRY(json_read_text(item, field, &text, reader->problem));
        if (text.length == 0 || text.length > max_bytes) {
            return problem_set(reader->problem,
                               REALM_INVALID_ARGUMENT,
                               field,
                               "%s[%zu] has %zu bytes and must have 1 to %u",
                               field,
                               i,
                               text.length,
                               max_bytes);
        }
        texts[i].data = (const uint8_t *)arena_string(arena, (const char *)text.data, text.length);
        texts[i].length = text.length;
        if (texts[i].data == NULL) {
            return out_of_memory(reader, field);
        }
    }
    *out = texts;
    *n_out = (uint32_t)n;
    return REALM_OK;
}

realm_status field_stop(struct field_reader *reader, const char *field, const json_t *value)
{
    struct request *const request = &reader->completion->request;
    if (json_array_size(value) > MAX_STOPS) {
        return refuse_count(reader, field, json_array_size(value), MAX_STOPS);
    }
    return read_texts(reader, field, value, MAX_STOP_BYTES, &request->stops, &request->n_stops);
}

realm_status field_dry_breakers(struct field_reader *reader, const char *field, const json_t *value)
{
    struct request *const request = &reader->completion->request;
    if (!json_is_array(value)) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s is %s and must be an array of strings",
                           field,
                           json_kind(value));
    }
    if (json_array_size(value) > MAX_BREAKERS) {
        return refuse_count(reader, field, json_array_size(value), MAX_BREAKERS);
    }
    return read_texts(
        reader, field, value, MAX_BREAKER_BYTES, &request->dry_breakers, &request->n_dry_breakers);
}

static realm_status read_token_ids(struct field_reader *reader,
                                   const char *field,
                                   const json_t *value,
                                   uint32_t most,
                                   const token_id **out,
                                   uint32_t *n_out)
{
    if (!json_is_array(value)) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s is %s and must be an array of token ids",
                           field,
                           json_kind(value));
    }
    const size_t n = json_array_size(value);
    if (n > most) {
        return refuse_count(reader, field, n, most);
    }
    token_id *const tokens = arena_zeroed(&reader->completion->arena, n, sizeof *tokens);
    if (tokens == NULL) {
        return out_of_memory(reader, field);
    }
    for (size_t i = 0; i < n; i++) {
        REALM_TRY(json_read_u32(
            json_array_get(value, i), field, 0, UINT32_MAX - 1, &tokens[i], reader->problem));
    }
    *out = tokens;
    *n_out = (uint32_t)n;
    return REALM_OK;
}

realm_status
field_stop_token_ids(struct field_reader *reader, const char *field, const json_t *value)
{
    struct request *const request = &reader->completion->request;
    return read_token_ids(
        reader, field, value, MAX_STOP_TOKENS, &request->stop_tokens, &request->n_stop_tokens);
}

static realm_status
parse_token_key(struct field_reader *reader, const char *field, const char *key, token_id *out)
{
    uint64_t token = 0;
    size_t i = 0;
    for (; key[i] >= '0' && key[i] <= '9' && i < 10; i++) {
        token = token * 10 + (uint64_t)(key[i] - '0');
    }
    if (i == 0 || key[i] != '\0' || token >= UINT32_MAX) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "%s has the key \"%.40s\"; keys are token ids",
                           field,
                           key);
    }
    *out = (token_id)token;
    return REALM_OK;
}

realm_status field_logit_bias(struct field_reader *reader, const char *field, const json_t *value)
{
    struct completion *const completion = reader->completion;
    const char *key;
    json_t *member;
    if (!json_is_object(value)) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "logit_bias is %s and must be an object of token ids and numbers",
                           json_kind(value));
    }
    const size_t n = json_object_size(value);
    if (n > MAX_BIASES) {
        return refuse_count(reader, field, n, MAX_BIASES);
    }
    struct sampler_bias *const biases = arena_zeroed(&completion->arena, n, sizeof *biases);
    if (biases == NULL) {
        return out_of_memory(reader, field);
    }
    uint32_t i = 0;
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        REALM_TRY(parse_token_key(reader, field, key, &biases[i].token));
        REALM_TRY(json_read_float(member, field, -100, 100, &biases[i].bias, reader->problem));
        i++;
    }
    completion->request.sampling.biases = biases;
    completion->request.sampling.n_biases = i;
    return REALM_OK;
}

/* --- once the model is known -------------------------------------------------------------------
 */

realm_status field_check_tokens(struct field_reader *reader,
                                const char *field,
                                const token_id *tokens,
                                size_t n_tokens)
{
    const uint32_t vocabulary =
        tokenizer_vocabulary(engine_model_tokenizer(reader->completion->model));
    for (size_t i = 0; i < n_tokens; i++) {
        if (tokens[i] >= vocabulary) {
            return problem_set(reader->problem,
                               REALM_INVALID_ARGUMENT,
                               field,
                               "%s names token %u and the model has tokens 0 to %u",
                               field,
                               tokens[i],
                               vocabulary - 1);
        }
    }
    return REALM_OK;
}

realm_status fields_check_lists(struct field_reader *reader)
{
    const struct request *const request = &reader->completion->request;
    const struct sampler_options *const sampling = &request->sampling;
    REALM_TRY(
        field_check_tokens(reader, "stop_token_ids", request->stop_tokens, request->n_stop_tokens));
    for (uint32_t i = 0; i < sampling->n_biases; i++) {
        REALM_TRY(field_check_tokens(reader, "logit_bias", &sampling->biases[i].token, 1));
    }
    return REALM_OK;
}
