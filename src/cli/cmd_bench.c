/* realm bench: tokens per second, beside what this machine could do at most. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/random.h"
#include "cli/bench.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 512u /* of one step, as the engine has it */

/* --- the work --- */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Computes n tokens of each sequence from position 0 on, in steps as large as the engine's. */
static realm_status
run_prefill(struct bench *bench, uint32_t n_sequences, uint32_t n, struct realm_error *error)
{
    const uint32_t chunk = bench->max_rows / n_sequences;
    for (uint32_t at = 0; at < n;) {
        const uint32_t n_rows = least(chunk, n - at);
        const uint32_t n_logits = at + n_rows == n ? 1 : 0;
        REALM_TRY(
            runner_step(bench->runner, bench->tokens, n_sequences, n_rows, at, n_logits, error));
        at += n_rows;
    }
    return REALM_OK;
}

static realm_status
run_decode(struct bench *bench, uint32_t n_sequences, uint32_t n, struct realm_error *error)
{
    for (uint32_t i = 0; i < n; i++) {
        REALM_TRY(runner_step(bench->runner,
                              bench->tokens + (size_t)i * n_sequences,
                              n_sequences,
                              1,
                              bench->depth + i,
                              1,
                              error));
    }
    return REALM_OK;
}

static realm_status run_test(struct bench *bench,
                             const struct bench_test *test,
                             double *seconds,
                             struct realm_error *error)
{
    const uint64_t begin_ns = clock_monotonic_ns();
    if (strcmp(test->name, "decode") == 0) {
        REALM_TRY(run_decode(bench, test->batch, test->n, error));
    } else {
        REALM_TRY(run_prefill(bench, test->batch, test->n, error));
    }
    *seconds = (double)(clock_monotonic_ns() - begin_ns) / 1e9;
    return interrupt_seen() ? realm_error_set(error, REALM_CANCELLED, "interrupted") : REALM_OK;
}

/* The first run warms up and counts what is read and computed; it is not timed. */
static realm_status count_work(struct bench *bench,
                               const struct bench_test *test,
                               struct bench_work *out,
                               struct realm_error *error)
{
    struct backend_model *const model = runner_backend_model(bench->runner);
    double seconds;
    *out = (struct bench_work){.weight_bytes = 0};
    if (bench->depth > 0 && strcmp(test->name, "decode") == 0) {
        REALM_TRY(run_prefill(bench, test->batch, bench->depth, error));
    }
    backend_profile_enable(model, true);
    const realm_status status = run_test(bench, test, &seconds, error);
    backend_profile_enable(model, false);
    REALM_TRY(status);
    const struct backend_profile *const profile = backend_profile(model);
    for (uint32_t i = 0; i < plan_n_ops(model_plan(runner_model(bench->runner))); i++) {
        out->weight_bytes += profile[i].weight_bytes;
        out->kv_bytes += profile[i].kv_bytes;
        out->multiply_adds += profile[i].multiply_adds;
    }
    return REALM_OK;
}

