/* Answers a chat by steering every token itself: a step, a look at the token, a step.  What a
 * program pays for being asked between any two tokens. */
#include "guest.h"

#define MAX_HELD  8
#define MAX_TEXT  256
#define MAX_TOKEN 4096

/* Tokens whose text is not whole UTF-8 yet. */
struct held {
    realm_token tokens[MAX_HELD];
    uint32_t n;
};

static void show(realm_handle model, struct held *held, realm_token token)
{
    static char text[MAX_TEXT];
    held->tokens[held->n++] = token;
    const int32_t n = realm_detokenize(model, held->tokens, held->n, 0, text, sizeof(text));
    const bool whole = n >= 0 && realm_emit(REALM_EMIT_TEXT, text, (size_t)n) == 0;
    if (whole || held->n == MAX_HELD) {
        held->n = 0;
    }
}

static realm_token end_token(realm_handle model)
{
    static char info[1024];
    const int32_t n = realm_model_info(model, info, sizeof(info));
    const struct text json = {.data = info, .length = n > 0 ? (size_t)n : 0};
    return (realm_token)json_number(json_member(json, "eos"), -1);
}

REALM_EXPORT(realm_run) int32_t run(void)
{
    const struct text request = guest_request();
    const realm_handle model = realm_model_open(NULL, 0);
    const realm_handle sequence = guest_prompt(model, json_member(request, "messages"));
    const struct realm_guest_sampler sampling = guest_sampling(request, 0);
    const realm_handle sampler = guest_sampler(&sampling);
    const realm_token end = end_token(model);
    const uint32_t max_tokens = guest_max_tokens(request, MAX_TOKEN);
    struct held held = {.n = 0};
    realm_token token = 0;
    for (uint32_t n = 0; n < max_tokens; n++) {
        struct realm_step_item item = {
            .sequence = sequence,
            .sampler = sampler,
            .n_drawn = n,
            .tokens = (uintptr_t)&token,
            .n_tokens = n > 0 ? 1 : 0,
        };
        if (realm_step(&item, 1) < 0 || item.status < 0) {
            return guest_fail("the step failed");
        }
        token = item.token;
        if (token == end) {
            break;
        }
        show(model, &held, token);
    }
    return 0;
}
