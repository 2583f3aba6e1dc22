/* realm bench: prefill and decode speed of a model, beside what the machine could do. */
#include "backend/backend.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/paths.h"
#include "cli/term.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BATCHES 16u
#define MAX_REPS    100u
/* Tokens of context each decoding sequence has before the first measured step. */
#define DECODE_CONTEXT 128u

struct bench {
    const char *reference;
    const char *batch_list;
    uint32_t batches[MAX_BATCHES];
    uint32_t n_batches;
    uint32_t n_prefill;
    uint32_t n_decode;
    uint32_t n_threads;
    uint32_t n_reps;
    bool json;
    bool profile;
    struct model *model;
    struct backend *backend;
    struct backend_model *prepared;
    struct backend_limits limits;
    uint32_t max_batch;
    uint32_t pages_each; /* of one sequence */
    token_id *tokens;
    page_id *pages;
    struct batch_sequence *sequences;
    uint32_t *logits_rows;
};

struct measure {
    const char *test;
    uint32_t n;
    uint32_t batch;
    double seconds[MAX_REPS];
    uint64_t n_tokens; /* of one repetition */
    double roofline;   /* part of the machine's limit at the median */
};

/* "1,4,16" to numbers. */
static realm_status parse_batches(struct bench *bench, struct realm_error *error)
{
    const char *at = bench->batch_list;
    while (*at != '\0') {
        char *end;
        const unsigned long value = strtoul(at, &end, 10);
        if (end == at || value == 0 || value > 1024 || bench->n_batches == MAX_BATCHES ||
            (*end != ',' && *end != '\0')) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "--batch is \"%s\" and must be up to %u numbers from 1 to 1024, "
                                   "such as 1,4,16",
                                   bench->batch_list,
                                   MAX_BATCHES);
        }
        bench->batches[bench->n_batches++] = (uint32_t)value;
        bench->max_batch = value > bench->max_batch ? (uint32_t)value : bench->max_batch;
        at = *end == ',' ? end + 1 : end;
    }
    return REALM_OK;
}

static uint32_t pages_for(uint32_t n_tokens)
{
    return n_tokens / PAGE_TOKENS + (n_tokens % PAGE_TOKENS != 0);
}

static realm_status take_arrays(struct bench *bench, uint32_t max_rows, struct realm_error *error)
{
    const uint32_t n_pages = bench->pages_each * bench->max_batch;
    bench->tokens = alloc_zeroed(ALLOC_BASE, max_rows, sizeof *bench->tokens);
    bench->pages = alloc_zeroed(ALLOC_BASE, n_pages, sizeof *bench->pages);
    bench->sequences = alloc_zeroed(ALLOC_BASE, bench->max_batch, sizeof *bench->sequences);
    bench->logits_rows = alloc_zeroed(ALLOC_BASE, bench->max_batch, sizeof *bench->logits_rows);
    if (bench->tokens == NULL || bench->pages == NULL || bench->sequences == NULL ||
        bench->logits_rows == NULL) {
        return realm_error_out_of_memory(error, n_pages * sizeof(page_id), "bench");
    }
    for (uint32_t i = 0; i < n_pages; i++) {
        bench->pages[i] = i;
    }
    const uint32_t vocabulary = model_vocabulary(bench->model);
    for (uint32_t i = 0; i < max_rows; i++) {
        bench->tokens[i] = (i * 7919u + 13u) % vocabulary;
    }
    return REALM_OK;
}

