/* What `realm run` was asked for, shared by its one-shot and interactive halves. */
#ifndef REALM_CLI_RUN_H
#define REALM_CLI_RUN_H

#include "cli/args.h"
#include "engine/engine.h"

struct run {
    const char *model_reference;
    const char *prompt; /* NULL: interactive, or standard input */
    const char *system;
    bool raw;
    bool json;
    bool stats;
    uint32_t n_threads;
    uint32_t context_length;
    uint32_t kv_type;
    const char *cpu_level;
    uint32_t max_tokens;
    uint32_t min_tokens;
    bool ignore_end;
    uint64_t seed;
    struct arg_list stops;
    struct sampler_options sampling;

    struct engine *engine;
    struct engine_model *model;
    struct bytes stop_texts[ARG_LIST_MAX];
};

/* Fills in what all requests of this run have in common. */
void run_fill_request(const struct run *run, struct request *out);
/* The talk at a terminal, until Ctrl-D or /exit. */
REALM_MUST_CHECK realm_status run_talk(struct run *run, struct realm_error *error);

#endif
