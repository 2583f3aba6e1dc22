/* realm perplexity: how well a model predicts a text, by the windows of llama.cpp's tool: n tokens
 * each, no overlap, BOS in the first place where the model wants it, the second half scored. */
#include "base/alloc.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "cli/runner.h"
#include "cli/term.h"
#include "tokenizer/tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT_BYTES ((size_t)1 << 30)
#define DEFAULT_WINDOW 512u
#define MAX_ROWS       512u
#define LOGITS_ROWS    64u /* at once: each is vocabulary wide */

struct perplexity {
    const char *model_reference;
    const char *file;
    const char *cpu_level;
    uint32_t kv_type;
    uint32_t window;
    uint32_t max_windows; /* 0: all */
    uint32_t n_threads;
    bool json;

    struct runner *runner;
    struct tokenizer *tokenizer;
    struct token_list tokens;
    token_id *window_tokens;
    double sum;     /* of -log p */
    double squares; /* of their squares */
    uint64_t n_scored;
    uint32_t n_windows;
};

/* -log of the probability that a row of logits gives to `token`. */
static double score(const float *logits, uint32_t vocabulary, token_id token)
{
    float most = logits[0];
    for (uint32_t i = 1; i < vocabulary; i++) {
        most = logits[i] > most ? logits[i] : most;
    }
    double sum = 0;
    for (uint32_t i = 0; i < vocabulary; i++) {
        sum += (double)expf(logits[i] - most);
    }
    return log(sum) - (double)(logits[token] - most);
}

static realm_status score_rows(struct perplexity *p,
                               uint32_t begin,
                               uint32_t n_rows,
                               uint32_t n_scored,
                               struct realm_error *error)
{
    const uint32_t vocabulary = plan_vocabulary(model_plan(runner_model(p->runner)));
    REALM_TRY(runner_step(p->runner, p->window_tokens + begin, 1, n_rows, begin, n_scored, error));
    for (uint32_t i = 0; i < n_scored; i++) {
        const uint32_t next = begin + n_rows - n_scored + i + 1;
        const double nll = score(
            backend_logits(runner_backend_model(p->runner), i), vocabulary, p->window_tokens[next]);
        p->sum += nll;
        p->squares += nll * nll;
        p->n_scored++;
    }
    return interrupt_seen() ? realm_error_set(error, REALM_CANCELLED, "interrupted") : REALM_OK;
}

static realm_status run_window(struct perplexity *p, uint32_t index, struct realm_error *error)
{
    const uint32_t first = p->window / 2; /* the first position whose prediction counts */
    const uint32_t last = p->window - 1;  /* its successor is in the next window */
    memcpy(p->window_tokens,
           p->tokens.ids + (size_t)index * p->window,
           p->window * sizeof *p->window_tokens);
    if (tokenizer_adds_bos(p->tokenizer)) {
        p->window_tokens[0] = tokenizer_bos(p->tokenizer);
    }
    for (uint32_t at = 0; at < first;) {
        const uint32_t n = first - at < MAX_ROWS ? first - at : MAX_ROWS;
        REALM_TRY(score_rows(p, at, n, 0, error));
        at += n;
    }
    for (uint32_t at = first; at < last;) {
        const uint32_t n = last - at < LOGITS_ROWS ? last - at : LOGITS_ROWS;
        REALM_TRY(score_rows(p, at, n, n, error));
        at += n;
    }
    return REALM_OK;
}

static double estimate(const struct perplexity *p)
{
    return exp(p->sum / (double)p->n_scored);
}

/* Of the estimate, as llama.cpp's tool has it; 0 when one cannot be told. */
static double uncertainty(const struct perplexity *p)
{
    const double n = (double)p->n_scored;
    const double mean = p->sum / n;
    const double variance = p->squares / n - mean * mean;
    return variance > 0 && n > 1 ? sqrt(variance / (n - 1)) * estimate(p) : 0;
}

static realm_status run_windows(struct perplexity *p, struct realm_error *error)
{
    struct progress bar;
    const uint64_t n_there = p->tokens.length / p->window;
    const uint32_t n =
        p->max_windows > 0 && p->max_windows < n_there ? p->max_windows : (uint32_t)n_there;
    progress_begin(&bar, "windows", n, PROGRESS_ITEMS);
    for (uint32_t i = 0; i < n; i++) {
        const realm_status status = run_window(p, i, error);
        if (status != REALM_OK) {
            progress_end(&bar);
            return status;
        }
        p->n_windows = i + 1;
        if (!p->json) {
            progress_end(&bar);
            printf("[%u]%.4f,", i + 1, estimate(p));
            (void)fflush(stdout);
        } else {
            progress_update(&bar, i + 1);
        }
    }
    progress_end(&bar);
    return REALM_OK;
}

