/* Answers of /v1/responses: typed events of a stream, or one object, and the record to keep. */
#include "base/alloc.h"
#include "server/answer.h"
#include "server/response.h"

#include <string.h>

static const char *hex_of(const struct completion *completion)
{
    return strchr(completion->id, '_') + 1;
}

static const struct completion_choice *choice_of(const struct response *response)
{
    return &response->completion->choices[0];
}

static void write_string(struct strbuf *out, const struct strbuf *text)
{
    strbuf_append_json(out, text->length > 0 ? text->text : "", text->length);
}

/* --- items --------------------------------------------------------------------------------------
 */

static void write_item_id(const struct response *response, struct strbuf *out)
{
    strbuf_append_format(out,
                         "\"%s_%s%02u\"",
                         response->item == RESPONSE_ITEM_CALL ? "fc" : "msg",
                         hex_of(response->completion),
                         response->n_items);
}

static void write_part(const struct strbuf *text, struct strbuf *out)
{
    strbuf_append_text(out, "{\"type\":\"output_text\",\"text\":");
    if (text != NULL) {
        write_string(out, text);
    } else {
        strbuf_append_text(out, "\"\"");
    }
    strbuf_append_text(out, ",\"annotations\":[],\"logprobs\":[]}");
}

/* The item under way; whole: with what it holds. */
static void write_item(const struct response *response, bool whole, struct strbuf *out)
{
    const struct completion_choice *const choice = choice_of(response);
    strbuf_append_text(out, "{\"id\":");
    write_item_id(response, out);
    strbuf_append_format(out, ",\"status\":\"%s\"", whole ? "completed" : "in_progress");
    if (response->item == RESPONSE_ITEM_MESSAGE) {
        strbuf_append_text(out, ",\"type\":\"message\",\"role\":\"assistant\",\"content\":[");
        if (whole) {
            write_part(&choice->text, out);
        }
        strbuf_append_text(out, "]}");
        return;
    }
    strbuf_append_text(out, ",\"type\":\"function_call\",\"call_id\":");
    answer_write_call_id(response->completion, 0, out);
    strbuf_append_format(out, ",\"name\":\"%s\",\"arguments\":", choice->parser.name);
    if (whole) {
        write_string(out, &choice->arguments);
    } else {
        strbuf_append_text(out, "\"\"");
    }
    strbuf_append_text(out, "}");
}

/* --- the object ---------------------------------------------------------------------------------
 */

static void write_usage(const struct completion *completion, struct strbuf *out)
{
    strbuf_append_format(out,
                         "{\"input_tokens\":%u,\"input_tokens_details\":{\"cached_tokens\":%u},"
                         "\"output_tokens\":%u,\"output_tokens_details\":{\"reasoning_tokens\":0},"
                         "\"total_tokens\":%u}",
                         completion->n_prompt_tokens,
                         completion->n_cached_tokens,
                         completion->n_completion_tokens,
                         completion->n_prompt_tokens + completion->n_completion_tokens);
}

void response_write(const struct response *response,
                    const char *status,
                    bool items,
                    struct strbuf *out)
{
    const struct completion *const completion = response->completion;
    const char *const name = completion->model_name;
    strbuf_append_format(out,
                         "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%lld,"
                         "\"status\":\"%s\",\"error\":null,\"incomplete_details\":%s,\"model\":",
                         completion->id,
                         (long long)completion->created_s,
                         status,
                         strcmp(status, "incomplete") == 0 ? "{\"reason\":\"max_output_tokens\"}"
                                                           : "null");
    strbuf_append_json(out, name, strlen(name));
    strbuf_append_text(out, ",\"output\":[");
    if (items) {
        strbuf_append(out, response->items.text, response->items.length);
    }
    strbuf_append_text(out, "],\"usage\":");
    if (items) {
        write_usage(completion, out);
    } else {
        strbuf_append_text(out, "null");
    }
    strbuf_append_text(out, ",");
    strbuf_append_text(out, response->echo);
    strbuf_append_text(out, "}");
}

static const char *end_status(const struct response *response)
{
    switch (choice_of(response)->finish) {
    case REALM_FINISH_LENGTH:
        return "incomplete";
    case REALM_FINISH_CANCELLED:
        return "cancelled";
    default:
        return "completed";
    }
}

/* --- events -------------------------------------------------------------------------------------
 */

