#include "engine/fairness.h"

/* A token of weight 1, in units of the counter: divisible by most weights. */
#define TOKEN_UNITS (UINT64_C(1) << 20)

static uint64_t least_counter(const struct fairness *fairness)
{
    uint64_t least = fairness->active != NULL ? UINT64_MAX : fairness->floor;
    for (const struct account *a = fairness->active; a != NULL; a = a->next) {
        least = a->served < least ? a->served : least;
    }
    return least;
}

void fairness_arrive(struct fairness *fairness, struct account *account)
{
    if (account->n_active++ > 0) {
        return;
    }
    const uint64_t least = least_counter(fairness);
    account->served = account->served < least ? least : account->served;
    account->next = fairness->active;
    fairness->active = account;
}

void fairness_depart(struct fairness *fairness, struct account *account)
{
    if (!REALM_INVARIANT(account->n_active > 0)) {
        return;
    }
    account->n_active--;
    if (account->n_active > 0) {
        return;
    }
    struct account **link = &fairness->active;
    while (*link != NULL && *link != account) {
        link = &(*link)->next;
    }
    if (*link == account) {
        *link = account->next;
    }
    account->next = NULL;
    fairness->floor = account->served;
}

static void charge(struct account *account, uint64_t n_units)
{
    account->served += n_units / atomic_load_explicit(&account->weight, memory_order_relaxed);
}

void fairness_charge_prompt(struct account *account, uint32_t n_tokens)
{
    charge(account, n_tokens * (FAIRNESS_PROMPT_WEIGHT * TOKEN_UNITS));
}

void fairness_charge_completion(struct account *account, uint32_t n_tokens)
{
    charge(account, n_tokens * (FAIRNESS_COMPLETION_WEIGHT * TOKEN_UNITS));
}

bool fairness_before(const struct account *a, const struct account *b)
{
    const int32_t priority_a = atomic_load_explicit(&a->priority, memory_order_relaxed);
    const int32_t priority_b = atomic_load_explicit(&b->priority, memory_order_relaxed);
    return priority_a != priority_b ? priority_a > priority_b : a->served < b->served;
}
