/* The logits of a sequence are the same bits alone and among others, in one step or many, with any
 * number of threads.  Random small plans, weights and schedules; the seed is printed. */
#include "support/backend_run.h"
#include "support/backend_support.h"
#include "support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#define VOCABULARY 70u
#define MAX_ROWS   200u
#define N_OTHERS   5u
/* Past two cuts of attention into segments. */
#define LONG_TOKENS  560u
#define N_PAGES      260u
#define SHORT_TOKENS 90u

struct sequences {
    token_id tokens[N_OTHERS + 1][LONG_TOKENS];
    uint32_t n_tokens[N_OTHERS + 1];
    page_id pages[N_PAGES]; /* shuffled; sequence i has its share */
    float *expected[N_OTHERS + 1];
    float *logits;
};

static void shuffle(struct test_random *random, page_id *pages, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        pages[i] = i;
    }
    for (uint32_t i = n; i > 1; i--) {
        const uint32_t k = (uint32_t)test_random_below(random, i);
        const page_id page = pages[i - 1];
        pages[i - 1] = pages[k];
        pages[k] = page;
    }
}

static struct sequences *make_sequences(struct test_random *random)
{
    struct sequences *const s = calloc(1, sizeof *s);
    assert_non_null(s);
    shuffle(random, s->pages, N_PAGES);
    for (uint32_t i = 0; i <= N_OTHERS; i++) {
        s->n_tokens[i] =
            i == 0 ? LONG_TOKENS : 1 + (uint32_t)test_random_below(random, SHORT_TOKENS);
        s->expected[i] = calloc((size_t)s->n_tokens[i] * VOCABULARY, sizeof(float));
        assert_non_null(s->expected[i]);
        for (uint32_t t = 0; t < s->n_tokens[i]; t++) {
            s->tokens[i][t] = (token_id)test_random_below(random, VOCABULARY);
        }
    }
    s->logits = calloc((size_t)LONG_TOKENS * VOCABULARY, sizeof(float));
    assert_non_null(s->logits);
    return s;
}

static void free_sequences(struct sequences *s)
{
    for (uint32_t i = 0; i <= N_OTHERS; i++) {
        free(s->expected[i]);
    }
    free(s->logits);
    free(s);
}

static void expect_bits(const struct sequences *s, uint32_t i, const float *got, const char *what)
{
    const size_t row_bytes = VOCABULARY * sizeof(float);
    for (uint32_t t = 0; t < s->n_tokens[i]; t++) {
        const size_t first = (size_t)t * VOCABULARY;
        if (memcmp(s->expected[i] + first, got + first, row_bytes) != 0) {
            fail_msg("sequence %u, token %u: other bits %s", i, t, what);
        }
    }
}

/* Sequence `i` alone, in chunks. */
static void
check_chunks(struct backend_model *model, struct sequences *s, uint32_t i, uint32_t chunk)
{
    memset(s->logits, 0, (size_t)s->n_tokens[i] * VOCABULARY * sizeof(float));
    test_run_alone(model, VOCABULARY, s->tokens[i], s->n_tokens[i], chunk, 11, s->logits);
    expect_bits(s, i, s->logits, chunk == 1 ? "token by token" : "in chunks");
}

/* All sequences at once, each step with as many rows of each as chance gives. */
static void
check_together(struct backend_model *model, struct sequences *s, struct test_random *random)
{
    struct test_sequence running[N_OTHERS + 1];
    const page_id *pages = s->pages;
    for (uint32_t i = 0; i <= N_OTHERS; i++) {
        running[i] = (struct test_sequence){
            .tokens = s->tokens[i], .n_tokens = s->n_tokens[i], .pages = pages};
        running[i].logits = calloc((size_t)s->n_tokens[i] * VOCABULARY, sizeof(float));
        assert_non_null(running[i].logits);
        pages += (s->n_tokens[i] + PAGE_TOKENS - 1) / PAGE_TOKENS;
    }
    for (uint32_t n_left = 1; n_left > 0;) {
        uint32_t n_rows[N_OTHERS + 1];
        uint32_t room = MAX_ROWS;
        n_left = 0;
        for (uint32_t i = 0; i <= N_OTHERS; i++) {
            const uint32_t left = running[i].n_tokens - running[i].n_done;
            const uint32_t most = test_random_below(random, 3) == 0 ? 70 : 3;
            n_rows[i] = (uint32_t)test_random_below(random, most);
            n_rows[i] = n_rows[i] > left ? left : n_rows[i];
            n_rows[i] = n_rows[i] > room ? room : n_rows[i];
            room -= n_rows[i];
            n_left += left;
        }
        if (room < MAX_ROWS) {
            test_step(model, VOCABULARY, running, n_rows, N_OTHERS + 1);
        }
    }
    for (uint32_t i = 0; i <= N_OTHERS; i++) {
        expect_bits(s, i, running[i].logits, "among others");
        free(running[i].logits);
    }
}

