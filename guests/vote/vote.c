/* Self-consistency (Wang et al. 2022): lets the model think several times, asks each train of
 * thought for its conclusion alone, and answers what most of them conclude. */
#include "guest.h"

#define MAX_SAMPLES      16u
#define DEFAULT_SAMPLES  5u
#define THOUGHT_TOKENS   160u
#define CONCLUDE_TOKENS  24u
#define ASK_CONCLUSION   "Give only the final answer."
#define ANY_WHOLE_NUMBER "-?[0-9]{1,12}"

/* clang-format off */
GUEST_FUNCTIONS([{
    "name": "realm_run",
    "description": "Answers with what most of several trains of thought conclude.",
    "streaming": false,
    "parameters": {
        "type": "object",
        "required": ["messages"],
        "properties": {
            "messages": {"type": "array"},
            "samples": {"type": "integer", "minimum": 1, "maximum": 16},
            "choices": {"type": "array", "items": {"type": "string"}},
            "max_tokens": {"type": "integer"},
            "temperature": {"type": "number"},
            "seed": {"type": "integer"}
        }
    }
}]);
/* clang-format on */

struct poll {
    struct text request;
    realm_handle model;
    uint32_t n;
    bool has_choices; /* conclusions are JSON strings, else whole numbers */
    struct generation thoughts[MAX_SAMPLES];
    struct text conclusions[MAX_SAMPLES];
};

static uint32_t count_samples(struct text request)
{
    const double wanted = json_number(json_member(request, "samples"), DEFAULT_SAMPLES);
    return wanted < 1 ? 1 : wanted > MAX_SAMPLES ? MAX_SAMPLES : (uint32_t)wanted;
}

/* 0, or an error. */
static int32_t think(struct poll *poll)
{
    realm_handle streams[MAX_SAMPLES];
    const realm_handle prompt = guest_prompt(poll->model, json_member(poll->request, "messages"));
    for (uint32_t i = 0; i < poll->n; i++) {
        const struct realm_guest_sampler sampling = guest_sampling(poll->request, i);
        const struct realm_generate_options options = {
            .sampler = guest_sampler(&sampling),
            .max_tokens = guest_max_tokens(poll->request, THOUGHT_TOKENS),
        };
        streams[i] = guest_generate(realm_sequence_fork(prompt), options, poll->request);
        if (streams[i] < 0) {
            return streams[i];
        }
    }
    return guest_collect(streams, poll->n, poll->thoughts);
}

/* What a conclusion may be: one of the request's choices, or a whole number. */
static realm_handle conclusion_matcher(const struct poll *poll)
{
    struct buffer schema = {.data = NULL};
    if (!poll->has_choices) {
        return realm_matcher_create(
            poll->model, REALM_MATCHER_REGEX, ANY_WHOLE_NUMBER, sizeof(ANY_WHOLE_NUMBER) - 1);
    }
    buffer_string(&schema, "{\"enum\":");
    buffer_text(&schema, json_member(poll->request, "choices"));
    buffer_string(&schema, "}");
    return realm_matcher_create(poll->model, REALM_MATCHER_JSON_SCHEMA, schema.data, schema.length);
}

/* The conversation, the thought as its answer, and the question for the conclusion. */
static realm_handle conclusion_prompt(const struct poll *poll, struct text thought)
{
    struct buffer messages = {.data = NULL};
    struct text rest = json_items(json_member(poll->request, "messages"));
    struct text message;
    while (json_next(&rest, &message)) {
        buffer_string(&messages, messages.length > 0 ? "," : "");
        buffer_text(&messages, message);
    }
    guest_add_message(&messages, "assistant", thought);
    guest_add_message(&messages, "user", TEXT(ASK_CONCLUSION));
    return guest_prompt_of(poll->model, &messages);
}

static int32_t conclude(struct poll *poll)
{
    realm_handle streams[MAX_SAMPLES];
    struct generation said[MAX_SAMPLES];
    const realm_handle matcher = conclusion_matcher(poll);
    if (matcher < 0) {
        return matcher;
    }
    for (uint32_t i = 0; i < poll->n; i++) {
        const struct realm_generate_options options = {.matcher = matcher,
                                                       .max_tokens = CONCLUDE_TOKENS};
        streams[i] =
            guest_generate(conclusion_prompt(poll, poll->thoughts[i].text), options, TEXT("{}"));
        if (streams[i] < 0) {
            return streams[i];
        }
    }
    const int32_t result = guest_collect(streams, poll->n, said);
    for (uint32_t i = 0; i < poll->n && result == 0; i++) {
        poll->conclusions[i] =
            poll->has_choices ? json_string(said[i].text) : text_trim(said[i].text);
    }
    return result;
}

static uint32_t votes_for(const struct poll *poll, struct text conclusion)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < poll->n; i++) {
        n += text_equal(poll->conclusions[i], conclusion) ? 1 : 0;
    }
    return n;
}

static bool came_before(const struct poll *poll, uint32_t i)
{
    for (uint32_t before = 0; before < i; before++) {
        if (text_equal(poll->conclusions[before], poll->conclusions[i])) {
            return true;
        }
    }
    return false;
}

/* The first of those with the most votes. */
static uint32_t find_winner(const struct poll *poll)
{
    uint32_t winner = 0;
    for (uint32_t i = 1; i < poll->n; i++) {
        if (votes_for(poll, poll->conclusions[i]) > votes_for(poll, poll->conclusions[winner])) {
            winner = i;
        }
    }
    return winner;
}

static void tell_vote(const struct poll *poll, uint32_t i)
{
    struct buffer event = {.data = NULL};
    buffer_string(&event, "{\"type\":\"vote\",\"index\":");
    buffer_integer(&event, i);
    buffer_string(&event, ",\"answer\":");
    buffer_json(&event, poll->conclusions[i]);
    buffer_string(&event, ",\"thought\":");
    buffer_json(&event, poll->thoughts[i].text);
    buffer_string(&event, "}");
    (void)guest_emit_event(buffer_view(&event));
}

static void tell_tally(const struct poll *poll, uint32_t winner)
{
    struct buffer event = {.data = NULL};
    buffer_string(&event, "{\"type\":\"tally\",\"winner\":");
    buffer_json(&event, poll->conclusions[winner]);
    buffer_string(&event, ",\"counts\":{");
    for (uint32_t i = 0; i < poll->n; i++) {
        if (!came_before(poll, i)) {
            buffer_string(&event, i > 0 ? "," : "");
            buffer_json(&event, poll->conclusions[i]);
            buffer_string(&event, ":");
            buffer_integer(&event, votes_for(poll, poll->conclusions[i]));
        }
    }
    buffer_string(&event, "}}");
    (void)guest_emit_event(buffer_view(&event));
}

REALM_EXPORT(realm_run) int32_t run(void)
{
    struct poll poll = {.request = guest_request(), .model = realm_model_open(NULL, 0)};
    poll.n = count_samples(poll.request);
    poll.has_choices = json_member(poll.request, "choices").length > 0;
    if (think(&poll) < 0) {
        return guest_fail("the model could not think about \"messages\"");
    }
    if (conclude(&poll) < 0) {
        return guest_fail("no conclusion could be drawn");
    }
    for (uint32_t i = 0; i < poll.n; i++) {
        tell_vote(&poll, i);
    }
    const uint32_t winner = find_winner(&poll);
    tell_tally(&poll, winner);
    return guest_emit_text(poll.conclusions[winner]) < 0 ? guest_fail("the client has gone") : 0;
}
