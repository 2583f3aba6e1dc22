/* Plans: what can be built, what is refused and with which words. */
#include "base/strbuf.h"
#include "plan/plan.h"
#include "support/cmocka_all.h"

#include <string.h>

struct fixture {
    struct plan *plan;
    struct realm_error error;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.plan = NULL};
    *state = &fixture;
    return plan_create(&fixture.plan, &fixture.error) == REALM_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    plan_destroy(((struct fixture *)*state)->plan);
    return 0;
}

static tensor_id weight(struct fixture *f, const char *name, uint32_t rows, uint32_t columns)
{
    return plan_weight(f->plan, name, TENSOR_F32, rows, columns, NULL);
}

static void expect_refusal(struct fixture *f, const char *words)
{
    assert_int_equal(plan_check(f->plan, &f->error), REALM_INVALID_FORMAT);
    if (strstr(f->error.message, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", f->error.message, words);
    }
}

static const struct attention_attributes attention = {
    .layer = 0, .n_heads = 4, .n_kv_heads = 2, .head_columns = 8, .scale = 0.5f};

/* Rows of 16 columns, one attention layer, 50 logits. */
static void build_small(struct fixture *f)
{
    struct plan *const plan = f->plan;
    const tensor_id table = weight(f, "table", 50, 16);
    const tensor_id x = plan_append_embed(plan, table, 2.0f);
    plan_name_prefix(plan, "blk.0.");
    const tensor_id normed =
        plan_append_rms_norm(plan, "norm", x, weight(f, "norm", 1, 16), 1e-5f, 0);
    const tensor_id qkv_weights[3] = {
        weight(f, "q", 32, 16), weight(f, "k", 16, 16), weight(f, "v", 16, 16)};
    const tensor_id biases[3] = {TENSOR_NONE, TENSOR_NONE, weight(f, "v_bias", 1, 16)};
    const tensor_id qkv = plan_append_matmul(plan, "qkv", normed, qkv_weights, biases, 3);
    const tensor_id q = plan_view(plan, qkv, 0, 32);
    const tensor_id kv = plan_view(plan, qkv, 32, 32);
    const tensor_id k = plan_view(plan, kv, 0, 16);
    const tensor_id v = plan_view(plan, kv, 16, 16);
    const struct rope_attributes rope = {.head_columns = 8,
                                         .rotated_columns = 8,
                                         .base = 10000,
                                         .position_scale = 1,
                                         .magnitude = 1,
                                         .factors = TENSOR_NONE};
    plan_append_rope(plan, "rope", q, &rope);
    plan_append_rope(plan, "rope", k, &rope);
    const tensor_id mixed = plan_append_attention(plan, "attention", q, k, v, &attention);
    const tensor_id out_weight = weight(f, "o", 16, 32);
    const tensor_id out = plan_append_matmul(plan, "o", mixed, &out_weight, NULL, 1);
    const tensor_id sum = plan_append_add(plan, "residual", x, out);
    plan_name_prefix(plan, "");
    const tensor_id selected = plan_append_select(plan, sum);
    plan_append_logits(plan, plan_append_matmul(plan, "output", selected, &table, NULL, 1));
}

static void small_plan_is_whole(void **state)
{
    struct fixture *const f = *state;
    build_small(f);
    assert_int_equal(plan_check(f->plan, &f->error), REALM_OK);
    assert_int_equal(plan_n_ops(f->plan), 11);
    assert_int_equal(plan_vocabulary(f->plan), 50);
    const struct plan_kv kv = plan_kv(f->plan);
    assert_int_equal(kv.n_layers, 1);
    assert_int_equal(kv.n_kv_heads, 2);
    assert_int_equal(kv.head_columns, 8);
    assert_string_equal(plan_op(f->plan, 0)->name, "embed");
    assert_string_equal(plan_op(f->plan, 1)->name, "blk.0.norm");
    assert_string_equal(plan_op(f->plan, 10)->name, "logits");
    assert_int_equal(plan_op(f->plan, 1)->attributes.norm.group, 16);
}

static void view_of_a_view_counts_from_the_activation(void **state)
{
    struct fixture *const f = *state;
    build_small(f);
    assert_int_equal(plan_check(f->plan, &f->error), REALM_OK);
    const struct op *const op = plan_op(f->plan, 5);
    assert_int_equal(op->kind, OP_ATTENTION);
    const struct plan_tensor *const v = plan_tensor(f->plan, op->inputs[2]);
    assert_int_equal(v->kind, TENSOR_VIEW);
    assert_int_equal(v->parent, plan_op(f->plan, 2)->output);
    assert_int_equal(v->first_column, 48);
    assert_int_equal(v->columns, 16);
}

static void last_use_counts_views_and_changes_in_place(void **state)
{
    struct fixture *const f = *state;
    build_small(f);
    assert_int_equal(plan_check(f->plan, &f->error), REALM_OK);
    const tensor_id x = plan_op(f->plan, 0)->output;
    const tensor_id normed = plan_op(f->plan, 1)->output;
    const tensor_id qkv = plan_op(f->plan, 2)->output;
    const tensor_id table = plan_op(f->plan, 0)->weights[0];
    assert_int_equal(plan_last_use(f->plan, x), 7);
    assert_int_equal(plan_last_use(f->plan, normed), 2);
    assert_int_equal(plan_last_use(f->plan, qkv), 5);
    assert_int_equal(plan_last_use(f->plan, table), 9);
}

static void dump_shows_an_operation_a_line(void **state)
{
    struct fixture *const f = *state;
    build_small(f);
    assert_int_equal(plan_check(f->plan, &f->error), REALM_OK);
    struct strbuf text;
    strbuf_init(&text, ALLOC_TEST, 1 << 16);
    plan_dump(f->plan, &text);
    uint32_t n_lines = 0;
    for (size_t i = 0; i < text.length; i++) {
        n_lines += text.text[i] == '\n';
    }
    assert_int_equal(n_lines, plan_n_ops(f->plan));
    assert_non_null(strstr(text.text, "blk.0.attention"));
    assert_non_null(strstr(text.text, "heads=4/2"));
    assert_non_null(strstr(text.text, "v_bias"));
    strbuf_deinit(&text);
}

static void empty_plan_is_refused(void **state)
{
    expect_refusal(*state, "no operations");
}

static void plan_without_logits_is_refused(void **state)
{
    struct fixture *const f = *state;
    plan_append_embed(f->plan, weight(f, "table", 4, 16), 1);
    expect_refusal(f, "logits");
}

static void two_logits_are_refused(void **state)
{
    struct fixture *const f = *state;
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 16), 1);
    const tensor_id selected = plan_append_select(f->plan, x);
    plan_append_logits(f->plan, selected);
    plan_append_logits(f->plan, selected);
    expect_refusal(f, "has 2");
}

