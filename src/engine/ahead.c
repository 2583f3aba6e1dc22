#include "engine/ahead.h"

void ahead_expect(struct ahead *ahead, struct operation *step, token_id token)
{
    ahead_forget(ahead);
    if (step->sampler == NULL || step->n_top > 0 || !sampler_can_resume(step->sampler)) {
        return;
    }
    *ahead = (struct ahead){
        .state = AHEAD_EXPECTED,
        .token = token,
        .n_drawn = step->n_drawn + 1,
        .sampler = step->sampler,
    };
    step->sampler = NULL;
}

bool ahead_is_asked(const struct ahead *ahead, const struct operation *operation)
{
    return ahead->state != AHEAD_NONE && operation->kind == OPERATION_STEP &&
           operation->n_tokens == 1 && operation->tokens[0] == ahead->token &&
           operation->n_top == 0 && operation->n_drawn == ahead->n_drawn &&
           operation->sampler != NULL && sampler_is_like(operation->sampler, ahead->sampler);
}

void ahead_hand_over(struct ahead *ahead, struct operation *step)
{
    sampler_destroy(step->sampler);
    step->sampler = ahead->sampler;
    step->goes_on = true;
    *ahead = (struct ahead){.state = AHEAD_NONE};
}

void ahead_forget(struct ahead *ahead)
{
    sampler_destroy(ahead->sampler);
    *ahead = (struct ahead){.state = AHEAD_NONE};
}
