/* Tiny models against the logits that transformers computes for them: every architecture, every
 * position, every CPU level, in one step and in several.
 *
 * Two comparisons, so that a difference has an address: the plain reference of the plan against the
 * golden logits (the architecture), and the backend against them (kernels, pages, steps). */
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include "model/model.h"
#include "support/backend_run.h"
#include "support/cmocka_all.h"
#include "support/plan_reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parts of the logits' size.  The oracle computes in F32; the reference of the plan in double. */
#define REFERENCE_TOLERANCE 1e-5
/* A backend keeps keys and values in half precision, whose steps are 5e-4 of a value. */
#define BACKEND_TOLERANCE 1e-3

static const char *const golden_names[] = {
    "gemma3",
    "gemma3_f16",
    "llama_linear",
    "llama_llama3",
    "llama_tied",
    "llama_tied_f16",
    "llama_yarn",
    "llama_untied",
    "phi3",
    "phi3_f16",
    "phi3_longrope",
    "qwen2",
    "qwen2_f16",
    "qwen3",
    "qwen3_f16",
};

struct golden {
    const char *name;
    char *file;
    uint32_t n_tokens;
    uint32_t vocabulary;
    token_id tokens[BACKEND_RUN_MAX_TOKENS];
    float *logits; /* [n_tokens][vocabulary] */
    struct model *model;
};

static void golden_path(const char *name, const char *end, char out[512])
{
    snprintf(out, 512, "%s/golden/models/%s%s", REALM_TEST_DATA, name, end);
}

static uint32_t next_u32(struct byte_cursor *cursor)
{
    uint32_t value = 0;
    assert_true(byte_cursor_u32(cursor, &value));
    return value;
}

static void read_logits(struct golden *golden)
{
    char path[512];
    struct realm_error error;
    size_t n_bytes;
    golden_path(golden->name, ".logits.bin", path);
    if (file_read(path, (size_t)1 << 24, &golden->file, &n_bytes, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    struct byte_cursor cursor = {{(const uint8_t *)golden->file, n_bytes}, 0};
    struct bytes part = {.length = 0};
    assert_true(byte_cursor_take(&cursor, 4, &part));
    assert_memory_equal(part.data, "RGLD", 4);
    golden->n_tokens = next_u32(&cursor);
    golden->vocabulary = next_u32(&cursor);
    assert_true(byte_cursor_take(&cursor, next_u32(&cursor), &part));
    assert_in_range(golden->n_tokens, 2, BACKEND_RUN_MAX_TOKENS);
    for (uint32_t i = 0; i < golden->n_tokens; i++) {
        golden->tokens[i] = next_u32(&cursor);
    }
    const size_t n_logits = (size_t)golden->n_tokens * golden->vocabulary;
    assert_true(byte_cursor_take(&cursor, n_logits * sizeof(float), &part));
    golden->logits = malloc(n_logits * sizeof(float));
    memcpy(golden->logits, part.data, part.length);
}

static void open_golden(const char *name, struct golden *golden)
{
    *golden = (struct golden){.name = name};
    char path[512];
    struct realm_error error;
    golden_path(name, ".gguf", path);
    if (model_open(path, NULL, &golden->model, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    read_logits(golden);
    assert_int_equal(golden->vocabulary, model_vocabulary(golden->model));
}

static void close_golden(struct golden *golden)
{
    model_close(golden->model);
    alloc_free(golden->file);
    free(golden->logits);
}

static void assert_close(const struct golden *golden,
                         const char *who,
                         uint32_t chunk,
                         const float *logits,
                         double tolerance)
{
    for (uint32_t t = 0; t < golden->n_tokens; t++) {
        const size_t first = (size_t)t * golden->vocabulary;
        const double distance =
            backend_run_distance(logits + first, golden->logits + first, golden->vocabulary);
        if (!(distance < tolerance)) {
            fail_msg("%s by %s in steps of %u: position %u is %g away; allowed is %g",
                     golden->name,
                     who,
                     chunk,
                     t,
                     distance,
                     tolerance);
        }
    }
}

static void plans_say_what_transformers_computes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden_names / sizeof golden_names[0]; i++) {
        struct golden golden;
        open_golden(golden_names[i], &golden);
        float *const logits = malloc((size_t)golden.n_tokens * golden.vocabulary * sizeof *logits);
        const struct weight_source source = model_weight_source(golden.model);
        const struct plan_reference_options exact = {0};
        plan_reference_run(
            model_plan(golden.model), &source, golden.tokens, golden.n_tokens, &exact, logits);
        assert_close(&golden, "reference", 0, logits, REFERENCE_TOLERANCE);
        free(logits);
        close_golden(&golden);
    }
}

static void compare_level(const struct golden *golden, struct backend *backend)
{
    const struct weight_source source = model_weight_source(golden->model);
    const struct backend_model_options options = {
        .max_rows = golden->n_tokens,
        .max_logits = golden->n_tokens,
        .n_pages = BACKEND_RUN_PAGES,
        .kv_type = KV_F16,
    };
    struct backend_model *model;
    struct realm_error error;
    if (backend_prepare(backend, model_plan(golden->model), &source, &options, &model, &error) !=
        REALM_OK) {
        fail_msg("%s: %s", golden->name, error.message);
    }
    static const uint32_t chunks[] = {0, 1, 13, 32};
    float *const logits = malloc((size_t)golden->n_tokens * golden->vocabulary * sizeof *logits);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        if (!backend_run_tokens(model,
                                golden->tokens,
                                golden->n_tokens,
                                chunks[i],
                                golden->vocabulary,
                                logits,
                                &error)) {
            fail_msg("%s: %s", golden->name, error.message);
        }
        assert_close(golden, backend_level(backend), chunks[i], logits, BACKEND_TOLERANCE);
    }
    free(logits);
    backend_model_destroy(model);
}

static void every_cpu_level_computes_what_transformers_does(void **state)
{
    (void)state;
    uint32_t n_levels = 0;
    for (const char *const *level = backend_run_levels; *level != NULL; level++) {
        struct backend *backend;
        struct realm_error error;
        const struct backend_options options = {.name = "cpu", .n_threads = 2, .level = *level};
        if (backend_create(&options, &backend, &error) != REALM_OK) {
            assert_int_equal(error.status, REALM_UNSUPPORTED);
            continue;
        }
        n_levels++;
        for (size_t i = 0; i < sizeof golden_names / sizeof golden_names[0]; i++) {
            struct golden golden;
            open_golden(golden_names[i], &golden);
            compare_level(&golden, backend);
            close_golden(&golden);
        }
        backend_destroy(backend);
    }
    assert_true(n_levels >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_say_what_transformers_computes),
        cmocka_unit_test(every_cpu_level_computes_what_transformers_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
