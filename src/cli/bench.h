/* What `realm bench` measures and how it shows it. */
#ifndef REALM_CLI_BENCH_H
#define REALM_CLI_BENCH_H

#include "cli/runner.h"

#define BENCH_MAX_BATCHES 32u
#define BENCH_MAX_REPS    1000u

struct bench {
    const char *model_reference;
    const char *cpu_level;
    uint32_t n_prefill; /* 0: none */
    uint32_t n_decode;  /* 0: none */
    uint32_t depth;     /* tokens that stand in each sequence before decode begins */
    uint32_t batches[BENCH_MAX_BATCHES];
    uint32_t n_batches;
    uint32_t n_threads;
    uint32_t kv_type;
    uint32_t n_reps;
    bool json;
    bool profile;

    char name[128];
    struct runner *runner;
    struct backend_limits limits;
    token_id *tokens; /* [most sequences * most tokens], arbitrary ones */
    uint32_t max_rows;
};

/* One test: a number of tokens, of some sequences at once. */
struct bench_test {
    const char *name; /* "prefill", "decode" */
    uint32_t n;
    uint32_t batch;
};

/* What one run of a test read and computed. */
struct bench_work {
    uint64_t weight_bytes;
    uint64_t kv_bytes;
    uint64_t multiply_adds;
};

struct bench_result {
    double tok_s; /* median */
    double tok_s_min;
    double tok_s_max;
    double roofline; /* the part reached of the machine's limit */
    struct bench_work work;
};

void bench_print_head(const struct bench *bench);
REALM_MUST_CHECK realm_status bench_print_result(const struct bench *bench,
                                                 const struct bench_test *test,
                                                 const struct bench_result *result,
                                                 struct realm_error *error);
/* Operation by operation, over one run of the test, with the part reached of whichever limit binds
 * it; to standard error beside --json. */
void bench_print_profile(const struct bench *bench, const struct bench_test *test);

#endif
