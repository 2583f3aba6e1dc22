#include "guest.h"

/* --- the request and the answer ----------------------------------------------------------------
 */

struct text guest_request(void)
{
    const int32_t length = realm_request_read(REALM_REQUEST_BODY, NULL, 0);
    if (length <= 0) {
        return TEXT("");
    }
    char *data = guest_allocate((size_t)length);
    (void)realm_request_read(REALM_REQUEST_BODY, data, (size_t)length);
    return (struct text){.data = data, .length = (size_t)length};
}

int32_t guest_receive(struct text *out)
{
    struct buffer message = {.data = NULL};
    size_t room = 4096;
    int32_t length = realm_recv(buffer_grow(&message, room), room, -1);
    if (length > (int32_t)room) {
        room = (size_t)length;
        message = (struct buffer){.data = NULL};
        length = realm_recv(buffer_grow(&message, room), room, -1);
    }
    if (length < 0) {
        return length == REALM_GUEST_CLOSED ? 0 : length;
    }
    *out = (struct text){.data = message.data, .length = (size_t)length};
    return 1;
}

int32_t guest_emit_text(struct text text)
{
    return realm_emit(REALM_EMIT_TEXT, text.data, text.length);
}

int32_t guest_emit_event(struct text json)
{
    return realm_emit(REALM_EMIT_EVENT, json.data, json.length);
}

int32_t guest_emit_result(struct text json)
{
    return realm_emit(REALM_EMIT_RESULT, json.data, json.length);
}

int32_t guest_fail(const char *what)
{
    struct buffer words = {.data = NULL};
    struct buffer event = {.data = NULL};
    buffer_string(&words, what);
    const int32_t length = realm_last_error(NULL, 0);
    if (length > 0) {
        buffer_string(&words, ": ");
        (void)realm_last_error(buffer_grow(&words, (size_t)length), (size_t)length);
    }
    (void)realm_log(0, words.data, words.length);
    buffer_string(&event, "{\"error\":{\"message\":");
    buffer_json(&event, buffer_view(&words));
    buffer_string(&event, "}}");
    (void)guest_emit_event(buffer_view(&event));
    return 1;
}

/* --- prompts -----------------------------------------------------------------------------------
 */

void guest_add_message(struct buffer *messages, const char *role, struct text content)
{
    buffer_string(messages, messages->length > 0 ? ",{\"role\":" : "{\"role\":");
    buffer_json(messages, text_of(role));
    buffer_string(messages, ",\"content\":");
    buffer_json(messages, content);
    buffer_string(messages, "}");
}

/* The text a chat template makes of {"messages":[...]}; a negative length is the error. */
static int32_t render(realm_handle model, struct text json, struct buffer *out)
{
    int32_t length = realm_apply_template(model, json.data, json.length, NULL, 0);
    if (length > 0) {
        char *room = buffer_grow(out, (size_t)length);
        length = realm_apply_template(model, json.data, json.length, room, (size_t)length);
    }
    return length;
}

realm_handle guest_prompt(realm_handle model, struct text messages)
{
    struct buffer json = {.data = NULL};
    struct buffer prompt = {.data = NULL};
    buffer_string(&json, "{\"add_generation_prompt\":true,\"messages\":");
    buffer_text(&json, messages);
    buffer_string(&json, "}");
    const int32_t length = render(model, buffer_view(&json), &prompt);
    if (length < 0) {
        return length;
    }
    const realm_handle sequence = realm_sequence_create(model);
    const int32_t n_tokens =
        realm_sequence_append_text(sequence, prompt.data, prompt.length, REALM_TEXT_PARSE_SPECIAL);
    return n_tokens < 0 ? n_tokens : sequence;
}

realm_handle guest_prompt_of(realm_handle model, const struct buffer *messages)
{
    struct buffer array = {.data = NULL};
    buffer_string(&array, "[");
    buffer_text(&array, buffer_view(messages));
    buffer_string(&array, "]");
    return guest_prompt(model, buffer_view(&array));
}

struct text guest_last_message(struct text request)
{
    struct text rest = json_items(json_member(request, "messages"));
    struct text message;
    struct text content = TEXT("");
    while (json_next(&rest, &message)) {
        content = json_member(message, "content");
    }
    struct buffer joined = {.data = NULL};
    struct text part;
    rest = json_items(content);
    while (json_next(&rest, &part)) {
        buffer_text(&joined, json_string(json_member(part, "text")));
    }
    return joined.length > 0 ? buffer_view(&joined) : json_string(content);
}

/* --- embedding ---------------------------------------------------------------------------------
 */

int32_t guest_embed(realm_handle model, struct text text, float **out)
{
    const int32_t flags = REALM_TEXT_ADD_SPECIAL | REALM_TEXT_PARSE_SPECIAL;
    const int32_t n = realm_tokenize(model, text.data, text.length, flags, NULL, 0);
    const int32_t n_columns = realm_embed(model, NULL, 0, NULL, 0);
    if (n < 0 || n_columns < 0) {
        return n < 0 ? n : n_columns;
    }
    realm_token *tokens = guest_allocate((size_t)n * sizeof(*tokens));
    *out = guest_allocate((size_t)n_columns * sizeof(**out));
    (void)realm_tokenize(model, text.data, text.length, flags, tokens, (size_t)n);
    return realm_embed(model, tokens, (size_t)n, *out, (size_t)n_columns);
}

/* --- generating --------------------------------------------------------------------------------
 */

