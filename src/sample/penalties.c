/* Repetition (Keskar et al. 2019), presence and frequency penalties over a window of the sequence.
 */
#include "sample/chain.h"

void penalties_observe(struct sampler *sampler, token_id token)
{
    if (sampler->counts.slots == NULL) {
        return;
    }
    const uint32_t window = sampler->options.penalty_window;
    if (window > 0 && sampler->n_history >= window) {
        const token_id left = sampler->history[sampler->n_history - window];
        struct token_slot *const slot = token_table_find(&sampler->counts, left);
        if (slot->value == 1) {
            token_table_remove(&sampler->counts, left);
        } else {
            slot->value--;
        }
    }
    token_table_find(&sampler->counts, token)->value++;
}

void penalties_apply(const struct sampler *sampler, float *logits)
{
    if (sampler->counts.slots == NULL) {
        return;
    }
    const struct sampler_options *const o = &sampler->options;
    for (uint32_t i = 0; i <= sampler->counts.mask; i++) {
        const struct token_slot slot = sampler->counts.slots[i];
        if (slot.value == 0) {
            continue;
        }
        float *const logit = &logits[slot.token];
        if (o->repetition_penalty > 0) {
            *logit = *logit > 0 ? *logit / o->repetition_penalty : *logit * o->repetition_penalty;
        }
        *logit -= o->presence_penalty + o->frequency_penalty * (float)slot.value;
    }
}
