/* Files that are not what they claim are refused with a message that says why; nothing crashes or
 * leaks. */
#include "base/alloc.h"
#include "model/model.h"
#include "support/cmocka_all.h"
#include "support/tiny_model.h"

#include <stdio.h>
#include <string.h>

static realm_status open_file(const struct tiny_file *file, struct realm_error *error)
{
    struct strbuf bytes;
    strbuf_init(&bytes, ALLOC_TEST, SIZE_MAX);
    tiny_write(file, &bytes);
    const struct bytes view = {(const uint8_t *)bytes.text, bytes.length};
    struct model *model;
    *error = (struct realm_error){.status = REALM_OK};
    const realm_status status = model_open_bytes(view, NULL, &model, error);
    assert_int_equal(status == REALM_OK, model != NULL);
    model_close(model);
    strbuf_deinit(&bytes);
    return status;
}

static void assert_refused(const struct tiny_file *file,
                           realm_status expected,
                           const char *part,
                           const char *other_part)
{
    struct realm_error error;
    const realm_status status = open_file(file, &error);
    if (status != expected || strstr(error.message, part) == NULL ||
        strstr(error.message, other_part) == NULL) {
        fail_msg("%s: \"%s\"; wanted are %s, \"%s\" and \"%s\"",
                 realm_status_name(status),
                 error.message,
                 realm_status_name(expected),
                 part,
                 other_part);
    }
}

static void numbers_out_of_range_are_refused_by_key_value_and_range(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        const char *part;
    } cases[] = {
        {"llama.block_count", 0, "0 is out of range; allowed are 1 to 1024"},
        {"llama.block_count", 1025, "1025 is out of range"},
        {"llama.embedding_length", 0, "0 is out of range"},
        {"llama.embedding_length", 1u << 21, "2097152 is out of range"},
        {"llama.context_length", 0, "0 is out of range"},
        {"llama.feed_forward_length", 1u << 30, "is out of range"},
        {"llama.attention.head_count", 0, "0 is out of range"},
        {"llama.attention.head_count_kv", 0, "0 is out of range"},
        {"llama.attention.head_count_kv", 3, "3 does not divide the 4 heads"},
        {"llama.attention.key_length", 258, "258 is out of range"},
        {"llama.attention.key_length", 15, "15 columns a head"},
        {"llama.rope.dimension_count", 0, "0 is out of range"},
        {"llama.rope.dimension_count", 18, "18 is out of range; allowed are 2 to 16"},
        {"llama.rope.dimension_count", 7, "7 is odd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tiny_file file;
        tiny_model(&file, "llama", TENSOR_F32);
        tiny_put_u32(&file, cases[i].key, cases[i].value);
        assert_refused(&file, REALM_INVALID_FORMAT, cases[i].key, cases[i].part);
    }
}

static void floats_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        float value;
    } cases[] = {
        {"llama.rope.freq_base", 0.0f},
        {"llama.rope.freq_base", -1.0f},
        {"llama.rope.freq_base", 1e13f},
        {"llama.rope.scaling.factor", -2.0f},
        {"llama.rope.scaling.factor", 1e-20f},
        {"llama.rope.scaling.attn_factor", 0.0f},
        {"llama.attention.layer_norm_rms_epsilon", -1e-6f},
        {"llama.attention.scale", 0.0f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tiny_file file;
        tiny_model(&file, "llama", TENSOR_F32);
        tiny_put_f32(&file, cases[i].key, cases[i].value);
        assert_refused(&file, REALM_INVALID_FORMAT, cases[i].key, "out of range");
    }
}

static void floats_that_are_no_numbers_are_refused(void **state)
{
    (void)state;
    static const float values[] = {__builtin_nanf(""), __builtin_inff(), -__builtin_inff()};
    for (size_t i = 0; i < 3; i++) {
        struct tiny_file file;
        tiny_model(&file, "llama", TENSOR_F32);
        tiny_put_f32(&file, "llama.rope.freq_base", values[i]);
        assert_refused(&file, REALM_INVALID_FORMAT, "llama.rope.freq_base", "finite");
    }
}

