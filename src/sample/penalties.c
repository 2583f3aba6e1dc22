/* Repetition penalty (Keskar et al. 2019) over prompt and completion; presence and frequency
 * penalties (OpenAI) over the completion; all of them over a window of the last tokens. */
#include "sample/chain.h"

static void count(struct token_table *table, token_id token)
{
    if (table->slots != NULL) {
        token_table_find(table, token)->value++;
    }
}

static void uncount(struct token_table *table, token_id token)
{
    if (table->slots == NULL) {
        return;
    }
    struct token_slot *const slot = token_table_find(table, token);
    if (slot->value == 1) {
        token_table_remove(table, token);
    } else {
        slot->value--;
    }
}

void penalties_observe(struct sampler *sampler, token_id token, bool is_drawn)
{
    const uint32_t window = sampler->options.penalty_window;
    if (window > 0 && sampler->n_history >= window) {
        const uint32_t leaves = sampler->n_history - window;
        uncount(&sampler->seen, sampler->history[leaves]);
        if (leaves >= sampler->n_prompt) {
            uncount(&sampler->drawn, sampler->history[leaves]);
        }
    }
    count(&sampler->seen, token);
    if (is_drawn) {
        count(&sampler->drawn, token);
    }
}

static void apply_repetition(const struct sampler *sampler, float *logits)
{
    const float penalty = sampler->options.repetition_penalty;
    for (uint32_t i = 0; i <= sampler->seen.mask; i++) {
        const struct token_slot slot = sampler->seen.slots[i];
        if (slot.value > 0) {
            float *const logit = &logits[slot.token];
            *logit = *logit > 0 ? *logit / penalty : *logit * penalty;
        }
    }
}

static void apply_counts(const struct sampler *sampler, float *logits)
{
    const float presence = sampler->options.presence_penalty;
    const float frequency = sampler->options.frequency_penalty;
    for (uint32_t i = 0; i <= sampler->drawn.mask; i++) {
        const struct token_slot slot = sampler->drawn.slots[i];
        if (slot.value > 0) {
            logits[slot.token] -= presence + frequency * (float)slot.value;
        }
    }
}

void penalties_apply(const struct sampler *sampler, float *logits)
{
    if (sampler->seen.slots != NULL) {
        apply_repetition(sampler, logits);
    }
    if (sampler->drawn.slots != NULL) {
        apply_counts(sampler, logits);
    }
}
