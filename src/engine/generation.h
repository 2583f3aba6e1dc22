/* A running request as engine and reader share it: two owners, the last one frees it.
 * The engine thread writes the ring and owns the sequences; the reader reads the ring, may cancel.
 */
#ifndef REALM_ENGINE_GENERATION_H
#define REALM_ENGINE_GENERATION_H

#include "engine/arrival.h"
#include "engine/event_ring.h"
#include "engine/request.h"
#include "engine/sequence.h"

struct generation {
    struct arrival arrival; /* first */
    struct event_ring ring;
    struct engine_model *model;
    struct account *account;        /* one reference */
    struct engine_adapter *adapter; /* one reference; NULL: none */
    _Atomic uint32_t owners;        /* 2: engine and reader */
    _Atomic bool cancelled;
    struct mutex mutex; /* wake and signalled */
    struct condition readable;
    void (*wake)(void *context); /* NULL once the reader has gone; under mutex */
    void *wake_context;
    /* Constant after submit: */
    uint64_t submitted_ns;
    uint64_t deadline_ns;
    token_id *stop_tokens;
    uint32_t n_stop_tokens;
    token_id *banned; /* end and stop tokens, refused before min_tokens */
    uint32_t n_banned;
    uint32_t min_tokens;
    bool ignore_end;
    bool logprobs;
    struct sequence **sequences; /* [n_choices] */
    float *embedding;            /* [n_embedding], of a request to embed; else NULL */
    uint32_t n_embedding;
    uint32_t n_choices;
    uint32_t n_prompt;
    /* Written once by the engine thread, read by any; 0: not yet. */
    _Atomic uint64_t entered_ns; /* its first step */
    _Atomic uint64_t started_ns; /* its prompt has been computed */
    _Atomic uint64_t ended_ns;
    /* Engine thread: */
    uint32_t n_live; /* choices that have not ended */
    uint32_t n_completion;
    uint32_t n_cached;   /* prompt tokens found in the prefix cache, not computed before */
    realm_status status; /* the worst of its choices */
    bool touched;        /* events were pushed since the last wake */
    bool entered;        /* has been in a step */
    bool started;
    size_t step_room; /* records the ring still takes in this step */
    struct generation *next_touched;
};

/* chains: see sequence.h.  account: one more reference is taken. */
REALM_MUST_CHECK realm_status generation_create(const struct request *request,
                                                uint32_t max_tokens,
                                                const struct prefix_chains *chains,
                                                struct page_pool *pool,
                                                struct generation **out,
                                                struct realm_error *error);
/* Without sequences and ring, with one owner: what steers a sequence that a session holds. */
REALM_MUST_CHECK realm_status generation_create_bare(const struct request *request,
                                                     struct generation **out,
                                                     struct realm_error *error);
/* Gives up one owner's part. */
void generation_drop(struct generation *generation);
/* A call of request.wake. */
struct wake_call {
    void (*wake)(void *context);
    void *context;
};
/* Tells the reader that there is something to read, unless the last call told the same one: of
 * several generations that were written to before the first is signalled, one call tells.  Engine
 * thread. */
void generation_signal(struct generation *generation, struct wake_call *last);

#endif