static void missing_keys_are_named(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "general.architecture",
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon",
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct tiny_file file;
        tiny_model(&file, "llama", TENSOR_F32);
        tiny_drop(&file, keys[i]);
        const realm_status expected = i == 0 ? REALM_NOT_FOUND : REALM_INVALID_FORMAT;
        assert_refused(&file, expected, keys[i], "");
    }
}

static void values_of_another_type_are_named(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "general.architecture",
        "general.name",
        "llama.block_count",
        "llama.rope.freq_base",
        "llama.rope.scaling.type",
        "llama.attention.causal",
    };
    static const uint64_t items[] = {1, 2};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct tiny_file file;
        tiny_model(&file, "llama", TENSOR_F32);
        tiny_put_array(&file, keys[i], GGUF_U32, items, 2);
        assert_refused(&file, REALM_INVALID_FORMAT, keys[i], "");
    }
}

static void features_that_cannot_run_are_refused_by_their_key(void **state)
{
    (void)state;
    static const uint64_t differing[] = {2, 1};
    static const uint64_t uneven[] = {1, 0, 1, 1, 1, 1, 0};
    struct tiny_file file;
    tiny_model(&file, "llama", TENSOR_F32);
    tiny_put_u32(&file, "llama.expert_count", 8);
    assert_refused(&file, REALM_UNSUPPORTED, "llama.expert_count", "8");

    tiny_model(&file, "llama", TENSOR_F32);
    tiny_put_u32(&file, "llama.attention.value_length", 8);
    assert_refused(&file, REALM_UNSUPPORTED, "llama.attention.value_length", "8");

    tiny_model(&file, "llama", TENSOR_F32);
    tiny_put_text(&file, "llama.rope.scaling.type", "ntk");
    assert_refused(&file, REALM_UNSUPPORTED, "llama.rope.scaling.type", "\"ntk\"");

    tiny_model(&file, "llama", TENSOR_F32);
    tiny_put_bool(&file, "llama.attention.causal", false);
    assert_refused(&file, REALM_UNSUPPORTED, "llama.attention.causal", "false");

    tiny_model(&file, "llama", TENSOR_F32);
    tiny_put_array(&file, "llama.attention.head_count_kv", GGUF_U32, differing, 2);
    assert_refused(&file, REALM_UNSUPPORTED, "llama.attention.head_count_kv", "1 in layer 1");

    tiny_model(&file, "gemma3", TENSOR_F32);
    tiny_put_array(&file, "gemma3.attention.sliding_window_pattern", GGUF_BOOL, uneven, 7);
    assert_refused(&file, REALM_UNSUPPORTED, "gemma3.attention.sliding_window_pattern", "layer 3");
}

static void an_unknown_architecture_is_told_the_known_ones(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "llama", TENSOR_F32);
    tiny_put_text(&file, "general.architecture", "mamba");
    assert_refused(
        &file, REALM_UNSUPPORTED, "\"mamba\"", "known are llama, gemma3, qwen2, qwen3, phi3");
}

static void tensors_missing_misshapen_mistyped_or_unknown_are_named(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "llama", TENSOR_F32);
    tiny_drop_tensor(&file, "blk.1.attn_k.weight");
    assert_refused(&file, REALM_INVALID_FORMAT, "blk.1.attn_k.weight", "missing");

    tiny_model(&file, "llama", TENSOR_F32);
    tiny_find_tensor(&file, "blk.0.ffn_down.weight")->shape[0] = 64;
    assert_refused(&file, REALM_INVALID_FORMAT, "blk.0.ffn_down.weight", "64 rows of 96 columns");

    tiny_model(&file, "llama", TENSOR_F32);
    struct tiny_tensor *const folded = tiny_find_tensor(&file, "blk.0.attn_q.weight");
    folded->n_dims = 3;
    folded->shape[1] = 32;
    folded->shape[2] = 2;
    assert_refused(&file, REALM_INVALID_FORMAT, "blk.0.attn_q.weight", "2 x 1");

    tiny_model(&file, "llama", TENSOR_F32);
    tiny_find_tensor(&file, "blk.1.ffn_up.weight")->type = TENSOR_I32;
    assert_refused(&file, REALM_UNSUPPORTED, "blk.1.ffn_up.weight", "I32");

    tiny_model(&file, "llama", TENSOR_F32);
    tiny_find_tensor(&file, "blk.1.attn_norm.weight")->type = TENSOR_F16;
    assert_refused(&file, REALM_UNSUPPORTED, "blk.1.attn_norm.weight", "must be F32");

    tiny_model(&file, "llama", TENSOR_F32);
    tiny_add_tensor(&file, "blk.1.attn_sinks.weight", TENSOR_F32, 0, 4);
    assert_refused(&file, REALM_UNSUPPORTED, "blk.1.attn_sinks.weight", "llama");

    tiny_model(&file, "qwen2", TENSOR_F32);
    tiny_drop_tensor(&file, "blk.0.attn_v.bias");
    assert_refused(&file, REALM_INVALID_FORMAT, "blk.0.attn_v.bias", "missing");
}

