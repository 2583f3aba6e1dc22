/* Tiny models of each architecture open, and their plans say what the papers say. */
#include "base/alloc.h"
#include "model/model.h"
#include "support/cmocka_all.h"
#include "support/tiny_model.h"

#include <stdio.h>
#include <string.h>

struct opened {
    struct strbuf bytes;
    struct model *model;
    struct strbuf dump;
};

static void
open_tiny(const struct tiny_file *file, const struct model_options *options, struct opened *out)
{
    strbuf_init(&out->bytes, ALLOC_TEST, SIZE_MAX);
    strbuf_init(&out->dump, ALLOC_TEST, SIZE_MAX);
    tiny_write(file, &out->bytes);
    const struct bytes bytes = {(const uint8_t *)out->bytes.text, out->bytes.length};
    struct realm_error error = {0};
    if (model_open_bytes(bytes, options, &out->model, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    plan_dump(model_plan(out->model), &out->dump);
}

static void close_tiny(struct opened *opened)
{
    model_close(opened->model);
    strbuf_deinit(&opened->bytes);
    strbuf_deinit(&opened->dump);
}

static const struct op *find_op(const struct opened *opened, const char *name)
{
    const struct plan *const plan = model_plan(opened->model);
    for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
        if (strcmp(plan_op(plan, i)->name, name) == 0) {
            return plan_op(plan, i);
        }
    }
    fail_msg("no operation %s in\n%s", name, opened->dump.text);
    return NULL;
}

static void assert_near(float actual, float expected)
{
    if (!(actual > expected - 1e-4f * (1 + expected) &&
          actual < expected + 1e-4f * (1 + expected))) {
        fail_msg("%g instead of %g", (double)actual, (double)expected);
    }
}

static void llama_plan_reads_like_the_paper(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "llama", TENSOR_F32);
    tiny_put_u32(&file, "llama.block_count", 1);
    for (uint32_t i = 0; i < 9; i++) {
        static const char *const roles[] = {
            "blk.1.attn_norm.weight",
            "blk.1.ffn_norm.weight",
            "blk.1.attn_output.weight",
            "blk.1.ffn_down.weight",
            "blk.1.attn_q.weight",
            "blk.1.attn_k.weight",
            "blk.1.attn_v.weight",
            "blk.1.ffn_gate.weight",
            "blk.1.ffn_up.weight",
        };
        tiny_drop_tensor(&file, roles[i]);
    }
    struct opened opened;
    open_tiny(&file, NULL, &opened);
    static const char *const names[] = {
        "embed",
        "blk.0.attn_norm",
        "blk.0.attn_qkv",
        "blk.0.attn_rope",
        "blk.0.attention",
        "blk.0.attn_output",
        "blk.0.select",
        "blk.0.select",
        "blk.0.attn_residual",
        "blk.0.ffn_norm",
        "blk.0.ffn_gate_up",
        "blk.0.ffn_silu",
        "blk.0.ffn_down",
        "blk.0.ffn_residual",
        "output_norm",
        "output",
        "logits",
    };
    const struct plan *const plan = model_plan(opened.model);
    assert_int_equal(plan_n_ops(plan), sizeof names / sizeof names[0]);
    for (uint32_t i = 0; i < plan_n_ops(plan); i++) {
        assert_string_equal(plan_op(plan, i)->name, names[i]);
    }
    const struct attention_attributes *const a =
        &find_op(&opened, "blk.0.attention")->attributes.attention;
    assert_int_equal(a->n_heads, 4);
    assert_int_equal(a->n_kv_heads, 2);
    assert_int_equal(a->head_columns, 16);
    assert_int_equal(a->window, 0);
    assert_near(a->scale, 0.25f);
    const struct rope_attributes *const rope =
        &find_op(&opened, "blk.0.attn_rope")->attributes.rope;
    assert_int_equal(rope->pairing, ROPE_ADJACENT);
    assert_near(rope->base, 20000.0f);
    assert_near(rope->position_scale, 1.0f);
    assert_near(rope->magnitude, 1.0f);
    assert_int_equal(rope->factors, TENSOR_NONE);
    close_tiny(&opened);
}

static void llama_ties_its_output_when_the_file_has_none(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "llama", TENSOR_Q8_0);
    tiny_drop_tensor(&file, "output.weight");
    struct opened opened;
    open_tiny(&file, NULL, &opened);
    assert_int_equal(find_op(&opened, "output")->weights[0], find_op(&opened, "embed")->weights[0]);
    assert_int_equal(plan_vocabulary(model_plan(opened.model)), 80);
    close_tiny(&opened);
}

