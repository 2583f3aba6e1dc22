/* Every architecture's plan with every weight type, on every CPU level: the logits of the
 * reference, and the same bits however the tokens are cut into steps. */
#include "model/model.h"
#include "quant/quant.h"
#include "support/backend_run.h"
#include "support/cmocka_all.h"
#include "support/plan_reference.h"
#include "support/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_TOKENS 45u

/* Parts of the logits' size.  The reference rounds keys, values and the inputs of quantised
 * products like the backend; what stays is the order of sums, and numbers that then fall to the
 * other side of a half.  One 8-bit value that does so moves its position, and those that look back
 * at it, by about a hundredth; where none does, the logits agree to five digits, which some
 * position must show. */
#define FLOAT_TOLERANCE     5e-4
#define QUANTISED_TOLERANCE 3e-2
#define BEST_TOLERANCE      1e-4

/* Weights made for the test: numbers of a healthy size, quantised by the reference. */
struct made_weights {
    void **blocks; /* by tensor */
    uint32_t n_tensors;
    const struct plan *plan;
};

static float next_number(uint32_t *state)
{
    float sum = 0;
    for (uint32_t i = 0; i < 4; i++) {
        *state = *state * 1664525u + 1013904223u;
        sum += (float)(*state >> 8) / 8388608.0f - 1.0f;
    }
    return sum;
}

static void fill_row(const struct plan_tensor *tensor, float *row, uint32_t *state)
{
    const bool factors = strncmp(tensor->name, "rope_", 5) == 0;
    const bool norm = strstr(tensor->name, "norm") != NULL;
    const float size = norm ? 0.2f : 1.0f / sqrtf((float)tensor->columns);
    for (uint32_t c = 0; c < tensor->columns; c++) {
        row[c] = next_number(state) * size + (norm ? 1.0f : 0.0f);
        if (factors) {
            row[c] = 1.0f + (float)c;
        }
    }
}

static void *make_blocks(const struct plan_tensor *tensor, uint32_t seed)
{
    uint64_t row_bytes = 0;
    assert_true(tensor_type_row_bytes(tensor->type, tensor->columns, &row_bytes));
    const struct quant_type *const type = quant_find(tensor->type);
    assert_non_null(type);
    char *const blocks = malloc(row_bytes * tensor->rows);
    float *const row = malloc(tensor->columns * sizeof *row);
    for (uint32_t r = 0; r < tensor->rows; r++) {
        fill_row(tensor, row, &seed);
        type->quantise_row(row, NULL, blocks + r * row_bytes, tensor->columns);
    }
    free(row);
    return blocks;
}

static void make_weights(const struct plan *plan, struct made_weights *out)
{
    out->plan = plan;
    out->n_tensors = plan_n_tensors(plan);
    out->blocks = calloc(out->n_tensors, sizeof *out->blocks);
    for (tensor_id i = 0; i < out->n_tensors; i++) {
        if (plan_tensor(plan, i)->kind == TENSOR_WEIGHT) {
            out->blocks[i] = make_blocks(plan_tensor(plan, i), i * 2654435761u + 1);
        }
    }
}

static void free_weights(struct made_weights *weights)
{
    for (tensor_id i = 0; i < weights->n_tensors; i++) {
        free(weights->blocks[i]);
    }
    free(weights->blocks);
}

static struct bytes_view read_made(void *context, const struct plan_tensor *tensor)
{
    const struct made_weights *const weights = context;
    for (tensor_id i = 0; i < weights->n_tensors; i++) {
        if (plan_tensor(weights->plan, i) == tensor) {
            uint64_t row_bytes = 0;
            assert_true(tensor_type_row_bytes(tensor->type, tensor->columns, &row_bytes));
            return (struct bytes_view){weights->blocks[i], row_bytes * tensor->rows};
        }
    }
    fail_msg("weight %s is not of the plan", tensor->name);
    return (struct bytes_view){NULL, 0};
}