static void rope_factors_of_zero_are_refused(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "llama", TENSOR_F32);
    tiny_add_tensor(&file, "rope_freqs.weight", TENSOR_F32, 0, 8);
    struct strbuf bytes;
    strbuf_init(&bytes, ALLOC_TEST, SIZE_MAX);
    tiny_write(&file, &bytes);
    /* The last tensor's eight numbers end the file. */
    memset(bytes.text + bytes.length - 4, 0, 4);
    const struct bytes view = {(const uint8_t *)bytes.text, bytes.length};
    struct model *model;
    struct realm_error error;
    assert_int_equal(model_open_bytes(view, NULL, &model, &error), REALM_INVALID_FORMAT);
    assert_non_null(strstr(error.message, "rope_freqs.weight: factor 7 is 0"));
    strbuf_deinit(&bytes);
}

static void a_picture_encoder_beside_the_model_is_no_reason_to_refuse(void **state)
{
    (void)state;
    struct tiny_file file;
    struct realm_error error;
    tiny_model(&file, "gemma3", TENSOR_F32);
    tiny_add_tensor(&file, "v.blk.0.attn_q.weight", TENSOR_F32, 4, 4);
    tiny_add_tensor(&file, "mm.input_projection.weight", TENSOR_F32, 4, 4);
    assert_int_equal(open_file(&file, &error), REALM_OK);
}

/* --- at random ----------------------------------------------------------------------------------
 */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static uint64_t odd_number(uint64_t *random)
{
    static const uint64_t numbers[] = {
        0,          1,          2,
        3,          7,          16,
        32,         63,         64,
        65,         255,        256,
        1024,       65535,      65536,
        0x3F800000, 0x7F800000, 0x7FC00000,
        0xFF800000, 0x80000000, 0x7FFFFFFF,
        UINT32_MAX, UINT64_MAX, INT64_MAX,
        1u << 24,   1u << 27,   (1ull << 32) + 1,
    };
    return numbers[next_random(random) % (sizeof numbers / sizeof numbers[0])];
}

static void spoil_value(struct tiny_file *file, uint64_t *random)
{
    struct tiny_value *const v = &file->values[next_random(random) % file->n_values];
    switch (next_random(random) % 6) {
    case 0:
        v->type = (enum gguf_value_type)(next_random(random) % 14);
        break;
    case 1:
        v->type = GGUF_ARRAY;
        v->item_type = (enum gguf_value_type)(next_random(random) % 13);
        v->n_items = next_random(random) % (TINY_MAX_ITEMS + 1);
        break;
    case 2:
        tiny_drop(file, v->key);
        break;
    case 3:
        snprintf(v->text, sizeof v->text, "%s", next_random(random) % 2 ? "yarn" : "\xff\xfe");
        v->type = GGUF_STRING;
        break;
    default:
        v->integers[next_random(random) % 2] = odd_number(random);
        break;
    }
}

static void spoil_tensor(struct tiny_file *file, uint64_t *random)
{
    struct tiny_tensor *const t = &file->tensors[next_random(random) % file->n_tensors];
    switch (next_random(random) % 5) {
    case 0:
        t->type = next_random(random) % 40;
        break;
    case 1:
        t->n_dims = next_random(random) % 6;
        break;
    case 2:
        tiny_drop_tensor(file, t->name);
        break;
    case 3:
        t->name[next_random(random) % strlen(t->name)] = (char)next_random(random);
        break;
    default:
        t->shape[next_random(random) % GGUF_MAX_DIMS] = odd_number(random);
        break;
    }
}

