/* realm perplexity: windows as llama.cpp's tool has them: the text is tokenised whole and cut into
 * windows of n tokens without overlap; each begins with BOS in the place of its first token, where
 * the model wants one; the second half is scored. */
#include "backend/backend.h"
#include "base/alloc.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

#include <math.h>
#include <stdio.h>

#define MAX_TEXT_BYTES ((size_t)1 << 30)

struct perplexity {
    const char *model_path;
    const char *text_path;
    uint32_t window;
    uint32_t threads;
    uint32_t max_windows;
    bool json;
    struct model *model;
    struct tokenizer *tokenizer;
    struct backend *backend;
    struct backend_model *prepared;
    struct token_list tokens;
    page_id *pages;
    uint32_t *logits_rows;
};

static realm_status read_tokens(struct perplexity *p, struct realm_error *error)
{
    char *text;
    size_t n_bytes;
    REALM_TRY(file_read(p->text_path, MAX_TEXT_BYTES, &text, &n_bytes, error));
    const realm_status status =
        tokenizer_encode(p->tokenizer,
                         text,
                         n_bytes,
                         (struct tokenizer_encode_options){.add_special = true},
                         &p->tokens,
                         error);
    alloc_free(text);
    if (status == REALM_OK && p->tokens.length < p->window) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "%s has %zu tokens and one window needs %u; give a longer text or a "
                               "smaller --ctx",
                               p->text_path,
                               p->tokens.length,
                               p->window);
    }
    return status;
}

static realm_status prepare(struct perplexity *p, struct realm_error *error)
{
    const struct backend_options backend_options = {.n_threads = p->threads};
    REALM_TRY(backend_create(&backend_options, &p->backend, error));
    const struct model_options model_options = {.context_length = p->window};
    REALM_TRY(model_open(p->model_path, &model_options, &p->model, error));
    REALM_TRY(tokenizer_create(model_gguf(p->model), &p->tokenizer, error));
    const uint32_t n_pages = p->window / PAGE_TOKENS + 1;
    const uint32_t n_scored = p->window - p->window / 2;
    p->pages = alloc_zeroed(ALLOC_BASE, n_pages, sizeof *p->pages);
    p->logits_rows = alloc_zeroed(ALLOC_BASE, n_scored, sizeof *p->logits_rows);
    if (p->pages == NULL || p->logits_rows == NULL) {
        return realm_error_out_of_memory(error, n_pages * sizeof(page_id), "pages");
    }
    for (uint32_t i = 0; i < n_pages; i++) {
        p->pages[i] = i;
    }
    const struct backend_model_options options = {
        .max_rows = p->window, .max_logits = n_scored, .n_pages = n_pages, .kv_type = KV_F16};
    const struct weight_source source = model_weight_source(p->model);
    return backend_prepare(
        p->backend, model_plan(p->model), &source, &options, &p->prepared, error);
}

/* -log of the probability of `token` under a row of logits. */
static double negative_log_probability(const float *logits, uint32_t n, token_id token)
{
    float max = logits[0];
    for (uint32_t i = 1; i < n; i++) {
        max = logits[i] > max ? logits[i] : max;
    }
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += exp((double)(logits[i] - max));
    }
    return log(sum) - (double)(logits[token] - max);
}