static void llama_takes_biases_factors_and_a_window_when_present(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "llama", TENSOR_F16);
    tiny_add_tensor(&file, "rope_freqs.weight", TENSOR_F32, 0, 8);
    tiny_add_tensor(&file, "blk.1.attn_k.bias", TENSOR_F32, 0, 32);
    tiny_add_tensor(&file, "blk.0.ffn_down.bias", TENSOR_F32, 0, 64);
    tiny_put_u32(&file, "llama.attention.sliding_window", 24);
    struct opened opened;
    open_tiny(&file, NULL, &opened);
    assert_int_not_equal(find_op(&opened, "blk.1.attn_qkv")->biases[1], TENSOR_NONE);
    assert_int_equal(find_op(&opened, "blk.1.attn_qkv")->biases[0], TENSOR_NONE);
    assert_int_not_equal(find_op(&opened, "blk.0.ffn_down")->biases[0], TENSOR_NONE);
    assert_int_equal(find_op(&opened, "blk.1.ffn_down")->biases[0], TENSOR_NONE);
    assert_int_not_equal(find_op(&opened, "blk.0.attn_rope")->attributes.rope.factors, TENSOR_NONE);
    assert_int_equal(find_op(&opened, "blk.0.attention")->attributes.attention.window, 24);
    close_tiny(&opened);
}

static void linear_scaling_divides_positions(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "llama", TENSOR_F32);
    tiny_put_text(&file, "llama.rope.scaling.type", "linear");
    tiny_put_f32(&file, "llama.rope.scaling.factor", 4.0f);
    struct opened opened;
    open_tiny(&file, NULL, &opened);
    const struct rope_attributes *const rope =
        &find_op(&opened, "blk.1.attn_rope")->attributes.rope;
    assert_near(rope->position_scale, 0.25f);
    assert_near(rope->magnitude, 1.0f);
    assert_near(rope->yarn_mix, 0.0f);
    close_tiny(&opened);

    tiny_put_text(&file, "llama.rope.scaling.type", "none");
    open_tiny(&file, NULL, &opened);
    assert_near(find_op(&opened, "blk.1.attn_rope")->attributes.rope.position_scale, 1.0f);
    close_tiny(&opened);
}

static void yarn_has_the_ramp_and_magnitude_of_its_paper(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "qwen2", TENSOR_F32);
    tiny_put_text(&file, "qwen2.rope.scaling.type", "yarn");
    tiny_put_f32(&file, "qwen2.rope.scaling.factor", 4.0f);
    tiny_put_u32(&file, "qwen2.rope.scaling.original_context_length", 32768);
    tiny_put_f32(&file, "qwen2.rope.freq_base", 1000000.0f);
    struct opened opened;
    open_tiny(&file, NULL, &opened);
    const struct rope_attributes *const rope =
        &find_op(&opened, "blk.0.attn_rope")->attributes.rope;
    assert_int_equal(rope->pairing, ROPE_HALVES);
    assert_near(rope->position_scale, 0.25f);
    assert_near(rope->yarn_mix, 1.0f);
    /* 16 ln(32768 / (32 * 2 pi)) / (2 ln 10^6) = 2.95..; with 1 turn 4.96.. */
    assert_near(rope->yarn_ramp_low, 2.0f);
    assert_near(rope->yarn_ramp_high, 5.0f);
    assert_near(rope->magnitude, 1.1386294f);
    close_tiny(&opened);
}

static void qwen2_dumps_its_first_layer_as_text(void **state)
{
    (void)state;
    static const char expected[] =
        "   0 embed     embed: token_embd.weight(Q8_0 80x64) scale=1 -> %1:64\n"
        "   1 rms_norm  blk.0.attn_norm: %1:64 blk.0.attn_norm.weight(F32 1x64) epsilon=1"
        "e-05 group=64 -> %3:64\n"
        "   2 matmul    blk.0.attn_qkv: %3:64 blk.0.attn_q.weight(Q8_0 64x64) + blk.0.att"
        "n_q.bias(F32 1x64) blk.0.attn_k.weight(Q8_0 32x64) + blk.0.attn_k.bias(F32 1x32)"
        " blk.0.attn_v.weight(Q8_0 32x64) + blk.0.attn_v.bias(F32 1x32) -> %10:128\n"
        "   3 rope      blk.0.attn_rope: %10[0..96) halves head=16 rotated=16 base=20000 "
        "scale=1 -> %10[0..96)\n"
        "   4 attention blk.0.attention: %10[0..64) %10[64..96) %10[96..128) layer=0 head"
        "s=4/2 columns=16 scale=0.25 window=0 -> %15:64\n"
        "   5 matmul    blk.0.attn_output: %15:64 blk.0.attn_output.weight(Q8_0 64x64) ->"
        " %17:64\n"
        "   6 add       blk.0.attn_residual: %1:64 %17:64 -> %18:64\n"
        "   7 rms_norm  blk.0.ffn_norm: %18:64 blk.0.ffn_norm.weight(F32 1x64) epsilon=1e"
        "-05 group=64 -> %20:64\n"
        "   8 matmul    blk.0.ffn_gate_up: %20:64 blk.0.ffn_gate.weight(Q8_0 96x64) blk.0"
        ".ffn_up.weight(Q8_0 96x64) -> %23:192\n"
        "   9 silu_mul  blk.0.ffn_silu: %23[0..96) %23[96..192) -> %26:96\n"
        "  10 matmul    blk.0.ffn_down: %26:96 blk.0.ffn_down.weight(Q8_0 64x96) -> %28:6"
        "4\n"
        "  11 add       blk.0.ffn_residual: %18:64 %28:64 -> %29:64\n";
    struct tiny_file file;
    tiny_model(&file, "qwen2", TENSOR_Q8_0);
    struct opened opened;
    open_tiny(&file, NULL, &opened);
    assert_true(opened.dump.length > sizeof expected);
    opened.dump.text[sizeof expected - 1] = '\0';
    assert_string_equal(opened.dump.text, expected);
    close_tiny(&opened);
}

