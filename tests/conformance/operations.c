/* Every plan operation on every level, over odd shapes, against the reference in double. */
#include "quant/quant.h"
#include "support/backend_run.h"
#include "support/backend_support.h"
#include "support/cmocka_all.h"
#include "support/plan_reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_TOKENS   37u
#define VOCABULARY 60u

/* Most normalised mean square error.  The reference rounds keys, values and the inputs of quantised
 * products like the backend does; what is left is the order of sums, and now and then a number that
 * falls to the other side of a rounding. */
#define TOLERANCE_FLOATS  1e-9
#define TOLERANCE_INTEGER 1e-4

struct level_run {
    struct bank *bank;
    const token_id *tokens;
    const float *expected;
    float *got;
    double tolerance;
};

static void run_level(const struct level_run *run, const char *level, uint32_t n_threads)
{
    struct backend *const backend = test_backend(level, n_threads);
    if (backend == NULL) {
        return;
    }
    const uint32_t columns = plan_vocabulary(run->bank->plan);
    struct backend_model *const model = test_model(backend, run->bank, N_TOKENS, N_TOKENS, 8);
    test_run_alone(model, columns, run->tokens, N_TOKENS, N_TOKENS, 1, run->got);
    const double error = test_nmse(run->expected, run->got, (size_t)N_TOKENS * columns);
    if (!(error <= run->tolerance)) {
        const struct op *const op = plan_op(run->bank->plan, 1);
        fail_msg("%s (%s): error %g at level %s; at most %g",
                 op->name,
                 op_kind_name(op->kind),
                 error,
                 level,
                 run->tolerance);
    }
    backend_model_destroy(model);
    backend_destroy(backend);
}

/* The bank's plan on all levels; some of them round what BF16 weights are multiplied with. */
static void check_levels(struct bank *bank, double tolerance, double tolerance_bf16)
{
    const size_t n = (size_t)N_TOKENS * plan_vocabulary(bank->plan);
    float *const expected[2] = {calloc(n, sizeof(float)), calloc(n, sizeof(float))};
    float *const got = calloc(n, sizeof(float));
    token_id tokens[N_TOKENS];
    for (uint32_t i = 0; i < N_TOKENS; i++) {
        tokens[i] = (token_id)test_random_below(&bank->random, VOCABULARY);
    }
    const struct weight_source source = bank_source(bank);
    for (uint32_t i = 0; i < 2; i++) {
        const struct plan_reference_options options = {
            .kv_rounded = true, .q8_activations = true, .bf16_activations = i == 1};
        plan_reference_run(bank->plan, &source, tokens, N_TOKENS, &options, expected[i]);
    }
    for (uint32_t i = 0; backend_run_levels[i] != NULL; i++) {
        const char *const level = backend_run_levels[i];
        const bool rounds = backend_level_rounds_to_bf16(level);
        const double most = rounds ? tolerance_bf16 : tolerance;
        const struct level_run run = {bank, tokens, expected[rounds ? 1 : 0], got, most};
        run_level(&run, level, 1 + i % 3);
    }
    free(expected[0]);
    free(expected[1]);
    free(got);
}

