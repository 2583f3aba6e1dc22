/* Adapters' files: what is read, and what is refused with words that say why. */
#include "base/alloc.h"
#include "model/adapter.h"
#include "support/cmocka_all.h"
#include "support/tiny_model.h"

#include <string.h>

#define RANK 5u

struct fixture {
    struct strbuf model_bytes;
    struct model *model;
    struct tiny_file file; /* a right adapter; each test spoils one thing */
};

static struct bytes view(const struct strbuf *text)
{
    return (struct bytes){.data = (const uint8_t *)text->text, .length = text->length};
}

/* Of a tiny llama: 64 columns, 96 of the FFN. */
static void make_adapter(struct tiny_file *file)
{
    *file = (struct tiny_file){.n_values = 0};
    tiny_put_text(file, "general.type", "adapter");
    tiny_put_text(file, "general.architecture", "llama");
    tiny_put_text(file, "adapter.type", "lora");
    tiny_put_f32(file, "adapter.lora.alpha", 10.0f);
    tiny_add_tensor(file, "blk.1.ffn_up.weight.lora_a", TENSOR_F32, RANK, 64);
    tiny_add_tensor(file, "blk.1.ffn_up.weight.lora_b", TENSOR_F16, 96, RANK);
    tiny_add_tensor(file, "blk.0.attn_q.weight.lora_a", TENSOR_BF16, 2, 64);
    tiny_add_tensor(file, "blk.0.attn_q.weight.lora_b", TENSOR_F32, 64, 2);
}

