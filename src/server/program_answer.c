/* What a client reads of a program's run: its own events, or a chat completion. */
#include "server/program_run.h"

#include <string.h>

static void write_bytes(struct strbuf *out, struct bytes text)
{
    strbuf_append_json(out, (const char *)text.data, text.length);
}

/* A guest's JSON.  Line ends in it stand between values only, and would end a frame. */
static void write_json(struct strbuf *out, struct bytes json)
{
    const size_t from = out->length;
    if (strbuf_append(out, (const char *)json.data, json.length)) {
        for (size_t i = from; i < out->length; i++) {
            if (out->text[i] == '\n' || out->text[i] == '\r') {
                out->text[i] = ' ';
            }
        }
    }
}

void program_answer_usage(const struct program_run *run, struct strbuf *out)
{
    const struct instance_usage *const usage = &run->end.usage;
    const unsigned long long n_prompt = usage->prompt_tokens;
    const unsigned long long n_completion = usage->completion_tokens;
    strbuf_append_format(out,
                         "{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu",
                         n_prompt,
                         n_completion,
                         n_prompt + n_completion);
    if (run->form == PROGRAM_FORM_RUN) {
        strbuf_append_format(out,
                             ",\"fuel\":%llu,\"host_calls\":%llu,\"output_bytes\":%llu,"
                             "\"memory_bytes\":%llu",
                             (unsigned long long)usage->fuel,
                             (unsigned long long)usage->host_calls,
                             (unsigned long long)usage->output_bytes,
                             (unsigned long long)usage->memory_bytes);
    }
    strbuf_append_char(out, '}');
}

/* --- a run -------------------------------------------------------------------------------------
 */

static const char *level_name(uint32_t level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    return names[level < 4 ? level : 3];
}

static void write_log_line(const struct guest_event *event, struct strbuf *out)
{
    strbuf_append_format(out, "{\"level\":\"%s\",\"text\":", level_name(event->level));
    write_bytes(out, event->bytes);
    strbuf_append_char(out, '}');
}

/* The item of a list that `out` holds. */
static void begin_item(struct strbuf *out)
{
    if (out->length > 0) {
        strbuf_append_char(out, ',');
    }
}

/* A line that does not fit is left out whole. */
static void keep_log_line(struct program_run *run, const struct guest_event *event)
{
    const size_t n_most = 6 * event->bytes.length + 64;
    if (run->log_truncated || n_most > run->log.max_bytes - run->log.length) {
        run->log_truncated = true;
        return;
    }
    begin_item(&run->log);
    write_log_line(event, &run->log);
}

static void run_event(const struct guest_event *event, struct frames *frames)
{
    static const char *const names[] = {
        [GUEST_EVENT_TEXT] = "text",
        [GUEST_EVENT_JSON] = "event",
        [GUEST_EVENT_RESULT] = "result",
        [GUEST_EVENT_LOG] = "log",
    };
    frames_begin(frames, names[event->kind]);
    if (event->kind == GUEST_EVENT_TEXT) {
        strbuf_append_text(frames->out, "{\"text\":");
        write_bytes(frames->out, event->bytes);
        strbuf_append_char(frames->out, '}');
    } else if (event->kind == GUEST_EVENT_LOG) {
        write_log_line(event, frames->out);
    } else {
        write_json(frames->out, event->bytes);
    }
    frames_end(frames);
}

static void write_run_head(const struct program_run *run, struct strbuf *out)
{
    strbuf_append_format(out,
                         "{\"id\":\"%s\",\"object\":\"program.run\",\"created\":%lld,\"program\":",
                         run->id,
                         (long long)run->created_s);
    strbuf_append_json(out, run->lease.name, strlen(run->lease.name));
    strbuf_append_format(out, ",\"version\":%u", run->lease.version);
}

static void write_run(const struct program_run *run, struct strbuf *out)
{
    write_run_head(run, out);
    strbuf_append_text(out, ",\"output\":");
    strbuf_append_json(out, run->text.text, run->text.length);
    strbuf_append_format(out,
                         ",\"result\":%s,\"events\":[%s],\"log\":[%s],\"usage\":",
                         run->result.length > 0 ? run->result.text : "null",
                         run->events.text,
                         run->log.text);
    program_answer_usage(run, out);
    strbuf_append_char(out, '}');
}

/* --- a chat ------------------------------------------------------------------------------------
 */

static void write_chat_head(const struct program_run *run, const char *object, struct strbuf *out)
{
    strbuf_append_format(out,
                         "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":",
                         run->id,
                         object,
                         (long long)run->created_s);
    strbuf_append_json(out, run->model, strlen(run->model));
    strbuf_append_format(out, ",\"system_fingerprint\":\"realm-%s\"", realm_version());
}

static void begin_chunk(const struct program_run *run, struct frames *frames)
{
    frames_begin(frames, NULL);
    write_chat_head(run, "chat.completion.chunk", frames->out);
}

