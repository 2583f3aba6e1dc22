/* POST /v1/embeddings: the last hidden state of each input's last token, as long as 1. */
#include "model/model.h"
#include "server/answer.h"
#include "server/base64.h"
#include "server/fields.h"

#include <string.h>

#define MAX_DIMENSIONS (1u << 20)

/* --- fields -------------------------------------------------------------------------------------
 */

static realm_status read_input(struct field_reader *reader, const char *field, const json_t *value)
{
    (void)field;
    reader->prompt = value;
    return REALM_OK;
}

static realm_status
read_encoding_format(struct field_reader *reader, const char *field, const json_t *value)
{
    const char *const format = json_string_value(value);
    if (format == NULL || (strcmp(format, "float") != 0 && strcmp(format, "base64") != 0)) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "encoding_format is %.40s and must be \"float\" or \"base64\"",
                           format != NULL ? format : json_kind(value));
    }
    reader->completion->base64 = strcmp(format, "base64") == 0;
    return REALM_OK;
}

static realm_status
read_dimensions(struct field_reader *reader, const char *field, const json_t *value)
{
    return json_read_u32(
        value, field, 1, MAX_DIMENSIONS, &reader->completion->n_dimensions, reader->problem);
}

const struct field_row field_rows_embeddings[] = {
    {"model", field_model},
    {"input", read_input},
    {"encoding_format", read_encoding_format},
    {"dimensions", read_dimensions},
    {"user", field_end_user},
    {"timeout", field_timeout},
    {NULL, NULL},
};

realm_status embeddings_prepare(struct field_reader *reader)
{
    struct completion *const completion = reader->completion;
    const uint32_t width = model_width(engine_model_model(completion->model));
    if (reader->prompt == NULL) {
        return problem_set(reader->problem, REALM_INVALID_ARGUMENT, "input", "input is missing");
    }
    if (completion->n_dimensions > width) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           "dimensions",
                           "dimensions is %u and the model's embeddings have %u",
                           completion->n_dimensions,
                           width);
    }
    completion->request.embed = true;
    reader->max_tokens = 1;
    return prompts_add(reader, "input", COMPLETION_MAX_INPUTS);
}

/* --- the answer ---------------------------------------------------------------------------------
 */

static void begin(struct completion *completion, uint32_t i_prompt, struct frames *frames)
{
    (void)completion;
    (void)i_prompt;
    (void)frames;
}

static void take_event(struct completion *completion,
                       uint32_t index,
                       const struct event *event,
                       struct frames *frames)
{
    (void)completion;
    (void)index;
    (void)event;
    (void)frames;
}

static void end_stream(struct completion *completion, struct frames *frames)
{
    (void)completion;
    (void)frames;
}

static void write_floats(struct strbuf *out, const float *values, uint32_t n, float factor)
{
    for (uint32_t i = 0; i < n; i++) {
        strbuf_append_format(out, i > 0 ? ",%.9g" : "[%.9g", (double)(values[i] * factor));
    }
    strbuf_append_text(out, "]");
}

/* Little-endian F32, as OpenAI's clients read them. */
static void write_base64(struct strbuf *out, const float *values, uint32_t n, float factor)
{
    struct base64_writer writer = {.out = out};
    strbuf_append_text(out, "\"");
    for (uint32_t i = 0; i < n; i++) {
        const float value = values[i] * factor;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        for (uint32_t k = 0; k < 4; k++) {
            base64_write(&writer, (uint8_t)(bits >> 8 * k));
        }
    }
    base64_end(&writer);
    strbuf_append_text(out, "\"");
}

static void write_embedding(const struct completion *completion, uint32_t index, struct strbuf *out)
{
    uint32_t n;
    const float *const values = generation_embedding(completion->prompts[index].generation, &n);
    n = completion->n_dimensions > 0 ? completion->n_dimensions : n;
    const float factor = embedding_scale(values, n);
    strbuf_append_format(out,
                         "%s{\"object\":\"embedding\",\"index\":%u,\"embedding\":",
                         index > 0 ? "," : "",
                         index);
    (completion->base64 ? write_base64 : write_floats)(out, values, n, factor);
    strbuf_append_text(out, "}");
}

static void whole(struct completion *completion, struct strbuf *out)
{
    const char *const name = completion->model_name;
    strbuf_append_text(out, "{\"object\":\"list\",\"data\":[");
    for (uint32_t i = 0; i < completion->n_prompts; i++) {
        write_embedding(completion, i, out);
    }
    strbuf_append_text(out, "],\"model\":");
    strbuf_append_json(out, name, strlen(name));
    strbuf_append_format(out,
                         ",\"usage\":{\"prompt_tokens\":%u,\"total_tokens\":%u}}",
                         completion->n_prompt_tokens,
                         completion->n_prompt_tokens);
}

const struct answer_form answer_embeddings = {
    .begin = begin,
    .token = take_event,
    .finish = take_event,
    .end_stream = end_stream,
    .whole = whole,
};