static float option(struct text request, const char *name, double otherwise)
{
    return (float)json_number(json_member(request, name), otherwise);
}

static uint64_t whole(struct text request, const char *name, uint64_t most)
{
    const double value = json_number(json_member(request, name), 0);
    return value <= 0 ? 0 : value >= (double)most ? most : (uint64_t)value;
}

struct realm_guest_sampler guest_sampling(struct text request, uint32_t stream)
{
    return (struct realm_guest_sampler){
        .size = sizeof(struct realm_guest_sampler),
        .temperature = option(request, "temperature", 1),
        .top_p = option(request, "top_p", 0),
        .min_p = option(request, "min_p", 0),
        .top_k = (uint32_t)whole(request, "top_k", UINT32_MAX),
        .repetition_penalty = option(request, "repetition_penalty", 0),
        .presence_penalty = option(request, "presence_penalty", 0),
        .frequency_penalty = option(request, "frequency_penalty", 0),
        .seed = whole(request, "seed", INT64_MAX),
        .stream = stream,
    };
}

realm_handle guest_sampler(const struct realm_guest_sampler *sampling)
{
    return realm_sampler_create(sampling, sizeof(*sampling));
}

uint32_t guest_max_tokens(struct text request, uint32_t otherwise)
{
    uint64_t n = whole(request, "max_completion_tokens", UINT32_MAX);
    if (n == 0) {
        n = whole(request, "max_tokens", UINT32_MAX);
    }
    return n > 0 ? (uint32_t)n : otherwise;
}

static void add_stop(struct buffer *stops, struct text value)
{
    const struct text stop = json_string(value);
    if (stop.length > 0) {
        buffer_text(stops, stop);
        *buffer_grow(stops, 1) = '\0';
    }
}

realm_handle
guest_generate(realm_handle sequence, struct realm_generate_options options, struct text request)
{
    const struct text stop = json_member(request, "stop");
    struct buffer stops = {.data = NULL};
    struct text rest = json_items(stop);
    struct text item;
    add_stop(&stops, stop);
    while (json_next(&rest, &item)) {
        add_stop(&stops, item);
    }
    options.size = sizeof(options);
    return realm_generate(sequence, &options, sizeof(options), stops.data, stops.length);
}

double generation_mean_logprob(const struct generation *generation)
{
    return generation->n_tokens > 0 ? generation->logprob / generation->n_tokens : 0;
}

/* Takes the next event of a stream; 1, 0 when it has ended, or an error. */
static int32_t take_event(realm_handle stream, struct generation *out, struct buffer *text)
{
    struct realm_stream_event event;
    char piece[512];
    char *at = piece;
    int32_t result = realm_stream_next(stream, &event, sizeof(event), piece, sizeof(piece), -1);
    if (result == REALM_GUEST_TOO_LARGE) {
        at = guest_allocate(event.n_text);
        result = realm_stream_next(stream, &event, sizeof(event), at, event.n_text, -1);
    }
    if (result <= 0) {
        return result;
    }
    buffer_text(text, (struct text){.data = at, .length = event.n_text});
    out->n_tokens = event.n_completion_tokens;
    out->n_cached_tokens = event.n_cached_tokens;
    if (event.kind == REALM_STREAM_TOKEN) {
        out->logprob += event.logprob;
    }
    if (event.kind == REALM_STREAM_FINISHED) {
        out->finish = event.finish;
        return 0;
    }
    return 1;
}

/* Moves the last stream to where an ended one was, so that the living ones stand together. */
static void leave_out(realm_handle *streams, size_t *places, size_t i, size_t n)
{
    streams[i] = streams[n - 1];
    places[i] = places[n - 1];
}

int32_t guest_collect(const realm_handle *streams, size_t n, struct generation *out)
{
    realm_handle *living = guest_allocate(n * sizeof(*living));
    size_t *places = guest_allocate(n * sizeof(*places));
    struct buffer *texts = guest_allocate(n * sizeof(*texts));
    for (size_t i = 0; i < n; i++) {
        living[i] = streams[i];
        places[i] = i;
        out[i] = (struct generation){.finish = REALM_STREAM_NOT_FINISHED};
    }
    for (size_t left = n; left > 0;) {
        const int32_t ready = realm_stream_wait(living, left, -1);
        if (ready < 0) {
            return ready;
        }
        const size_t place = places[ready];
        const int32_t more = take_event(living[ready], &out[place], &texts[place]);
        if (more < 0) {
            return more;
        }
        if (more == 0) {
            out[place].text = buffer_view(&texts[place]);
            (void)realm_drop(living[ready]);
            leave_out(living, places, (size_t)ready, left--);
            if (out[place].finish == REALM_STREAM_ERROR) {
                return REALM_GUEST_FAILED;
            }
        }
    }
    return 0;
}

int32_t guest_pipe(realm_handle stream, struct generation *out)
{
    struct buffer text = {.data = NULL};
    int32_t more = 1;
    *out = (struct generation){.finish = REALM_STREAM_NOT_FINISHED};
    while (more > 0) {
        const size_t from = text.length;
        more = take_event(stream, out, &text);
        const int32_t told = text.length == from
                                 ? 0
                                 : guest_emit_text((struct text){.data = text.data + from,
                                                                 .length = text.length - from});
        more = told < 0 ? told : more;
    }
    out->text = buffer_view(&text);
    (void)realm_drop(stream);
    return more == 0 && out->finish == REALM_STREAM_ERROR ? REALM_GUEST_FAILED : more;
}