static realm_status prepare(struct bench *bench, struct realm_error *error)
{
    char path[PATHS_BYTES];
    REALM_TRY(paths_find_model(bench->reference, path, error));
    const struct backend_options backend_options = {.n_threads = bench->n_threads,
                                                    .level = getenv("REALM_CPU")};
    REALM_TRY(backend_create(&backend_options, &bench->backend, error));
    REALM_TRY(model_open(path, NULL, &bench->model, error));
    const uint32_t decode_tokens = DECODE_CONTEXT + bench->n_decode;
    const uint32_t longest = decode_tokens > bench->n_prefill ? decode_tokens : bench->n_prefill;
    uint32_t max_rows = bench->n_prefill > DECODE_CONTEXT ? bench->n_prefill : DECODE_CONTEXT;
    max_rows = bench->max_batch > max_rows ? bench->max_batch : max_rows;
    bench->pages_each = pages_for(longest);
    REALM_TRY(take_arrays(bench, max_rows, error));
    const struct backend_model_options options = {.max_rows = max_rows,
                                                  .max_logits = bench->max_batch,
                                                  .n_pages = bench->pages_each * bench->max_batch,
                                                  .kv_type = KV_F16};
    const struct weight_source source = model_weight_source(bench->model);
    REALM_TRY(backend_prepare(
        bench->backend, model_plan(bench->model), &source, &options, &bench->prepared, error));
    return backend_measure_limits(bench->backend, &bench->limits, error);
}

/* One step: n_rows new tokens for each of n_sequences that hold `position` tokens already. */
static realm_status run_step(struct bench *bench,
                             uint32_t n_sequences,
                             uint32_t n_rows,
                             uint32_t position,
                             struct realm_error *error)
{
    for (uint32_t s = 0; s < n_sequences; s++) {
        bench->sequences[s] =
            (struct batch_sequence){.first_row = s * n_rows,
                                    .n_rows = n_rows,
                                    .first_position = position,
                                    .pages = bench->pages + (size_t)s * bench->pages_each,
                                    .n_pages = pages_for(position + n_rows),
                                    .adapter = ADAPTER_NONE};
        bench->logits_rows[s] = s * n_rows + n_rows - 1;
    }
    const struct batch batch = {.n_rows = n_sequences * n_rows,
                                .tokens = bench->tokens,
                                .n_sequences = n_sequences,
                                .sequences = bench->sequences,
                                .n_logits = n_sequences,
                                .logits_rows = bench->logits_rows};
    REALM_TRY(backend_submit(bench->prepared, &batch, error));
    return backend_wait(bench->prepared, error);
}

static double seconds_since(uint64_t begin_ns)
{
    return (double)(clock_monotonic_ns() - begin_ns) / 1e9;
}

