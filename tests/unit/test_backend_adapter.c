/* Adapters of the CPU backend: their numbers, their neighbours in a batch, their refusals. */
#include "base/alloc.h"
#include "quant/quant.h"
#include "support/backend_run.h"
#include "support/backend_support.h"
#include "support/cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VOCABULARY  70u
#define MAX_ROWS    96u
#define N_PAGES     64u
#define N_TOKENS    75u
#define N_SEQUENCES 5u
#define MAX_PARTS   64u
#define SCALE       0.6f

static const struct small_shape gemma_of_floats = {
    .vocabulary = VOCABULARY,
    .columns = 64,
    .n_layers = 2,
    .n_heads = 4,
    .n_kv_heads = 2,
    .head_columns = 32,
    .ffn_columns = 100,
    .types = {TENSOR_F32, TENSOR_F32, TENSOR_F32},
    .gemma = true,
};

static const struct small_shape llama_of_blocks = {
    .vocabulary = VOCABULARY,
    .columns = 64,
    .n_layers = 2,
    .n_heads = 4,
    .n_kv_heads = 2,
    .head_columns = 32,
    .ffn_columns = 96,
    .types = {TENSOR_Q8_0, TENSOR_Q4_0, TENSOR_F16},
};

/* A and B of some matrices of a plan. */
struct parts {
    struct adapter_part items[MAX_PARTS];
    void *memory[2 * MAX_PARTS];
    uint32_t n;
};

static bool is_embedding(const struct plan *plan, tensor_id id)
{
    for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
        if (plan_op(plan, i)->kind == OP_EMBED && plan_op(plan, i)->weights[0] == id) {
            return true;
        }
    }
    return false;
}

static struct adapter_matrix random_matrix(
    struct bank *bank, enum tensor_type type, uint32_t rows, uint32_t columns, void **memory)
{
    const struct quant_type *const quant = quant_find(type);
    uint64_t row_bytes;
    assert_true(tensor_type_row_bytes(type, columns, &row_bytes));
    float *const row = calloc(columns, sizeof *row);
    *memory = malloc(rows * row_bytes);
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t c = 0; c < columns; c++) {
            row[c] = bank_random(bank) / sqrtf((float)columns);
        }
        quant->quantise_row(row, NULL, (uint8_t *)*memory + r * row_bytes, columns);
    }
    free(row);
    return (struct adapter_matrix){
        .type = type, .bytes = {.data = *memory, .n_bytes = (size_t)(rows * row_bytes)}};
}

/* For every `step`-th matrix that may have one, of different ranks. */
static void make_parts(struct bank *bank, struct parts *parts, uint32_t step, enum tensor_type type)
{
    const struct plan *const plan = bank->plan;
    uint32_t n_seen = 0;
    parts->n = 0;
    for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
        const struct op *const op = plan_op(plan, i);
        for (uint32_t k = 0; op->kind == OP_MATMUL && k < op->n_weights; k++) {
            if (is_embedding(plan, op->weights[k]) || n_seen++ % step != 0) {
                continue;
            }
            const struct plan_tensor *const weight = plan_tensor(plan, op->weights[k]);
            const uint32_t rank = n_seen % 3 == 0 ? 1 : n_seen % 3 == 1 ? 8 : 37;
            void **const memory = &parts->memory[(size_t)2 * parts->n];
            parts->items[parts->n++] = (struct adapter_part){
                .weight = op->weights[k],
                .rank = rank,
                .scale = SCALE,
                .a = random_matrix(bank, type, rank, weight->columns, memory),
                .b = random_matrix(bank, type, weight->rows, rank, memory + 1),
            };
        }
    }
}

static void free_parts(struct parts *parts)
{
    for (uint32_t i = 0; i < 2 * parts->n; i++) {
        free(parts->memory[i]);
    }
}

