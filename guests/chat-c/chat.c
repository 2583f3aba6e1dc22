/* Answers a chat: the model's chat template makes the prompt, and what the model generates goes to
 * the client as it comes. */
#include "guest.h"

/* clang-format off */
GUEST_FUNCTIONS([{
    "name": "realm_run",
    "description": "Answers a chat.",
    "streaming": true,
    "parameters": {
        "type": "object",
        "required": ["messages"],
        "properties": {
            "messages": {"type": "array"},
            "max_tokens": {"type": "integer"},
            "temperature": {"type": "number"},
            "seed": {"type": "integer"}
        }
    }
}]);
/* clang-format on */

REALM_EXPORT(realm_run) int32_t run(void)
{
    const struct text request = guest_request();
    const realm_handle model = realm_model_open(NULL, 0);
    const realm_handle sequence = guest_prompt(model, json_member(request, "messages"));
    if (sequence < 0) {
        return guest_fail("no prompt can be made of \"messages\"");
    }
    const struct realm_guest_sampler sampling = guest_sampling(request, 0);
    const struct realm_generate_options options = {
        .sampler = guest_sampler(&sampling),
        .max_tokens = guest_max_tokens(request, 0),
    };
    const realm_handle stream = guest_generate(sequence, options, request);
    if (stream < 0) {
        return guest_fail("the generation could not begin");
    }
    struct realm_stream_event end;
    if (realm_stream_pipe(stream, &end, sizeof(end)) < 0 || end.finish == REALM_STREAM_ERROR) {
        return guest_fail("the generation failed");
    }
    return 0;
}
