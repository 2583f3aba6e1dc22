/* Which type each tensor gets.  The expected choices are those of llama.cpp's quantiser for the
 * same model (llama-quantize --dry-run), read off once and written down here. */
#include "quant/quant.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <string.h>

/* Like Llama 3 8B: 32 layers, grouped heads, an output matrix of its own. */
static const struct quant_mix_model grouped = {
    .architecture = "llama", .n_layers = 32, .n_heads = 32, .n_kv_heads = 8};

static enum tensor_type
choose(const char *mix, const struct quant_mix_model *model, const char *tensor, uint64_t columns)
{
    const struct quant_mix *const found = quant_mix_find(mix);
    const uint64_t shape[4] = {columns, 512, 1, 1};
    assert_non_null(found);
    return quant_mix_choose(found, model, tensor, TENSOR_F32, 2, shape);
}

static void assert_chosen(const char *mix,
                          const struct quant_mix_model *model,
                          const char *tensor,
                          uint64_t columns,
                          enum tensor_type expected)
{
    const enum tensor_type chosen = choose(mix, model, tensor, columns);
    if (chosen != expected) {
        fail_msg("%s: %s of %u columns became %s instead of %s",
                 mix,
                 tensor,
                 (unsigned)columns,
                 tensor_type_name(chosen),
                 tensor_type_name(expected));
    }
}

static void every_mix_is_found_by_its_name_in_any_case(void **state)
{
    (void)state;
    size_t n = 0;
    for (; quant_mix_at(n) != NULL; n++) {
        char lower[16];
        const char *const name = quant_mix_name(quant_mix_at(n));
        (void)snprintf(lower, sizeof(lower), "%s", name);
        for (char *c = lower; *c != '\0'; c++) {
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        }
        assert_ptr_equal(quant_mix_find(name), quant_mix_at(n));
        assert_ptr_equal(quant_mix_find(lower), quant_mix_at(n));
        assert_true(strlen(quant_mix_about(quant_mix_at(n))) > 5);
        assert_non_null(quant_find(quant_mix_base_type(quant_mix_at(n))));
    }
    assert_int_equal(n, 20);
    assert_string_equal(quant_mix_name(quant_mix_find("q4_k")), "Q4_K_M");
    assert_null(quant_mix_find("Q4_K_X"));
    assert_null(quant_mix_find(""));
}

static void file_types_are_the_formats_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t number;
    } rows[] = {{"F32", 0},
                {"F16", 1},
                {"Q4_0", 2},
                {"Q4_1", 3},
                {"Q8_0", 7},
                {"Q5_0", 8},
                {"Q5_1", 9},
                {"Q2_K", 10},
                {"Q3_K_S", 11},
                {"Q3_K_M", 12},
                {"Q3_K_L", 13},
                {"Q4_K_S", 14},
                {"Q4_K_M", 15},
                {"Q5_K_S", 16},
                {"Q5_K_M", 17},
                {"Q6_K", 18},
                {"Q2_K_S", 21},
                {"BF16", 32}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(quant_mix_file_type(quant_mix_find(rows[i].name)), rows[i].number);
    }
    assert_int_equal(quant_mix_file_type(quant_mix_find("Q8_K")), QUANT_NO_FILE_TYPE);
}

