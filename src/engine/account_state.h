/* What an account consists of; only the engine's own files read this. */
#ifndef REALM_ENGINE_ACCOUNT_STATE_H
#define REALM_ENGINE_ACCOUNT_STATE_H

#include "engine/account.h"

#include <stdatomic.h>

struct account {
    _Atomic uint32_t owners;
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
    uint64_t served;          /* virtual counter, see fairness.h */
    bool joined;              /* the counter has a value */
    uint32_t n_active;        /* generations in the engine, and active sequences of sessions */
    struct account *next;     /* of the active ones */
    uint32_t step_running;    /* sequences that hold a place; of the model whose step it is */
    uint32_t step_pages;      /* pages they hold */
    uint32_t step_idle_pages; /* pages of those that hold no place */
    bool step_decodes;        /* one of its sequences decodes in the step */
};

/* Counts a request in.  False: the account has as many as it may. */
bool account_try_enter(struct account *account);
void account_leave(struct account *account);

#endif
