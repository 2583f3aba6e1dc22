#include "server/answer.h"

#include <math.h>
#include <string.h>

/* JSON has no infinities; this is what clients know for "impossible". */
#define LOWEST_LOGPROB (-9999.0)

static const struct bytes no_text = {.data = (const uint8_t *)""};

static bool is_chat(const struct completion *completion)
{
    return completion->kind == COMPLETION_CHAT;
}

static void write_text(struct strbuf *out, struct bytes text)
{
    strbuf_append_json(out, (const char *)text.data, text.length);
}

static void write_number(struct strbuf *out, float logprob)
{
    strbuf_append_format(out, "%.7g", isfinite(logprob) ? (double)logprob : LOWEST_LOGPROB);
}

static struct bytes token_text(const struct completion *completion, token_id token)
{
    return tokenizer_token_bytes(engine_model_tokenizer(completion->model), token, true);
}

/* What every object and chunk begins with, up to the choices. */
static void write_head(const struct completion *completion, const char *object, struct strbuf *out)
{
    strbuf_append_format(out,
                         "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":",
                         completion->id,
                         object,
                         (long long)completion->created_s);
    const char *const name = completion->model_name;
    strbuf_append_json(out, name, strlen(name));
    strbuf_append_format(
        out, ",\"system_fingerprint\":\"realm-%s\",\"choices\":[", realm_version());
}

static void write_usage(const struct completion *completion, struct strbuf *out)
{
    strbuf_append_format(out,
                         "{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u,"
                         "\"prompt_tokens_details\":{\"cached_tokens\":%u}}",
                         completion->n_prompt_tokens,
                         completion->n_completion_tokens,
                         completion->n_prompt_tokens + completion->n_completion_tokens,
                         completion->n_cached_tokens);
}

const char *answer_finish_reason(const struct completion_choice *choice)
{
    if (choice->finish == REALM_FINISH_LENGTH) {
        return "length";
    }
    return choice->parser.n_calls > 0 ? "tool_calls" : "stop";
}

void answer_write_call_id(const struct completion *completion, uint32_t index, struct strbuf *out)
{
    strbuf_append_format(out,
                         "\"call_%s_%u_%u\"",
                         completion->id + strcspn(completion->id, "-_") + 1,
                         index,
                         completion->choices[index].parser.n_calls);
}

/* What a call begins with; its arguments follow as a JSON string. */
static void write_call_head(const struct completion *completion,
                            uint32_t index,
                            struct bytes name,
                            struct strbuf *out)
{
    strbuf_append_text(out, "\"id\":");
    answer_write_call_id(completion, index, out);
    strbuf_append_text(out, ",\"type\":\"function\",\"function\":{\"name\":");
    write_text(out, name);
    strbuf_append_text(out, ",\"arguments\":");
}

/* --- log-probabilities --------------------------------------------------------------------------
 */

static void write_chat_logprob(const struct completion *completion,
                               token_id token,
                               float logprob,
                               struct strbuf *out)
{
    const struct bytes text = token_text(completion, token);
    strbuf_append_text(out, "{\"token\":");
    write_text(out, text);
    strbuf_append_text(out, ",\"logprob\":");
    write_number(out, logprob);
    strbuf_append_text(out, ",\"bytes\":[");
    for (size_t i = 0; i < text.length; i++) {
        strbuf_append_format(out, i > 0 ? ",%u" : "%u", text.data[i]);
    }
    strbuf_append_text(out, "]");
}

/* One item of choices[].logprobs.content. */
static void gather_chat_logprobs(const struct completion *completion,
                                 const struct event *event,
                                 struct strbuf *out)
{
    strbuf_append_text(out, out->length > 0 ? "," : "");
    write_chat_logprob(completion, event->token, event->logprob, out);
    strbuf_append_text(out, ",\"top_logprobs\":[");
    for (uint32_t i = 0; i < event->n_top; i++) {
        strbuf_append_text(out, i > 0 ? "," : "");
        write_chat_logprob(completion, event->top[i].token, event->top[i].logprob, out);
        strbuf_append_text(out, "}");
    }
    strbuf_append_text(out, "]}");
}