static int set_up(void **state)
{
    struct fixture *const f = alloc_zeroed(ALLOC_TEST, 1, sizeof *f);
    struct realm_error error;
    assert_non_null(f);
    tiny_model(&f->file, "llama", TENSOR_F32);
    strbuf_init(&f->model_bytes, ALLOC_TEST, SIZE_MAX);
    tiny_write(&f->file, &f->model_bytes);
    if (model_open_bytes(view(&f->model_bytes), NULL, &f->model, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    make_adapter(&f->file);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *const f = *state;
    model_close(f->model);
    strbuf_deinit(&f->model_bytes);
    alloc_free(f);
    return 0;
}

static void expect_refusal(struct fixture *f, realm_status wanted, const char *a, const char *b)
{
    struct strbuf bytes;
    struct realm_error error = {.status = REALM_OK};
    struct adapter *adapter;
    strbuf_init(&bytes, ALLOC_TEST, SIZE_MAX);
    tiny_write(&f->file, &bytes);
    const uint64_t held = alloc_held_bytes(ALLOC_MODEL);
    const realm_status status = adapter_open(f->model, view(&bytes), &adapter, &error);
    if (status != wanted || strstr(error.message, a) == NULL || strstr(error.message, b) == NULL) {
        fail_msg("%s: \"%s\"; wanted are %s, \"%s\" and \"%s\"",
                 realm_status_name(status),
                 error.message,
                 realm_status_name(wanted),
                 a,
                 b);
    }
    assert_null(adapter);
    assert_int_equal(alloc_held_bytes(ALLOC_MODEL), held);
    strbuf_deinit(&bytes);
    make_adapter(&f->file);
}

static void parts_have_weight_rank_scale_and_types(void **state)
{
    struct fixture *const f = *state;
    struct strbuf bytes;
    struct realm_error error;
    struct adapter *adapter;
    uint32_t n_parts;
    strbuf_init(&bytes, ALLOC_TEST, SIZE_MAX);
    tiny_write(&f->file, &bytes);
    if (adapter_open(f->model, view(&bytes), &adapter, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    const struct adapter_part *const parts = adapter_parts(adapter, &n_parts);
    assert_int_equal(n_parts, 2);
    const struct plan *const plan = model_plan(f->model);
    assert_string_equal(plan_tensor(plan, parts[0].weight)->name, "blk.1.ffn_up.weight");
    assert_int_equal(parts[0].rank, RANK);
    assert_true(parts[0].scale == 2.0f);
    assert_int_equal(parts[0].a.type, TENSOR_F32);
    assert_int_equal(parts[0].a.bytes.n_bytes, RANK * 64 * 4);
    assert_int_equal(parts[0].b.type, TENSOR_F16);
    assert_int_equal(parts[0].b.bytes.n_bytes, 96 * RANK * 2);
    assert_string_equal(plan_tensor(plan, parts[1].weight)->name, "blk.0.attn_q.weight");
    assert_true(parts[1].scale == 5.0f);
    adapter_close(adapter);
    strbuf_deinit(&bytes);
}

static void an_alpha_of_nothing_is_a_scale_of_one(void **state)
{
    struct fixture *const f = *state;
    struct strbuf bytes;
    struct realm_error error;
    struct adapter *adapter;
    uint32_t n_parts;
    tiny_put_f32(&f->file, "adapter.lora.alpha", 0.0f);
    strbuf_init(&bytes, ALLOC_TEST, SIZE_MAX);
    tiny_write(&f->file, &bytes);
    assert_int_equal(adapter_open(f->model, view(&bytes), &adapter, &error), REALM_OK);
    assert_true(adapter_parts(adapter, &n_parts)[0].scale == 1.0f);
    adapter_close(adapter);
    strbuf_deinit(&bytes);
}

static void files_of_another_kind_are_refused(void **state)
{
    struct fixture *const f = *state;
    tiny_drop(&f->file, "general.type");
    expect_refusal(f, REALM_UNSUPPORTED, "general.type", "no adapter");
    tiny_put_text(&f->file, "general.type", "model");
    expect_refusal(f, REALM_UNSUPPORTED, "general.type", "\"model\"");
    tiny_put_text(&f->file, "adapter.type", "control_vector");
    expect_refusal(f, REALM_UNSUPPORTED, "adapter.type", "control_vector");
    tiny_put_text(&f->file, "general.architecture", "qwen3");
    expect_refusal(f, REALM_UNSUPPORTED, "\"qwen3\", not \"llama\"", "another base model");
    tiny_put_u32(&f->file, "adapter.alora.invocation_tokens", 7);
    expect_refusal(f, REALM_UNSUPPORTED, "invocation_tokens", "aLoRA");
    tiny_drop(&f->file, "adapter.lora.alpha");
    expect_refusal(f, REALM_NOT_FOUND, "adapter.lora.alpha", "");
    tiny_put_f32(&f->file, "adapter.lora.alpha", __builtin_nanf(""));
    expect_refusal(f, REALM_INVALID_FORMAT, "adapter.lora.alpha", "finite");
}

static void wrong_shapes_are_refused_by_tensor_and_shape(void **state)
{
    struct fixture *const f = *state;
    tiny_find_tensor(&f->file, "blk.1.ffn_up.weight.lora_a")->shape[0] = 96;
    expect_refusal(f, REALM_INVALID_FORMAT, "ffn_up.weight.lora_a is 5 x 96", "must be 5 x 64");
    tiny_find_tensor(&f->file, "blk.1.ffn_up.weight.lora_b")->shape[1] = 95;
    expect_refusal(f, REALM_INVALID_FORMAT, "ffn_up.weight.lora_b is 95 x 5", "must be 96 x 5");
    tiny_find_tensor(&f->file, "blk.0.attn_q.weight.lora_b")->shape[0] = 3;
    expect_refusal(f, REALM_INVALID_FORMAT, "attn_q.weight.lora_b is 64 x 3", "must be 64 x 2");
}

static void huge_ranks_are_refused(void **state)
{
    struct fixture *const f = *state;
    tiny_find_tensor(&f->file, "blk.1.ffn_up.weight.lora_a")->shape[1] = 257;
    expect_refusal(f, REALM_INVALID_FORMAT, "rank 257", "1 to 256");
}

static void tensors_without_a_place_are_refused(void **state)
{
    struct fixture *const f = *state;
    (void)strcpy(tiny_find_tensor(&f->file, "blk.1.ffn_up.weight.lora_a")->name,
                 "blk.7.ffn_up.weight.lora_a");
    expect_refusal(f, REALM_INVALID_FORMAT, "blk.7.ffn_up.weight", "another base model");
    tiny_drop_tensor(&f->file, "blk.1.ffn_up.weight.lora_b");
    expect_refusal(f, REALM_INVALID_FORMAT, "blk.1.ffn_up.weight.lora_b is missing", "incomplete");
    tiny_drop_tensor(&f->file, "blk.1.ffn_up.weight.lora_a");
    expect_refusal(f, REALM_INVALID_FORMAT, "2 tensors end in .lora_b and 1 in .lora_a", "");
    tiny_add_tensor(&f->file, "blk.0.attn_norm.weight", TENSOR_F32, 0, 64);
    expect_refusal(f, REALM_UNSUPPORTED, "blk.0.attn_norm.weight", "end in .lora_a");
    f->file.n_tensors = 0;
    expect_refusal(f, REALM_INVALID_FORMAT, "0 tensors", "at least one");
}

static void other_types_are_refused(void **state)
{
    struct fixture *const f = *state;
    tiny_find_tensor(&f->file, "blk.1.ffn_up.weight.lora_a")->type = TENSOR_Q4_0;
    expect_refusal(f, REALM_UNSUPPORTED, "lora_a is Q4_0", "F32, F16, BF16 or Q8_0");
}

/* Cut at any byte it is refused, or it was only padding that went. */
static void a_file_that_is_cut_is_refused(void **state)
{
    struct fixture *const f = *state;
    struct strbuf bytes;
    strbuf_init(&bytes, ALLOC_TEST, SIZE_MAX);
    tiny_write(&f->file, &bytes);
    uint32_t n_opened = 0;
    for (size_t n = 0; n < bytes.length; n++) {
        struct realm_error error;
        struct adapter *adapter;
        char *const copy = alloc_string(ALLOC_TEST, bytes.text, n);
        const struct bytes cut = {.data = (const uint8_t *)copy, .length = n};
        n_opened += adapter_open(f->model, cut, &adapter, &error) == REALM_OK;
        adapter_close(adapter);
        alloc_free(copy);
    }
    assert_true(n_opened < 32);
    strbuf_deinit(&bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(parts_have_weight_rank_scale_and_types),
        TEST(an_alpha_of_nothing_is_a_scale_of_one),
        TEST(files_of_another_kind_are_refused),
        TEST(wrong_shapes_are_refused_by_tensor_and_shape),
        TEST(huge_ranks_are_refused),
        TEST(tensors_without_a_place_are_refused),
        TEST(other_types_are_refused),
        TEST(a_file_that_is_cut_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
