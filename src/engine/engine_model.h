/* A loaded model inside the engine: file, tokenizer, prepared plan, pages, and the sequences that
 * run on it. Everything under "engine thread" belongs to it alone; the rest is constant after load.
 */
#ifndef REALM_ENGINE_ENGINE_MODEL_H
#define REALM_ENGINE_ENGINE_MODEL_H

#include "backend/backend.h"
#include "engine/engine.h"
#include "engine/fairness.h"
#include "engine/pace.h"
#include "engine/sequence.h"
#include "engine/stats.h"
#include "kv/page_pool.h"
#include "kv/prefix_index.h"
#include "model/model.h"
#include "sample/constraint.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

/* Rows that drafts may have in a step, of all sequences. */
#define MODEL_DRAFT_ROWS 32u

struct engine_model {
    char *name;
    struct model *model;
    struct tokenizer *tokenizer;
    struct backend *backend; /* the engine's */
    struct backend_model *backend_model;
    uint32_t context_length;
    uint32_t max_rows;
    uint32_t max_sequences;
    token_id *end_tokens;
    uint32_t n_end_tokens;
    struct bytes chat_source;            /* of the template, in the file */
    struct chat_template *chat_template; /* NULL: chat_error says why */
    struct realm_error chat_error;
    int64_t loaded_at_s;
    struct mutex constraint_mutex;                       /* the making of constraint_vocabulary */
    struct constraint_vocabulary *constraint_vocabulary; /* NULL before the first constraint */
    uint64_t id; /* of this load, at random: page digests begin with it */
    uint64_t itl_target_ns;
    _Atomic uint32_t *n_pending; /* the engine's: requests submitted and not done */
    struct stats stats;
    /* Engine thread: */
    struct page_pool *pool;
    struct prefix_index *prefixes; /* NULL: no prefix cache */
    struct fairness *fairness;     /* the engine's */
    struct pace pace;
    uint64_t served_ns; /* time its steps took, lifted as in fairness.h */
    bool had_work;
    struct sequence_list waiting;
    struct sequence_list running; /* PREFILL and DECODE, oldest first */
    struct sequence_list idle;    /* parked: held by sessions or saved, with pages */
    struct sequence **picked;     /* [max_sequences] of this step */
    uint32_t n_picked;
    uint32_t n_picked_rows;
    uint32_t n_preempted;        /* in this step */
    bool stood_back;             /* one that decodes is not in this step, for a newcomer */
    token_id *batch_tokens;      /* [max_rows] */
    uint32_t n_draft_rows_left;  /* in this step */
    uint32_t *batch_logits_rows; /* [max_sequences + MODEL_DRAFT_ROWS] */
    struct batch_sequence *batch_sequences; /* [max_sequences] */
    struct page_copies copies;              /* [max_sequences] */
    float *fork_logits;                     /* [vocabulary] */
    float *raw_logits;                      /* [backend_n_threads][vocabulary], for samplers */
    struct draw *draws;                     /* [max_sequences] of those picked */
    struct batch batch;
};

REALM_MUST_CHECK realm_status engine_model_open(struct backend *backend,
                                                const char *name,
                                                const char *path,
                                                const struct engine_model_options *options,
                                                struct engine_model **out,
                                                struct realm_error *error);
/* NULL is fine. No sequence may be left. */
void engine_model_close(struct engine_model *model);

const token_id *engine_model_end_tokens(const struct engine_model *model, uint32_t *n);

#endif
