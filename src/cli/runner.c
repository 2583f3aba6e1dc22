#include "cli/runner.h"

#include "base/alloc.h"
#include "base/trace.h"
#include "cli/progress.h"

struct runner {
    struct model *model;
    struct backend *backend;
    struct backend_model *backend_model;
    uint32_t max_rows;
    uint32_t max_logits;
    uint32_t max_sequences;
    uint32_t pages_each;
    page_id *pages; /* [max_sequences * pages_each]: each sequence has its own */
    struct batch_sequence *sequences;
    uint32_t *logits_rows;
};

static void on_load(void *context, float part)
{
    progress_update(context, (uint64_t)(part * 1000.0F));
}

static realm_status take_arrays(struct runner *runner, struct realm_error *error)
{
    const size_t n_pages = (size_t)runner->max_sequences * runner->pages_each;
    runner->pages = alloc_zeroed(ALLOC_ENGINE, n_pages, sizeof *runner->pages);
    runner->sequences =
        alloc_zeroed(ALLOC_ENGINE, runner->max_sequences, sizeof *runner->sequences);
    runner->logits_rows = alloc_zeroed(ALLOC_ENGINE, runner->max_logits, sizeof(uint32_t));
    if (runner->pages == NULL || runner->sequences == NULL || runner->logits_rows == NULL) {
        return realm_error_out_of_memory(error, n_pages * sizeof(page_id), "the page lists");
    }
    for (size_t i = 0; i < n_pages; i++) {
        runner->pages[i] = (page_id)i;
    }
    return REALM_OK;
}

static realm_status
open_parts(struct runner *runner, const struct runner_options *options, struct realm_error *error)
{
    const struct model_options model_options = {.context_length = options->n_tokens};
    const struct backend_options backend_options = {.n_threads = options->n_threads,
                                                    .level = options->cpu_level};
    struct progress bar;
    REALM_TRY(model_open(options->path, &model_options, &runner->model, error));
    REALM_TRY(take_arrays(runner, error));
    REALM_TRY(backend_create(&backend_options, &runner->backend, error));
    progress_begin(&bar, "loading", 1000, PROGRESS_PARTS);
    const struct backend_model_options prepare_options = {
        .max_rows = runner->max_rows,
        .max_logits = runner->max_logits,
        .n_pages = runner->max_sequences * runner->pages_each,
        .kv_type = options->kv_type,
        .progress = on_load,
        .progress_context = &bar,
    };
    const struct weight_source source = model_weight_source(runner->model);
    const realm_status status = backend_prepare(runner->backend,
                                                model_plan(runner->model),
                                                &source,
                                                &prepare_options,
                                                &runner->backend_model,
                                                error);
    progress_end(&bar);
    return status;
}

realm_status
runner_open(const struct runner_options *options, struct runner **out, struct realm_error *error)
{
    *out = NULL;
    const uint64_t pages_each = ((uint64_t)options->n_tokens + PAGE_TOKENS - 1) / PAGE_TOKENS;
    if (pages_each * options->n_sequences > UINT32_MAX) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "%u sequences of %u tokens are too many",
                               options->n_sequences,
                               options->n_tokens);
    }
    struct runner *const runner = alloc_zeroed(ALLOC_ENGINE, 1, sizeof *runner);
    if (runner == NULL) {
        return realm_error_out_of_memory(error, sizeof *runner, "the runner");
    }
    runner->max_rows = options->max_rows;
    runner->max_logits = options->max_logits;
    runner->max_sequences = options->n_sequences;
    runner->pages_each = (uint32_t)pages_each;
    const realm_status status = open_parts(runner, options, error);
    if (status != REALM_OK) {
        runner_close(runner);
        return status;
    }
    *out = runner;
    return REALM_OK;
}

void runner_close(struct runner *runner)
{
    if (runner == NULL) {
        return;
    }
    backend_model_destroy(runner->backend_model);
    backend_destroy(runner->backend);
    model_close(runner->model);
    alloc_free(runner->pages);
    alloc_free(runner->sequences);
    alloc_free(runner->logits_rows);
    alloc_free(runner);
}

const struct model *runner_model(const struct runner *runner)
{
    return runner->model;
}

struct backend *runner_backend(const struct runner *runner)
{
    return runner->backend;
}

struct backend_model *runner_backend_model(const struct runner *runner)
{
    return runner->backend_model;
}

realm_status runner_step(struct runner *runner,
                         const token_id *tokens,
                         uint32_t n_sequences,
                         uint32_t n_rows,
                         uint32_t first_position,
                         uint32_t n_logits,
                         struct realm_error *error)
{
    if (!REALM_INVARIANT(n_sequences <= runner->max_sequences && n_logits <= n_rows &&
                         n_sequences * n_logits <= runner->max_logits)) {
        return realm_error_set(error, REALM_INTERNAL, "a step larger than was planned for");
    }
    for (uint32_t s = 0; s < n_sequences; s++) {
        runner->sequences[s] = (struct batch_sequence){
            .first_row = s * n_rows,
            .n_rows = n_rows,
            .first_position = first_position,
            .pages = runner->pages + (size_t)s * runner->pages_each,
            .n_pages = runner->pages_each,
            .adapter = ADAPTER_NONE,
        };
        for (uint32_t i = 0; i < n_logits; i++) {
            runner->logits_rows[s * n_logits + i] = (s + 1) * n_rows - n_logits + i;
        }
    }
    const struct batch batch = {
        .n_rows = n_sequences * n_rows,
        .tokens = tokens,
        .n_sequences = n_sequences,
        .sequences = runner->sequences,
        .n_logits = n_sequences * n_logits,
        .logits_rows = runner->logits_rows,
    };
    const uint64_t start_ns = trace_begin();
    REALM_TRY(backend_submit(runner->backend_model, &batch, error));
    const realm_status status = backend_wait(runner->backend_model, error);
    trace_end("step", start_ns);
    return status;
}
