/* A model driven without the engine: some sequences in step, each with pages of its own, and the
 * logits that were asked for.  What perplexity and bench measure with.  One thread. */
#ifndef REALM_CLI_RUNNER_H
#define REALM_CLI_RUNNER_H

#include "backend/backend.h"
#include "model/model.h"

struct runner;

struct runner_options {
    const char *path;
    const char *cpu_level;
    uint32_t n_threads; /* 0: one per core */
    enum kv_type kv_type;
    uint32_t n_sequences; /* most at a time */
    uint32_t n_tokens;    /* most of one sequence */
    uint32_t max_rows;    /* most of one step */
    uint32_t max_logits;  /* most of one step */
};

REALM_MUST_CHECK realm_status runner_open(const struct runner_options *options,
                                          struct runner **out,
                                          struct realm_error *error);
void runner_close(struct runner *runner);

const struct model *runner_model(const struct runner *runner);
struct backend *runner_backend(const struct runner *runner);
struct backend_model *runner_backend_model(const struct runner *runner);

/* Runs n_rows tokens of each of n_sequences sequences, from first_position on.
 * tokens: [n_sequences * n_rows], sequence by sequence.
 * n_logits: of the last rows of each sequence; row i of sequence s is then logits row
 * s * n_logits + i of backend_logits. */
REALM_MUST_CHECK realm_status runner_step(struct runner *runner,
                                          const token_id *tokens,
                                          uint32_t n_sequences,
                                          uint32_t n_rows,
                                          uint32_t first_position,
                                          uint32_t n_logits,
                                          struct realm_error *error);

#endif