static void logits_of_token_rows_are_refused(void **state)
{
    struct fixture *const f = *state;
    plan_append_logits(f->plan, plan_append_embed(f->plan, weight(f, "table", 4, 16), 1));
    expect_refusal(f, "logits");
}

static void the_first_error_is_told(void **state)
{
    struct fixture *const f = *state;
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 16), 1);
    const tensor_id narrow = weight(f, "narrow", 8, 12);
    const tensor_id bad = plan_append_matmul(f->plan, "first", x, &narrow, NULL, 1);
    assert_int_equal(bad, TENSOR_NONE);
    const tensor_id worse = plan_append_add(f->plan, "second", bad, x);
    assert_int_equal(worse, TENSOR_NONE);
    plan_append_logits(f->plan, worse);
    expect_refusal(f, "first: narrow has 12 columns, its input 16");
}

static void operation_on_a_weight_is_refused(void **state)
{
    struct fixture *const f = *state;
    const tensor_id table = weight(f, "table", 4, 16);
    const tensor_id x = plan_append_embed(f->plan, table, 1);
    plan_append_add(f->plan, "sum", x, table);
    expect_refusal(f, "sum: input 1");
}

static void unknown_tensor_is_refused(void **state)
{
    struct fixture *const f = *state;
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 16), 1);
    plan_append_add(f->plan, "sum", x, 1000);
    expect_refusal(f, "sum: input 1");
}