static uint32_t count_characters(struct bytes text)
{
    uint32_t n = 0;
    for (size_t i = 0; i < text.length; i++) {
        n += (text.data[i] & 0xC0) != 0x80;
    }
    return n;
}

/* One item of each of the four arrays of the older format. */
static void gather_text_logprobs(const struct completion *completion,
                                 struct completion_choice *choice,
                                 const struct event *event)
{
    const struct bytes text = token_text(completion, event->token);
    const char *const comma = choice->tokens.length > 0 ? "," : "";
    strbuf_append_text(&choice->tokens, comma);
    write_text(&choice->tokens, text);
    strbuf_append_text(&choice->token_logprobs, comma);
    write_number(&choice->token_logprobs, event->logprob);
    strbuf_append_format(&choice->text_offsets, "%s%u", comma, choice->text_offset);
    choice->text_offset += count_characters(text);
    strbuf_append_text(&choice->logprobs, comma);
    if (event->n_top == 0) {
        strbuf_append_text(&choice->logprobs, "null");
        return;
    }
    strbuf_append_text(&choice->logprobs, "{");
    for (uint32_t i = 0; i < event->n_top; i++) {
        strbuf_append_text(&choice->logprobs, i > 0 ? "," : "");
        write_text(&choice->logprobs, token_text(completion, event->top[i].token));
        strbuf_append_text(&choice->logprobs, ":");
        write_number(&choice->logprobs, event->top[i].logprob);
    }
    strbuf_append_text(&choice->logprobs, "}");
}

static void gather_logprobs(const struct completion *completion,
                            struct completion_choice *choice,
                            const struct event *event)
{
    if (!completion->logprobs) {
        return;
    }
    if (is_chat(completion)) {
        gather_chat_logprobs(completion, event, &choice->logprobs);
    } else {
        gather_text_logprobs(completion, choice, event);
    }
}

/* What was gathered, as the value of "logprobs"; null without any. */
static void write_logprobs(const struct completion *completion,
                           const struct completion_choice *choice,
                           struct strbuf *out)
{
    if (choice->logprobs.length == 0) {
        strbuf_append_text(out, "null");
    } else if (is_chat(completion)) {
        strbuf_append_text(out, "{\"content\":[");
        strbuf_append(out, choice->logprobs.text, choice->logprobs.length);
        strbuf_append_text(out, "],\"refusal\":null}");
    } else {
        strbuf_append_text(out, "{\"tokens\":[");
        strbuf_append(out, choice->tokens.text, choice->tokens.length);
        strbuf_append_text(out, "],\"token_logprobs\":[");
        strbuf_append(out, choice->token_logprobs.text, choice->token_logprobs.length);
        strbuf_append_text(out, "],\"top_logprobs\":[");
        strbuf_append(out, choice->logprobs.text, choice->logprobs.length);
        strbuf_append_text(out, "],\"text_offset\":[");
        strbuf_append(out, choice->text_offsets.text, choice->text_offsets.length);
        strbuf_append_text(out, "]}");
    }
}

static void clear_logprobs(struct completion_choice *choice)
{
    strbuf_clear(&choice->logprobs);
    strbuf_clear(&choice->tokens);
    strbuf_clear(&choice->token_logprobs);
    strbuf_clear(&choice->text_offsets);
}

/* --- streaming ----------------------------------------------------------------------------------
 */

static void begin_chunk(const struct completion *completion, struct frames *frames)
{
    frames_begin(frames, NULL);
    write_head(
        completion, is_chat(completion) ? "chat.completion.chunk" : "text_completion", frames->out);
}