static void what_hurts_most_gets_more_bits(void **state)
{
    (void)state;
    static const struct {
        const char *mix;
        const char *tensor;
        enum tensor_type expected;
    } rows[] = {
        {"Q4_K_M", "token_embd.weight", TENSOR_Q4_K},
        {"Q4_K_M", "output.weight", TENSOR_Q6_K},
        {"Q4_K_M", "blk.0.attn_v.weight", TENSOR_Q6_K},
        {"Q4_K_M", "blk.3.attn_v.weight", TENSOR_Q6_K},
        {"Q4_K_M", "blk.4.attn_v.weight", TENSOR_Q4_K},
        {"Q4_K_M", "blk.6.ffn_down.weight", TENSOR_Q6_K},
        {"Q4_K_M", "blk.7.ffn_down.weight", TENSOR_Q4_K},
        {"Q4_K_M", "blk.27.ffn_down.weight", TENSOR_Q6_K},
        {"Q4_K_M", "blk.28.ffn_down.weight", TENSOR_Q6_K},
        {"Q4_K_M", "blk.31.attn_qkv.weight", TENSOR_Q6_K},
        {"Q4_K_M", "blk.0.attn_q.weight", TENSOR_Q4_K},
        {"Q4_K_M", "blk.0.attn_output.weight", TENSOR_Q4_K},
        {"Q4_K_S", "blk.3.attn_v.weight", TENSOR_Q5_K},
        {"Q4_K_S", "blk.4.attn_v.weight", TENSOR_Q4_K},
        {"Q4_K_S", "blk.3.ffn_down.weight", TENSOR_Q5_K},
        {"Q4_K_S", "blk.4.ffn_down.weight", TENSOR_Q4_K},
        {"Q5_K_M", "blk.0.attn_v.weight", TENSOR_Q6_K},
        {"Q5_K_M", "blk.4.ffn_down.weight", TENSOR_Q5_K},
        {"Q5_K_S", "blk.0.attn_v.weight", TENSOR_Q5_K},
        {"Q3_K_M", "blk.1.attn_v.weight", TENSOR_Q5_K},
        {"Q3_K_M", "blk.2.attn_v.weight", TENSOR_Q4_K},
        {"Q3_K_M", "blk.1.ffn_down.weight", TENSOR_Q5_K},
        {"Q3_K_M", "blk.2.ffn_down.weight", TENSOR_Q4_K},
        {"Q3_K_M", "blk.2.attn_output.weight", TENSOR_Q4_K},
        {"Q3_K_M", "blk.2.ffn_gate.weight", TENSOR_Q3_K},
        {"Q3_K_L", "blk.9.ffn_down.weight", TENSOR_Q5_K},
        {"Q3_K_L", "blk.9.attn_output.weight", TENSOR_Q5_K},
        {"Q3_K_S", "blk.0.attn_v.weight", TENSOR_Q3_K},
        {"Q2_K", "blk.9.attn_v.weight", TENSOR_Q4_K},
        {"Q2_K", "blk.9.ffn_down.weight", TENSOR_Q3_K},
        {"Q2_K", "blk.9.attn_output.weight", TENSOR_Q3_K},
        {"Q2_K_S", "blk.9.attn_v.weight", TENSOR_Q4_K},
        {"Q2_K_S", "blk.3.ffn_down.weight", TENSOR_Q4_K},
        {"Q2_K_S", "blk.4.ffn_down.weight", TENSOR_Q2_K},
        {"Q6_K", "blk.0.attn_v.weight", TENSOR_Q6_K},
        {"Q4_0", "output.weight", TENSOR_Q6_K},
        {"Q4_0", "blk.0.attn_v.weight", TENSOR_Q4_0},
        {"Q8_0", "output.weight", TENSOR_Q8_0},
        {"F16", "output.weight", TENSOR_F16},
        {"BF16", "token_embd.weight", TENSOR_BF16},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_chosen(rows[i].mix, &grouped, rows[i].tensor, 4096, rows[i].expected);
    }
}

static void heads_that_share_nothing_ask_for_fewer_bits(void **state)
{
    (void)state;
    const struct quant_mix_model alone = {.n_layers = 32, .n_heads = 32, .n_kv_heads = 32};
    assert_chosen("Q2_K", &alone, "blk.9.attn_v.weight", 4096, TENSOR_Q3_K);
    assert_chosen("Q2_K_S", &alone, "blk.9.attn_v.weight", 4096, TENSOR_Q2_K);
    const struct quant_mix_model large = {.n_layers = 80, .n_heads = 64, .n_kv_heads = 8};
    assert_chosen("Q3_K_S", &large, "blk.20.attn_v.weight", 8192, TENSOR_Q5_K);
    assert_chosen("Q4_K_S", &large, "blk.20.attn_v.weight", 8192, TENSOR_Q5_K);
}

static void embeddings_that_are_the_output_too_are_treated_as_it(void **state)
{
    (void)state;
    const struct quant_mix_model tied = {
        .n_layers = 30, .n_heads = 9, .n_kv_heads = 3, .tied_embeddings = true};
    assert_chosen("Q4_K_M", &tied, "token_embd.weight", 512, TENSOR_Q6_K);
    assert_chosen("Q4_K_M", &tied, "token_embd.weight", 576, TENSOR_Q8_0);
    assert_chosen("Q4_1", &tied, "token_embd.weight", 576, TENSOR_Q8_0);
    assert_chosen("Q8_0", &tied, "token_embd.weight", 576, TENSOR_Q8_0);
}

