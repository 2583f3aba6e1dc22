/* One operation of a session: made on the caller's thread with all it needs, run and freed on the
 * engine's. */
#ifndef REALM_ENGINE_OPERATION_H
#define REALM_ENGINE_OPERATION_H

#include "engine/generation.h"
#include "engine/session.h"

struct held;
struct saved;

enum operation_kind {
    OPERATION_APPEND,
    OPERATION_TRUNCATE,
    OPERATION_FORK,
    OPERATION_SAVE,
    OPERATION_OPEN,
    OPERATION_REMOVE_SAVED,
    OPERATION_GENERATE,
    OPERATION_STEP,
    OPERATION_VERIFY,
    OPERATION_DROP,
};

struct operation {
    enum operation_kind kind;
    session_ticket ticket;
    session_sequence number; /* of the sequence, for events */
    struct held *held;       /* NULL: REMOVE_SAVED */
    struct operation *next;  /* in the list it is in */
    /* A step of several sequences: the first part leads, and ends last. */
    struct operation *leader;
    uint32_t n_parts_left; /* of the leader */
    bool started;
    bool goes_on; /* STEP: what the one before drew, with its sampler */
    /* What is asked: */
    token_id *tokens;                  /* APPEND, STEP, VERIFY */
    uint32_t n_tokens;                 /* APPEND, STEP, VERIFY; TRUNCATE: to keep */
    struct held *fork;                 /* FORK */
    struct saved *saved;               /* SAVE: what is kept then, or given back here */
    char name[SESSION_MAX_NAME_BYTES]; /* OPEN, REMOVE_SAVED */
    uint32_t n_name_bytes;
    struct generation *generation; /* GENERATE */
    struct sampler *sampler;       /* NULL: nothing is drawn */
    struct text_stream *text;      /* GENERATE */
    struct constraint *constraint; /* GENERATE; NULL: none */
    uint32_t max_tokens;           /* GENERATE; 0: what the sequence leaves */
    uint32_t n_drawn;
    uint32_t n_top;
    /* How it ended: */
    struct realm_error error; /* status OK: well */
    realm_finish finish;
    token_id token;        /* GENERATE: that stopped it; VERIFY: drawn behind the draft */
    struct bytes end_text; /* in `text`'s memory */
    uint32_t n_completion;
    uint32_t n_accepted;
    uint32_t n_tokens_after;
};

/* Zeroed, its own leader. */
REALM_MUST_CHECK realm_status operation_create(enum operation_kind kind,
                                               struct held *held,
                                               struct operation **out,
                                               struct realm_error *error);
/* With everything that is still its own.  NULL is fine. */
void operation_destroy(struct operation *operation);

/* Each checks what it copies. */
REALM_MUST_CHECK realm_status operation_set_tokens(struct operation *operation,
                                                   const struct engine_model *model,
                                                   const token_id *tokens,
                                                   uint32_t n_tokens,
                                                   struct realm_error *error);
REALM_MUST_CHECK realm_status operation_set_name(struct operation *operation,
                                                 struct bytes name,
                                                 struct realm_error *error);
/* dry_breakers: NULL: the usual four.  max_tokens: the longest sequence. */
REALM_MUST_CHECK realm_status operation_set_sampling(struct operation *operation,
                                                     const struct engine_model *model,
                                                     const struct session_sampling *sampling,
                                                     const struct bytes *dry_breakers,
                                                     uint32_t n_dry_breakers,
                                                     uint32_t max_tokens,
                                                     struct realm_error *error);
REALM_MUST_CHECK realm_status operation_set_generation(struct operation *operation,
                                                       const struct generation *owner,
                                                       const struct session_generation *asked,
                                                       struct realm_error *error);

static inline bool operation_wants_logits(const struct operation *operation)
{
    return operation->kind == OPERATION_GENERATE || operation->kind == OPERATION_STEP ||
           operation->kind == OPERATION_VERIFY;
}

/* A list in order. */
struct operation_list {
    struct operation *first;
    struct operation *last;
};

void operation_list_append(struct operation_list *list, struct operation *operation);
/* NULL: it is empty. */
struct operation *operation_list_take_first(struct operation_list *list);

#endif