static void qwen2_has_biases_on_q_k_and_v(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "qwen2", TENSOR_Q4_0);
    struct opened opened;
    open_tiny(&file, NULL, &opened);
    const struct op *const qkv = find_op(&opened, "blk.1.attn_qkv");
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_not_equal(qkv->biases[i], TENSOR_NONE);
    }
    close_tiny(&opened);
}

static void qwen3_norms_the_heads_of_q_and_k_before_rope(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "qwen3", TENSOR_F32);
    struct opened opened;
    open_tiny(&file, NULL, &opened);
    const struct op *const q_norm = find_op(&opened, "blk.0.attn_q_norm");
    assert_int_equal(q_norm->attributes.norm.group, 16);
    assert_int_equal(find_op(&opened, "blk.0.attn_q_rope")->inputs[0], q_norm->output);
    assert_int_equal(find_op(&opened, "blk.0.attention")->inputs[0], q_norm->output);
    assert_int_equal(find_op(&opened, "blk.0.attention")->inputs[1],
                     find_op(&opened, "blk.0.attn_k_norm")->output);
    close_tiny(&opened);
}

static void gemma3_looks_back_a_window_in_five_of_six_layers(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "gemma3", TENSOR_F32);
    tiny_put_text(&file, "gemma3.rope.scaling.type", "linear");
    tiny_put_f32(&file, "gemma3.rope.scaling.factor", 8.0f);
    struct opened opened;
    open_tiny(&file, NULL, &opened);
    for (uint32_t layer = 0; layer < 7; layer++) {
        char name[32];
        const bool global = layer == 5;
        snprintf(name, sizeof name, "blk.%u.attention", layer);
        const struct attention_attributes *const a = &find_op(&opened, name)->attributes.attention;
        assert_int_equal(a->window, global ? 0 : 8);
        snprintf(name, sizeof name, "blk.%u.attn_q_rope", layer);
        const struct rope_attributes *const rope = &find_op(&opened, name)->attributes.rope;
        assert_near(rope->base, global ? 20000.0f : 10000.0f);
        assert_near(rope->position_scale, global ? 0.125f : 1.0f);
    }
    assert_near(find_op(&opened, "embed")->attributes.embed.scale, 8.0f);
    const struct op *const residual = find_op(&opened, "blk.2.attn_residual");
    assert_int_equal(residual->inputs[1], find_op(&opened, "blk.2.post_attention_norm")->output);
    assert_int_equal(find_op(&opened, "blk.2.ffn_residual")->inputs[1],
                     find_op(&opened, "blk.2.post_ffw_norm")->output);
    assert_int_equal(find_op(&opened, "blk.2.ffn_gelu")->kind, OP_GELU_MUL);
    close_tiny(&opened);
}

static void gemma3_takes_its_pattern_from_the_file(void **state)
{
    (void)state;
    static const uint64_t pattern[] = {1, 1, 0, 1, 1, 0, 1};
    struct tiny_file file;
    tiny_model(&file, "gemma3", TENSOR_F32);
    tiny_put_array(&file, "gemma3.attention.sliding_window_pattern", GGUF_BOOL, pattern, 7);
    struct opened opened;
    open_tiny(&file, NULL, &opened);
    for (uint32_t layer = 0; layer < 7; layer++) {
        char name[32];
        snprintf(name, sizeof name, "blk.%u.attention", layer);
        assert_int_equal(find_op(&opened, name)->attributes.attention.window, pattern[layer] * 8);
    }
    close_tiny(&opened);
}