static struct model *open_model(const struct tiny_file *file, struct strbuf *bytes)
{
    strbuf_init(bytes, ALLOC_TEST, SIZE_MAX);
    tiny_write(file, bytes);
    const struct bytes view = {(const uint8_t *)bytes->text, bytes->length};
    struct model *model;
    struct realm_error error;
    if (model_open_bytes(view, NULL, &model, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return model;
}

struct expected {
    const struct plan *plan;
    const struct weight_source *source;
    const char *name;
    const token_id *tokens;
    const float *logits;
    double tolerance;
    enum kv_type kv_type;
};

static void
compare_positions(const struct expected *expected, const char *level, const float *logits)
{
    const uint32_t vocabulary = plan_vocabulary(expected->plan);
    double best = INFINITY;
    for (uint32_t t = 0; t < N_TOKENS; t++) {
        const size_t first = (size_t)t * vocabulary;
        const double distance =
            backend_run_distance(logits + first, expected->logits + first, vocabulary);
        if (!(distance < expected->tolerance)) {
            fail_msg("%s on %s: position %u is %g away", expected->name, level, t, distance);
        }
        /* Position 0 sees itself alone. */
        best = t > 0 ? fmin(best, distance) : best;
    }
    if (!(best < BEST_TOLERANCE)) {
        fail_msg("%s on %s: the nearest position is %g away", expected->name, level, best);
    }
}

/* False: this machine has no such level. */
static bool compare_level(const struct expected *expected, const char *level)
{
    struct realm_error error;
    struct backend *backend;
    const struct backend_options options = {.name = "cpu", .n_threads = 3, .level = level};
    if (backend_create(&options, &backend, &error) != REALM_OK) {
        assert_int_equal(error.status, REALM_UNSUPPORTED);
        return false;
    }
    const struct backend_model_options model_options = {
        .max_rows = N_TOKENS,
        .max_logits = N_TOKENS,
        .n_pages = BACKEND_RUN_PAGES,
        .kv_type = expected->kv_type,
    };
    struct backend_model *model;
    if (backend_prepare(
            backend, expected->plan, expected->source, &model_options, &model, &error) !=
        REALM_OK) {
        fail_msg("%s on %s: %s", expected->name, level, error.message);
    }
    static const uint32_t chunks[] = {0, 1, 7, 16, 31};
    const uint32_t vocabulary = plan_vocabulary(expected->plan);
    const size_t n = (size_t)N_TOKENS * vocabulary;
    float *const whole = malloc(n * sizeof *whole);
    float *const cut = malloc(n * sizeof *cut);
    for (uint32_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        float *const out = i == 0 ? whole : cut;
        if (!backend_run_tokens(
                model, expected->tokens, N_TOKENS, chunks[i], vocabulary, out, &error)) {
            fail_msg("%s on %s: %s", expected->name, level, error.message);
        }
        if (i == 0) {
            compare_positions(expected, level, whole);
        } else if (memcmp(whole, cut, n * sizeof *cut) != 0) {
            fail_msg("%s on %s: other bits in steps of %u", expected->name, level, chunks[i]);
        }
    }
    free(whole);
    free(cut);
    backend_model_destroy(model);
    backend_destroy(backend);
    return true;
}

static void compare_kept_as(const struct tiny_file *file,
                            const char *name,
                            double tolerance,
                            enum kv_type kv_type)
{
    struct strbuf bytes;
    struct model *const model = open_model(file, &bytes);
    const struct plan *const plan = model_plan(model);
    struct made_weights weights;
    make_weights(plan, &weights);
    const struct weight_source source = {.context = &weights, .read = read_made};
    token_id tokens[N_TOKENS];
    for (uint32_t i = 0; i < N_TOKENS; i++) {
        tokens[i] = (i * i + 11 * i + 3) % plan_vocabulary(plan);
    }
    float *logits[2];
    for (uint32_t i = 0; i < 2; i++) {
        logits[i] = malloc((size_t)N_TOKENS * plan_vocabulary(plan) * sizeof *logits[i]);
        const struct plan_reference_options exactness = {.kv_rounded = true,
                                                         .kv_type = kv_type,
                                                         .q8_activations = true,
                                                         .bf16_activations = i == 1};
        plan_reference_run(plan, &source, tokens, N_TOKENS, &exactness, logits[i]);
    }
    uint32_t n_levels = 0;
    for (const char *const *level = backend_run_levels; *level != NULL; level++) {
        const struct expected expected = {
            .plan = plan,
            .source = &source,
            .name = name,
            .tokens = tokens,
            .logits = logits[backend_level_rounds_to_bf16(*level) ? 1 : 0],
            .tolerance = tolerance,
            .kv_type = kv_type,
        };
        n_levels += compare_level(&expected, *level);
    }
    assert_true(n_levels >= 1);
    free(logits[0]);
    free(logits[1]);
    free_weights(&weights);
    model_close(model);
    strbuf_deinit(&bytes);
}

static void compare_file(const struct tiny_file *file, const char *name, double tolerance)
{
    compare_kept_as(file, name, tolerance, KV_F16);
}

static void every_architecture_gives_the_logits_of_the_reference(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "gemma3", "qwen2", "qwen3", "phi3"};
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct tiny_file file;
        tiny_model(&file, names[i], TENSOR_F32);
        compare_file(&file, names[i], FLOAT_TOLERANCE);
        tiny_model(&file, names[i], TENSOR_Q8_0);
        compare_file(&file, names[i], QUANTISED_TOLERANCE);
    }
}