/* False: no stream. */
static bool begin_event(struct response *response, const char *type, struct frames *frames)
{
    if (!response->completion->source.stream) {
        return false;
    }
    frames_begin(frames, type);
    strbuf_append_format(
        frames->out, "{\"type\":\"%s\",\"sequence_number\":%u", type, response->n_events++);
    return true;
}

static void end_event(struct frames *frames)
{
    strbuf_append_text(frames->out, "}");
    frames_end(frames);
}

static void send_response(struct response *response,
                          const char *type,
                          const char *status,
                          bool items,
                          struct frames *frames)
{
    if (begin_event(response, type, frames)) {
        strbuf_append_text(frames->out, ",\"response\":");
        response_write(response, status, items, frames->out);
        end_event(frames);
    }
}

static void
send_item(struct response *response, const char *type, bool whole, struct frames *frames)
{
    if (begin_event(response, type, frames)) {
        strbuf_append_format(frames->out, ",\"output_index\":%u,\"item\":", response->n_items);
        write_item(response, whole, frames->out);
        end_event(frames);
    }
}

/* An event about the item under way, or its text; goes on with more members. */
static bool begin_item_event(struct response *response, const char *type, struct frames *frames)
{
    if (!begin_event(response, type, frames)) {
        return false;
    }
    strbuf_append_text(frames->out, ",\"item_id\":");
    write_item_id(response, frames->out);
    strbuf_append_format(frames->out, ",\"output_index\":%u", response->n_items);
    if (response->item == RESPONSE_ITEM_MESSAGE) {
        strbuf_append_text(frames->out, ",\"content_index\":0");
    }
    return true;
}

static void send_part(struct response *response,
                      const char *type,
                      const struct strbuf *text,
                      struct frames *frames)
{
    if (begin_item_event(response, type, frames)) {
        strbuf_append_text(frames->out, ",\"part\":");
        write_part(text, frames->out);
        end_event(frames);
    }
}

static void send_delta(struct response *response, struct bytes text, struct frames *frames)
{
    const bool message = response->item == RESPONSE_ITEM_MESSAGE;
    if (begin_item_event(response,
                         message ? "response.output_text.delta"
                                 : "response.function_call_arguments.delta",
                         frames)) {
        strbuf_append_text(frames->out, ",\"delta\":");
        strbuf_append_json(frames->out, (const char *)text.data, text.length);
        strbuf_append_text(frames->out, message ? ",\"logprobs\":[]" : "");
        end_event(frames);
    }
}

static void open_item(struct response *response, enum response_item item, struct frames *frames)
{
    response->item = item;
    send_item(response, "response.output_item.added", false, frames);
    if (item == RESPONSE_ITEM_MESSAGE) {
        send_part(response, "response.content_part.added", NULL, frames);
    }
}

static void send_ends(struct response *response, struct frames *frames)
{
    const struct completion_choice *const choice = choice_of(response);
    if (response->item == RESPONSE_ITEM_CALL) {
        if (begin_item_event(response, "response.function_call_arguments.done", frames)) {
            strbuf_append_format(frames->out, ",\"name\":\"%s\"", choice->parser.name);
            strbuf_append_text(frames->out, ",\"arguments\":");
            write_string(frames->out, &choice->arguments);
            end_event(frames);
        }
        return;
    }
    if (begin_item_event(response, "response.output_text.done", frames)) {
        strbuf_append_text(frames->out, ",\"text\":");
        write_string(frames->out, &choice->text);
        strbuf_append_text(frames->out, ",\"logprobs\":[]");
        end_event(frames);
    }
    send_part(response, "response.content_part.done", &choice->text, frames);
}

static void close_item(struct response *response, struct frames *frames)
{
    if (response->item == RESPONSE_ITEM_NONE) {
        return;
    }
    send_ends(response, frames);
    send_item(response, "response.output_item.done", true, frames);
    strbuf_append_text(&response->items, response->n_items > 0 ? "," : "");
    write_item(response, true, &response->items);
    response->n_items++;
    response->item = RESPONSE_ITEM_NONE;
}

/* --- pieces -------------------------------------------------------------------------------------
 */

