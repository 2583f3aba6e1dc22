/* What handles stand for. */
#ifndef REALM_SANDBOX_OBJECTS_H
#define REALM_SANDBOX_OBJECTS_H

#include "engine/adapters.h"
#include "engine/engine.h"
#include "engine/session.h"
#include "sandbox/instance.h"
#include "tokenizer/tokenizer.h"

#define SAMPLER_MAX_BIASES 1024u

/* A sequence of tokens as a guest sees it. */
struct guest_sequence {
    struct engine_model *model;
    struct engine_adapter *adapter; /* one reference; NULL: none */
    bool computed;                  /* with this adapter: it was generated from, or stepped */
    struct token_list tokens;
    struct guest_stream *stream; /* of the generation that runs on it; NULL: none */
    bool stepping;               /* a step computes it */
    /* Its like in the engine, once it was stepped (steps.h): */
    struct session *session;
    session_sequence number; /* 0: there is none */
    uint32_t n_there;        /* tokens of it */
    uint32_t n_common;       /* of these, the first that are the same as `tokens` */
};

struct guest_sampler {
    struct sampler_options options; /* biases points to `biases` */
    struct sampler_bias *biases;
};

/* What must be satisfied; each generation gets a state of its own. */
struct guest_matcher {
    struct engine_model *model;
    struct constraint *constraint; /* at its beginning */
};

/* What a program that was invoked may spend of its caller's. */
struct invoke_loan {
    uint64_t fuel;
    uint64_t host_calls;
    uint64_t output_bytes;
};

/* Where events come from: a generation of the engine, or another program. */
struct guest_stream {
    struct instance *instance; /* whose it is */
    struct generation *generation;
    struct instance *child;
    struct invoke_loan loan;         /* of the child */
    struct guest_sequence *sequence; /* of the generation; NULL once it was dropped */
    bool ended;                      /* FINISHED was given */
    uint32_t n_prompt;
    uint32_t n_cached;
    uint32_t n_completion;
    bool by_turn; /* no more of it goes through a pipe (pipe.h) */
    /* An event that was looked at and not yet given: */
    bool held;
    struct event event;             /* of the generation */
    struct guest_event child_event; /* of the program */
};

/* NULL: out of memory. */
struct guest_sequence *guest_sequence_create(struct engine_model *model);
void guest_sequence_destroy(struct instance *instance, struct guest_sequence *sequence);
void guest_sampler_destroy(struct guest_sampler *sampler);
void guest_matcher_destroy(struct guest_matcher *matcher);
/* What a program has not spent goes back to its caller. */
void invoke_give_back(struct instance *instance,
                      const struct invoke_loan *loan,
                      const struct instance_usage *usage);
/* Cancels what runs. */
void guest_stream_destroy(struct instance *instance, struct guest_stream *stream);

#endif