static void view_past_the_end_is_refused(void **state)
{
    struct fixture *const f = *state;
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 16), 1);
    plan_view(f->plan, x, 8, 9);
    expect_refusal(f, "columns 8 to 17");
}

static void view_that_wraps_around_is_refused(void **state)
{
    struct fixture *const f = *state;
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 16), 1);
    assert_int_equal(plan_view(f->plan, x, 8, UINT32_MAX - 4), TENSOR_NONE);
    expect_refusal(f, "view");
}

static void norm_group_that_does_not_divide_is_refused(void **state)
{
    struct fixture *const f = *state;
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 16), 1);
    plan_append_rms_norm(f->plan, "norm", x, weight(f, "w", 1, 5), 1e-5f, 5);
    expect_refusal(f, "groups of 5");
}

static void bias_of_wrong_length_is_refused(void **state)
{
    struct fixture *const f = *state;
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 16), 1);
    const tensor_id w = weight(f, "w", 8, 16);
    const tensor_id bias = weight(f, "b", 1, 16);
    plan_append_matmul(f->plan, "m", x, &w, &bias, 1);
    expect_refusal(f, "vector of 8");
}

static void four_weights_are_refused(void **state)
{
    struct fixture *const f = *state;
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 16), 1);
    const tensor_id w = weight(f, "w", 8, 16);
    const tensor_id four[4] = {w, w, w, w};
    plan_append_matmul(f->plan, "m", x, four, NULL, 4);
    expect_refusal(f, "4 weights");
}

static void integers_are_no_matrix(void **state)
{
    struct fixture *const f = *state;
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 16), 1);
    const tensor_id w = plan_weight(f->plan, "w", TENSOR_I32, 8, 16, NULL);
    plan_append_matmul(f->plan, "m", x, &w, NULL, 1);
    expect_refusal(f, "no matrix of real numbers");
}

static void weight_of_broken_blocks_is_refused(void **state)
{
    struct fixture *const f = *state;
    assert_int_equal(plan_weight(f->plan, "w", TENSOR_Q4_K, 8, 96, NULL), TENSOR_NONE);
    expect_refusal(f, "tensor w: 8 rows of 96 columns cannot be Q4_K");
}

/* Attention over one activation of 4 heads and 2 KV heads of 8, with these attributes. */
static void append_attention(struct fixture *f, const struct attention_attributes *attributes)
{
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 64), 1);
    const tensor_id q = plan_view(f->plan, x, 0, 32);
    const tensor_id k = plan_view(f->plan, x, 32, 16);
    const tensor_id v = plan_view(f->plan, x, 48, 16);
    const tensor_id out = plan_append_attention(f->plan, "attention", q, k, v, attributes);
    plan_append_logits(f->plan, plan_append_select(f->plan, out));
}

static void heads_that_do_not_group_are_refused(void **state)
{
    struct attention_attributes odd = attention;
    odd.n_kv_heads = 3;
    append_attention(*state, &odd);
    expect_refusal(*state, "4 heads are no multiple of 3");
}

static void odd_head_columns_are_refused(void **state)
{
    struct attention_attributes odd = attention;
    odd.head_columns = 7;
    append_attention(*state, &odd);
    expect_refusal(*state, "heads of 7 columns");
}

static void wide_heads_are_refused(void **state)
{
    struct attention_attributes wide = attention;
    wide.head_columns = 258;
    append_attention(*state, &wide);
    expect_refusal(*state, "up to 256");
}

static void wrong_q_width_is_refused(void **state)
{
    struct attention_attributes wide = attention;
    wide.n_heads = 8;
    append_attention(*state, &wide);
    expect_refusal(*state, "attention: q has 32 columns");
}

static void first_layer_must_be_zero(void **state)
{
    struct attention_attributes second = attention;
    second.layer = 1;
    append_attention(*state, &second);
    expect_refusal(*state, "layer 1 where layer 0 is due");
}

