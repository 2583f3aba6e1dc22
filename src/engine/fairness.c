#include "engine/fairness.h"

/* A token of weight 1, in units of the counter: divisible by most weights. */
#define TOKEN_UNITS (UINT64_C(1) << 20)

void fairness_init(struct fairness *fairness, uint32_t prompt_weight, uint32_t completion_weight)
{
    *fairness = (struct fairness){
        .prompt_weight = prompt_weight > 0 ? prompt_weight : FAIRNESS_PROMPT_WEIGHT,
        .completion_weight = completion_weight > 0 ? completion_weight : FAIRNESS_COMPLETION_WEIGHT,
    };
}

/* Counters wrap after long service; those compared are never half their range apart. */
static bool is_less(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

static uint64_t least_counter(const struct fairness *fairness)
{
    uint64_t least = fairness->active != NULL ? fairness->active->served : fairness->floor;
    for (const struct account *a = fairness->active; a != NULL; a = a->next) {
        least = is_less(a->served, least) ? a->served : least;
    }
    return least;
}

void fairness_arrive(struct fairness *fairness, struct account *account)
{
    if (account->n_active++ > 0) {
        return;
    }
    const uint64_t least = least_counter(fairness);
    if (!account->joined || is_less(account->served, least)) {
        account->served = least;
    }
    account->joined = true;
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

void fairness_charge_prompt(const struct fairness *fairness,
                            struct account *account,
                            uint32_t n_tokens)
{
    charge(account, (uint64_t)n_tokens * fairness->prompt_weight * TOKEN_UNITS);
}

void fairness_charge_completion(const struct fairness *fairness,
                                struct account *account,
                                uint32_t n_tokens)
{
    charge(account, (uint64_t)n_tokens * fairness->completion_weight * TOKEN_UNITS);
}

bool fairness_before(const struct account *a, const struct account *b)
{
    const int32_t priority_a = atomic_load_explicit(&a->priority, memory_order_relaxed);
    const int32_t priority_b = atomic_load_explicit(&b->priority, memory_order_relaxed);
    return priority_a != priority_b ? priority_a > priority_b : is_less(a->served, b->served);
}
