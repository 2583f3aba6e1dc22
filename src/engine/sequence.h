/* A sequence: one growing list of tokens with its pages, sampler and text.  Made by engine_submit
 * on the caller's thread, owned by the engine thread from the queue on; takes no memory after it is
 * made.
 *
 *            admitted                     last prompt token computed
 *  WAITING ------------> PREFILL ------------------------------------> DECODE
 *     ^                     |                                            |
 *     |     preempted       |                 preempted                  |
 *     +---------------------+--------------------------------------------+
 *  FORK: a further choice; becomes DECODE with shared pages when choice 0's prompt is computed
 *  any --> ENDED (stop, length, cancelled, error)
 *
 * Those that a session holds (held.h) do not end, but are IDLE between its operations; they go on
 * from there to WAITING, or with their pages to PREFILL or DECODE.
 *
 * Invariants
 *  (1) the first n_computed tokens have their KV in the pages; n_computed == tokens of the page
 * table between steps. (2) FORK and ENDED sequences hold no pages, WAITING ones only where they
 * were IDLE with pages. (3) n_computed < sequence_target for WAITING, PREFILL and DECODE between
 * steps: there is always a token to run. */
#ifndef REALM_ENGINE_SEQUENCE_H
#define REALM_ENGINE_SEQUENCE_H

#include "base/thread.h"
#include "engine/event.h"
#include "kv/page_table.h"
#include "kv/prefix_index.h"
#include "sample/constraint.h"
#include "sample/sampler.h"
#include "tokenizer/text_stream.h"

struct generation;
struct held;
struct request;

enum sequence_state {
    SEQUENCE_IDLE,
    SEQUENCE_WAITING,
    SEQUENCE_FORK,
    SEQUENCE_PREFILL,
    SEQUENCE_DECODE,
    SEQUENCE_ENDED
};

/* Where a sequence's pages are looked for.  own: their digests begin with it; other: a second chain
 * over the prompt, pages of which are taken but never added (what was published). */
struct prefix_chains {
    const struct prefix_digest *own;   /* NULL: the prefix cache is not used */
    const struct prefix_digest *other; /* NULL: none */
};

struct sequence {
    struct generation *generation;
    struct sequence *next; /* in the list its state puts it in */
    uint32_t choice;
    enum sequence_state state;
    token_id *tokens; /* [max_tokens] prompt, then completion */
    uint32_t n_tokens;
    uint32_t n_prompt;
    uint32_t max_tokens; /* prompt and completion */
    uint32_t n_draft;    /* tokens behind n_tokens that may turn out to be the next ones */
    uint32_t n_computed;
    uint64_t last_token_ns; /* when its newest token was made; 0: none was */
    uint32_t n_charged;     /* prompt tokens that its account has paid for, or that were found */
    struct page_table *pages;
    struct prefix_digest *digests; /* of its full pages; NULL: no prefix cache */
    struct prefix_digest chain;    /* before the first page */
    uint32_t n_digests;
    uint32_t n_indexed;                  /* pages that were offered to the index */
    struct prefix_digest *other_digests; /* of the prompt's full pages; NULL: none */
    struct sampler *sampler;
    struct text_stream *text;
    struct constraint *constraint; /* NULL: none */
    struct held *held;             /* what it is for a session; NULL: a request's, or saved */
    bool quiet;                    /* its last token is not run, and nothing drawn */
    bool parked;                   /* IDLE with pages: in its model's list of these */
    /* Of the current step: */
    uint32_t step_rows;     /* rows it has in the batch; 0: not in it */
    uint32_t step_n_logits; /* of its last rows: of its last token and the draft behind */
    uint32_t logits_index;  /* of the first of them */
    struct draw *draw;      /* its row's; NULL: not made yet */
    bool step_passed;       /* not in this step, for a reason other than rows */
    bool page_cap_passed;   /* it alone needs more pages than its account may hold */
};

/* max_tokens: prompt and completion together. */
REALM_MUST_CHECK realm_status sequence_create(struct generation *generation,
                                              const struct request *request,
                                              uint32_t choice,
                                              uint32_t max_tokens,
                                              const struct prefix_chains *chains,
                                              struct page_pool *pool,
                                              struct sequence **out,
                                              struct realm_error *error);
/* Without tokens, for at most max_tokens; without generation, sampler and text. chain: what the
 * digests of its pages begin with; NULL: no prefix cache. */
REALM_MUST_CHECK realm_status sequence_create_empty(uint32_t max_tokens,
                                                    const struct prefix_digest *chain,
                                                    struct page_pool *pool,
                                                    struct sequence **out,
                                                    struct realm_error *error);
/* NULL is fine.  It must hold no pages. */
void sequence_destroy(struct sequence *sequence);

static inline uint32_t sequence_n_completion(const struct sequence *sequence)
{
    return sequence->n_tokens - sequence->n_prompt;
}

/* Tokens that are to be computed before it can say something, or rest. */
static inline uint32_t sequence_target(const struct sequence *sequence)
{
    return sequence->n_tokens - (sequence->quiet ? 1u : 0u);
}

/* Makes `fork` (empty, as long as n_tokens at least) the same text over the same pages. */
void sequence_fork(const struct sequence *sequence, struct sequence *fork);
/* Keeps the first n_tokens tokens, and what of them is computed. */
void sequence_truncate(struct sequence *sequence, uint32_t n_tokens);
/* Only the first n_computed tokens count as computed; gives pages behind them back. */
void sequence_rewind(struct sequence *sequence, uint32_t n_computed);

/* Digests of the first n_pages pages, all full of known tokens. */
void sequence_extend_digests(struct sequence *sequence, uint32_t n_pages);

/* A list in order of arrival. */
struct sequence_list {
    struct sequence *first;
    struct sequence *last;
    uint32_t length;
};

void sequence_list_append(struct sequence_list *list, struct sequence *sequence);
void sequence_list_prepend(struct sequence_list *list, struct sequence *sequence);
struct sequence *sequence_list_take_first(struct sequence_list *list);
/* False: it is not in the list. */
bool sequence_list_remove(struct sequence_list *list, struct sequence *sequence);

#endif