/* Ends the bank's plan with the rows of x as the answer and compares all levels. */
static void compare(struct bank *bank, tensor_id x, double tolerance)
{
    struct realm_error error;
    plan_append_logits(bank->plan, plan_append_select(bank->plan, x));
    if (plan_check(bank->plan, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    check_levels(bank, tolerance, tolerance);
}

static tensor_id embed(struct bank *bank, uint32_t columns)
{
    const tensor_id table = bank_add(bank, "table", TENSOR_F32, VOCABULARY, columns, 0.0f, 2.0f);
    return plan_append_embed(bank->plan, table, 1.0f);
}

static const enum tensor_type all_types[] = {
    TENSOR_F32,
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
#define N_TYPES (sizeof all_types / sizeof all_types[0])

static bool is_float(enum tensor_type type)
{
    return type == TENSOR_F32 || type == TENSOR_F16 || type == TENSOR_BF16;
}

static uint32_t columns_of(enum tensor_type type, uint32_t blocks)
{
    return is_float(type) ? 13 * blocks + 1
                          : tensor_type_find((uint32_t)type)->block_length * blocks;
}

static void embed_gives_rows_of_all_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_TYPES; i++) {
        struct bank bank;
        bank_init(&bank, "embed");
        const uint32_t columns = columns_of(all_types[i], 2);
        const tensor_id table = bank_add(
            &bank, tensor_type_name(all_types[i]), all_types[i], VOCABULARY, columns, 0, 3);
        const tensor_id x = plan_append_embed(bank.plan, table, 1.7f);
        compare(&bank, x, TOLERANCE_FLOATS);
        bank_deinit(&bank);
    }
}

static void rms_norm_of_rows_and_heads(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{1, 1}, {7, 7}, {48, 16}, {100, 100}, {130, 26}, {577, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct bank bank;
        bank_init(&bank, "norm");
        const uint32_t group = shapes[i][1] == 0 ? shapes[i][0] : shapes[i][1];
        const tensor_id x = embed(&bank, shapes[i][0]);
        const tensor_id weight = bank_add(&bank, "w", TENSOR_F16, 1, group, 1.0f, 0.5f);
        compare(&bank,
                plan_append_rms_norm(bank.plan, "norm", x, weight, 1e-5f, shapes[i][1]),
                TOLERANCE_FLOATS);
        bank_deinit(&bank);
    }
}

/* One product of one to three weights, some with biases, with an ADD behind it or without. */
static void
check_matmul(const enum tensor_type *types, uint32_t n_weights, uint32_t columns, bool add)
{
    struct bank bank;
    bank_init(&bank, "matmul");
    const tensor_id x = embed(&bank, columns);
    static const uint32_t rows[OP_MAX_WEIGHTS] = {33, 5, 16};
    tensor_id weights[OP_MAX_WEIGHTS];
    tensor_id biases[OP_MAX_WEIGHTS];
    bool floats = true;
    for (uint32_t i = 0; i < n_weights; i++) {
        const uint32_t n = add ? columns : rows[i];
        const char *const name = tensor_type_name(types[i]);
        weights[i] = bank_add(&bank, name, types[i], n, columns, 0.02f, 1.0f);
        biases[i] = i == 1 ? TENSOR_NONE : bank_add(&bank, "bias", TENSOR_F32, 1, n, 0, 2.0f);
        floats = floats && is_float(types[i]);
    }
    const char *const name = tensor_type_name(types[0]);
    tensor_id y = plan_append_matmul(bank.plan, name, x, weights, biases, n_weights);
    if (add) {
        y = plan_append_add(bank.plan, "residual", x, y);
    }
    compare(&bank, y, floats ? TOLERANCE_FLOATS : TOLERANCE_INTEGER);
    bank_deinit(&bank);
}

static void matmul_by_all_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_TYPES; i++) {
        for (uint32_t blocks = 1; blocks <= 3; blocks += 2) {
            check_matmul(&all_types[i], 1, columns_of(all_types[i], blocks), false);
            check_matmul(&all_types[i], 1, columns_of(all_types[i], blocks), true);
        }
    }
}

static void matmul_by_several_weights(void **state)
{
    (void)state;
    static const enum tensor_type mixes[][OP_MAX_WEIGHTS] = {
        {TENSOR_Q4_0, TENSOR_F16, TENSOR_Q8_0},
        {TENSOR_F32, TENSOR_BF16, TENSOR_F16},
        {TENSOR_Q4_K, TENSOR_Q4_K, TENSOR_Q6_K},
        {TENSOR_F16, TENSOR_Q5_1, TENSOR_Q4_1},
    };
    for (size_t i = 0; i < sizeof mixes / sizeof mixes[0]; i++) {
        check_matmul(mixes[i], 2, 256, false);
        check_matmul(mixes[i], 3, 256, false);
    }
}

static void products_and_sums_of_views(void **state)
{
    (void)state;
    static const uint32_t columns[] = {1, 6, 32, 64, 75, 1000};
    for (uint32_t i = 0; i < 3 * sizeof columns / sizeof columns[0]; i++) {
        struct bank bank;
        bank_init(&bank, "binary");
        const uint32_t n = columns[i / 3];
        const tensor_id x = embed(&bank, 2 * n + 1);
        const tensor_id a = plan_view(bank.plan, x, 0, n);
        const tensor_id b = plan_view(bank.plan, x, n + 1, n);
        const tensor_id y = i % 3 == 0   ? plan_append_silu_mul(bank.plan, "silu", a, b)
                            : i % 3 == 1 ? plan_append_gelu_mul(bank.plan, "gelu", a, b)
                                         : plan_append_add(bank.plan, "add", a, b);
        compare(&bank, y, TOLERANCE_FLOATS);
        bank_deinit(&bank);
    }
}