static void phi3_chooses_its_factors_by_the_context_wanted(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "phi3", TENSOR_F32);
    tiny_put_u32(&file, "phi3.rope.dimension_count", 12);
    tiny_put_u32(&file, "phi3.rope.scaling.original_context_length", 64);
    tiny_put_f32(&file, "phi3.rope.scaling.attn_factor", 1.19f);
    tiny_put_u32(&file, "phi3.attention.sliding_window", 100);
    tiny_add_tensor(&file, "rope_factors_long.weight", TENSOR_F32, 0, 6);
    tiny_add_tensor(&file, "rope_factors_short.weight", TENSOR_F32, 0, 6);
    static const struct {
        uint32_t context_length;
        const char *factors;
    } cases[] = {
        {0, "rope_factors_long.weight"},
        {64, "rope_factors_short.weight"},
        {65, "rope_factors_long.weight"},
    };
    for (uint32_t i = 0; i < 3; i++) {
        const struct model_options options = {.context_length = cases[i].context_length};
        struct opened opened;
        open_tiny(&file, &options, &opened);
        const struct rope_attributes *const rope =
            &find_op(&opened, "blk.1.attn_rope")->attributes.rope;
        assert_string_equal(plan_tensor(model_plan(opened.model), rope->factors)->name,
                            cases[i].factors);
        assert_int_equal(rope->rotated_columns, 12);
        assert_int_equal(rope->head_columns, 16);
        assert_near(rope->magnitude, 1.19f);
        assert_int_equal(find_op(&opened, "blk.1.attention")->attributes.attention.window, 100);
        close_tiny(&opened);
    }
}

static void a_model_tells_what_it_is(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "llama", TENSOR_Q8_0);
    struct opened opened;
    open_tiny(&file, NULL, &opened);
    assert_string_equal(model_architecture(opened.model), "llama");
    assert_string_equal(model_name(opened.model), "Tiny");
    assert_string_equal(model_file_type_name(opened.model), "Q8_0");
    assert_int_equal(model_context_length(opened.model), 256);
    assert_int_equal(model_vocabulary(opened.model), 80);
    assert_int_equal(model_n_parameters(opened.model),
                     2 * 80 * 64 + 64 + 2 * (2 * 64 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64));
    assert_int_equal(model_file_bytes(opened.model), opened.bytes.length);
    close_tiny(&opened);

    tiny_put_u32(&file, "general.file_type", 15);
    open_tiny(&file, NULL, &opened);
    assert_string_equal(model_file_type_name(opened.model), "Q4_K_M");
    close_tiny(&opened);
    assert_string_equal(model_known_architecture(0), "llama");
    assert_null(model_known_architecture(5));
}

static void the_weight_source_gives_each_tensor_its_bytes(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "qwen2", TENSOR_Q8_0);
    struct opened opened;
    open_tiny(&file, NULL, &opened);
    const struct plan *const plan = model_plan(opened.model);
    const struct weight_source source = model_weight_source(opened.model);
    uint32_t n_weights = 0;
    for (tensor_id i = 0; i < plan_n_tensors(plan); i++) {
        const struct plan_tensor *const t = plan_tensor(plan, i);
        if (t->kind != TENSOR_WEIGHT) {
            continue;
        }
        uint64_t row_bytes;
        assert_true(tensor_type_row_bytes(t->type, t->columns, &row_bytes));
        const struct bytes_view view = source.read(source.context, t);
        assert_int_equal(view.n_bytes, row_bytes * t->rows);
        assert_memory_equal(view.data,
                            gguf_find_tensor(model_gguf(opened.model), t->name)->data.data,
                            view.n_bytes);
        source.done(source.context, t);
        n_weights++;
    }
    assert_int_equal(n_weights, file.n_tensors);
    close_tiny(&opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_plan_reads_like_the_paper),
        cmocka_unit_test(llama_ties_its_output_when_the_file_has_none),
        cmocka_unit_test(llama_takes_biases_factors_and_a_window_when_present),
        cmocka_unit_test(linear_scaling_divides_positions),
        cmocka_unit_test(yarn_has_the_ramp_and_magnitude_of_its_paper),
        cmocka_unit_test(qwen2_dumps_its_first_layer_as_text),
        cmocka_unit_test(qwen2_has_biases_on_q_k_and_v),
        cmocka_unit_test(qwen3_norms_the_heads_of_q_and_k_before_rope),
        cmocka_unit_test(gemma3_looks_back_a_window_in_five_of_six_layers),
        cmocka_unit_test(gemma3_takes_its_pattern_from_the_file),
        cmocka_unit_test(phi3_chooses_its_factors_by_the_context_wanted),
        cmocka_unit_test(a_model_tells_what_it_is),
        cmocka_unit_test(the_weight_source_gives_each_tensor_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
