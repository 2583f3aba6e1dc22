/* Who goes first: the virtual token counter of Sheng et al., "Fairness in Serving Large Language
 * Models" (OSDI 2024).
 *
 * An account's counter grows by what it was served, prompt tokens once, completion tokens twice
 * (both configurable), divided by its weight.  Whoever waits with the least counter goes first;
 * higher priorities go before all lower ones.  An account that comes back after a pause is lifted
 * to the least counter of those that stayed, so that nobody saves up.  The machine never idles for
 * fairness' sake.
 *
 * Bound: while two accounts of one priority and weight have requests waiting, what they were served
 * since both waited differs by no more than twice what the sequences of one step may still be
 * given: 2 * completion_weight * max_sequences * tokens of the longest request.
 * (tests/unit/test_engine_fairness.c)
 *
 * Parts of an account (keys with a weight of their own) take turns in the same way inside it: two
 * of one whole are told apart by the parts' counters, all others by those of the wholes.
 *
 * Engine thread only. */
#ifndef REALM_ENGINE_FAIRNESS_H
#define REALM_ENGINE_FAIRNESS_H

#include "engine/account_state.h"

#define FAIRNESS_PROMPT_WEIGHT     1u
#define FAIRNESS_COMPLETION_WEIGHT 2u

struct fairness {
    uint32_t prompt_weight; /* what a token counts; both constant */
    uint32_t completion_weight;
    struct turns accounts; /* whole ones, with generations in the engine */
};

/* A generation of the account has come, or has gone. */
void fairness_arrive(struct fairness *fairness, struct account *account);
void fairness_depart(struct fairness *fairness, struct account *account);

/* Weights of tokens, 0: the usual ones. */
void fairness_init(struct fairness *fairness, uint32_t prompt_weight, uint32_t completion_weight);
void fairness_charge_prompt(const struct fairness *fairness,
                            struct account *account,
                            uint32_t n_tokens);
void fairness_charge_completion(const struct fairness *fairness,
                                struct account *account,
                                uint32_t n_tokens);

/* True: a is to be served before b. */
bool fairness_before(const struct account *a, const struct account *b);

#endif