static void rope_of_all_kinds(void **state)
{
    (void)state;
    const struct rope_attributes kinds[] = {
        {.pairing = ROPE_HALVES, .head_columns = 64, .rotated_columns = 64, .base = 10000},
        {.pairing = ROPE_ADJACENT, .head_columns = 64, .rotated_columns = 64, .base = 10000},
        {.pairing = ROPE_HALVES, .head_columns = 22, .rotated_columns = 10, .base = 1e6f},
        {.pairing = ROPE_ADJACENT, .head_columns = 22, .rotated_columns = 6, .base = 500},
        {.pairing = ROPE_HALVES, .head_columns = 2, .rotated_columns = 2, .base = 10000},
        {.head_columns = 32, .rotated_columns = 32, .base = 10000, .position_scale = 0.125f},
        {.head_columns = 32,
         .rotated_columns = 32,
         .base = 10000,
         .position_scale = 0.25f,
         .magnitude = 1.139f,
         .yarn_mix = 1.0f,
         .yarn_ramp_low = 3.0f,
         .yarn_ramp_high = 9.5f},
    };
    for (uint32_t i = 0; i < 2 * sizeof kinds / sizeof kinds[0]; i++) {
        struct bank bank;
        bank_init(&bank, "rope");
        struct rope_attributes rope = kinds[i / 2];
        rope.position_scale = rope.position_scale > 0 ? rope.position_scale : 1.0f;
        rope.magnitude = rope.magnitude > 0 ? rope.magnitude : 1.0f;
        rope.factors = TENSOR_NONE;
        if (i % 2 == 1) {
            const uint32_t n = rope.rotated_columns / 2;
            rope.factors = bank_add(&bank, "factors", TENSOR_F32, 1, n, 4.0f, 3.0f);
        }
        const tensor_id x = embed(&bank, 3 * rope.head_columns + 5);
        plan_append_rope(
            bank.plan, "rope", plan_view(bank.plan, x, 3, 3 * rope.head_columns), &rope);
        compare(&bank, x, TOLERANCE_FLOATS);
        bank_deinit(&bank);
    }
}

/* Also with a product behind it that wants its input quantised. */
static void check_attention(const struct attention_attributes *attributes, bool product)
{
    struct bank bank;
    bank_init(&bank, "attention");
    const uint32_t q_columns = attributes->n_heads * attributes->head_columns;
    const uint32_t kv_columns = attributes->n_kv_heads * attributes->head_columns;
    const tensor_id x = embed(&bank, q_columns + 2 * kv_columns);
    const tensor_id q = plan_view(bank.plan, x, 0, q_columns);
    const tensor_id k = plan_view(bank.plan, x, q_columns, kv_columns);
    const tensor_id v = plan_view(bank.plan, x, q_columns + kv_columns, kv_columns);
    tensor_id y = plan_append_attention(bank.plan, "attention", q, k, v, attributes);
    if (product) {
        const tensor_id w = bank_add(&bank, "o", TENSOR_Q8_0, 50, q_columns, 0, 1.0f);
        y = plan_append_matmul(bank.plan, "o", y, &w, NULL, 1);
    }
    compare(&bank, y, product ? TOLERANCE_INTEGER : 1e-8);
    bank_deinit(&bank);
}

static void attention_of_all_shapes(void **state)
{
    (void)state;
    static const struct attention_attributes shapes[] = {
        {.n_heads = 1, .n_kv_heads = 1, .head_columns = 2, .scale = 1.0f},
        {.n_heads = 4, .n_kv_heads = 2, .head_columns = 30, .scale = 0.2f, .window = 1},
        {.n_heads = 9, .n_kv_heads = 3, .head_columns = 64, .scale = 0.125f},
        {.n_heads = 5, .n_kv_heads = 1, .head_columns = 16, .scale = 0.25f, .window = 16},
        {.n_heads = 2, .n_kv_heads = 2, .head_columns = 256, .scale = 0.0625f, .window = 17},
        {.n_heads = 70, .n_kv_heads = 1, .head_columns = 8, .scale = 0.3f, .window = 9},
        {.n_heads = 3, .n_kv_heads = 3, .head_columns = 96, .scale = 0.1f, .window = 1000},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        check_attention(&shapes[i], false);
        if (shapes[i].head_columns % 16 == 0 &&
            shapes[i].n_heads * shapes[i].head_columns % 32 == 0) {
            check_attention(&shapes[i], true);
        }
    }
}