static void layers_of_different_shape_are_refused(void **state)
{
    struct fixture *const f = *state;
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 32), 1);
    struct attention_attributes a = {.n_heads = 4, .n_kv_heads = 4, .head_columns = 8, .scale = 1};
    const tensor_id y = plan_append_attention(f->plan, "first", x, x, x, &a);
    a = (struct attention_attributes){
        .layer = 1, .n_heads = 2, .n_kv_heads = 2, .head_columns = 16, .scale = 1};
    const tensor_id z = plan_append_attention(f->plan, "second", y, y, y, &a);
    plan_append_logits(f->plan, plan_append_select(f->plan, z));
    expect_refusal(f, "second: 2 KV heads of 16 columns; layer 0 has 4 of 8");
}

static void rope_past_the_head_is_refused(void **state)
{
    struct fixture *const f = *state;
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 32), 1);
    const struct rope_attributes rope = {.head_columns = 8,
                                         .rotated_columns = 10,
                                         .base = 10000,
                                         .position_scale = 1,
                                         .magnitude = 1,
                                         .factors = TENSOR_NONE};
    plan_append_rope(f->plan, "rope", x, &rope);
    expect_refusal(f, "10 rotated columns of heads of 8");
}

static void adding_logits_rows_to_token_rows_is_refused(void **state)
{
    struct fixture *const f = *state;
    const tensor_id x = plan_append_embed(f->plan, weight(f, "table", 4, 16), 1);
    plan_append_add(f->plan, "sum", x, plan_append_select(f->plan, x));
    expect_refusal(f, "sum");
}

static void checked_plan_does_not_change(void **state)
{
    struct fixture *const f = *state;
    build_small(f);
    assert_int_equal(plan_check(f->plan, &f->error), REALM_OK);
    const uint32_t n_ops = plan_n_ops(f->plan);
    assert_int_equal(plan_append_embed(f->plan, 0, 1), TENSOR_NONE);
    assert_int_equal(plan_n_ops(f->plan), n_ops);
}

static void running_out_of_memory_is_told(void **state)
{
    struct fixture *const f = *state;
    for (uint64_t n = 0;; n++) {
        struct plan *plan = NULL;
        alloc_fail_after(n);
        realm_status status = plan_create(&plan, &f->error);
        if (status == REALM_OK) {
            struct fixture inner = {.plan = plan};
            build_small(&inner);
            status = plan_check(plan, &f->error);
        }
        alloc_fail_after(UINT64_MAX);
        plan_destroy(plan);
        if (status == REALM_OK) {
            assert_true(n > 0);
            return;
        }
        assert_int_equal(status, REALM_OUT_OF_MEMORY);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(small_plan_is_whole),
        TEST(view_of_a_view_counts_from_the_activation),
        TEST(last_use_counts_views_and_changes_in_place),
        TEST(dump_shows_an_operation_a_line),
        TEST(empty_plan_is_refused),
        TEST(plan_without_logits_is_refused),
        TEST(two_logits_are_refused),
        TEST(logits_of_token_rows_are_refused),
        TEST(the_first_error_is_told),
        TEST(operation_on_a_weight_is_refused),
        TEST(unknown_tensor_is_refused),
        TEST(view_past_the_end_is_refused),
        TEST(view_that_wraps_around_is_refused),
        TEST(norm_group_that_does_not_divide_is_refused),
        TEST(bias_of_wrong_length_is_refused),
        TEST(four_weights_are_refused),
        TEST(integers_are_no_matrix),
        TEST(weight_of_broken_blocks_is_refused),
        TEST(heads_that_do_not_group_are_refused),
        TEST(odd_head_columns_are_refused),
        TEST(wide_heads_are_refused),
        TEST(wrong_q_width_is_refused),
        TEST(first_layer_must_be_zero),
        TEST(layers_of_different_shape_are_refused),
        TEST(rope_past_the_head_is_refused),
        TEST(adding_logits_rows_to_token_rows_is_refused),
        TEST(checked_plan_does_not_change),
        TEST(running_out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
