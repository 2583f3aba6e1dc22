/* What comes back from the engine for one request, or for one session (session.h): a bounded ring
 * that the engine thread writes and one reader reads.  A reader that lags behind parks its
 * sequences, nothing else. */
#ifndef REALM_ENGINE_EVENT_H
#define REALM_ENGINE_EVENT_H

#include "base/bytes.h"
#include "sample/sampler.h"

enum event_kind {
    EVENT_STARTED,  /* the prompt has been computed: n_prompt, n_cached */
    EVENT_TOKEN,    /* one token of a choice and the text that may be shown now (maybe empty) */
    EVENT_FINISHED, /* a choice has ended; text: what was held back */
    EVENT_DONE,     /* the last event: all choices have ended; or an operation of a session has */
    EVENT_LOGITS,   /* of session_step: what comes next in a sequence */
};

struct event {
    enum event_kind kind;
    uint32_t choice;
    token_id token;    /* TOKEN; LOGITS and DONE of session_verify: drawn, or TOKEN_NONE */
    struct bytes text; /* TOKEN, FINISHED; whole UTF-8 characters; lies in the ring */
    float logprob;     /* TOKEN, when asked for */
    uint32_t n_top;
    const struct sampler_logprob *top; /* lies in the ring */
    realm_finish finish;               /* FINISHED */
    token_id stop_token;               /* FINISHED by a stop token: which; else TOKEN_NONE */
    uint32_t n_prompt_tokens;          /* STARTED, DONE */
    uint32_t n_cached_tokens;          /* STARTED, DONE: taken from the prefix cache */
    uint32_t n_completion_tokens;      /* FINISHED: of the choice; DONE: of all */
    realm_status status;               /* FINISHED with REALM_FINISH_ERROR, DONE: the worst */
    const char *message;               /* with an error; lies in the ring */
    /* Of a session: */
    uint64_t ticket;     /* of the operation; 0: the event is a request's */
    uint32_t sequence;   /* session_sequence */
    uint32_t n_tokens;   /* DONE: of the sequence */
    uint32_t n_accepted; /* DONE of session_verify */
    float log_sum;       /* LOGITS: the logit of a top token is its logprob and this */
};

#endif
