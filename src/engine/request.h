/* What is asked of the engine.  Filled by the caller; engine_submit copies what it keeps. */
#ifndef REALM_ENGINE_REQUEST_H
#define REALM_ENGINE_REQUEST_H

#include "base/bytes.h"
#include "sample/constraint.h"
#include "sample/sampler.h"

#define REQUEST_MAX_CHOICES 128u

struct account;
struct engine_adapter;
struct engine_model;

struct request {
    struct engine_model *model; /* held by the caller until the generation ends */
    struct account *account;    /* NULL: the engine's own */
    /* Weights that are added to the model's, of this model and the account's domain
     * (engine/adapters.h); one more reference is taken.  NULL: none. */
    struct engine_adapter *adapter;
    /* The prompt's pages are for all accounts to find, not only for this one's domain. */
    bool publish;
    /* Nothing is generated: the prompt's embedding is the answer (generation_embedding). */
    bool embed;
    const token_id *prompt;
    uint32_t n_prompt;         /* >= 1 */
    uint32_t n_choices;        /* 0: 1 */
    uint32_t max_tokens;       /* per choice; 0: what the context leaves */
    uint32_t min_tokens;       /* end tokens and stop tokens are not drawn before */
    bool ignore_end;           /* end tokens do not end it */
    bool echo_special;         /* special tokens appear as text */
    const struct bytes *stops; /* stop strings */
    uint32_t n_stops;
    const token_id *stop_tokens;
    uint32_t n_stop_tokens;
    struct sampler_options sampling;  /* without DRY's breakers */
    const struct bytes *dry_breakers; /* texts that end a repetition; NULL: the usual four */
    uint32_t n_dry_breakers;
    /* Of engine_model_constrain, at its beginning; every choice must satisfy it.  NULL: none. */
    const struct constraint *constraint;
    uint64_t deadline_ns; /* clock_monotonic_ns; 0: none */
    /* Called on the engine thread when events are there to read and none were before, for all
     * generations with the same wake and context at once; must only wake somebody.  May be NULL:
     * then generation_wait serves. */
    void (*wake)(void *context);
    void *wake_context;
};

#endif