static uint32_t create(struct backend_model *model, const struct parts *parts)
{
    struct realm_error error;
    uint32_t adapter;
    if (backend_adapter_create(model, parts->items, parts->n, &adapter, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return adapter;
}

/* --- the numbers -------------------------------------------------------------------------------
 */

/* W + scale * B . A into the bank's own F32 weights. */
static void merge(struct bank *bank, const struct adapter_part *part)
{
    const struct plan_tensor *const tensor = plan_tensor(bank->plan, part->weight);
    float *const weight = ((const struct bank_weight *)tensor->source)->data;
    const float *const a = part->a.bytes.data;
    const float *const b = part->b.bytes.data;
    for (uint32_t r = 0; r < tensor->rows; r++) {
        for (uint32_t c = 0; c < tensor->columns; c++) {
            double sum = 0;
            for (uint32_t k = 0; k < part->rank; k++) {
                sum += (double)b[r * part->rank + k] * (double)a[k * tensor->columns + c];
            }
            weight[(size_t)r * tensor->columns + c] += (float)((double)part->scale * sum);
        }
    }
}

static void run_with(struct backend_model *model,
                     const token_id *tokens,
                     const uint32_t *adapter,
                     uint32_t chunk,
                     float *logits)
{
    page_id pages[N_PAGES];
    for (uint32_t i = 0; i < N_PAGES; i++) {
        pages[i] = i;
    }
    struct test_sequence sequence = {.tokens = tokens,
                                     .n_tokens = N_TOKENS,
                                     .pages = pages,
                                     .logits = logits,
                                     .adapter = adapter};
    while (sequence.n_done < N_TOKENS) {
        const uint32_t left = N_TOKENS - sequence.n_done;
        const uint32_t n_rows = left < chunk ? left : chunk;
        test_step(model, VOCABULARY, &sequence, &n_rows, 1);
    }
}

static void make_tokens(struct test_random *random, token_id *tokens)
{
    for (uint32_t i = 0; i < N_TOKENS; i++) {
        tokens[i] = (token_id)test_random_below(random, VOCABULARY);
    }
}

/* The same weights twice: once with an adapter beside them, once with it added in. */
static void equals_weights_with_the_product_added_in(void **state)
{
    (void)state;
    static float beside[N_TOKENS * VOCABULARY];
    static float inside[N_TOKENS * VOCABULARY];
    static float without[N_TOKENS * VOCABULARY];
    token_id tokens[N_TOKENS];
    struct bank bank;
    struct parts parts;
    bank_init(&bank, "adapter_merged");
    small_plan(&bank, &gemma_of_floats);
    make_parts(&bank, &parts, 1, TENSOR_F32);
    assert_int_equal(parts.n, 2 * 7 + 1);
    make_tokens(&bank.random, tokens);
    struct backend *const backend = test_backend(NULL, 2);
    struct backend_model *model = test_model(backend, &bank, MAX_ROWS, MAX_ROWS, N_PAGES);
    const uint32_t adapter = create(model, &parts);
    run_with(model, tokens, &adapter, 40, beside);
    run_with(model, tokens, NULL, 40, without);
    backend_model_destroy(model);
    for (uint32_t i = 0; i < parts.n; i++) {
        merge(&bank, &parts.items[i]);
    }
    model = test_model(backend, &bank, MAX_ROWS, MAX_ROWS, N_PAGES);
    run_with(model, tokens, NULL, 40, inside);
    assert_true(test_nmse(inside, beside, (size_t)N_TOKENS * VOCABULARY) < 1e-6);
    assert_true(test_nmse(inside, without, (size_t)N_TOKENS * VOCABULARY) > 1e-2);
    backend_model_destroy(model);
    backend_destroy(backend);
    free_parts(&parts);
    bank_deinit(&bank);
}

/* An adapter of zeros changes nothing, on weights of blocks too, where A reads x dequantised; and
 * one of F16 is what its numbers are as F32. */
static void types_of_its_numbers_do_not_matter(void **state)
{
    (void)state;
    static float expected[N_TOKENS * VOCABULARY];
    static float got[N_TOKENS * VOCABULARY];
    token_id tokens[N_TOKENS];
    struct bank bank;
    struct parts halves;
    struct parts floats;
    bank_init(&bank, "adapter_types");
    small_plan(&bank, &llama_of_blocks);
    make_parts(&bank, &halves, 1, TENSOR_F16);
    make_tokens(&bank.random, tokens);
    floats = halves;
    for (uint32_t i = 0; i < 2 * halves.n; i++) {
        struct adapter_matrix *const matrix =
            i % 2 == 0 ? &floats.items[i / 2].a : &floats.items[i / 2].b;
        const size_t n = matrix->bytes.n_bytes / 2;
        float *const values = calloc(n, sizeof *values);
        quant_find(TENSOR_F16)->dequantise_row(matrix->bytes.data, values, n);
        floats.memory[i] = values;
        *matrix = (struct adapter_matrix){.type = TENSOR_F32,
                                          .bytes = {.data = values, .n_bytes = n * sizeof *values}};
    }
    struct backend *const backend = test_backend(NULL, 2);
    struct backend_model *const model = test_model(backend, &bank, MAX_ROWS, MAX_ROWS, N_PAGES);
    const uint32_t first = create(model, &halves);
    const uint32_t second = create(model, &floats);
    run_with(model, tokens, &first, N_TOKENS, expected);
    run_with(model, tokens, &second, N_TOKENS, got);
    assert_memory_equal(expected, got, sizeof got);
    for (uint32_t i = 0; i < floats.n; i++) {
        memset(floats.memory[2 * i + 1], 0, floats.items[i].b.bytes.n_bytes);
    }
    const uint32_t third = create(model, &floats);
    run_with(model, tokens, NULL, N_TOKENS, expected);
    run_with(model, tokens, &third, N_TOKENS, got);
    assert_true(test_nmse(expected, got, (size_t)N_TOKENS * VOCABULARY) == 0.0);
    backend_model_destroy(model);
    backend_destroy(backend);
    free_parts(&halves);
    free_parts(&floats);
    bank_deinit(&bank);
}

/* --- neighbours --------------------------------------------------------------------------------
 */

struct company {
    token_id tokens[N_SEQUENCES][N_TOKENS];
    float *expected[N_SEQUENCES];
    float *logits[N_SEQUENCES];
    const uint32_t *adapters[N_SEQUENCES];
};

/* Each step as many rows of each as chance gives. */
static void check_together(struct backend_model *model, struct company *c, struct test_random *r)
{
    page_id pages[N_PAGES];
    struct test_sequence running[N_SEQUENCES];
    for (uint32_t i = 0; i < N_PAGES; i++) {
        pages[i] = N_PAGES - 1 - i;
    }
    for (uint32_t i = 0; i < N_SEQUENCES; i++) {
        running[i] = (struct test_sequence){.tokens = c->tokens[i],
                                            .n_tokens = N_TOKENS,
                                            .pages = pages + i * (N_TOKENS / PAGE_TOKENS + 1),
                                            .logits = c->logits[i],
                                            .adapter = c->adapters[i]};
    }
    for (uint32_t n_left = 1; n_left > 0;) {
        uint32_t n_rows[N_SEQUENCES];
        uint32_t n = 0;
        n_left = 0;
        for (uint32_t i = 0; i < N_SEQUENCES; i++) {
            const uint32_t left = N_TOKENS - running[i].n_done;
            const uint32_t asked = (uint32_t)test_random_below(r, 19);
            n_rows[i] = asked < left ? asked : left;
            n += n_rows[i];
            n_left += left;
        }
        if (n > 0) {
            test_step(model, VOCABULARY, running, n_rows, N_SEQUENCES);
        }
    }
    for (uint32_t i = 0; i < N_SEQUENCES; i++) {
        assert_memory_equal(
            c->expected[i], c->logits[i], (size_t)N_TOKENS * VOCABULARY * sizeof(float));
    }
}

/* Two adapters, of which one leaves most matrices alone, and none; on one level. */
static void check_company(struct bank *bank, const struct parts parts[2], const char *level)
{
    struct company c;
    const uint32_t threads[] = {1, 2, 5};
    for (uint32_t i = 0; i < N_SEQUENCES; i++) {
        make_tokens(&bank->random, c.tokens[i]);
        c.expected[i] = calloc((size_t)N_TOKENS * VOCABULARY, sizeof(float));
        c.logits[i] = calloc((size_t)N_TOKENS * VOCABULARY, sizeof(float));
    }
    for (uint32_t t = 0; t < 3; t++) {
        struct backend *const backend = test_backend(level, threads[t]);
        if (backend == NULL) {
            break;
        }
        struct backend_model *const model = test_model(backend, bank, MAX_ROWS, MAX_ROWS, N_PAGES);
        const uint32_t numbers[2] = {create(model, &parts[0]), create(model, &parts[1])};
        for (uint32_t i = 0; i < N_SEQUENCES; i++) {
            c.adapters[i] = i % 3 == 2 ? NULL : &numbers[i % 3];
            if (t == 0) {
                run_with(model, c.tokens[i], c.adapters[i], N_TOKENS, c.expected[i]);
            }
            run_with(model, c.tokens[i], c.adapters[i], 1 + t, c.logits[i]);
            assert_memory_equal(
                c.expected[i], c.logits[i], (size_t)N_TOKENS * VOCABULARY * sizeof(float));
        }
        check_together(model, &c, &bank->random);
        backend_model_destroy(model);
        backend_destroy(backend);
    }
    for (uint32_t i = 0; i < N_SEQUENCES; i++) {
        free(c.expected[i]);
        free(c.logits[i]);
    }
}

static void a_sequence_has_the_same_bits_in_any_company(void **state)
{
    (void)state;
    const struct small_shape *const shapes[] = {&gemma_of_floats, &llama_of_blocks};
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; backend_run_levels[k] != NULL; k++) {
            struct bank bank;
            struct parts parts[2];
            bank_init(&bank, "adapter_company");
            small_plan(&bank, shapes[i]);
            make_parts(&bank, &parts[0], 1, TENSOR_F32);
            make_parts(&bank, &parts[1], 5, TENSOR_F16);
            check_company(&bank, parts, backend_run_levels[k]);
            free_parts(&parts[0]);
            free_parts(&parts[1]);
            bank_deinit(&bank);
        }
    }
}