/* SmolLM2: 576 columns are 2.25 blocks of 256. */
static void columns_that_are_no_whole_blocks_fall_back(void **state)
{
    (void)state;
    static const struct {
        enum tensor_type wanted;
        enum tensor_type of_32;
    } rows[] = {{TENSOR_Q2_K, TENSOR_Q4_0},
                {TENSOR_Q3_K, TENSOR_Q4_0},
                {TENSOR_Q4_K, TENSOR_Q5_0},
                {TENSOR_Q5_K, TENSOR_Q5_1},
                {TENSOR_Q6_K, TENSOR_Q8_0},
                {TENSOR_Q8_K, TENSOR_Q8_0},
                {TENSOR_Q4_0, TENSOR_Q4_0},
                {TENSOR_Q8_1, TENSOR_Q8_1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(quant_fit_columns(rows[i].wanted, 512), rows[i].wanted);
        assert_int_equal(quant_fit_columns(rows[i].wanted, 576), rows[i].of_32);
        assert_int_equal(quant_fit_columns(rows[i].wanted, 36), TENSOR_F16);
    }
    assert_int_equal(quant_fit_columns(TENSOR_F32, 7), TENSOR_F32);
    assert_int_equal(quant_fit_columns(TENSOR_BF16, 7), TENSOR_BF16);
    assert_chosen("Q3_K_M", &grouped, "blk.5.attn_q.weight", 576, TENSOR_Q4_0);
    assert_chosen("Q4_K_M", &grouped, "blk.5.attn_q.weight", 576, TENSOR_Q5_0);
    assert_chosen("Q5_K_M", &grouped, "blk.5.attn_q.weight", 576, TENSOR_Q5_1);
    assert_chosen("Q4_K_M", &grouped, "blk.0.attn_v.weight", 576, TENSOR_Q8_0);
    assert_chosen("Q4_K_M", &grouped, "output.weight", 36, TENSOR_F16);
}

static void what_is_small_and_steers_stays_as_it_is(void **state)
{
    (void)state;
    static const char *const kept[] = {"blk.0.attn_norm.weight",
                                       "output_norm.weight",
                                       "blk.0.ffn_gate_inp.weight",
                                       "blk.0.attn_q.bias",
                                       "position_embd.weight"};
    const uint64_t shape[4] = {512, 512, 1, 1};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        assert_false(quant_mix_covers(kept[i], 2));
        assert_chosen("Q4_K_M", &grouped, kept[i], 512, TENSOR_F32);
    }
    const struct quant_mix *const mix = quant_mix_find("Q4_K_M");
    assert_int_equal(quant_mix_choose(mix, &grouped, "blk.0.attn_q.weight", TENSOR_F16, 1, shape),
                     TENSOR_F16);
    assert_int_equal(quant_mix_choose(mix, &grouped, "blk.0.attn_q.weight", TENSOR_I32, 2, shape),
                     TENSOR_I32);
}

static void names_from_a_file_may_say_anything(void **state)
{
    (void)state;
    static const char *const names[] = {
        "weight", "blk..attn_v.weight", "blk.99999999999999999999.ffn_down.weight", "blk.weight"};
    const struct quant_mix_model empty = {.architecture = ""};
    for (size_t m = 0; quant_mix_at(m) != NULL; m++) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            const char *const mix = quant_mix_name(quant_mix_at(m));
            assert_non_null(quant_find(choose(mix, &empty, names[i], 256)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mix_is_found_by_its_name_in_any_case),
        cmocka_unit_test(file_types_are_the_formats_numbers),
        cmocka_unit_test(what_hurts_most_gets_more_bits),
        cmocka_unit_test(heads_that_share_nothing_ask_for_fewer_bits),
        cmocka_unit_test(embeddings_that_are_the_output_too_are_treated_as_it),
        cmocka_unit_test(columns_that_are_no_whole_blocks_fall_back),
        cmocka_unit_test(what_is_small_and_steers_stays_as_it_is),
        cmocka_unit_test(names_from_a_file_may_say_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
