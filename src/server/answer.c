#include "server/answer.h"

#include <math.h>
#include <string.h>

/* JSON has no infinities; this is what clients know for "impossible". */
#define LOWEST_LOGPROB (-9999.0)

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
    const char *const name = engine_model_name(completion->model);
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

static const char *finish_name(realm_finish finish)
{
    return finish == REALM_FINISH_LENGTH ? "\"length\"" : "\"stop\"";
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

/* finish: a JSON value.  text NULL: an empty delta (chat). */
static void write_chunk(struct completion *completion,
                        uint32_t index,
                        const struct bytes *text,
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
        if (text != NULL) {
            strbuf_append_text(out, "\"content\":");
            write_text(out, *text);
        }
        strbuf_append_text(out, "}");
    } else {
        strbuf_append_text(out, "\"text\":");
        write_text(out, text != NULL ? *text : (struct bytes){.data = (const uint8_t *)""});
    }
    strbuf_append_text(out, ",\"logprobs\":");
    write_logprobs(completion, choice, out);
    strbuf_append_format(out, ",\"finish_reason\":%s}", finish);
    end_chunk(completion, frames);
    clear_logprobs(choice);
    choice->begun = true;
}

void answer_begin(struct completion *completion, uint32_t i_prompt, struct frames *frames)
{
    const struct bytes echo = completion->prompts[i_prompt].echo;
    for (uint32_t i = 0; i < completion->n_choices; i++) {
        const uint32_t index = i_prompt * completion->n_choices + i;
        if (!completion->source.stream) {
            strbuf_append(&completion->choices[index].text, (const char *)echo.data, echo.length);
        } else if (is_chat(completion) || completion->echo) {
            const struct bytes first =
                completion->echo ? echo : (struct bytes){.data = (const uint8_t *)""};
            write_chunk(completion, index, &first, "null", frames);
        }
    }
}

void answer_token(struct completion *completion,
                  uint32_t index,
                  const struct event *event,
                  struct frames *frames)
{
    struct completion_choice *const choice = &completion->choices[index];
    gather_logprobs(completion, choice, event);
    if (!completion->source.stream) {
        strbuf_append(&choice->text, (const char *)event->text.data, event->text.length);
    } else if (event->text.length > 0 || completion->logprobs) {
        write_chunk(completion, index, &event->text, "null", frames);
    }
}

void answer_finish(struct completion *completion,
                   uint32_t index,
                   const struct event *event,
                   struct frames *frames)
{
    struct completion_choice *const choice = &completion->choices[index];
    choice->finish = event->finish;
    if (!completion->source.stream) {
        strbuf_append(&choice->text, (const char *)event->text.data, event->text.length);
        return;
    }
    if (event->text.length > 0) {
        write_chunk(completion, index, &event->text, "null", frames);
    }
    write_chunk(completion, index, NULL, finish_name(event->finish), frames);
}

void answer_end_stream(const struct completion *completion, struct frames *frames)
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

void answer_whole(const struct completion *completion, struct strbuf *out)
{
    write_head(completion, is_chat(completion) ? "chat.completion" : "text_completion", out);
    for (uint32_t i = 0; i < completion->n_prompts * completion->n_choices; i++) {
        const struct completion_choice *const choice = &completion->choices[i];
        strbuf_append_format(out, i > 0 ? ",{\"index\":%u," : "{\"index\":%u,", i);
        strbuf_append_text(out,
                           is_chat(completion) ? "\"message\":{\"role\":\"assistant\",\"content\":"
                                               : "\"text\":");
        strbuf_append_json(out, choice->text.text, choice->text.length);
        strbuf_append_text(
            out, is_chat(completion) ? ",\"refusal\":null},\"logprobs\":" : ",\"logprobs\":");
        write_logprobs(completion, choice, out);
        strbuf_append_format(out, ",\"finish_reason\":%s}", finish_name(choice->finish));
    }
    strbuf_append_text(out, "],\"usage\":");
    write_usage(completion, out);
    strbuf_append_text(out, "}");
}
