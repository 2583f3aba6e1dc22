/* POST /tokenize, /detokenize, /apply-template: what a model's tokenizer and template make of a
 * request, under the names that users of llama.cpp and of vLLM know. */
#include "base/alloc.h"
#include "server/chat_messages.h"
#include "server/fields.h"
#include "server/handlers.h"
#include "server/state.h"

#include <string.h>

#define MAX_TEXT_BYTES ((size_t)256 << 20)

static realm_status out_of_memory(struct field_reader *reader)
{
    return problem_set(reader->problem, REALM_OUT_OF_MEMORY, "", "no memory for the answer");
}

/* --- fields -------------------------------------------------------------------------------------
 */

/* content is llama.cpp's name and encodes the text alone; prompt is vLLM's and begins as prompts
 * do. */
static realm_status read_text(struct field_reader *reader, const char *field, const json_t *value)
{
    struct bytes text;
    if (reader->prompt != NULL) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "content and prompt are both given; they are one field by two names");
    }
    REALM_TRY(json_read_text(value, field, &text, reader->problem));
    reader->prompt = value;
    if (!reader->encode_given) {
        reader->encode.add_special = strcmp(field, "prompt") == 0;
    }
    return REALM_OK;
}

static realm_status
read_add_special(struct field_reader *reader, const char *field, const json_t *value)
{
    reader->encode_given = true;
    return json_read_bool(value, field, &reader->encode.add_special, reader->problem);
}

static realm_status
read_parse_special(struct field_reader *reader, const char *field, const json_t *value)
{
    bool parse = true;
    REALM_TRY(json_read_bool(value, field, &parse, reader->problem));
    reader->plain_text = !parse;
    return REALM_OK;
}

static realm_status read_pieces(struct field_reader *reader, const char *field, const json_t *value)
{
    return json_read_bool(value, field, &reader->completion->with_pieces, reader->problem);
}

static realm_status
read_strings(struct field_reader *reader, const char *field, const json_t *value)
{
    return json_read_bool(value, field, &reader->completion->token_strings, reader->problem);
}

const struct field_row field_rows_tokenize[] = {
    {"model", field_model},
    {"content", read_text},
    {"prompt", read_text},
    {"add_special", read_add_special},
    {"add_special_tokens", read_add_special},
    {"parse_special", read_parse_special},
    {"with_pieces", read_pieces},
    {"return_token_strs", read_strings},
    {NULL, NULL},
};

static realm_status read_tokens(struct field_reader *reader, const char *field, const json_t *value)
{
    if (!json_is_array(value)) {
        return problem_set(reader->problem,
                           REALM_INVALID_ARGUMENT,
                           field,
                           "tokens is %s and must be an array of token ids",
                           json_kind(value));
    }
    reader->prompt = value;
    return REALM_OK;
}

const struct field_row field_rows_detokenize[] = {
    {"model", field_model},
    {"tokens", read_tokens},
    {NULL, NULL},
};

/* --- what they ask for --------------------------------------------------------------------------
 */

static realm_status take_prompt(struct field_reader *reader, struct completion_prompt **out)
{
    struct completion *const completion = reader->completion;
    completion->prompts = alloc_zeroed(ALLOC_SERVER, 1, sizeof *completion->prompts);
    *out = completion->prompts;
    completion->n_prompts = completion->prompts != NULL ? 1 : 0;
    return completion->prompts != NULL ? REALM_OK : out_of_memory(reader);
}

/* Text that lives as long as the request. */
static realm_status
keep_text(struct field_reader *reader, const struct strbuf *text, struct bytes *out)
{
    const size_t n = text->length;
    const char *const copy =
        text->failed ? NULL : arena_string(&reader->completion->arena, n > 0 ? text->text : "", n);
    *out = (struct bytes){(const uint8_t *)copy, n};
    return copy != NULL ? REALM_OK : out_of_memory(reader);
}

realm_status template_prepare(struct field_reader *reader)
{
    struct completion_prompt *prompt;
    if (reader->messages == NULL) {
        return problem_set(
            reader->problem, REALM_INVALID_ARGUMENT, "messages", "messages is missing");
    }
    REALM_TRY(take_prompt(reader, &prompt));
    struct strbuf text;
    strbuf_init(&text, ALLOC_SERVER, MAX_TEXT_BYTES);
    realm_status status = chat_messages_render(reader, &text);
    if (status == REALM_OK) {
        status = keep_text(reader, &text, &prompt->echo);
    }
    strbuf_deinit(&text);
    return status;
}

realm_status tokenize_prepare(struct field_reader *reader)
{
    struct completion_prompt *prompt;
    struct realm_error error;
    if (reader->prompt == NULL) {
        return problem_set(
            reader->problem, REALM_INVALID_ARGUMENT, "content", "content is missing");
    }
    REALM_TRY(take_prompt(reader, &prompt));
    reader->encode.parse_special = !reader->plain_text;
    return tokenizer_encode(engine_model_tokenizer(reader->completion->model),
                            json_string_value(reader->prompt),
                            json_string_length(reader->prompt),
                            reader->encode,
                            &prompt->tokens,
                            &error) == REALM_OK
               ? REALM_OK
               : out_of_memory(reader);
}