static void
add_piece(struct response *response, const struct tool_piece *piece, struct frames *frames)
{
    switch (piece->kind) {
    case TOOL_PIECE_TEXT:
        if (piece->text.length > 0 && response->item == RESPONSE_ITEM_NONE) {
            open_item(response, RESPONSE_ITEM_MESSAGE, frames);
        }
        break;
    case TOOL_PIECE_CALL:
        close_item(response, frames);
        answer_gather(response->completion, 0, piece);
        open_item(response, RESPONSE_ITEM_CALL, frames);
        return;
    case TOOL_PIECE_ARGUMENTS:
        break;
    }
    if (piece->text.length > 0) {
        answer_gather(response->completion, 0, piece);
        send_delta(response, piece->text, frames);
    }
}

static void add_text(struct response *response, struct bytes text, struct frames *frames)
{
    struct tool_parser *const parser = &response->completion->choices[0].parser;
    struct tool_piece piece;
    /* A call's item ends with its arguments: later the parser has another name. */
    while (tool_parser_next(parser, &text, &piece)) {
        add_piece(response, &piece, frames);
        if (piece.kind == TOOL_PIECE_ARGUMENTS && parser->state == TOOL_PARSER_TEXT) {
            close_item(response, frames);
        }
    }
}

static void begin(struct completion *completion, uint32_t i_prompt, struct frames *frames)
{
    (void)i_prompt;
    send_response(completion->response, "response.created", "in_progress", false, frames);
    send_response(completion->response, "response.in_progress", "in_progress", false, frames);
}

static void token(struct completion *completion,
                  uint32_t index,
                  const struct event *event,
                  struct frames *frames)
{
    (void)index;
    add_text(completion->response, event->text, frames);
}

static void finish(struct completion *completion,
                   uint32_t index,
                   const struct event *event,
                   struct frames *frames)
{
    struct response *const response = completion->response;
    struct completion_choice *const choice = &completion->choices[index];
    choice->finish = event->finish;
    add_text(response, event->text, frames);
    const struct tool_piece held = {TOOL_PIECE_TEXT, tool_parser_finish(&choice->parser)};
    add_piece(response, &held, frames);
    if (response->item == RESPONSE_ITEM_NONE && response->n_items == 0) {
        open_item(response, RESPONSE_ITEM_MESSAGE, frames);
    }
    close_item(response, frames);
    answer_close_call(choice);
}

/* --- the end ------------------------------------------------------------------------------------
 */

static void write_record(const struct response *response, struct strbuf *out)
{
    const struct completion_choice *const choice = choice_of(response);
    strbuf_append_text(out, "{\"response\":");
    response_write(response, end_status(response), true, out);
    strbuf_append_text(out, ",\"input\":[");
    strbuf_append_text(out, response->input);
    strbuf_append_text(out, "],\"messages\":[");
    strbuf_append_text(out, response->messages);
    strbuf_append_text(out, ",{\"role\":\"assistant\",\"content\":");
    write_string(out, &choice->text);
    if (choice->calls.length > 0) {
        strbuf_append_text(out, ",\"tool_calls\":[");
        strbuf_append(out, choice->calls.text, choice->calls.length);
        strbuf_append_text(out, "]");
    }
    strbuf_append_text(out, "}]}");
}

static void keep(struct response *response)
{
    if (!response->keep || response->store == NULL) {
        return;
    }
    struct strbuf record;
    strbuf_init(&record, ALLOC_SERVER, (size_t)1 << 30);
    write_record(response, &record);
    response_store_put(response->store, response->live.tenant, response->completion->id, &record);
    strbuf_deinit(&record);
}

static void end_stream(struct completion *completion, struct frames *frames)
{
    struct response *const response = completion->response;
    const char *const status = end_status(response);
    keep(response);
    send_response(response,
                  strcmp(status, "completed") == 0 ? "response.completed" : "response.incomplete",
                  status,
                  true,
                  frames);
}

static void whole(struct completion *completion, struct strbuf *out)
{
    keep(completion->response);
    response_write(completion->response, end_status(completion->response), true, out);
}

const struct answer_form answer_response = {
    .begin = begin,
    .token = token,
    .finish = finish,
    .end_stream = end_stream,
    .whole = whole,
};

void response_enter(struct response *response, const struct completion_scope *scope)
{
    if (scope->responses != NULL) {
        response->store = scope->responses;
        response->live.tenant = scope->tenant;
        response->live.id = response->completion->id;
        response_store_enter(response->store, &response->live);
    }
}

void response_destroy(struct response *response)
{
    if (response == NULL) {
        return;
    }
    if (response->store != NULL) {
        response_store_leave(response->store, &response->live);
    }
    strbuf_deinit(&response->items);
    alloc_free(response);
}