/* `choices` is closed; usage is null in all chunks but the last when it was asked for. */
static void end_chunk(const struct completion *completion, struct frames *frames)
{
    strbuf_append_text(frames->out, completion->include_usage ? "],\"usage\":null}" : "]}");
    frames_end(frames);
}

/* The members of a delta of chat; piece NULL: none. */
static void write_delta(const struct completion *completion,
                        uint32_t index,
                        const struct tool_piece *piece,
                        struct strbuf *out)
{
    if (piece == NULL) {
        return;
    }
    if (piece->kind == TOOL_PIECE_TEXT) {
        strbuf_append_text(out, "\"content\":");
        write_text(out, piece->text);
        return;
    }
    strbuf_append_format(
        out, "\"tool_calls\":[{\"index\":%u,", completion->choices[index].parser.n_calls - 1);
    if (piece->kind == TOOL_PIECE_CALL) {
        write_call_head(completion, index, piece->text, out);
        strbuf_append_text(out, "\"\"}}]");
        return;
    }
    strbuf_append_text(out, "\"function\":{\"arguments\":");
    write_text(out, piece->text);
    strbuf_append_text(out, "}}]");
}

/* finish: NULL before the end.  piece NULL: an empty delta (chat). */
static void write_chunk(struct completion *completion,
                        uint32_t index,
                        const struct tool_piece *piece,
                        const char *finish,
                        struct frames *frames)
{
    struct completion_choice *const choice = &completion->choices[index];
    struct strbuf *const out = frames->out;
    begin_chunk(completion, frames);
    strbuf_append_format(out, "{\"index\":%u,", index);
    if (is_chat(completion)) {
        strbuf_append_text(out, "\"delta\":{");
        if (!choice->begun) {
            strbuf_append_text(out, "\"role\":\"assistant\",");
        }
        write_delta(completion, index, piece, out);
        strbuf_append_text(out, "}");
    } else {
        strbuf_append_text(out, "\"text\":");
        write_text(out, piece != NULL ? piece->text : no_text);
    }
    strbuf_append_text(out, ",\"logprobs\":");
    write_logprobs(completion, choice, out);
    if (finish != NULL) {
        strbuf_append_format(out, ",\"finish_reason\":\"%s\"}", finish);
    } else {
        strbuf_append_text(out, ",\"finish_reason\":null}");
    }
    end_chunk(completion, frames);
    clear_logprobs(choice);
    choice->begun = true;
}

/* --- pieces -------------------------------------------------------------------------------------
 */

void answer_close_call(struct completion_choice *choice)
{
    if (choice->calls.length > 0) {
        strbuf_append_json(&choice->calls, choice->arguments.text, choice->arguments.length);
        strbuf_append_text(&choice->calls, "}}");
        strbuf_clear(&choice->arguments);
    }
}

void answer_gather(struct completion *completion, uint32_t index, const struct tool_piece *piece)
{
    struct completion_choice *const choice = &completion->choices[index];
    const char *const text = (const char *)piece->text.data;
    switch (piece->kind) {
    case TOOL_PIECE_TEXT:
        strbuf_append(&choice->text, text, piece->text.length);
        return;
    case TOOL_PIECE_CALL:
        answer_close_call(choice);
        strbuf_append_text(&choice->calls, choice->calls.length > 0 ? ",{" : "{");
        write_call_head(completion, index, piece->text, &choice->calls);
        return;
    case TOOL_PIECE_ARGUMENTS:
        strbuf_append(&choice->arguments, text, piece->text.length);
        return;
    }
}

static void add_piece(struct completion *completion,
                      uint32_t index,
                      const struct tool_piece *piece,
                      struct frames *frames)
{
    if (completion->source.stream) {
        write_chunk(completion, index, piece, NULL, frames);
    } else {
        answer_gather(completion, index, piece);
    }
}

/* False: all of it is held back. */
static bool
add_text(struct completion *completion, uint32_t index, struct bytes text, struct frames *frames)
{
    struct tool_piece piece;
    bool added = false;
    while (tool_parser_next(&completion->choices[index].parser, &text, &piece)) {
        add_piece(completion, index, &piece, frames);
        added = true;
    }
    return added;
}

