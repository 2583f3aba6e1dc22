/* DRY ("don't repeat yourself", p-e-w 2024): a token that would lengthen a repetition of m >=
 * allowed tokens loses multiplier * base^(m - allowed).  The length of every earlier occurrence of
 * the sequence's end is found in linear time by the Z-function of the reversed history.  No
 * repetition reaches over a breaker. */
#include "sample/chain.h"

#include <math.h>
#include <string.h>

/* Beyond this the penalty is beyond any logit; keeps pow finite. */
#define MAX_EXPONENT 200.0f

/* The first breaker whose token is not below this one. */
static uint32_t first_breaker(const struct sampler *sampler, token_id token)
{
    uint32_t low = 0;
    uint32_t high = sampler->options.n_dry_breakers;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (sampler->breakers[middle].token < token) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Whether the token breaks a repetition by itself. */
static bool is_breaker(const struct sampler *sampler, token_id token)
{
    for (uint32_t i = first_breaker(sampler, token);
         i < sampler->options.n_dry_breakers && sampler->breakers[i].token == token;
         i++) {
        if (sampler->breakers[i].n_tail == 0) {
            return true;
        }
    }
    return false;
}

/* The longest breaker that begins with `tokens`, in tokens; 0: none does. */
static uint32_t
breaker_length(const struct sampler *sampler, const token_id *tokens, uint32_t n_tokens)
{
    uint32_t longest = 0;
    for (uint32_t i = first_breaker(sampler, tokens[0]);
         i < sampler->options.n_dry_breakers && sampler->breakers[i].token == tokens[0];
         i++) {
        const struct sampler_breaker breaker = sampler->breakers[i];
        if (breaker.n_tail < n_tokens && breaker.n_tail + 1 > longest &&
            memcmp(tokens + 1, breaker.tail, breaker.n_tail * sizeof *tokens) == 0) {
            longest = breaker.n_tail + 1;
        }
    }
    return longest;
}

/* z[i]: how many tokens before position n-i match those before the end, for the last n tokens. */
static void find_matches(const token_id *history, uint32_t n, uint32_t *z)
{
    uint32_t left = 0;
    uint32_t right = 0; /* [left, right): the match that reaches furthest */
    for (uint32_t i = 1; i < n; i++) {
        uint32_t length = 0;
        if (i < right) {
            length = right - i < z[i - left] ? right - i : z[i - left];
        }
        while (i + length < n && history[n - 1 - length] == history[n - 1 - i - length]) {
            length++;
        }
        z[i] = length;
        if (i + length > right) {
            left = i;
            right = i + length;
        }
    }
}

/* Tokens since the last breaker: a match cannot be longer. */
static uint32_t unbroken_length(const struct sampler *sampler, const token_id *history, uint32_t n)
{
    for (uint32_t length = 1; length <= n; length++) {
        const uint32_t n_breaker = breaker_length(sampler, history + n - length, length);
        if (n_breaker > 0) {
            return length - n_breaker;
        }
    }
    return n;
}

void dry_apply(struct sampler *sampler, float *logits)
{
    const struct sampler_options *const o = &sampler->options;
    if (sampler->z == NULL || sampler->n_history < 2) {
        return;
    }
    const uint32_t n = o->dry_window > 0 && o->dry_window < sampler->n_history ? o->dry_window
                                                                               : sampler->n_history;
    const token_id *const history = sampler->history + (sampler->n_history - n);
    const uint32_t longest = unbroken_length(sampler, history, n);
    if (longest < o->dry_allowed_length) {
        return;
    }
    find_matches(history, n, sampler->z);
    token_table_clear(&sampler->matches);
    for (uint32_t i = 1; i < n; i++) {
        const uint32_t length = sampler->z[i] < longest ? sampler->z[i] : longest;
        const token_id follower = history[n - i];
        if (length < o->dry_allowed_length || is_breaker(sampler, follower)) {
            continue;
        }
        struct token_slot *const slot = token_table_find(&sampler->matches, follower);
        slot->value = slot->value > length ? slot->value : length;
    }
    for (uint32_t i = 0; i <= sampler->matches.mask; i++) {
        const struct token_slot slot = sampler->matches.slots[i];
        if (slot.value > 0) {
            const float exponent = fminf((float)(slot.value - o->dry_allowed_length), MAX_EXPONENT);
            const float penalty = o->dry_multiplier * powf(o->dry_base, exponent);
            logits[slot.token] -= fminf(penalty, 1e6f);
        }
    }
}