static realm_status print_result(const struct perplexity *p, struct realm_error *error)
{
    if (!p->json) {
        printf("\nPerplexity: %.4f +/- %.5f (%u windows of %u tokens, %llu scored)\n",
               estimate(p),
               uncertainty(p),
               p->n_windows,
               p->window,
               (unsigned long long)p->n_scored);
        return REALM_OK;
    }
    struct json_out out;
    json_out_init(&out);
    json_out_begin_object(&out, NULL);
    json_out_f64(&out, "perplexity", estimate(p), 10);
    json_out_f64(&out, "uncertainty", uncertainty(p), 6);
    json_out_u64(&out, "windows", p->n_windows);
    json_out_u64(&out, "ctx", p->window);
    json_out_u64(&out, "tokens", p->tokens.length);
    json_out_u64(&out, "scored", p->n_scored);
    json_out_end_object(&out);
    return json_out_print(&out, error);
}

/* Tokens of the file, without the newline at its very end. */
static realm_status read_tokens(struct perplexity *p, struct realm_error *error)
{
    const struct tokenizer_encode_options options = {.add_special = true};
    char *text;
    size_t n_bytes;
    REALM_TRY(file_read(p->file, MAX_TEXT_BYTES, &text, &n_bytes, error));
    n_bytes -= n_bytes > 0 && text[n_bytes - 1] == '\n';
    const realm_status status =
        tokenizer_encode(p->tokenizer, text, n_bytes, options, &p->tokens, error);
    alloc_free(text);
    REALM_TRY(status);
    if (p->tokens.length < (size_t)2 * p->window) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "%s has %zu tokens; two windows of %u are the least (--ctx)",
                               p->file,
                               p->tokens.length,
                               p->window);
    }
    return REALM_OK;
}

static realm_status run_all(struct perplexity *p, struct realm_error *error)
{
    char path[PATHS_BYTES];
    REALM_TRY(paths_find_model(p->model_reference, path, error));
    const struct runner_options options = {
        .path = path,
        .cpu_level = p->cpu_level,
        .n_threads = p->n_threads,
        .kv_type = (enum kv_type)p->kv_type,
        .n_sequences = 1,
        .n_tokens = p->window,
        .max_rows = MAX_ROWS,
        .max_logits = LOGITS_ROWS,
    };
    REALM_TRY(runner_open(&options, &p->runner, error));
    REALM_TRY(tokenizer_create(model_gguf(runner_model(p->runner)), &p->tokenizer, error));
    REALM_TRY(read_tokens(p, error));
    p->window_tokens = alloc_zeroed(ALLOC_BASE, p->window, sizeof *p->window_tokens);
    if (p->window_tokens == NULL) {
        return realm_error_out_of_memory(error, p->window * sizeof(token_id), "a window");
    }
    interrupt_catch();
    const realm_status status = run_windows(p, error);
    interrupt_restore();
    return status == REALM_OK ? print_result(p, error) : status;
}

realm_status cmd_perplexity(int argc, char **argv, struct realm_error *error)
{
    struct perplexity p = {.window = DEFAULT_WINDOW, .cpu_level = getenv("REALM_CPU")};
    const struct arg_option options[] = {
        {"model",
         'm',
         ARG_TEXT,
         &p.model_reference,
         "MODEL",
         "a path, or a name of `realm models list` (smollm2)",
         0,
         0},
        {"file", 'f', ARG_TEXT, &p.file, "FILE", "the text", 0, 0},
        {"ctx", 'c', ARG_U32, &p.window, "N", "tokens of a window (512)", 8, 1 << 20},
        {"kv-type", 0, ARG_CHOICE, &p.kv_type, KV_TYPE_NAMES, KV_TYPE_HELP, 0, 0},
        {"chunks", 0, ARG_U32, &p.max_windows, "N", "only the first N windows", 1, 1 << 24},
        {"threads", 't', ARG_U32, &p.n_threads, "N", "compute threads (one per core)", 1, 1024},
        {"cpu",
         0,
         ARG_TEXT,
         &p.cpu_level,
         "LEVEL",
         "highest CPU level, such as avx2 (REALM_CPU)",
         0,
         0},
        {"json", 0, ARG_FLAG, &p.json, NULL, "one JSON object as the last line", 0, 0},
        {0},
    };
    const struct arg_command command = {
        .usage = "realm perplexity -m MODEL -f FILE [--ctx N] [--json]",
        .summary = "Measures how well a model predicts a text (lower is better), as llama.cpp's\n"
                   "tool does it: windows of N tokens, the second half of each scored.",
        .examples =
            "  realm perplexity -m smollm2 -f wiki.test.raw --ctx 512\n"
            "  realm perplexity -m q4.gguf -f text.txt --json | tail -n1 | jq .perplexity\n",
        .options = options,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    if (p.file == NULL) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "-f FILE is missing: the text");
    }
    const realm_status status = run_all(&p, error);
    alloc_free(p.window_tokens);
    token_list_deinit(&p.tokens);
    tokenizer_destroy(p.tokenizer);
    runner_close(p.runner);
    return status;
}