static realm_status decode(struct field_reader *reader, struct completion_prompt *prompt)
{
    struct strbuf text;
    strbuf_init(&text, ALLOC_SERVER, MAX_TEXT_BYTES);
    const bool decoded = tokenizer_decode(engine_model_tokenizer(reader->completion->model),
                                          prompt->tokens.ids,
                                          prompt->tokens.length,
                                          true,
                                          true,
                                          &text);
    const realm_status status =
        decoded ? keep_text(reader, &text, &prompt->echo) : out_of_memory(reader);
    strbuf_deinit(&text);
    return status;
}

realm_status detokenize_prepare(struct field_reader *reader)
{
    struct completion_prompt *prompt;
    struct realm_error error;
    if (reader->prompt == NULL) {
        return problem_set(reader->problem, REALM_INVALID_ARGUMENT, "tokens", "tokens is missing");
    }
    REALM_TRY(take_prompt(reader, &prompt));
    for (size_t i = 0; i < json_array_size(reader->prompt); i++) {
        uint32_t token = 0;
        REALM_TRY(json_read_u32(json_array_get(reader->prompt, i),
                                "tokens",
                                0,
                                UINT32_MAX - 1,
                                &token,
                                reader->problem));
        if (token_list_append(&prompt->tokens, token, &error) != REALM_OK) {
            return out_of_memory(reader);
        }
    }
    REALM_TRY(field_check_tokens(reader, "tokens", prompt->tokens.ids, prompt->tokens.length));
    return decode(reader, prompt);
}

/* --- answers ------------------------------------------------------------------------------------
 */

static void write_piece(const struct completion *completion, token_id token, struct strbuf *out)
{
    const struct bytes piece =
        tokenizer_token_bytes(engine_model_tokenizer(completion->model), token, true);
    strbuf_append_json(out, (const char *)piece.data, piece.length);
}

static void write_tokens(const struct completion *completion, struct strbuf *out)
{
    const struct token_list *const tokens = &completion->prompts[0].tokens;
    strbuf_append_text(out, "{\"tokens\":[");
    for (size_t i = 0; i < tokens->length; i++) {
        strbuf_append_text(out, i > 0 ? "," : "");
        if (completion->with_pieces) {
            strbuf_append_format(out, "{\"id\":%u,\"piece\":", tokens->ids[i]);
            write_piece(completion, tokens->ids[i], out);
            strbuf_append_text(out, "}");
        } else {
            strbuf_append_format(out, "%u", tokens->ids[i]);
        }
    }
    strbuf_append_text(out, "]");
    if (completion->token_strings) {
        strbuf_append_text(out, ",\"token_strs\":[");
        for (size_t i = 0; i < tokens->length; i++) {
            strbuf_append_text(out, i > 0 ? "," : "");
            write_piece(completion, tokens->ids[i], out);
        }
        strbuf_append_text(out, "]");
    }
    strbuf_append_format(out,
                         ",\"count\":%zu,\"max_model_len\":%u}",
                         tokens->length,
                         engine_model_context_length(completion->model));
}

static void write_member(struct strbuf *out, const char *head, struct bytes text)
{
    strbuf_append_text(out, head);
    strbuf_append_json(out, (const char *)text.data, text.length);
}

static void write_answer(const struct completion *completion, struct strbuf *out)
{
    const struct bytes text = completion->prompts[0].echo;
    switch (completion->kind) {
    case COMPLETION_TOKENIZE:
        write_tokens(completion, out);
        return;
    case COMPLETION_DETOKENIZE:
        write_member(out, "{\"content\":", text);
        write_member(out, ",\"prompt\":", text);
        strbuf_append_text(out, "}");
        return;
    default:
        write_member(out, "{\"prompt\":", text);
        strbuf_append_text(out, "}");
        return;
    }
}

static void answer(struct exchange *exchange, enum completion_kind kind)
{
    struct completion *completion;
    const struct completion_scope scope = {
        .engine = exchange->server->engine,
        .adapters = exchange->server->adapters,
        .account = exchange->account,
        .tenant = exchange->tenant_id,
    };
    const realm_status status = completion_parse(
        kind, &scope, exchange->body.text, exchange->body.length, &completion, &exchange->problem);
    strbuf_deinit(&exchange->body);
    if (status != REALM_OK) {
        exchange_answer_problem(exchange);
        return;
    }
    const struct tenant_demand demand = {.model = engine_model_name(completion->model)};
    if (exchange_admit(exchange, &demand) == REALM_OK) {
        write_answer(completion, &exchange->out);
        exchange_answer(exchange, 200);
    } else {
        exchange_answer_problem(exchange);
    }
    completion_destroy(completion);
}

void prepare_apply_template(struct exchange *exchange)
{
    answer(exchange, COMPLETION_TEMPLATE);
}

void prepare_tokenize(struct exchange *exchange)
{
    answer(exchange, COMPLETION_TOKENIZE);
}

void prepare_detokenize(struct exchange *exchange)
{
    answer(exchange, COMPLETION_DETOKENIZE);
}