/* A value that is read again after operations that would like to work in its place. */
static void values_that_are_read_again_stay(void **state)
{
    (void)state;
    struct bank bank;
    bank_init(&bank, "read again");
    struct plan *const plan = bank.plan;
    const tensor_id x = embed(&bank, 64);
    const tensor_id w = bank_add(&bank, "w", TENSOR_Q8_0, 64, 64, 0, 0.5f);
    const tensor_id f = bank_add(&bank, "f", TENSOR_F32, 64, 64, 0, 0.2f);
    const tensor_id g = bank_add(&bank, "g", TENSOR_F32, 1, 64, 1, 0.2f);
    const tensor_id a = plan_append_matmul(plan, "a", x, &w, NULL, 1);
    const tensor_id b = plan_append_add(plan, "b", a, x); /* folds; x lives on */
    const tensor_id c = plan_append_rms_norm(plan, "c", b, g, 1e-5f, 0);
    const tensor_id d = plan_append_matmul(plan, "d", c, &f, NULL, 1);
    const tensor_id e = plan_append_add(plan, "e", c, d); /* the product's input is its residual */
    const tensor_id h = plan_append_add(plan, "h", d, e); /* and the product is read again */
    const tensor_id m = plan_append_matmul(plan, "m", h, &w, NULL, 1);
    const tensor_id n = plan_append_add(plan, "n", m, m); /* twice in one sum */
    const tensor_id s = plan_append_silu_mul(plan, "s", n, b);
    const struct rope_attributes rope = {.head_columns = 64,
                                         .rotated_columns = 32,
                                         .base = 100,
                                         .position_scale = 1,
                                         .magnitude = 1,
                                         .factors = TENSOR_NONE};
    const tensor_id before = plan_append_matmul(plan, "before", s, &w, NULL, 1);
    plan_append_rope(plan, "rope", s, &rope); /* what was quantised before it is old now */
    const tensor_id after = plan_append_matmul(plan, "after", s, &w, NULL, 1);
    const tensor_id sum = plan_append_add(plan, "sum", before, after);
    compare(&bank, plan_append_add(plan, "last", sum, x), TOLERANCE_INTEGER);
    bank_deinit(&bank);
}

/* A rounding that falls to the other side early in the model is felt in all that follows. */
static void check_small(const struct small_shape *shape, double tolerance, double tolerance_bf16)
{
    struct bank bank;
    bank_init(&bank, "small model");
    small_plan(&bank, shape);
    check_levels(&bank, tolerance, tolerance_bf16);
    bank_deinit(&bank);
}

static void small_models_of_floats(void **state)
{
    (void)state;
    struct small_shape shape = {
        .vocabulary = VOCABULARY,
        .columns = 50,
        .n_layers = 3,
        .n_heads = 6,
        .n_kv_heads = 3,
        .head_columns = 22,
        .ffn_columns = 70,
        .window = 11,
        .types = {TENSOR_F32, TENSOR_F16, TENSOR_BF16},
    };
    check_small(&shape, 1e-6, 1e-4);
    shape.gemma = true;
    check_small(&shape, 1e-6, 1e-4);
}

static void small_models_of_blocks(void **state)
{
    (void)state;
    struct small_shape shape = {
        .vocabulary = VOCABULARY,
        .columns = 256,
        .n_layers = 2,
        .n_heads = 8,
        .n_kv_heads = 2,
        .head_columns = 32,
        .ffn_columns = 512,
        .window = 20,
        .types = {TENSOR_Q4_1, TENSOR_Q6_K, TENSOR_Q4_K},
    };
    check_small(&shape, 1e-3, 1e-3);
    shape.gemma = true;
    check_small(&shape, 1e-3, 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embed_gives_rows_of_all_types),
        cmocka_unit_test(rms_norm_of_rows_and_heads),
        cmocka_unit_test(matmul_by_all_types),
        cmocka_unit_test(matmul_by_several_weights),
        cmocka_unit_test(products_and_sums_of_views),
        cmocka_unit_test(rope_of_all_kinds),
        cmocka_unit_test(attention_of_all_shapes),
        cmocka_unit_test(values_that_are_read_again_stay),
        cmocka_unit_test(small_models_of_floats),
        cmocka_unit_test(small_models_of_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
