/* The CPU backend's promises beside its numbers: refusals, memory, copies, profile. */
#include "base/alloc.h"
#include "support/backend_support.h"
#include "support/cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VOCABULARY 40u
#define MAX_ROWS   24u
#define MAX_LOGITS 3u
#define N_PAGES    12u

static const struct small_shape shape = {
    .vocabulary = VOCABULARY,
    .columns = 64,
    .n_layers = 2,
    .n_heads = 4,
    .n_kv_heads = 2,
    .head_columns = 32,
    .ffn_columns = 96,
    .types = {TENSOR_Q8_0, TENSOR_F16, TENSOR_Q4_0},
};

struct fixture {
    struct bank bank;
    struct backend *backend;
    struct backend_model *model;
    struct realm_error error;
    /* A batch that is right; each test spoils one thing. */
    token_id tokens[MAX_ROWS + 1];
    page_id pages[N_PAGES];
    uint32_t logits_rows[MAX_LOGITS + 1];
    struct page_copy copy;
    struct batch_sequence sequences[2];
    struct batch batch;
};

static void make_batch(struct fixture *f)
{
    for (uint32_t i = 0; i < N_PAGES; i++) {
        f->pages[i] = N_PAGES - 1 - i;
    }
    for (uint32_t i = 0; i < MAX_ROWS; i++) {
        f->tokens[i] = i % VOCABULARY;
    }
    f->sequences[0] = (struct batch_sequence){
        .n_rows = 5, .pages = f->pages, .n_pages = 1, .adapter = ADAPTER_NONE};
    f->sequences[1] = (struct batch_sequence){
        .first_row = 5, .n_rows = 3, .pages = f->pages + 1, .n_pages = 1, .adapter = ADAPTER_NONE};
    f->logits_rows[0] = 4;
    f->logits_rows[1] = 7;
    f->batch = (struct batch){
        .n_rows = 8,
        .tokens = f->tokens,
        .n_sequences = 2,
        .sequences = f->sequences,
        .n_logits = 2,
        .logits_rows = f->logits_rows,
        .copies = &f->copy,
    };
}