static void add_optional(struct tiny_file *file, const char *architecture, uint64_t *random)
{
    static const char *const keys[] = {
        "rope.scaling.factor",
        "rope.scaling.type",
        "rope.scaling.original_context_length",
        "rope.scaling.yarn_beta_fast",
        "rope.scaling.yarn_log_multiplier",
        "attention.sliding_window",
        "attention.sliding_window_pattern",
        "attention.scale",
        "attention.key_length",
        "attention.value_length",
        "expert_count",
        "rope.freq_base_swa",
    };
    char key[80];
    const uint32_t i = next_random(random) % (sizeof keys / sizeof keys[0]);
    snprintf(key, sizeof key, "%s.%s", architecture, keys[i]);
    tiny_put_u32(file, key, (uint32_t)odd_number(random));
}

static void ten_thousand_spoilt_models_open_or_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const architectures[] = {"llama", "gemma3", "qwen2", "qwen3", "phi3"};
    const uint64_t seed = 20250601;
    const uint64_t held = alloc_held_bytes(ALLOC_MODEL);
    uint32_t n_opened = 0;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (uint32_t n = 0; n < 10000; n++) {
        uint64_t random = seed + n;
        struct tiny_file file;
        const char *const architecture = architectures[n % 5];
        tiny_model(&file, architecture, n % 2 ? TENSOR_Q8_0 : TENSOR_F32);
        for (uint32_t k = next_random(&random) % 3; k-- > 0;) {
            add_optional(&file, architecture, &random);
        }
        for (uint32_t k = 1 + next_random(&random) % 3; k-- > 0;) {
            if (next_random(&random) % 2) {
                spoil_value(&file, &random);
            } else {
                spoil_tensor(&file, &random);
            }
        }
        struct realm_error error;
        const realm_status status = open_file(&file, &error);
        n_opened += status == REALM_OK;
        if (status != REALM_OK && strlen(error.message) < 8) {
            fail_msg("file %u: %s without a reason", n, realm_status_name(status));
        }
    }
    print_message("%u opened\n", n_opened);
    assert_in_range(n_opened, 100, 9000);
    assert_int_equal(alloc_held_bytes(ALLOC_MODEL), held);
}

static void running_out_of_memory_anywhere_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    struct tiny_file file;
    tiny_model(&file, "gemma3", TENSOR_F32);
    struct strbuf bytes;
    strbuf_init(&bytes, ALLOC_TEST, SIZE_MAX);
    tiny_write(&file, &bytes);
    const struct bytes view = {(const uint8_t *)bytes.text, bytes.length};
    const uint64_t held = alloc_held_bytes(ALLOC_MODEL);
    realm_status status = REALM_OUT_OF_MEMORY;
    uint32_t n = 0;
    for (; status != REALM_OK && n < 10000; n++) {
        struct model *model;
        struct realm_error error;
        alloc_fail_after(n);
        status = model_open_bytes(view, NULL, &model, &error);
        alloc_fail_after(UINT64_MAX);
        if (status != REALM_OK) {
            assert_int_equal(status, REALM_OUT_OF_MEMORY);
            assert_null(model);
        }
        model_close(model);
        assert_int_equal(alloc_held_bytes(ALLOC_MODEL), held);
    }
    assert_int_equal(status, REALM_OK);
    assert_true(n > 5);
    strbuf_deinit(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_out_of_range_are_refused_by_key_value_and_range),
        cmocka_unit_test(floats_out_of_range_are_refused),
        cmocka_unit_test(floats_that_are_no_numbers_are_refused),
        cmocka_unit_test(missing_keys_are_named),
        cmocka_unit_test(values_of_another_type_are_named),
        cmocka_unit_test(features_that_cannot_run_are_refused_by_their_key),
        cmocka_unit_test(an_unknown_architecture_is_told_the_known_ones),
        cmocka_unit_test(tensors_missing_misshapen_mistyped_or_unknown_are_named),
        cmocka_unit_test(rope_factors_of_zero_are_refused),
        cmocka_unit_test(a_picture_encoder_beside_the_model_is_no_reason_to_refuse),
        cmocka_unit_test(ten_thousand_spoilt_models_open_or_are_refused_with_a_reason),
        cmocka_unit_test(running_out_of_memory_anywhere_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