/* --- refusals ----------------------------------------------------------------------------------
 */

struct fixture {
    struct bank bank;
    struct backend *backend;
    struct backend_model *model;
    struct parts parts;
    struct realm_error error;
};

static int set_up(void **state)
{
    struct fixture *const f = calloc(1, sizeof *f);
    bank_init(&f->bank, "adapter_refusals");
    small_plan(&f->bank, &llama_of_blocks);
    f->backend = test_backend(NULL, 2);
    f->model = test_model(f->backend, &f->bank, MAX_ROWS, MAX_ROWS, N_PAGES);
    make_parts(&f->bank, &f->parts, 1, TENSOR_F32);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *const f = *state;
    free_parts(&f->parts);
    backend_model_destroy(f->model);
    backend_destroy(f->backend);
    bank_deinit(&f->bank);
    free(f);
    return 0;
}

static void expect_refusal(struct fixture *f, realm_status wanted, const char *words)
{
    const uint64_t held = alloc_held_bytes(ALLOC_WEIGHTS);
    uint32_t adapter;
    const realm_status status =
        backend_adapter_create(f->model, f->parts.items, f->parts.n, &adapter, &f->error);
    assert_int_equal(status, wanted);
    assert_int_equal(adapter, ADAPTER_NONE);
    if (strstr(f->error.message, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", f->error.message, words);
    }
    assert_int_equal(alloc_held_bytes(ALLOC_WEIGHTS), held);
}

static void ranks_out_of_range_are_refused(void **state)
{
    struct fixture *const f = *state;
    f->parts.items[3].rank = 0;
    expect_refusal(f, REALM_INVALID_ARGUMENT, "rank 0; allowed are 1 to 256");
    f->parts.items[3].rank = ADAPTER_MAX_RANK + 1;
    expect_refusal(f, REALM_INVALID_ARGUMENT, "rank 257");
}

static void a_matrix_twice_is_refused(void **state)
{
    struct fixture *const f = *state;
    f->parts.items[1].weight = f->parts.items[0].weight;
    expect_refusal(f, REALM_INVALID_ARGUMENT, "adapter of q: it is there twice");
}

static void too_few_bytes_are_refused(void **state)
{
    struct fixture *const f = *state;
    f->parts.items[2].b.bytes.n_bytes--;
    expect_refusal(f, REALM_INVALID_FORMAT, "are not B of 64 x");
}

static void numbers_that_are_none_are_refused(void **state)
{
    struct fixture *const f = *state;
    ((float *)f->parts.memory[5])[7] = NAN;
    expect_refusal(f, REALM_INVALID_FORMAT, "of B is not a finite number");
}

static void the_embedding_and_norms_are_refused(void **state)
{
    struct fixture *const f = *state;
    f->parts.items[0].weight = plan_op(f->bank.plan, 0)->weights[0];
    expect_refusal(f, REALM_UNSUPPORTED, "no embedding and no norm");
    f->parts.items[0].weight = plan_op(f->bank.plan, 1)->weights[0];
    expect_refusal(f, REALM_UNSUPPORTED, "no embedding and no norm");
    f->parts.items[0].weight = 12345;
    expect_refusal(f, REALM_INVALID_ARGUMENT, "tensor 12345");
}

static realm_status submit(struct fixture *f, uint32_t adapter)
{
    const token_id token = 3;
    const page_id page = 0;
    const uint32_t logits_row = 0;
    const struct batch_sequence sequence = {
        .n_rows = 1, .pages = &page, .n_pages = 1, .adapter = adapter};
    const struct batch batch = {.n_rows = 1,
                                .tokens = &token,
                                .n_sequences = 1,
                                .sequences = &sequence,
                                .n_logits = 1,
                                .logits_rows = &logits_row};
    REALM_TRY(backend_submit(f->model, &batch, &f->error));
    return backend_wait(f->model, &f->error);
}

static void a_number_that_names_none_is_refused(void **state)
{
    struct fixture *const f = *state;
    assert_int_equal(submit(f, 0), REALM_INVALID_ARGUMENT);
    const uint32_t adapter = create(f->model, &f->parts);
    assert_int_equal(submit(f, adapter), REALM_OK);
    assert_true(backend_adapter_bytes(f->model, adapter) > 0);
    backend_adapter_destroy(f->model, adapter);
    assert_int_equal(submit(f, adapter), REALM_INVALID_ARGUMENT);
    assert_int_equal(submit(f, BACKEND_MAX_ADAPTERS), REALM_INVALID_ARGUMENT);
    backend_adapter_destroy(f->model, ADAPTER_NONE);
}

static void a_step_takes_no_memory(void **state)
{
    struct fixture *const f = *state;
    const uint32_t adapter = create(f->model, &f->parts);
    assert_int_equal(submit(f, adapter), REALM_OK);
    const uint64_t before = alloc_count();
    assert_int_equal(submit(f, adapter), REALM_OK);
    assert_int_equal(alloc_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_weights_with_the_product_added_in),
        cmocka_unit_test(types_of_its_numbers_do_not_matter),
        cmocka_unit_test(a_sequence_has_the_same_bits_in_any_company),
        cmocka_unit_test_setup_teardown(ranks_out_of_range_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_matrix_twice_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_few_bytes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_that_are_none_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_embedding_and_norms_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_number_that_names_none_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_step_takes_no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
