/* Which type each tensor gets: as llama.cpp's quantiser chooses, for several layouts of models. */
#include "base/alloc.h"
#include "base/file.h"
#include "quant/quant.h"
#include "support/cmocka_all.h"

#include <inttypes.h>
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

/* --- the golden choices, golden/quant/mixes.txt --- */

struct golden {
    struct quant_mix_model model;
    char mix[32];
    uint32_t n_compared;
};

static void
compare_one(struct golden *golden, const char *tensor, uint64_t columns, const char *type)
{
    const struct tensor_type_info *const expected = tensor_type_find_name(type);
    const bool vector = strstr(tensor, "norm") != NULL;
    assert_non_null(expected);
    assert_int_equal(quant_mix_covers(tensor, vector ? 1 : 2), !vector);
    if (!vector) {
        assert_chosen(golden->mix, &golden->model, tensor, columns, expected->type);
    }
    golden->n_compared++;
}

/* "4xQ6_K 2xQ4_K": the types of a role by layer, or the one of a tensor outside of the layers. */
static void
compare_runs(struct golden *golden, const char *name, uint64_t columns, const char *runs)
{
    const bool layered = strncmp(name, "output", 6) != 0 && strncmp(name, "token_embd", 10) != 0;
    uint32_t layer = 0;
    uint32_t count;
    char type[16];
    int length;
    while (sscanf(runs, " %ux%15s%n", &count, type, &length) == 2) {
        for (runs += length; count > 0; count--, layer++) {
            char tensor[96];
            (void)snprintf(tensor, sizeof(tensor), "blk.%u.%s", layer, name);
            compare_one(golden, layered ? tensor : name, columns, type);
        }
    }
    assert_int_equal(layer, layered ? golden->model.n_layers : 1);
}

static void take_line(struct golden *golden, const char *line)
{
    char name[64];
    uint32_t n[4];
    uint64_t columns;
    int length = 0;
    if (line[0] == '#' || line[0] == '\0') {
        return;
    }
    if (sscanf(line, "model %63s %u %u %u %u", name, &n[0], &n[1], &n[2], &n[3]) == 5) {
        golden->model = (struct quant_mix_model){.architecture = "llama",
                                                 .n_layers = n[0],
                                                 .n_heads = n[1],
                                                 .n_kv_heads = n[2],
                                                 .tied_embeddings = n[3] != 0};
    } else if (sscanf(line, "mix %31s %u", golden->mix, &n[0]) == 2) {
        assert_int_equal(quant_mix_file_type(quant_mix_find(golden->mix)), n[0]);
    } else {
        assert_int_equal(sscanf(line, "%63s %" SCNu64 "%n", name, &columns, &length), 2);
        compare_runs(golden, name, columns, line + length);
    }
}

static void each_tensor_gets_the_type_that_llama_cpp_gives_it(void **state)
{
    (void)state;
    char *text;
    size_t n_bytes;
    struct golden golden = {.n_compared = 0};
    assert_int_equal(
        file_read(REALM_TEST_DATA "/golden/quant/mixes.txt", 1u << 20, &text, &n_bytes, NULL), 0);
    for (char *line = text; *line != '\0';) {
        char *const end = line + strcspn(line, "\n");
        const bool last = *end == '\0';
        *end = '\0';
        take_line(&golden, line);
        line = last ? end : end + 1;
    }
    alloc_free(text);
    assert_true(golden.n_compared > 20000);
}

/* llama.cpp makes it only with an importance matrix, so it is not among the golden choices. */
static void the_smallest_mix_spares_attn_v_and_the_first_layers(void **state)
{
    (void)state;
    const struct quant_mix_model alone = {.n_layers = 32, .n_heads = 32, .n_kv_heads = 32};
    assert_int_equal(quant_mix_file_type(quant_mix_find("Q2_K_S")), 21);
    assert_chosen("Q2_K_S", &grouped, "blk.9.attn_v.weight", 4096, TENSOR_Q4_K);
    assert_chosen("Q2_K_S", &alone, "blk.9.attn_v.weight", 4096, TENSOR_Q2_K);
    assert_chosen("Q2_K_S", &grouped, "blk.3.ffn_down.weight", 4096, TENSOR_Q4_K);
    assert_chosen("Q2_K_S", &grouped, "blk.4.ffn_down.weight", 4096, TENSOR_Q2_K);
}

static void types_for_activations_have_no_file_type(void **state)
{
    (void)state;
    assert_int_equal(quant_mix_file_type(quant_mix_find("Q8_K")), QUANT_NO_FILE_TYPE);
    assert_int_equal(quant_mix_file_type(quant_mix_find("Q8_1")), QUANT_NO_FILE_TYPE);
    assert_chosen("Q8_1", &grouped, "output.weight", 4096, TENSOR_Q8_1);
    assert_chosen("Q8_K", &grouped, "output.weight", 4096, TENSOR_Q8_K);
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
        cmocka_unit_test(each_tensor_gets_the_type_that_llama_cpp_gives_it),
        cmocka_unit_test(the_smallest_mix_spares_attn_v_and_the_first_layers),
        cmocka_unit_test(types_for_activations_have_no_file_type),
        cmocka_unit_test(columns_that_are_no_whole_blocks_fall_back),
        cmocka_unit_test(what_is_small_and_steers_stays_as_it_is),
        cmocka_unit_test(names_from_a_file_may_say_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