static void check_plan(struct bank *bank, const char *level)
{
    struct backend *const alone = test_backend(level, 1);
    if (alone == NULL) {
        return;
    }
    struct sequences *const s = make_sequences(&bank->random);
    struct backend_model *model = test_model(alone, bank, MAX_ROWS, MAX_ROWS, N_PAGES);
    for (uint32_t i = 0; i <= N_OTHERS; i++) {
        test_run_alone(
            model, VOCABULARY, s->tokens[i], s->n_tokens[i], MAX_ROWS, 0, s->expected[i]);
    }
    check_chunks(model, s, 0, 117);
    check_together(model, s, &bank->random);
    backend_model_destroy(model);
    backend_destroy(alone);
    for (uint32_t n_threads = 2; n_threads <= 5; n_threads += 3) {
        struct backend *const many = test_backend(level, n_threads);
        model = test_model(many, bank, MAX_ROWS, MAX_ROWS, N_PAGES);
        check_chunks(model, s, 0, MAX_ROWS);
        check_chunks(model, s, 1, 1);
        check_chunks(model, s, 0, 113);
        check_together(model, s, &bank->random);
        backend_model_destroy(model);
        backend_destroy(many);
    }
    free_sequences(s);
}

static void check_shape(const char *name, const struct small_shape *shape, enum kv_type kv_type)
{
    for (uint32_t i = 0; backend_run_levels[i] != NULL; i++) {
        struct bank bank;
        bank_init(&bank, name);
        small_plan(&bank, shape);
        bank.kv_type = kv_type;
        check_plan(&bank, backend_run_levels[i]);
        bank_deinit(&bank);
    }
}

static void llama_of_small_blocks(void **state)
{
    (void)state;
    const struct small_shape shape = {
        .vocabulary = VOCABULARY,
        .columns = 96,
        .n_layers = 3,
        .n_heads = 6,
        .n_kv_heads = 2,
        .head_columns = 32,
        .ffn_columns = 160,
        .window = 37,
        .types = {TENSOR_Q8_0, TENSOR_Q4_0, TENSOR_Q5_1},
    };
    check_shape("llama_of_small_blocks", &shape, KV_F16);
}

static void gemma_of_k_blocks(void **state)
{
    (void)state;
    const struct small_shape shape = {
        .vocabulary = VOCABULARY,
        .columns = 256,
        .n_layers = 2,
        .n_heads = 4,
        .n_kv_heads = 1,
        .head_columns = 64,
        .ffn_columns = 256,
        .window = 300,
        .types = {TENSOR_Q4_K, TENSOR_Q6_K, TENSOR_Q3_K},
        .gemma = true,
    };
    check_shape("gemma_of_k_blocks", &shape, KV_F16);
}

static void llama_of_floats(void **state)
{
    (void)state;
    const struct small_shape shape = {
        .vocabulary = VOCABULARY,
        .columns = 50,
        .n_layers = 2,
        .n_heads = 3,
        .n_kv_heads = 3,
        .head_columns = 22,
        .ffn_columns = 70,
        .window = 5,
        .types = {TENSOR_F16, TENSOR_F32, TENSOR_BF16},
    };
    check_shape("llama_of_floats", &shape, KV_F16);
}

/* A product of floats beside products of integers: one activation in both forms. */
static void llama_of_mixed_types(void **state)
{
    (void)state;
    const struct small_shape shape = {
        .vocabulary = VOCABULARY,
        .columns = 64,
        .n_layers = 3,
        .n_heads = 2,
        .n_kv_heads = 1,
        .head_columns = 80,
        .ffn_columns = 96,
        .window = 16,
        .types = {TENSOR_F16, TENSOR_Q4_1, TENSOR_Q5_0},
    };
    check_shape("llama_of_mixed_types", &shape, KV_F16);
}

static void every_kv_type(void **state)
{
    (void)state;
    const struct small_shape shape = {
        .vocabulary = VOCABULARY,
        .columns = 64,
        .n_layers = 2,
        .n_heads = 6,
        .n_kv_heads = 2,
        .head_columns = 80,
        .ffn_columns = 96,
        .window = 37,
        .types = {TENSOR_Q8_0, TENSOR_Q4_0, TENSOR_F16},
    };
    check_shape("kv_bf16", &shape, KV_BF16);
    check_shape("kv_q8_0", &shape, KV_Q8_0);
    check_shape("kv_q8_0_q4_1", &shape, KV_Q8_0_Q4_1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_of_small_blocks),
        cmocka_unit_test(gemma_of_k_blocks),
        cmocka_unit_test(llama_of_floats),
        cmocka_unit_test(llama_of_mixed_types),
        cmocka_unit_test(every_kv_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