/* Runs one window; adds to the sum over the scored tokens. */
static realm_status run_window(struct perplexity *p,
                               uint32_t index,
                               double *sum,
                               uint64_t *n_scored,
                               struct realm_error *error)
{
    token_id *const tokens = p->tokens.ids + (size_t)index * p->window;
    const token_id first = tokens[0];
    const uint32_t begin = p->window / 2;
    const uint32_t n_logits = p->window - 1 - begin;
    if (tokenizer_adds_bos(p->tokenizer)) {
        tokens[0] = tokenizer_bos(p->tokenizer);
    }
    for (uint32_t i = 0; i < n_logits; i++) {
        p->logits_rows[i] = begin + i;
    }
    const struct batch_sequence sequence = {.n_rows = p->window,
                                            .pages = p->pages,
                                            .n_pages = p->window / PAGE_TOKENS +
                                                       (p->window % PAGE_TOKENS != 0),
                                            .adapter = ADAPTER_NONE};
    const struct batch batch = {.n_rows = p->window,
                                .tokens = tokens,
                                .n_sequences = 1,
                                .sequences = &sequence,
                                .n_logits = n_logits,
                                .logits_rows = p->logits_rows};
    REALM_TRY(backend_submit(p->prepared, &batch, error));
    REALM_TRY(backend_wait(p->prepared, error));
    const uint32_t vocabulary = model_vocabulary(p->model);
    for (uint32_t i = 0; i < n_logits; i++) {
        *sum += negative_log_probability(
            backend_logits(p->prepared, i), vocabulary, tokens[begin + i + 1]);
    }
    *n_scored += n_logits;
    tokens[0] = first;
    return REALM_OK;
}

static realm_status run_windows(struct perplexity *p, struct realm_error *error)
{
    uint32_t n_windows = (uint32_t)(p->tokens.length / p->window);
    if (p->max_windows > 0 && p->max_windows < n_windows) {
        n_windows = p->max_windows;
    }
    double sum = 0;
    uint64_t n_scored = 0;
    struct progress progress;
    progress_begin(&progress, "perplexity", n_windows, PROGRESS_ITEMS);
    for (uint32_t i = 0; i < n_windows; i++) {
        REALM_TRY(run_window(p, i, &sum, &n_scored, error));
        progress_update(&progress, i + 1);
        if (!p->json) {
            progress_end(&progress);
            printf("window %u of %u: perplexity %.4f\n",
                   i + 1,
                   n_windows,
                   exp(sum / (double)n_scored));
            (void)fflush(stdout);
        }
    }
    progress_end(&progress);
    const double mean = sum / (double)n_scored;
    if (p->json) {
        printf("{\"perplexity\": %.6f, \"tokens\": %llu, \"windows\": %u}\n",
               exp(mean),
               (unsigned long long)n_scored,
               n_windows);
    } else {
        printf("perplexity %.4f over %llu tokens\n", exp(mean), (unsigned long long)n_scored);
    }
    return REALM_OK;
}

realm_status cmd_perplexity(int argc, char **argv, struct realm_error *error)
{
    struct perplexity p = {.window = 512};
    const struct arg_option table[] = {
        {"model", 'm', ARG_TEXT, &p.model_path, "MODEL", "model file", 0, 0},
        {"file", 'f', ARG_TEXT, &p.text_path, "FILE", "text to predict", 0, 0},
        {"ctx", 'c', ARG_U32, &p.window, "N", "tokens of a window (512)", 4, 65536},
        {"threads", 't', ARG_U32, &p.threads, "N", "compute threads (cores)", 1, 1024},
        {"windows", 0, ARG_U32, &p.max_windows, "N", "stop after so many windows", 1, 1e9},
        {"json", 0, ARG_FLAG, &p.json, NULL, "one JSON object at the end", 0, 0},
        {NULL, 0, ARG_FLAG, NULL, NULL, NULL, 0, 0},
    };
    const struct arg_command command = {
        .usage = "realm perplexity -m MODEL -f FILE [--ctx N]",
        .summary = "Measures how well a model predicts a text; lower is better.",
        .examples = "  realm perplexity -m model.gguf -f text.txt --ctx 512\n",
        .options = table,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    if (p.text_path == NULL) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "name a text with -f");
    }
    char path[PATHS_BYTES];
    REALM_TRY(paths_find_model(p.model_path, path, error));
    p.model_path = path;
    realm_status status = prepare(&p, error);
    if (status == REALM_OK) {
        status = read_tokens(&p, error);
    }
    if (status == REALM_OK) {
        status = run_windows(&p, error);
    }
    token_list_deinit(&p.tokens);
    alloc_free(p.pages);
    alloc_free(p.logits_rows);
    backend_model_destroy(p.prepared);
    backend_destroy(p.backend);
    tokenizer_destroy(p.tokenizer);
    model_close(p.model);
    return status;
}