static void every_weight_type_gives_the_logits_of_the_reference(void **state)
{
    (void)state;
    static const enum tensor_type types[] = {
        TENSOR_F16,
        TENSOR_BF16,
        TENSOR_Q4_0,
        TENSOR_Q4_1,
        TENSOR_Q5_0,
        TENSOR_Q5_1,
        TENSOR_Q8_0,
        TENSOR_Q8_1,
        TENSOR_Q2_K,
        TENSOR_Q3_K,
        TENSOR_Q4_K,
        TENSOR_Q5_K,
        TENSOR_Q6_K,
        TENSOR_Q8_K,
    };
    for (uint32_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct tiny_file file;
        tiny_model(&file, "llama", types[i]);
        /* Some levels round what BF16 weights are multiplied with, too. */
        const bool rounded =
            tensor_type_find((uint32_t)types[i])->quantised || types[i] == TENSOR_BF16;
        compare_file(
            &file, tensor_type_name(types[i]), rounded ? QUANTISED_TOLERANCE : FLOAT_TOLERANCE);
    }
}

static void every_kind_of_rope_gives_the_logits_of_the_reference(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "llama", TENSOR_F32);
    tiny_put_f32(&file, "llama.rope.scaling.factor", 4.0f);
    compare_file(&file, "linear scaling", FLOAT_TOLERANCE);

    tiny_put_text(&file, "llama.rope.scaling.type", "yarn");
    tiny_put_u32(&file, "llama.rope.scaling.original_context_length", 64);
    compare_file(&file, "YaRN", FLOAT_TOLERANCE);

    tiny_model(&file, "llama", TENSOR_F32);
    tiny_add_tensor(&file, "rope_freqs.weight", TENSOR_F32, 0, 8);
    compare_file(&file, "factors", FLOAT_TOLERANCE);

    tiny_model(&file, "phi3", TENSOR_F32);
    tiny_put_u32(&file, "phi3.rope.dimension_count", 12);
    tiny_put_f32(&file, "phi3.rope.scaling.attn_factor", 1.19f);
    tiny_add_tensor(&file, "rope_factors_long.weight", TENSOR_F32, 0, 6);
    tiny_add_tensor(&file, "rope_factors_short.weight", TENSOR_F32, 0, 6);
    compare_file(&file, "some columns", FLOAT_TOLERANCE);
}

static void a_window_gives_the_logits_of_the_reference(void **state)
{
    (void)state;
    static const uint32_t windows[] = {1, 5, 16, 17, 44, 45, 64};
    for (uint32_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        struct tiny_file file;
        tiny_model(&file, "llama", TENSOR_F32);
        tiny_put_u32(&file, "llama.attention.sliding_window", windows[i]);
        compare_file(&file, "a window", FLOAT_TOLERANCE);
    }
}

static void every_kv_type_gives_the_logits_of_the_reference(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "gemma3", "phi3"};
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct tiny_file file;
        tiny_model(&file, names[i], TENSOR_F32);
        compare_kept_as(&file, names[i], FLOAT_TOLERANCE, KV_BF16);
        compare_kept_as(&file, names[i], QUANTISED_TOLERANCE, KV_Q8_0);
        compare_kept_as(&file, names[i], QUANTISED_TOLERANCE, KV_Q8_0_Q4_1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_architecture_gives_the_logits_of_the_reference),
        cmocka_unit_test(every_weight_type_gives_the_logits_of_the_reference),
        cmocka_unit_test(every_kind_of_rope_gives_the_logits_of_the_reference),
        cmocka_unit_test(every_kv_type_gives_the_logits_of_the_reference),
        cmocka_unit_test(a_window_gives_the_logits_of_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