static int compare_doubles(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Sums of the profile: bytes read and multiply-adds since it was switched on. */
static struct backend_profile profile_sum(const struct bench *bench)
{
    const struct backend_profile *const rows = backend_profile(bench->prepared);
    struct backend_profile sum = {.ns = 0};
    for (uint32_t i = 0; i < plan_n_ops(model_plan(bench->model)); i++) {
        sum.ns += rows[i].ns;
        sum.weight_bytes += rows[i].weight_bytes;
        sum.kv_bytes += rows[i].kv_bytes;
        sum.multiply_adds += rows[i].multiply_adds;
    }
    return sum;
}

static realm_status
measure_prefill(struct bench *bench, struct measure *measure, struct realm_error *error)
{
    *measure = (struct measure){
        .test = "prefill", .n = bench->n_prefill, .batch = 1, .n_tokens = bench->n_prefill};
    REALM_TRY(run_step(bench, 1, bench->n_prefill, 0, error)); /* warm */
    for (uint32_t rep = 0; rep < bench->n_reps; rep++) {
        const uint64_t begin_ns = clock_monotonic_ns();
        REALM_TRY(run_step(bench, 1, bench->n_prefill, 0, error));
        measure->seconds[rep] = seconds_since(begin_ns);
    }
    backend_profile_enable(bench->prepared, true);
    REALM_TRY(run_step(bench, 1, bench->n_prefill, 0, error));
    const struct backend_profile sum = profile_sum(bench);
    qsort(measure->seconds, bench->n_reps, sizeof(double), compare_doubles);
    measure->roofline = 2.0 * (double)sum.multiply_adds / measure->seconds[bench->n_reps / 2] /
                        bench->limits.int8_ops_per_s;
    return REALM_OK;
}

static realm_status run_decode(struct bench *bench, uint32_t batch, struct realm_error *error)
{
    for (uint32_t i = 0; i < bench->n_decode; i++) {
        REALM_TRY(run_step(bench, batch, 1, DECODE_CONTEXT + i, error));
    }
    return REALM_OK;
}

static realm_status measure_decode(struct bench *bench,
                                   uint32_t batch,
                                   struct measure *measure,
                                   struct realm_error *error)
{
    *measure = (struct measure){.test = "decode",
                                .n = bench->n_decode,
                                .batch = batch,
                                .n_tokens = (uint64_t)bench->n_decode * batch};
    page_id *const pages = bench->pages;
    for (uint32_t s = 0; s < batch; s++) { /* each sequence's context */
        bench->pages = pages + (size_t)s * bench->pages_each;
        const realm_status status = run_step(bench, 1, DECODE_CONTEXT, 0, error);
        bench->pages = pages;
        REALM_TRY(status);
    }
    for (uint32_t rep = 0; rep < bench->n_reps; rep++) {
        const uint64_t begin_ns = clock_monotonic_ns();
        REALM_TRY(run_decode(bench, batch, error));
        measure->seconds[rep] = seconds_since(begin_ns);
    }
    backend_profile_enable(bench->prepared, true);
    REALM_TRY(run_decode(bench, batch, error));
    const struct backend_profile sum = profile_sum(bench);
    qsort(measure->seconds, bench->n_reps, sizeof(double), compare_doubles);
    measure->roofline = (double)(sum.weight_bytes + sum.kv_bytes) /
                        measure->seconds[bench->n_reps / 2] / bench->limits.read_bytes_per_s;
    return REALM_OK;
}

static realm_status
print_measure(const struct bench *bench, const struct measure *m, struct realm_error *error)
{
    const double tokens = (double)m->n_tokens;
    const double median = tokens / m->seconds[bench->n_reps / 2];
    const double slowest = tokens / m->seconds[bench->n_reps - 1];
    const double fastest = tokens / m->seconds[0];
    const char *const model = model_name(bench->model);
    const uint32_t n_threads = backend_n_threads(bench->backend);
    if (!bench->json) {
        printf(
            "%-8s %5u tokens  batch %3u  threads %u  %9.1f tok/s  (%.1f to %.1f)  %5.1f %% of the "
            "limit\n",
            m->test,
            m->n,
            m->batch,
            n_threads,
            median,
            slowest,
            fastest,
            m->roofline * 100);
        return REALM_OK;
    }
    struct json_out out;
    json_out_init(&out);
    json_out_begin_object(&out, NULL);
    json_out_text(&out, "model", model);
    json_out_text(&out, "test", m->test);
    json_out_u64(&out, "n", m->n);
    json_out_u64(&out, "batch", m->batch);
    json_out_u64(&out, "threads", n_threads);
    json_out_f64(&out, "tok_s", median, 6);
    json_out_f64(&out, "tok_s_min", slowest, 6);
    json_out_f64(&out, "tok_s_max", fastest, 6);
    json_out_f64(&out, "roofline", m->roofline, 4);
    json_out_end_object(&out);
    return json_out_print(&out, error);
}

/* Where the time of the profiled run went, operation by operation of all layers together. */
static void print_profile(const struct bench *bench)
{
    const struct plan *const plan = model_plan(bench->model);
    const struct backend_profile *const rows = backend_profile(bench->prepared);
    const struct backend_profile sum = profile_sum(bench);
    for (int kind = 0; kind < OP_N_KINDS; kind++) {
        struct backend_profile of_kind = {.ns = 0};
        for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
            if ((int)plan_op(plan, i)->kind == kind) {
                of_kind.ns += rows[i].ns;
                of_kind.weight_bytes += rows[i].weight_bytes + rows[i].kv_bytes;
                of_kind.multiply_adds += rows[i].multiply_adds;
            }
        }
        if (of_kind.ns == 0) {
            continue;
        }
        const double seconds = (double)of_kind.ns / 1e9;
        (void)fprintf(
            bench->json ? stderr : stdout,
            "    %-10s %6.2f %% of the time  %7.2f GB/s (%.0f %%)  %8.2f Gop/s (%.0f %%)\n",
            op_kind_name((enum op_kind)kind),
            100 * (double)of_kind.ns / (double)sum.ns,
            (double)of_kind.weight_bytes / seconds / 1e9,
            100 * (double)of_kind.weight_bytes / seconds / bench->limits.read_bytes_per_s,
            2 * (double)of_kind.multiply_adds / seconds / 1e9,
            200 * (double)of_kind.multiply_adds / seconds / bench->limits.int8_ops_per_s);
    }
}

