/* Answers in the light of the client's text that is closest to the question, by embeddings. */
#include "guest.h"

/* clang-format off */
GUEST_FUNCTIONS([{
    "name": "realm_run",
    "description": "Answers with the most fitting of some texts in mind.",
    "streaming": true,
    "parameters": {
        "type": "object",
        "required": ["messages", "texts"],
        "properties": {
            "messages": {"type": "array"},
            "texts": {"type": "array", "items": {"type": "string"}},
            "max_tokens": {"type": "integer"},
            "temperature": {"type": "number"},
            "seed": {"type": "integer"}
        }
    }
}]);
/* clang-format on */

struct match {
    int64_t index; /* -1: none yet */
    double score;
    struct text text;
};

/* Vectors have the length 1: this is the cosine of the angle between them. */
static double similarity(const float *left, const float *right, int32_t n_columns)
{
    double sum = 0;
    for (int32_t i = 0; i < n_columns; i++) {
        sum += (double)left[i] * (double)right[i];
    }
    return sum;
}

static void tell_compared(int64_t index, double score)
{
    struct buffer event = {.data = NULL};
    buffer_string(&event, "{\"type\":\"compared\",\"index\":");
    buffer_integer(&event, index);
    buffer_string(&event, ",\"score\":");
    buffer_decimal(&event, score);
    buffer_string(&event, "}");
    (void)guest_emit_event(buffer_view(&event));
}

static void tell_chosen(const struct match *match)
{
    struct buffer event = {.data = NULL};
    buffer_string(&event, "{\"type\":\"chosen\",\"index\":");
    buffer_integer(&event, match->index);
    buffer_string(&event, "}");
    (void)guest_emit_event(buffer_view(&event));
}

/* The text closest to the question.  0, or an error. */
static int32_t find(realm_handle model, struct text request, struct match *best)
{
    float *question;
    struct text item;
    struct text rest = json_items(json_member(request, "texts"));
    const int32_t n_columns = guest_embed(model, guest_last_message(request), &question);
    *best = (struct match){.index = -1};
    for (int64_t index = 0; n_columns >= 0 && json_next(&rest, &item); index++) {
        float *columns;
        const struct text text = json_string(item);
        const int32_t result = guest_embed(model, text, &columns);
        if (result < 0) {
            return result;
        }
        const double score = similarity(question, columns, n_columns);
        tell_compared(index, score);
        if (best->index < 0 || score > best->score) {
            *best = (struct match){.index = index, .score = score, .text = text};
        }
    }
    return n_columns < 0 ? n_columns : 0;
}

REALM_EXPORT(realm_run) int32_t run(void)
{
    const struct text request = guest_request();
    const realm_handle model = realm_model_open(NULL, 0);
    struct match match;
    if (find(model, request, &match) < 0) {
        return guest_fail("the question or a text could not be embedded");
    }
    if (match.index < 0) {
        return guest_fail("\"texts\" has none");
    }
    tell_chosen(&match);
    struct buffer messages = {.data = NULL};
    guest_add_message(&messages, "system", match.text);
    guest_add_message(&messages, "user", guest_last_message(request));
    const realm_handle sequence = guest_prompt_of(model, &messages);
    const struct realm_guest_sampler sampling = guest_sampling(request, 0);
    const struct realm_generate_options options = {
        .sampler = guest_sampler(&sampling),
        .max_tokens = guest_max_tokens(request, 0),
    };
    const realm_handle stream = guest_generate(sequence, options, request);
    struct realm_stream_event end;
    if (realm_stream_pipe(stream, &end, sizeof(end)) < 0 || end.finish == REALM_STREAM_ERROR) {
        return guest_fail("the generation failed");
    }
    return 0;
}
