/* Adapters' files against the logits that llama.cpp computes with them: every CPU level, in one
 * step and in several.  tools/make_golden/adapters.py makes both. */
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include "model/adapter.h"
#include "support/backend_run.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parts of the logits' size.  Ours keeps keys and values in half precision; llama.cpp rounds x to
 * half precision for A in F16, and quantises it for A in Q8_0. */
static const struct golden_adapter {
    const char *name;
    const char *model;
    double tolerance;
} goldens[] = {
    {"llama_tied", "llama_tied", 1e-3},
    {"llama_untied_q8_0", "llama_untied", 1e-2},
    {"qwen3_f16", "qwen3", 2e-3},
    {"phi3", "phi3", 1e-3},
};

struct fixture {
    struct model *model;
    struct adapter *adapter;
    struct file_map map;
    char *logits_file;
    uint32_t n_tokens;
    uint32_t vocabulary;
    token_id tokens[BACKEND_RUN_MAX_TOKENS];
    float *wanted;
    float *got;
};

static const char *path_of(const char *folder, const char *name, const char *end, char out[512])
{
    (void)snprintf(out, 512, "%s/golden/%s/%s%s", REALM_TEST_DATA, folder, name, end);
    return out;
}

static void must(realm_status status, const struct realm_error *error)
{
    if (status != REALM_OK) {
        fail_msg("%s", error->message);
    }
}

static uint32_t next_u32(struct byte_cursor *cursor)
{
    uint32_t value = 0;
    assert_true(byte_cursor_u32(cursor, &value));
    return value;
}

static void read_logits(struct fixture *f, const char *name)
{
    char path[512];
    struct realm_error error;
    size_t n_bytes;
    must(file_read(path_of("adapters", name, ".logits.bin", path),
                   (size_t)1 << 24,
                   &f->logits_file,
                   &n_bytes,
                   &error),
         &error);
    struct byte_cursor cursor = {{(const uint8_t *)f->logits_file, n_bytes}, 0};
    struct bytes part = {.length = 0};
    assert_true(byte_cursor_take(&cursor, 4, &part));
    assert_memory_equal(part.data, "RGLD", 4);
    f->n_tokens = next_u32(&cursor);
    f->vocabulary = next_u32(&cursor);
    assert_true(byte_cursor_take(&cursor, next_u32(&cursor), &part));
    assert_in_range(f->n_tokens, 2, BACKEND_RUN_MAX_TOKENS);
    for (uint32_t i = 0; i < f->n_tokens; i++) {
        f->tokens[i] = next_u32(&cursor);
    }
    const size_t n = (size_t)f->n_tokens * f->vocabulary;
    assert_true(byte_cursor_take(&cursor, n * sizeof(float), &part));
    f->wanted = malloc(n * sizeof(float));
    f->got = malloc(n * sizeof(float));
    memcpy(f->wanted, part.data, part.length);
}

static void open_golden(struct fixture *f, const struct golden_adapter *golden)
{
    char path[512];
    struct realm_error error;
    *f = (struct fixture){.model = NULL};
    must(model_open(path_of("models", golden->model, ".gguf", path), NULL, &f->model, &error),
         &error);
    must(file_map_open(path_of("adapters", golden->name, ".gguf", path), &f->map, &error), &error);
    must(adapter_open(f->model, f->map.bytes, &f->adapter, &error), &error);
    read_logits(f, golden->name);
    assert_int_equal(f->vocabulary, model_vocabulary(f->model));
}

static void close_golden(struct fixture *f)
{
    adapter_close(f->adapter);
    file_map_close(&f->map);
    model_close(f->model);
    alloc_free(f->logits_file);
    free(f->wanted);
    free(f->got);
}

static void
assert_close(const struct fixture *f, const struct golden_adapter *golden, uint32_t chunk)
{
    for (uint32_t t = 0; t < f->n_tokens; t++) {
        const size_t first = (size_t)t * f->vocabulary;
        const double distance =
            backend_run_distance(f->got + first, f->wanted + first, f->vocabulary);
        if (!(distance < golden->tolerance)) {
            fail_msg("%s in steps of %u: position %u is %g away; allowed is %g",
                     golden->name,
                     chunk,
                     t,
                     distance,
                     golden->tolerance);
        }
    }
}

static void compare(struct fixture *f, const struct golden_adapter *golden, struct backend *backend)
{
    static const uint32_t chunks[] = {0, 1, 13};
    const struct weight_source source = model_weight_source(f->model);
    const struct backend_model_options options = {
        .max_rows = f->n_tokens, .max_logits = f->n_tokens, .n_pages = BACKEND_RUN_PAGES};
    struct backend_model *model;
    struct realm_error error;
    uint32_t number;
    uint32_t n_parts;
    const struct adapter_part *const parts = adapter_parts(f->adapter, &n_parts);
    must(backend_prepare(backend, model_plan(f->model), &source, &options, &model, &error), &error);
    must(backend_adapter_create(model, parts, n_parts, &number, &error), &error);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        if (!backend_run_adapted(
                model, number, f->tokens, f->n_tokens, chunks[i], f->vocabulary, f->got, &error)) {
            fail_msg("%s", error.message);
        }
        assert_close(f, golden, chunks[i]);
    }
    /* It does something: without it the answers are others. */
    assert_true(
        backend_run_tokens(model, f->tokens, f->n_tokens, 0, f->vocabulary, f->got, &error));
    assert_true(backend_run_distance(f->got, f->wanted, (size_t)f->n_tokens * f->vocabulary) > 0.1);
    backend_model_destroy(model);
}

static void every_cpu_level_computes_what_llama_cpp_does(void **state)
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
        for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++) {
            struct fixture f;
            open_golden(&f, &goldens[i]);
            compare(&f, &goldens[i], backend);
            close_golden(&f);
        }
        backend_destroy(backend);
    }
    assert_true(n_levels >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cpu_level_computes_what_llama_cpp_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