static int by_size(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Decode is bound by reading, prefill by the multiply-adds of 8-bit numbers. */
static double least_seconds(const struct bench *bench,
                            const struct bench_test *test,
                            const struct bench_work *work)
{
    if (strcmp(test->name, "decode") == 0) {
        return (double)(work->weight_bytes + work->kv_bytes) / bench->limits.read_bytes_per_s;
    }
    return 2.0 * (double)work->multiply_adds / bench->limits.int8_ops_per_s;
}

static realm_status
measure(struct bench *bench, const struct bench_test *test, struct realm_error *error)
{
    struct bench_result result;
    double seconds[BENCH_MAX_REPS];
    const double n_tokens = (double)test->n * test->batch;
    REALM_TRY(count_work(bench, test, &result.work, error));
    for (uint32_t i = 0; i < bench->n_reps; i++) {
        REALM_TRY(run_test(bench, test, &seconds[i], error));
    }
    qsort(seconds, bench->n_reps, sizeof seconds[0], by_size);
    const uint32_t middle = bench->n_reps / 2;
    const double median =
        bench->n_reps % 2 == 1 ? seconds[middle] : (seconds[middle - 1] + seconds[middle]) / 2;
    result.tok_s = n_tokens / median;
    result.tok_s_max = n_tokens / seconds[0];
    result.tok_s_min = n_tokens / seconds[bench->n_reps - 1];
    result.roofline = least_seconds(bench, test, &result.work) / median;
    REALM_TRY(bench_print_result(bench, test, &result, error));
    if (bench->profile) {
        bench_print_profile(bench, test);
    }
    return REALM_OK;
}

static realm_status measure_all(struct bench *bench, struct realm_error *error)
{
    REALM_TRY(backend_measure_limits(runner_backend(bench->runner), &bench->limits, error));
    bench_print_head(bench);
    if (bench->n_prefill > 0) {
        const struct bench_test test = {.name = "prefill", .n = bench->n_prefill, .batch = 1};
        REALM_TRY(measure(bench, &test, error));
    }
    for (uint32_t i = 0; i < bench->n_batches && bench->n_decode > 0; i++) {
        const struct bench_test test = {
            .name = "decode", .n = bench->n_decode, .batch = bench->batches[i]};
        REALM_TRY(measure(bench, &test, error));
    }
    return REALM_OK;
}

/* --- setting up --- */

/* Any tokens do; they differ, so that the embedding's rows are not all in the cache. */
static realm_status make_tokens(struct bench *bench, size_t n, struct realm_error *error)
{
    struct philox random = {.seed = 1};
    const uint32_t vocabulary = model_vocabulary(runner_model(bench->runner));
    bench->tokens = alloc_zeroed(ALLOC_BASE, n, sizeof *bench->tokens);
    if (bench->tokens == NULL) {
        return realm_error_out_of_memory(error, n * sizeof *bench->tokens, "the tokens");
    }
    for (size_t i = 0; i < n; i++) {
        bench->tokens[i] = philox_u32(&random) % vocabulary;
    }
    return REALM_OK;
}

static realm_status open_bench(struct bench *bench, struct realm_error *error)
{
    char path[PATHS_BYTES];
    uint32_t most = 1;
    for (uint32_t i = 0; i < bench->n_batches && bench->n_decode > 0; i++) {
        most = bench->batches[i] > most ? bench->batches[i] : most;
    }
    const uint32_t n_deep = bench->n_decode > 0 ? bench->depth + bench->n_decode : 0;
    REALM_TRY(paths_find_model(bench->model_reference, path, error));
    paths_model_name(path, bench->name, sizeof bench->name);
    bench->max_rows = most > MAX_ROWS ? most : MAX_ROWS;
    const struct runner_options options = {
        .path = path,
        .cpu_level = bench->cpu_level,
        .n_threads = bench->n_threads,
        .kv_type = (enum kv_type)bench->kv_type,
        .n_sequences = most,
        .n_tokens = n_deep > bench->n_prefill ? n_deep : bench->n_prefill,
        .max_rows = bench->max_rows,
        .max_logits = most,
    };
    REALM_TRY(runner_open(&options, &bench->runner, error));
    const size_t n_decode_tokens = (size_t)most * bench->n_decode;
    return make_tokens(
        bench, n_decode_tokens > bench->max_rows ? n_decode_tokens : bench->max_rows, error);
}

/* "1,4,16,32" */
static realm_status parse_batches(struct bench *bench, const char *text, struct realm_error *error)
{
    const char *at = text;
    do {
        char *end;
        errno = 0;
        const unsigned long number = strtoul(at, &end, 10);
        if (end == at || strspn(at, "0123456789") != (size_t)(end - at) || number < 1 ||
            number > 1024 || (*end != ',' && *end != '\0') ||
            bench->n_batches == BENCH_MAX_BATCHES) {
            return realm_error_set(
                error,
                REALM_INVALID_ARGUMENT,
                "--batch is \"%.60s\" and must be up to %u numbers between 1 and "
                "1024 with commas between them",
                text,
                BENCH_MAX_BATCHES);
        }
        bench->batches[bench->n_batches++] = (uint32_t)number;
        at = *end == ',' ? end + 1 : end;
    } while (*at != '\0');
    return REALM_OK;
}

static realm_status run_bench(struct bench *bench, struct realm_error *error)
{
    if (bench->n_prefill + bench->n_decode == 0) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "--prefill 0 and --decode 0: nothing to measure");
    }
    interrupt_catch();
    realm_status status = open_bench(bench, error);
    if (status == REALM_OK) {
        status = measure_all(bench, error);
    }
    interrupt_restore();
    alloc_free(bench->tokens);
    runner_close(bench->runner);
    return status;
}

/* NOLINTNEXTLINE(readability-function-size): a table of options and little else */
realm_status cmd_bench(int argc, char **argv, struct realm_error *error)
{
    struct bench bench = {
        .n_prefill = 512, .n_decode = 64, .n_reps = 3, .cpu_level = getenv("REALM_CPU")};
    const char *batches = "1,4,16,32";
    const struct arg_option options[] = {
        {"model",
         'm',
         ARG_TEXT,
         &bench.model_reference,
         "MODEL",
         "a path, or a name of `realm models list` (smollm2)",
         0,
         0},
        {"prefill",
         0,
         ARG_U32,
         &bench.n_prefill,
         "N",
         "tokens of the prompt; 0: not measured (512)",
         0,
         1 << 20},
        {"decode",
         0,
         ARG_U32,
         &bench.n_decode,
         "N",
         "tokens made by each sequence; 0: not measured (64)",
         0,
         1 << 20},
        {"batch",
         0,
         ARG_TEXT,
         &batches,
         "N,N,...",
         "sequences that decode at once (1,4,16,32)",
         0,
         0},
        {"depth",
         0,
         ARG_U32,
         &bench.depth,
         "N",
         "tokens in each sequence before it decodes (0)",
         0,
         1 << 20},
        {"kv-type", 0, ARG_CHOICE, &bench.kv_type, KV_TYPE_NAMES, KV_TYPE_HELP, 0, 0},
        {"threads", 't', ARG_U32, &bench.n_threads, "N", "compute threads (one per core)", 1, 1024},
        {"reps",
         0,
         ARG_U32,
         &bench.n_reps,
         "N",
         "timed runs after one that warms up (3)",
         1,
         BENCH_MAX_REPS},
        {"cpu",
         0,
         ARG_TEXT,
         &bench.cpu_level,
         "LEVEL",
         "highest CPU level, such as avx2 (REALM_CPU)",
         0,
         0},
        {"profile", 0, ARG_FLAG, &bench.profile, NULL, "operation by operation", 0, 0},
        {"json", 0, ARG_FLAG, &bench.json, NULL, "one JSON object a line", 0, 0},
        {0},
    };
    const struct arg_command command = {
        .usage = "realm bench -m MODEL [options]",
        .summary =
            "Measures tokens per second.  ROOFLINE is the part reached of this machine's limit,\n"
            "measured first: for decode the bytes of weights and KV read against read\n"
            "bandwidth, for prefill the multiply-adds against the peak of 8-bit products.",
        .examples =
            "  realm bench -m smollm2 --prefill 512 --decode 64 --batch 1,4,16,32 --threads 2\n"
            "  realm bench -m model.gguf --prefill 0 --batch 1 --depth 4096 --profile\n",
        .options = options,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    REALM_TRY(parse_batches(&bench, batches, error));
    return run_bench(&bench, error);
}
