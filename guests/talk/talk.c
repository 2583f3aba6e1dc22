/* A conversation over a WebSocket: answers the request's messages, then each message that the
 * client sends while it runs, in the light of all that was said before. */
#include "guest.h"

/* clang-format off */
GUEST_FUNCTIONS([{
    "name": "realm_run",
    "description": "Talks: the request's messages first, then each that follows.",
    "streaming": true,
    "parameters": {
        "type": "object",
        "properties": {
            "messages": {"type": "array"},
            "max_tokens": {"type": "integer"},
            "temperature": {"type": "number"},
            "seed": {"type": "integer"}
        }
    }
}]);
/* clang-format on */

struct talk {
    struct text request;
    realm_handle model;
    realm_handle sampler;
    struct buffer messages; /* of both sides */
    int64_t n_turns;
};

static void tell_turn(const struct talk *talk, const struct generation *answer)
{
    struct buffer event = {.data = NULL};
    buffer_string(&event, "{\"type\":\"turn\",\"turn\":");
    buffer_integer(&event, talk->n_turns);
    buffer_string(&event, ",\"completion_tokens\":");
    buffer_integer(&event, answer->n_tokens);
    buffer_string(&event, "}");
    (void)guest_emit_event(buffer_view(&event));
}

/* What was said before is found in the prefix cache: a turn costs its own tokens. */
static int32_t answer_turn(struct talk *talk)
{
    const realm_handle sequence = guest_prompt_of(talk->model, &talk->messages);
    const struct realm_generate_options options = {
        .sampler = talk->sampler,
        .max_tokens = guest_max_tokens(talk->request, 0),
    };
    const realm_handle stream = guest_generate(sequence, options, talk->request);
    struct generation answer;
    const int32_t result = guest_pipe(stream, &answer);
    (void)realm_drop(sequence);
    if (result < 0) {
        return result;
    }
    guest_add_message(&talk->messages, "assistant", answer.text);
    talk->n_turns++;
    tell_turn(talk, &answer);
    return 0;
}

static void take_request(struct talk *talk)
{
    struct text rest = json_items(json_member(talk->request, "messages"));
    struct text message;
    while (json_next(&rest, &message)) {
        buffer_string(&talk->messages, talk->messages.length > 0 ? "," : "");
        buffer_text(&talk->messages, message);
    }
}

REALM_EXPORT(realm_run) int32_t run(void)
{
    struct talk talk = {.request = guest_request(), .model = realm_model_open(NULL, 0)};
    const struct realm_guest_sampler sampling = guest_sampling(talk.request, 0);
    struct text said;
    talk.sampler = guest_sampler(&sampling);
    take_request(&talk);
    if (talk.messages.length > 0 && answer_turn(&talk) < 0) {
        return guest_fail("the request's messages could not be answered");
    }
    while (guest_receive(&said) > 0) {
        guest_add_message(&talk.messages, "user", json_string(said));
        if (answer_turn(&talk) < 0) {
            return guest_fail("a message could not be answered");
        }
    }
    return 0;
}