static void answer_begin(struct completion *completion, uint32_t i_prompt, struct frames *frames)
{
    const struct tool_piece first = {TOOL_PIECE_TEXT, completion->prompts[i_prompt].echo};
    if (!completion->source.stream || is_chat(completion) || completion->echo) {
        for (uint32_t i = 0; i < completion->n_choices; i++) {
            add_piece(completion, i_prompt * completion->n_choices + i, &first, frames);
        }
    }
}

static void answer_token(struct completion *completion,
                         uint32_t index,
                         const struct event *event,
                         struct frames *frames)
{
    const struct tool_piece nothing = {TOOL_PIECE_TEXT, no_text};
    gather_logprobs(completion, &completion->choices[index], event);
    if (!add_text(completion, index, event->text, frames) && completion->logprobs) {
        add_piece(completion, index, &nothing, frames);
    }
}

static void answer_finish(struct completion *completion,
                          uint32_t index,
                          const struct event *event,
                          struct frames *frames)
{
    struct completion_choice *const choice = &completion->choices[index];
    choice->finish = event->finish;
    (void)add_text(completion, index, event->text, frames);
    const struct tool_piece held = {TOOL_PIECE_TEXT, tool_parser_finish(&choice->parser)};
    if (held.text.length > 0) {
        add_piece(completion, index, &held, frames);
    }
    if (completion->source.stream) {
        write_chunk(completion, index, NULL, answer_finish_reason(choice), frames);
    } else {
        answer_close_call(choice);
    }
}

static void answer_end_stream(struct completion *completion, struct frames *frames)
{
    if (completion->include_usage) {
        begin_chunk(completion, frames);
        strbuf_append_text(frames->out, "],\"usage\":");
        write_usage(completion, frames->out);
        strbuf_append_text(frames->out, "}");
        frames_end(frames);
    }
    frames_done(frames);
}

/* --- the whole ----------------------------------------------------------------------------------
 */

static void write_message(const struct completion_choice *choice, struct strbuf *out)
{
    const bool calls = choice->calls.length > 0;
    strbuf_append_text(out, "\"message\":{\"role\":\"assistant\",\"content\":");
    if (calls && choice->text.length == 0) {
        strbuf_append_text(out, "null");
    } else {
        strbuf_append_json(out, choice->text.text, choice->text.length);
    }
    if (calls) {
        strbuf_append_text(out, ",\"tool_calls\":[");
        strbuf_append(out, choice->calls.text, choice->calls.length);
        strbuf_append_text(out, "]");
    }
    strbuf_append_text(out, ",\"refusal\":null}");
}

static void answer_whole(struct completion *completion, struct strbuf *out)
{
    write_head(completion, is_chat(completion) ? "chat.completion" : "text_completion", out);
    for (uint32_t i = 0; i < completion->n_prompts * completion->n_choices; i++) {
        const struct completion_choice *const choice = &completion->choices[i];
        strbuf_append_format(out, i > 0 ? ",{\"index\":%u," : "{\"index\":%u,", i);
        if (is_chat(completion)) {
            write_message(choice, out);
        } else {
            strbuf_append_text(out, "\"text\":");
            strbuf_append_json(out, choice->text.text, choice->text.length);
        }
        strbuf_append_text(out, ",\"logprobs\":");
        write_logprobs(completion, choice, out);
        strbuf_append_format(out, ",\"finish_reason\":\"%s\"}", answer_finish_reason(choice));
    }
    strbuf_append_text(out, "],\"usage\":");
    write_usage(completion, out);
    strbuf_append_text(out, "}");
}

const struct answer_form answer_completions = {
    .begin = answer_begin,
    .token = answer_token,
    .finish = answer_finish,
    .end_stream = answer_end_stream,
    .whole = answer_whole,
};
