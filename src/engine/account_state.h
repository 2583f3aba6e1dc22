/* What an account consists of; only the engine's own files read this. */
#ifndef REALM_ENGINE_ACCOUNT_STATE_H
#define REALM_ENGINE_ACCOUNT_STATE_H

#include "engine/account.h"

#include <stdatomic.h>

/* Whose turn it is among several, see fairness.h.  Engine thread. */
struct turn {
    uint64_t served; /* virtual counter */
    bool joined;     /* the counter has a value */
    uint32_t n_active;
    struct turn *next; /* of the active ones */
};

struct turns {
    struct turn *active;
    uint64_t floor; /* counter of the last one that left: none starts below */
};

struct account {
    _Atomic uint32_t owners;
    struct account *whole; /* whose part it is; NULL: it is a whole one */
    char label[ACCOUNT_LABEL_BYTES];
    uint8_t domain[ACCOUNT_DOMAIN_BYTES];
    /* Written by account_configure, read by the engine thread: */
    _Atomic uint32_t weight;
    _Atomic int32_t priority;
    _Atomic uint32_t max_running;
    _Atomic uint32_t max_waiting;
    _Atomic uint32_t max_pages;
    /* Counters: */
    _Atomic uint64_t prompt_tokens;
    _Atomic uint64_t cached_tokens;
    _Atomic uint64_t completion_tokens;
    _Atomic uint64_t preemptions;
    _Atomic uint64_t rejected;
    _Atomic uint32_t pending;
    /* Engine thread: */
    struct turn turn;         /* of a whole one: among all; active by generations and sequences */
    struct turn part_turn;    /* among those of one whole, which is one of them */
    struct turns parts;       /* of a whole one */
    uint32_t step_running;    /* sequences that hold a place; of the model whose step it is */
    uint32_t step_pages;      /* pages they hold */
    uint32_t step_idle_pages; /* pages of those that hold no place */
    bool step_decodes;        /* one of its sequences decodes in the step */
};

static inline struct account *account_whole(struct account *account)
{
    return account->whole != NULL ? account->whole : account;
}

static inline const struct account *account_whole_of(const struct account *account)
{
    return account->whole != NULL ? account->whole : account;
}

/* Whether what is the account's is the other's too. */
static inline bool account_is_of(const struct account *account, const struct account *other)
{
    return account == other || account->whole == other;
}

/* Most KV pages it may hold, by itself and as a part; 0: no cap. */
uint32_t account_page_cap(const struct account *account);
/* As it acts: a part's is at most that of the whole. */
int32_t account_priority(const struct account *account);

/* Counts a request in.  False: the account has as many as it may. */
bool account_try_enter(struct account *account);
void account_leave(struct account *account);

#endif