static realm_status
finish_measure(struct bench *bench, const struct measure *measure, struct realm_error *error)
{
    REALM_TRY(print_measure(bench, measure, error));
    if (bench->profile) {
        print_profile(bench);
    }
    backend_profile_enable(bench->prepared, false);
    (void)fflush(stdout);
    return REALM_OK;
}

static realm_status run_bench(struct bench *bench, struct realm_error *error)
{
    struct measure measure;
    REALM_TRY(prepare(bench, error));
    if (!bench->json) {
        printf("%s, %s, %u threads; this machine reads %.1f GB/s and multiplies %.0f int8 Gop/s\n",
               model_name(bench->model),
               backend_level(bench->backend),
               backend_n_threads(bench->backend),
               bench->limits.read_bytes_per_s / 1e9,
               bench->limits.int8_ops_per_s / 1e9);
    }
    if (bench->n_prefill > 0) {
        REALM_TRY(measure_prefill(bench, &measure, error));
        REALM_TRY(finish_measure(bench, &measure, error));
    }
    for (uint32_t i = 0; i < bench->n_batches && bench->n_decode > 0; i++) {
        REALM_TRY(measure_decode(bench, bench->batches[i], &measure, error));
        REALM_TRY(finish_measure(bench, &measure, error));
    }
    return REALM_OK;
}

realm_status cmd_bench(int argc, char **argv, struct realm_error *error)
{
    struct bench bench = {.batch_list = "1,4,16,32", .n_prefill = 512, .n_decode = 64, .n_reps = 3};
    const struct arg_option table[] = {
        {"model", 'm', ARG_TEXT, &bench.reference, "MODEL", "model file or name", 0, 0},
        {"prefill",
         0,
         ARG_U32,
         &bench.n_prefill,
         "N",
         "prompt tokens; 0: no prefill (512)",
         0,
         32768},
        {"decode", 0, ARG_U32, &bench.n_decode, "N", "tokens to make; 0: none (64)", 0, 32768},
        {"batch", 0, ARG_TEXT, &bench.batch_list, "N,N..", "sequences together (1,4,16,32)", 0, 0},
        {"threads", 't', ARG_U32, &bench.n_threads, "N", "compute threads (cores)", 1, 1024},
        {"reps",
         0,
         ARG_U32,
         &bench.n_reps,
         "N",
         "runs of each; the median counts (3)",
         1,
         MAX_REPS},
        {"profile", 0, ARG_FLAG, &bench.profile, NULL, "where the time goes, by operation", 0, 0},
        {"json", 0, ARG_FLAG, &bench.json, NULL, "one JSON object a line", 0, 0},
        {NULL, 0, ARG_FLAG, NULL, NULL, NULL, 0, 0},
    };
    const struct arg_command command = {
        .usage = "realm bench [-m MODEL] [options]",
        .summary =
            "Measures tokens per second and which part of this machine's limit they are: of its\n"
            "int8 multiply rate for prefill, of its read bandwidth for decode.",
        .examples = "  realm bench -m model.gguf --prefill 512 --decode 64 --batch 1,16\n"
                    "  realm bench -m model.gguf --profile --reps 5\n",
        .options = table,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    realm_status status = parse_batches(&bench, error);
    if (status == REALM_OK) {
        status = run_bench(&bench, error);
    }
    backend_model_destroy(bench.prepared);
    backend_destroy(bench.backend);
    model_close(bench.model);
    alloc_free(bench.tokens);
    alloc_free(bench.pages);
    alloc_free(bench.sequences);
    alloc_free(bench.logits_rows);
    return status;
}
