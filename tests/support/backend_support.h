/* For tests of backends: plans with random weights of any type, and sequences run through a
 * prepared model in any pieces.  Failures end the test program with a message. */
#ifndef REALM_TESTS_SUPPORT_BACKEND_SUPPORT_H
#define REALM_TESTS_SUPPORT_BACKEND_SUPPORT_H

#include "backend/backend.h"
#include "support/test_support.h"

#define BANK_MAX_WEIGHTS 256

struct bank_weight {
    void *data;
    size_t n_bytes;
};

/* Random weights of one plan, and the way a backend reads them. */
struct bank {
    struct plan *plan;
    enum kv_type kv_type; /* of models made of it; F16 at first */
    struct test_random random;
    struct bank_weight weights[BANK_MAX_WEIGHTS];
    uint32_t n_weights;
    uint32_t n_done; /* told to be copied */
};

void bank_init(struct bank *bank, const char *test_name);
void bank_deinit(struct bank *bank);
/* Values around `middle`, at most `spread` away, quantised to `type`. */
tensor_id bank_add(struct bank *bank,
                   const char *name,
                   enum tensor_type type,
                   uint32_t rows,
                   uint32_t columns,
                   float middle,
                   float spread);
struct weight_source bank_source(struct bank *bank);
/* -1 .. 1 */
float bank_random(struct bank *bank);

/* A small llama: tied embeddings, rope of pairing HALVES, grouped heads, silu FFN. */
struct small_shape {
    uint32_t vocabulary;
    uint32_t columns;
    uint32_t n_layers;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_columns;
    uint32_t ffn_columns;
    uint32_t window;           /* of the odd layers */
    enum tensor_type types[3]; /* of the matrices in turn */
    bool gemma;                /* head norms, post-norms and GELU, untied output */
};
/* Checked; weights come from the bank. */
void small_plan(struct bank *bank, const struct small_shape *shape);

/* NULL: the level is not of this machine or build. */
struct backend *test_backend(const char *level, uint32_t n_threads);
/* A backend's model of a bank's plan; ends the test if it cannot be had. */
struct backend_model *test_model(struct backend *backend,
                                 struct bank *bank,
                                 uint32_t max_rows,
                                 uint32_t max_logits,
                                 uint32_t n_pages);

/* One sequence on its way through a model. */
struct test_sequence {
    const token_id *tokens;
    uint32_t n_tokens;
    uint32_t n_done;
    const page_id *pages;
    float *logits;           /* [n_tokens][vocabulary], filled as it goes */
    const uint32_t *adapter; /* NULL: none */
};

/* One step: the next n_rows[i] tokens of each sequence (0: it waits), logits wanted for all rows.
 */
void test_step(struct backend_model *model,
               uint32_t vocabulary,
               struct test_sequence *sequences,
               const uint32_t *n_rows,
               uint32_t n_sequences);
/* One sequence, in chunks of `chunk` tokens, on pages first_page, first_page + 1, ... */
void test_run_alone(struct backend_model *model,
                    uint32_t vocabulary,
                    const token_id *tokens,
                    uint32_t n_tokens,
                    uint32_t chunk,
                    page_id first_page,
                    float *logits);

/* Normalised mean square error of n floats; infinite when one of them is not finite. */
double test_nmse(const float *wanted, const float *got, size_t n);

#endif