static void end_chunk(const struct program_run *run, struct frames *frames)
{
    strbuf_append_text(frames->out, run->include_usage ? ",\"usage\":null}" : "}");
    frames_end(frames);
}

static void chat_role(struct program_run *run, struct frames *frames)
{
    if (!run->begun) {
        run->begun = true;
        begin_chunk(run, frames);
        strbuf_append_text(frames->out,
                           ",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
                           "\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]");
        end_chunk(run, frames);
    }
}

static void chat_text(struct program_run *run, struct bytes text, struct frames *frames)
{
    chat_role(run, frames);
    begin_chunk(run, frames);
    strbuf_append_text(frames->out, ",\"choices\":[{\"index\":0,\"delta\":{\"content\":");
    write_bytes(frames->out, text);
    strbuf_append_text(frames->out, "},\"logprobs\":null,\"finish_reason\":null}]");
    end_chunk(run, frames);
}

/* A program's own events travel beside the choices, where chat clients do not look. */
static void chat_event(struct program_run *run, struct bytes json, struct frames *frames)
{
    chat_role(run, frames);
    begin_chunk(run, frames);
    strbuf_append_text(frames->out,
                       ",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
                       "\"finish_reason\":null}],\"program_event\":");
    write_json(frames->out, json);
    end_chunk(run, frames);
}

static const char *finish_reason(const struct program_run *run)
{
    return run->end.cut_short ? "length" : "stop";
}

static void end_chat(struct program_run *run, struct frames *frames)
{
    chat_role(run, frames);
    if (!run->spoke && run->result.length > 0) {
        chat_text(
            run,
            (struct bytes){.data = (const uint8_t *)run->result.text, .length = run->result.length},
            frames);
    }
    begin_chunk(run, frames);
    strbuf_append_format(frames->out,
                         ",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
                         "\"finish_reason\":\"%s\"}]",
                         finish_reason(run));
    end_chunk(run, frames);
    if (run->include_usage) {
        begin_chunk(run, frames);
        strbuf_append_text(frames->out, ",\"choices\":[],\"usage\":");
        program_answer_usage(run, frames->out);
        strbuf_append_char(frames->out, '}');
        frames_end(frames);
    }
    frames_done(frames);
}

static void write_chat(const struct program_run *run, struct strbuf *out)
{
    const struct strbuf *const content =
        run->spoke || run->result.length == 0 ? &run->text : &run->result;
    write_chat_head(run, "chat.completion", out);
    strbuf_append_text(
        out, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    strbuf_append_json(out, content->text, content->length);
    strbuf_append_format(out,
                         ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"%s\"}],"
                         "\"program\":{\"version\":%u,\"result\":%s,\"events\":[%s]},\"usage\":",
                         finish_reason(run),
                         run->lease.version,
                         run->result.length > 0 ? run->result.text : "null",
                         run->events.text);
    program_answer_usage(run, out);
    strbuf_append_char(out, '}');
}

/* --- both --------------------------------------------------------------------------------------
 */

static void
stream_event(struct program_run *run, const struct guest_event *event, struct frames *frames)
{
    if (run->form == PROGRAM_FORM_RUN) {
        run_event(event, frames);
    } else if (event->kind == GUEST_EVENT_TEXT) {
        chat_text(run, event->bytes, frames);
    } else if (event->kind == GUEST_EVENT_JSON) {
        chat_event(run, event->bytes, frames);
    }
}

void program_answer_event(struct program_run *run,
                          const struct guest_event *event,
                          struct frames *frames)
{
    switch (event->kind) {
    case GUEST_EVENT_TEXT:
        run->spoke = true;
        if (!run->source.stream) {
            strbuf_append(&run->text, (const char *)event->bytes.data, event->bytes.length);
        }
        break;
    case GUEST_EVENT_JSON:
        if (!run->source.stream) {
            begin_item(&run->events);
            write_json(&run->events, event->bytes);
        }
        break;
    case GUEST_EVENT_RESULT:
        strbuf_clear(&run->result);
        write_json(&run->result, event->bytes);
        break;
    case GUEST_EVENT_LOG:
        keep_log_line(run, event);
        break;
    case GUEST_EVENT_FINISHED:
        return;
    }
    if (run->source.stream) {
        stream_event(run, event, frames);
    }
}

void program_answer_end_stream(struct program_run *run, struct frames *frames)
{
    if (run->form == PROGRAM_FORM_CHAT) {
        end_chat(run, frames);
        return;
    }
    frames_begin(frames, "done");
    write_run_head(run, frames->out);
    strbuf_append_text(frames->out, ",\"usage\":");
    program_answer_usage(run, frames->out);
    strbuf_append_char(frames->out, '}');
    frames_end(frames);
}

void program_answer_whole(const struct program_run *run, struct strbuf *out)
{
    if (run->form == PROGRAM_FORM_CHAT) {
        write_chat(run, out);
    } else {
        write_run(run, out);
    }
}
