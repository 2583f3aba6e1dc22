#include "tokenizer/text_stream.h"

#include "base/alloc.h"
#include "base/utf8.h"

#define MAX_STOPS      64u
#define MAX_STOP_BYTES 256u

struct text_stream {
    const struct tokenizer *tokenizer;
    struct bytes stops[MAX_STOPS];
    uint8_t *stop_bytes;
    uint32_t n_stops;
    size_t longest_stop;
    bool special;
    bool stopped;
    uint8_t *held; /* [capacity] text that was not shown yet */
    size_t n_held;
    size_t n_shown; /* of held: given by the last call, dropped by the next */
    size_t capacity;
};

static realm_status copy_stops(struct text_stream *stream,
                               const struct bytes *stops,
                               uint32_t n_stops,
                               struct realm_error *error)
{
    if (n_stops > MAX_STOPS) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "%u stop strings are given; at most %u can be",
                               n_stops,
                               MAX_STOPS);
    }
    stream->stop_bytes = alloc_zeroed(ALLOC_REQUEST, n_stops + 1, MAX_STOP_BYTES);
    if (stream->stop_bytes == NULL) {
        return realm_error_out_of_memory(error, (size_t)n_stops * MAX_STOP_BYTES, "stop strings");
    }
    for (uint32_t i = 0; i < n_stops; i++) {
        if (stops[i].length == 0 || stops[i].length > MAX_STOP_BYTES) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "stop string %u has %zu bytes; 1 to %u are allowed",
                                   i,
                                   stops[i].length,
                                   MAX_STOP_BYTES);
        }
        uint8_t *const copy = stream->stop_bytes + (size_t)i * MAX_STOP_BYTES;
        memcpy(copy, stops[i].data, stops[i].length);
        stream->stops[i] = (struct bytes){.data = copy, .length = stops[i].length};
        stream->longest_stop =
            stops[i].length > stream->longest_stop ? stops[i].length : stream->longest_stop;
    }
    stream->n_stops = n_stops;
    return REALM_OK;
}

/* What is held back may be a stop string but for a byte, then a token, then a cut character. */
static size_t stream_capacity(const struct tokenizer *tokenizer, size_t longest_stop)
{
    return tokenizer_longest_token(tokenizer) + longest_stop + 8;
}

realm_status text_stream_create(const struct tokenizer *tokenizer,
                                const struct bytes *stops,
                                uint32_t n_stops,
                                bool special,
                                struct text_stream **out,
                                struct realm_error *error)
{
    *out = NULL;
    struct text_stream *stream = alloc_zeroed(ALLOC_REQUEST, 1, sizeof *stream);
    if (stream == NULL) {
        return realm_error_out_of_memory(error, sizeof *stream, "text stream");
    }
    stream->tokenizer = tokenizer;
    stream->special = special;
    realm_status status = copy_stops(stream, stops, n_stops, error);
    if (status == REALM_OK) {
        stream->capacity = stream_capacity(tokenizer, stream->longest_stop);
        stream->held = alloc_bytes(ALLOC_REQUEST, stream->capacity);
        if (stream->held == NULL) {
            status = realm_error_out_of_memory(error, stream->capacity, "text stream");
        }
    }
    if (status != REALM_OK) {
        text_stream_destroy(stream);
        return status;
    }
    *out = stream;
    return REALM_OK;
}

void text_stream_destroy(struct text_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    alloc_free(stream->stop_bytes);
    alloc_free(stream->held);
    alloc_free(stream);
}

size_t text_stream_max_bytes(const struct text_stream *stream)
{
    return stream->capacity;
}

size_t text_stream_max_bytes_of(const struct tokenizer *tokenizer)
{
    return stream_capacity(tokenizer, MAX_STOP_BYTES);
}

/* Where the earliest complete stop string begins; false: there is none. */
static bool find_stop(const struct text_stream *stream, size_t *begin)
{
    *begin = stream->n_held;
    for (uint32_t i = 0; i < stream->n_stops; i++) {
        const struct bytes stop = stream->stops[i];
        for (size_t at = 0; at + stop.length <= stream->n_held && at < *begin; at++) {
            if (memcmp(stream->held + at, stop.data, stop.length) == 0) {
                *begin = at;
                break;
            }
        }
    }
    return *begin < stream->n_held;
}

/* Where the longest tail begins that could still grow into a stop string. */
static size_t begin_of_possible_stop(const struct text_stream *stream)
{
    size_t begin = stream->n_held;
    for (uint32_t i = 0; i < stream->n_stops; i++) {
        const struct bytes stop = stream->stops[i];
        const size_t most = stop.length - 1 < stream->n_held ? stop.length - 1 : stream->n_held;
        for (size_t n = most; n > stream->n_held - begin; n--) {
            if (memcmp(stream->held + stream->n_held - n, stop.data, n) == 0) {
                begin = stream->n_held - n;
                break;
            }
        }
    }
    return begin;
}

static void drop_shown(struct text_stream *stream)
{
    stream->n_held -= stream->n_shown;
    memmove(stream->held, stream->held + stream->n_shown, stream->n_held);
    stream->n_shown = 0;
}

bool text_stream_push(struct text_stream *stream, token_id token, struct bytes *text)
{
    drop_shown(stream);
    const struct bytes bytes = tokenizer_token_bytes(stream->tokenizer, token, stream->special);
    if (!stream->stopped && bytes.length > 0) {
        memcpy(stream->held + stream->n_held, bytes.data, bytes.length);
        stream->n_held += bytes.length;
    }
    size_t n_show;
    if (find_stop(stream, &n_show)) {
        stream->stopped = true;
        stream->n_held = n_show;
    } else {
        n_show = begin_of_possible_stop(stream);
        n_show = utf8_complete_prefix(stream->held, n_show);
    }
    stream->n_shown = n_show;
    *text = (struct bytes){.data = stream->held, .length = n_show};
    return stream->stopped;
}

struct bytes text_stream_finish(struct text_stream *stream)
{
    drop_shown(stream);
    const size_t whole = utf8_complete_prefix(stream->held, stream->n_held);
    if (whole < stream->n_held) {
        uint8_t replacement[4];
        /* The cut character is at most three bytes long and becomes one replacement of three. */
        const size_t n = utf8_encode(UTF8_REPLACEMENT, replacement);
        memcpy(stream->held + whole, replacement, n);
        stream->n_held = whole + n;
    }
    stream->n_shown = stream->n_held;
    return (struct bytes){.data = stream->held, .length = stream->n_held};
}
