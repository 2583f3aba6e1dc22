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

static uint64_t least_counter(const struct turns *turns)
{
    uint64_t least = turns->active != NULL ? turns->active->served : turns->floor;
    for (const struct turn *t = turns->active; t != NULL; t = t->next) {
        least = is_less(t->served, least) ? t->served : least;
    }
    return least;
}

static void arrive(struct turns *turns, struct turn *turn)
{
    if (turn->n_active++ > 0) {
        return;
    }
    const uint64_t least = least_counter(turns);
    if (!turn->joined || is_less(turn->served, least)) {
        turn->served = least;
    }
    turn->joined = true;
    turn->next = turns->active;
    turns->active = turn;
}

static void depart(struct turns *turns, struct turn *turn)
{
    if (!REALM_INVARIANT(turn->n_active > 0)) {
        return;
    }
    turn->n_active--;
    if (turn->n_active > 0) {
        return;
    }
    struct turn **link = &turns->active;
    while (*link != NULL && *link != turn) {
        link = &(*link)->next;
    }
    if (*link == turn) {
        *link = turn->next;
    }
    turn->next = NULL;
    turns->floor = turn->served;
}

void fairness_arrive(struct fairness *fairness, struct account *account)
{
    struct account *const whole = account_whole(account);
    arrive(&fairness->accounts, &whole->turn);
    arrive(&whole->parts, &account->part_turn);
}

void fairness_depart(struct fairness *fairness, struct account *account)
{
    struct account *const whole = account_whole(account);
    depart(&whole->parts, &account->part_turn);
    depart(&fairness->accounts, &whole->turn);
}

static uint32_t weight_of(const struct account *account)
{
    return atomic_load_explicit(&account->weight, memory_order_relaxed);
}

/* What is asked for in the name of the whole, by none of its parts, weighs 1 among them. */
static void charge(struct account *account, uint64_t n_units)
{
    struct account *const whole = account_whole(account);
    whole->turn.served += n_units / weight_of(whole);
    account->part_turn.served += n_units / (account != whole ? weight_of(account) : 1);
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
    const int32_t priority_a = account_priority(a);
    const int32_t priority_b = account_priority(b);
    const struct account *const whole_a = account_whole_of(a);
    const struct account *const whole_b = account_whole_of(b);
    if (priority_a != priority_b) {
        return priority_a > priority_b;
    }
    return whole_a != whole_b ? is_less(whole_a->turn.served, whole_b->turn.served)
                              : is_less(a->part_turn.served, b->part_turn.served);
}