static int set_up(void **state)
{
    struct fixture *const f = calloc(1, sizeof *f);
    bank_init(&f->bank, "backend_cpu");
    small_plan(&f->bank, &shape);
    f->backend = test_backend(NULL, 2);
    f->model = test_model(f->backend, &f->bank, MAX_ROWS, MAX_LOGITS, N_PAGES);
    make_batch(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *const f = *state;
    backend_model_destroy(f->model);
    backend_destroy(f->backend);
    bank_deinit(&f->bank);
    free(f);
    return 0;
}

static void run(struct fixture *f)
{
    const realm_status status = backend_submit(f->model, &f->batch, &f->error);
    if (status != REALM_OK) {
        fail_msg("%s", f->error.message);
    }
    assert_int_equal(backend_wait(f->model, &f->error), REALM_OK);
}

static void expect_refusal(struct fixture *f, const char *words)
{
    assert_int_equal(backend_submit(f->model, &f->batch, &f->error), REALM_INVALID_ARGUMENT);
    if (strstr(f->error.message, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", f->error.message, words);
    }
    /* The model can still be used. */
    make_batch(f);
    run(f);
}

static void right_batch_gives_numbers(void **state)
{
    struct fixture *const f = *state;
    run(f);
    for (uint32_t i = 0; i < 2 * VOCABULARY; i++) {
        assert_true(isfinite(backend_logits(f->model, i / VOCABULARY)[i % VOCABULARY]));
    }
}

static void no_rows_are_refused(void **state)
{
    struct fixture *const f = *state;
    f->batch.n_rows = 0;
    expect_refusal(f, "0 rows");
}

static void too_many_rows_are_refused(void **state)
{
    struct fixture *const f = *state;
    f->batch.n_rows = MAX_ROWS + 1;
    expect_refusal(f, "25 rows");
}

static void too_many_logits_are_refused(void **state)
{
    struct fixture *const f = *state;
    f->batch.n_logits = MAX_LOGITS + 1;
    expect_refusal(f, "4 logits rows");
}

static void token_past_the_vocabulary_is_refused(void **state)
{
    struct fixture *const f = *state;
    f->tokens[6] = VOCABULARY;
    expect_refusal(f, "token 40");
}

static void token_far_past_the_vocabulary_is_refused(void **state)
{
    struct fixture *const f = *state;
    f->tokens[0] = UINT32_MAX;
    expect_refusal(f, "token 4294967295");
}

static void page_past_the_pool_is_refused(void **state)
{
    struct fixture *const f = *state;
    f->pages[1] = N_PAGES;
    expect_refusal(f, "page 12 of 12");
}

static void missing_page_is_refused(void **state)
{
    struct fixture *const f = *state;
    f->sequences[0].first_position = 12; /* rows 12 to 16 need two pages */
    expect_refusal(f, "1 pages do not hold 17 tokens");
}

static void position_that_wraps_around_is_refused(void **state)
{
    struct fixture *const f = *state;
    f->sequences[1].first_position = UINT32_MAX - 1;
    expect_refusal(f, "do not hold");
}

static void gap_between_sequences_is_refused(void **state)
{
    struct fixture *const f = *state;
    f->sequences[1].first_row = 6;
    expect_refusal(f, "sequence 1");
}

static void rows_of_no_sequence_are_refused(void **state)
{
    struct fixture *const f = *state;
    f->sequences[1].n_rows = 2;
    expect_refusal(f, "have 7 rows");
}

static void sequence_past_the_rows_is_refused(void **state)
{
    struct fixture *const f = *state;
    f->sequences[1].n_rows = UINT32_MAX;
    expect_refusal(f, "sequence 1");
}

static void logits_row_past_the_rows_is_refused(void **state)
{
    struct fixture *const f = *state;
    f->logits_rows[1] = 8;
    expect_refusal(f, "logits row 1");
}

static void logits_rows_out_of_order_are_refused(void **state)
{
    struct fixture *const f = *state;
    f->logits_rows[0] = 7;
    expect_refusal(f, "logits row 1");
}

static void copy_past_the_pool_is_refused(void **state)
{
    struct fixture *const f = *state;
    f->batch.n_copies = 1;
    f->copy = (struct page_copy){.from = 1, .to = N_PAGES, .n_tokens = 3};
    expect_refusal(f, "copy of page 1 to 12");
}

static void unknown_backend_is_refused(void **state)
{
    struct fixture *const f = *state;
    struct backend *backend;
    const struct backend_options options = {.name = "abacus"};
    assert_int_equal(backend_create(&options, &backend, &f->error), REALM_UNSUPPORTED);
    assert_non_null(strstr(f->error.message, "abacus"));
    assert_non_null(strstr(f->error.message, "cpu"));
}

static void kv_types_that_are_not_there_are_refused(void **state)
{
    struct fixture *const f = *state;
    struct backend_model *model;
    const struct weight_source source = bank_source(&f->bank);
    const struct backend_model_options options = {
        .max_rows = 4, .max_logits = 1, .n_pages = 4, .kv_type = KV_N_TYPES};
    assert_int_equal(
        backend_prepare(f->backend, f->bank.plan, &source, &options, &model, &f->error),
        REALM_INVALID_ARGUMENT);
    assert_null(model);
    assert_non_null(strstr(f->error.message, "Q8_0"));
}

static void kv_pages_of_8_bits_take_half_the_bytes(void **state)
{
    (void)state;
    const struct plan_kv kv = {.n_layers = 3, .n_kv_heads = 2, .head_columns = 64};
    const uint64_t n_numbers = 3ULL * 2 * PAGE_TOKENS * 64 * 2;
    assert_int_equal(backend_page_bytes(&kv, KV_F16), 2 * n_numbers);
    assert_int_equal(backend_page_bytes(&kv, KV_BF16), 2 * n_numbers);
    assert_int_equal(backend_page_bytes(&kv, KV_Q8_0), n_numbers + n_numbers / 32 * 2);
    const uint64_t n_values = n_numbers / 2;
    assert_int_equal(backend_page_bytes(&kv, KV_Q8_0_Q4_1),
                     n_values + n_values / 32 * 2 + n_values / 2 + n_values / 32 * 4);
}

/* A source that has lost the end of one weight. */
static struct bytes_view read_short(void *context, const struct plan_tensor *tensor)
{
    const struct weight_source whole = bank_source(context);
    struct bytes_view bytes = whole.read(context, tensor);
    bytes.n_bytes -= strcmp(tensor->name, "up") == 0;
    return bytes;
}

static void short_weight_is_refused(void **state)
{
    struct fixture *const f = *state;
    struct backend_model *model;
    const struct weight_source source = {.context = &f->bank, .read = read_short};
    const struct backend_model_options options = {.max_rows = 4, .max_logits = 1, .n_pages = 4};
    assert_int_equal(
        backend_prepare(f->backend, f->bank.plan, &source, &options, &model, &f->error),
        REALM_INVALID_FORMAT);
    assert_non_null(strstr(f->error.message, "tensor up"));
}

static void steps_allocate_nothing(void **state)
{
    struct fixture *const f = *state;
    run(f);
    const uint64_t before = alloc_count();
    for (uint32_t i = 0; i < 100; i++) {
        f->sequences[0].n_rows = 1 + i % 5;
        f->sequences[1].first_row = f->sequences[0].n_rows;
        f->batch.n_rows = f->sequences[0].n_rows + f->sequences[1].n_rows;
        f->batch.n_logits = 0;
        f->batch.n_copies = i % 2;
        f->copy = (struct page_copy){.from = 1, .to = 2, .n_tokens = 16};
        run(f);
    }
    assert_int_equal(alloc_count(), before);
}

static void weights_are_done_with_after_prepare(void **state)
{
    struct fixture *const f = *state;
    assert_int_equal(f->bank.n_done, f->bank.n_weights);
}

struct progress {
    float last;
    uint32_t n_calls;
    bool fell;
};

static void note_progress(void *context, float part)
{
    struct progress *const progress = context;
    progress->fell = progress->fell || part < progress->last;
    progress->last = part;
    progress->n_calls++;
}

static void progress_rises_to_one(void **state)
{
    struct fixture *const f = *state;
    struct backend_model *model;
    struct progress progress = {0};
    const struct weight_source source = bank_source(&f->bank);
    const struct backend_model_options options = {.max_rows = 4,
                                                  .max_logits = 1,
                                                  .n_pages = 4,
                                                  .progress = note_progress,
                                                  .progress_context = &progress};
    assert_int_equal(
        backend_prepare(f->backend, f->bank.plan, &source, &options, &model, &f->error), REALM_OK);
    assert_int_equal(progress.n_calls, f->bank.n_weights);
    assert_false(progress.fell);
    assert_true(progress.last == 1.0f);
    backend_model_destroy(model);
}

/* A sequence goes on from a copy of its first page as from the page itself. */
static void copied_pages_hold_the_same(void **state)
{
    struct fixture *const f = *state;
    float first[VOCABULARY];
    float second[VOCABULARY];
    run(f);
    f->sequences[0].first_position = 5;
    f->batch.n_sequences = 1;
    f->batch.n_rows = 5;
    f->batch.n_logits = 1;
    /* From the copy of a copy: copies are done in order. */
    struct page_copy copies[2] = {{.from = f->pages[0], .to = 3, .n_tokens = 5},
                                  {.from = 3, .to = 4, .n_tokens = 5}};
    const page_id copied = 4;
    f->batch.copies = copies;
    f->batch.n_copies = 2;
    f->sequences[0].pages = &copied;
    run(f);
    memcpy(first, backend_logits(f->model, 0), sizeof first);
    f->batch.n_copies = 0;
    f->sequences[0].pages = f->pages;
    run(f);
    memcpy(second, backend_logits(f->model, 0), sizeof second);
    assert_memory_equal(first, second, sizeof first);
}

static void step_without_logits_leaves_kv_behind(void **state)
{
    struct fixture *const f = *state;
    float together[VOCABULARY];
    f->batch.n_sequences = 1;
    f->batch.n_rows = 5;
    f->batch.n_logits = 1;
    run(f);
    memcpy(together, backend_logits(f->model, 0), sizeof together);
    f->sequences[0].n_rows = 4;
    f->batch.n_rows = 4;
    f->batch.n_logits = 0;
    f->sequences[0].pages = f->pages + 2;
    run(f);
    f->sequences[0].first_position = 4;
    f->sequences[0].n_rows = 1;
    f->batch.n_rows = 1;
    f->batch.tokens = f->tokens + 4;
    f->batch.n_logits = 1;
    f->logits_rows[0] = 0;
    run(f);
    assert_memory_equal(together, backend_logits(f->model, 0), sizeof together);
}

/* Weights that make every activation NaN or infinite: no crash, and the next model is untouched. */
static void nan_and_infinities_do_not_crash(void **state)
{
    (void)state;
    static const float strange[] = {NAN, INFINITY, -INFINITY, 3e38f};
    for (uint32_t i = 0; i < 4; i++) {
        struct bank bank;
        bank_init(&bank, "strange");
        const struct small_shape floats = {
            .vocabulary = VOCABULARY,
            .columns = 64,
            .n_layers = 2,
            .n_heads = 4,
            .n_kv_heads = 2,
            .head_columns = 32,
            .ffn_columns = 96,
            .types = {TENSOR_F32, TENSOR_Q8_0, TENSOR_F32},
        };
        small_plan(&bank, &floats);
        float *const table = bank.weights[0].data;
        for (uint32_t c = 0; c < VOCABULARY * 64; c += 7) {
            table[c] = strange[i];
        }
        struct backend *const backend = test_backend(NULL, 2);
        struct backend_model *const model = test_model(backend, &bank, 20, 20, 4);
        token_id tokens[20];
        float logits[20 * VOCABULARY];
        for (uint32_t t = 0; t < 20; t++) {
            tokens[t] = t;
        }
        test_run_alone(model, VOCABULARY, tokens, 20, 20, 0, logits);
        backend_model_destroy(model);
        backend_destroy(backend);
        bank_deinit(&bank);
    }
}

static void profile_counts_work(void **state)
{
    struct fixture *const f = *state;
    backend_profile_enable(f->model, true);
    run(f);
    run(f);
    backend_profile_enable(f->model, false);
    run(f);
    const struct backend_profile *const profile = backend_profile(f->model);
    const uint32_t n_ops = plan_n_ops(f->bank.plan);
    uint64_t ns = 0;
    for (uint32_t i = 0; i < n_ops; i++) {
        const struct op *const op = plan_op(f->bank.plan, i);
        ns += profile[i].ns;
        if (op->kind == OP_MATMUL && strcmp(op->name, "blk.0.qkv") == 0) {
            assert_int_equal(profile[i].multiply_adds, 2 * 8 * 64 * (128 + 64 + 64));
            assert_true(profile[i].weight_bytes > 0);
        }
        if (op->kind == OP_MATMUL && strcmp(op->name, "output") == 0) {
            assert_int_equal(profile[i].multiply_adds, 2 * 2 * 64 * VOCABULARY);
        }
        if (op->kind == OP_ATTENTION) {
            /* 15 and 6 pairs of positions, 4 heads of 32, keys and values */
            assert_int_equal(profile[i].multiply_adds, 2 * (15 + 6) * 4 * 32 * 2);
            assert_true(profile[i].kv_bytes > 0);
        }
    }
    assert_true(ns > 0);
}

static void running_out_of_memory_is_told(void **state)
{
    struct fixture *const f = *state;
    const struct weight_source source = bank_source(&f->bank);
    const struct backend_model_options options = {.max_rows = 4, .max_logits = 1, .n_pages = 4};
    for (uint64_t n = 0;; n++) {
        struct backend *backend = NULL;
        struct backend_model *model = NULL;
        const struct backend_options backend_options = {.n_threads = 2};
        alloc_fail_after(n);
        realm_status status = backend_create(&backend_options, &backend, &f->error);
        if (status == REALM_OK) {
            status = backend_prepare(backend, f->bank.plan, &source, &options, &model, &f->error);
        }
        alloc_fail_after(UINT64_MAX);
        backend_model_destroy(model);
        backend_destroy(backend);
        if (status == REALM_OK) {
            assert_true(n > 10);
            return;
        }
        assert_int_equal(status, REALM_OUT_OF_MEMORY);
    }
}

static void impossible_sizes_are_refused(void **state)
{
    struct fixture *const f = *state;
    struct backend_model *model;
    const struct weight_source source = bank_source(&f->bank);
    struct backend_model_options options = {.max_rows = 4, .max_logits = 1, .n_pages = UINT32_MAX};
    assert_int_equal(
        backend_prepare(f->backend, f->bank.plan, &source, &options, &model, &f->error),
        REALM_OUT_OF_MEMORY);
    options.n_pages = 0;
    assert_int_equal(
        backend_prepare(f->backend, f->bank.plan, &source, &options, &model, &f->error),
        REALM_INVALID_ARGUMENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(right_batch_gives_numbers),
        TEST(no_rows_are_refused),
        TEST(too_many_rows_are_refused),
        TEST(too_many_logits_are_refused),
        TEST(token_past_the_vocabulary_is_refused),
        TEST(token_far_past_the_vocabulary_is_refused),
        TEST(page_past_the_pool_is_refused),
        TEST(missing_page_is_refused),
        TEST(position_that_wraps_around_is_refused),
        TEST(gap_between_sequences_is_refused),
        TEST(rows_of_no_sequence_are_refused),
        TEST(sequence_past_the_rows_is_refused),
        TEST(logits_row_past_the_rows_is_refused),
        TEST(logits_rows_out_of_order_are_refused),
        TEST(copy_past_the_pool_is_refused),
        TEST(unknown_backend_is_refused),
        TEST(kv_types_that_are_not_there_are_refused),
        TEST(kv_pages_of_8_bits_take_half_the_bytes),
        TEST(short_weight_is_refused),
        TEST(steps_allocate_nothing),
        TEST(weights_are_done_with_after_prepare),
        TEST(progress_rises_to_one),
        TEST(copied_pages_hold_the_same),
        TEST(step_without_logits_leaves_kv_behind),
        TEST(nan_and_infinities_do_not_crash),
        TEST(profile_counts_work),
        TEST(running_out_of_memory_is_told),
        TEST(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
