/* Draws several answers of one prompt together and gives the one the model itself finds likeliest:
 * the highest mean log-probability of its tokens, measured before the sampler changed anything. */
#include "guest.h"

#define MAX_CANDIDATES     16u
#define DEFAULT_CANDIDATES 4u

/* clang-format off */
GUEST_FUNCTIONS([{
    "name": "realm_run",
    "description": "Answers a chat with the likeliest of several answers.",
    "streaming": true,
    "parameters": {
        "type": "object",
        "required": ["messages"],
        "properties": {
            "messages": {"type": "array"},
            "candidates": {"type": "integer", "minimum": 1, "maximum": 16},
            "max_tokens": {"type": "integer"},
            "temperature": {"type": "number"},
            "seed": {"type": "integer"}
        }
    }
}]);
/* clang-format on */

static uint32_t count_candidates(struct text request)
{
    const double wanted = json_number(json_member(request, "candidates"), DEFAULT_CANDIDATES);
    return wanted < 1 ? 1 : wanted > MAX_CANDIDATES ? MAX_CANDIDATES : (uint32_t)wanted;
}

/* One stream for each candidate, over forks of the prompt; 0, or an error.  The first begins alone:
 * once it has started, the prompt is computed, and the others find it. */
static int32_t
start_all(realm_handle prompt, struct text request, realm_handle *streams, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct realm_guest_sampler sampling = guest_sampling(request, i);
        const struct realm_generate_options options = {
            .sampler = guest_sampler(&sampling),
            .max_tokens = guest_max_tokens(request, 0),
            .flags = REALM_GENERATE_LOGPROBS,
        };
        streams[i] = guest_generate(realm_sequence_fork(prompt), options, request);
        if (streams[i] < 0) {
            return streams[i];
        }
        if (i == 0 && realm_stream_wait(streams, 1, -1) < 0) {
            return REALM_GUEST_FAILED;
        }
    }
    return 0;
}

static void tell_candidate(uint32_t i, const struct generation *candidate)
{
    struct buffer event = {.data = NULL};
    buffer_string(&event, "{\"type\":\"candidate\",\"index\":");
    buffer_integer(&event, i);
    buffer_string(&event, ",\"text\":");
    buffer_json(&event, candidate->text);
    buffer_string(&event, ",\"tokens\":");
    buffer_integer(&event, candidate->n_tokens);
    buffer_string(&event, ",\"cached_tokens\":");
    buffer_integer(&event, candidate->n_cached_tokens);
    buffer_string(&event, ",\"logprob\":");
    buffer_decimal(&event, candidate->logprob);
    buffer_string(&event, ",\"mean_logprob\":");
    buffer_decimal(&event, generation_mean_logprob(candidate));
    buffer_string(&event, "}");
    (void)guest_emit_event(buffer_view(&event));
}

static uint32_t choose(const struct generation *candidates, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (generation_mean_logprob(&candidates[i]) > generation_mean_logprob(&candidates[best])) {
            best = i;
        }
    }
    return best;
}

REALM_EXPORT(realm_run) int32_t run(void)
{
    const struct text request = guest_request();
    const uint32_t n = count_candidates(request);
    realm_handle streams[MAX_CANDIDATES];
    struct generation candidates[MAX_CANDIDATES];
    const realm_handle prompt =
        guest_prompt(realm_model_open(NULL, 0), json_member(request, "messages"));
    if (prompt < 0) {
        return guest_fail("no prompt can be made of \"messages\"");
    }
    if (start_all(prompt, request, streams, n) < 0 || guest_collect(streams, n, candidates) < 0) {
        return guest_fail("a candidate could not be generated");
    }
    for (uint32_t i = 0; i < n; i++) {
        tell_candidate(i, &candidates[i]);
    }
    const uint32_t best = choose(candidates, n);
    struct buffer chosen = {.data = NULL};
    buffer_string(&chosen, "{\"type\":\"chosen\",\"index\":");
    buffer_integer(&chosen, best);
    buffer_string(&chosen, "}");
    (void)guest_emit_event(buffer_view(&chosen));
    return guest_emit_text(candidates[best].text) < 0 ? guest_fail("the client has gone") : 0;
}
