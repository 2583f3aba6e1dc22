/* What holds for every type beyond the golden values: any bytes and any floats are taken, nothing
 * is written past the row, weights that count more are told better, F16 rounds as IEEE 754 says. */
#include "base/alloc.h"
#include "quant/quant.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <math.h>
#include <string.h>

#define N        512u
#define CANARY   0xA5
#define MAX_TYPE 32u

typedef void (*type_check)(const struct quant_type *type, struct test_random *random);

static void for_each_type(type_check check, const char *name)
{
    uint32_t n_types = 0;
    struct test_random random;
    test_random_init(&random, name);
    for (uint32_t id = 0; id < MAX_TYPE; id++) {
        const struct quant_type *const type = quant_find((enum tensor_type)id);
        if (type != NULL) {
            assert_int_equal(type->type, id);
            check(type, &random);
            n_types++;
        }
    }
    assert_int_equal(n_types, 15);
}

static size_t row_bytes(const struct quant_type *type)
{
    uint64_t n_bytes;
    assert_true(tensor_type_row_bytes(type->type, N, &n_bytes));
    return (size_t)n_bytes;
}

/* About a bell curve of the given width. */
static float bell(struct test_random *random, float width)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        sum += (float)test_random_below(random, 1u << 20) / (float)(1u << 20) - 0.5f;
    }
    return sum * width;
}

static void fill_bell(float *values, struct test_random *random, float width)
{
    for (uint32_t i = 0; i < N; i++) {
        values[i] = bell(random, width);
    }
}

static float any_float(struct test_random *random)
{
    const uint32_t bits = (uint32_t)test_random_u64(random);
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Exactly as large as the row is, so that a sanitizer sees a step beyond it. */
static uint8_t *new_blocks(const struct quant_type *type)
{
    uint8_t *const blocks = alloc_bytes(ALLOC_TEST, row_bytes(type));
    assert_non_null(blocks);
    memset(blocks, 0, row_bytes(type));
    return blocks;
}

/* --- any input --- */

static void dequantise_random_bytes(const struct quant_type *type, struct test_random *random)
{
    float out[N + 1];
    uint8_t *const blocks = new_blocks(type);
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < row_bytes(type); i++) {
            blocks[i] = (uint8_t)test_random_u64(random);
        }
        memset(&out[N], CANARY, sizeof(float));
        type->dequantise_row(blocks, out, N);
        const uint8_t *const behind = (const uint8_t *)&out[N];
        assert_true(behind[0] == CANARY && behind[3] == CANARY);
    }
    alloc_free(blocks);
}

static void any_bytes_are_taken_for_blocks(void **state)
{
    (void)state;
    for_each_type(dequantise_random_bytes, __func__);
}

static void quantise_random_floats(const struct quant_type *type, struct test_random *random)
{
    static const float hostile[] = {
        0.0f, -0.0f, INFINITY, -INFINITY, NAN, 3.4e38f, -3.4e38f, 1e-45f, 6e4f, 1e-7f};
    float values[N];
    float importance[N];
    float back[N];
    const size_t n_bytes = row_bytes(type);
    uint8_t *const blocks = alloc_bytes(ALLOC_TEST, n_bytes + 1);
    assert_non_null(blocks);
    for (uint32_t round = 0; round < 200; round++) {
        const uint64_t n_kinds = round % (sizeof(hostile) / sizeof(hostile[0])) + 1;
        for (uint32_t i = 0; i < N; i++) {
            values[i] =
                round % 2 == 0 ? any_float(random) : hostile[test_random_below(random, n_kinds)];
            importance[i] = fabsf(bell(random, 1.0f));
        }
        blocks[n_bytes] = CANARY;
        type->quantise_row(values, round % 3 == 0 ? importance : NULL, blocks, N);
        assert_int_equal(blocks[n_bytes], CANARY);
        type->dequantise_row(blocks, back, N);
    }
    alloc_free(blocks);
}

static void any_floats_are_taken_for_weights(void **state)
{
    (void)state;
    for_each_type(quantise_random_floats, __func__);
}

static void quantise_large(const struct quant_type *type, struct test_random *random)
{
    float values[N];
    float back[N];
    uint8_t *const blocks = new_blocks(type);
    fill_bell(values, random, 1e9f);
    if (type->type == TENSOR_F16) {
        fill_bell(values, random, 1e4f); /* larger ones are infinite there */
    }
    type->quantise_row(values, NULL, blocks, N);
    type->dequantise_row(blocks, back, N);
    for (uint32_t i = 0; i < N; i++) {
        assert_true(isfinite(back[i]));
    }
    alloc_free(blocks);
}

static void a_scale_beyond_f16_stays_finite(void **state)
{
    (void)state;
    for_each_type(quantise_large, __func__);
}

/* --- what the blocks say --- */

static double squared_error(const float *a, const float *b, const float *weights)
{
    double sum = 0;
    for (uint32_t i = 0; i < N; i++) {
        const double off = (double)a[i] - (double)b[i];
        sum += (weights != NULL ? (double)weights[i] : 1.0) * off * off;
    }
    return sum;
}

static void quantise_tiny(const struct quant_type *type, struct test_random *random)
{
    float values[N];
    float back[N];
    const float zeros[N] = {0};
    uint8_t *const blocks = new_blocks(type);
    for (float width = 1e-4f; width > 0; width /= 8) {
        fill_bell(values, random, width);
        type->quantise_row(values, NULL, blocks, N);
        type->dequantise_row(blocks, back, N);
        assert_true(squared_error(values, back, NULL) <= squared_error(values, zeros, NULL));
    }
    alloc_free(blocks);
}

static void tiny_values_become_nothing_worse_than_zeros(void **state)
{
    (void)state;
    for_each_type(quantise_tiny, __func__);
}

static void quantise_twice(const struct quant_type *type, struct test_random *random)
{
    float values[N];
    float once[N];
    float twice[N];
    double first_error = 0;
    double second_error = 0;
    uint8_t *const blocks = new_blocks(type);
    for (int round = 0; round < 20; round++) {
        fill_bell(values, random, 0.1f);
        type->quantise_row(values, NULL, blocks, N);
        type->dequantise_row(blocks, once, N);
        type->quantise_row(once, NULL, blocks, N);
        type->dequantise_row(blocks, twice, N);
        first_error += squared_error(values, once, NULL);
        second_error += squared_error(once, twice, NULL);
    }
    /* What lies on a grid already moves little: a k-quant may find another grid near it. */
    assert_true(second_error <= 0.2 * first_error);
    alloc_free(blocks);
}

static void a_second_round_trip_changes_little(void **state)
{
    (void)state;
    for_each_type(quantise_twice, __func__);
}

static void quantise_in_pieces(const struct quant_type *type, struct test_random *random)
{
    float values[N];
    const struct tensor_type_info *const info = tensor_type_find((uint32_t)type->type);
    uint8_t *const whole = new_blocks(type);
    uint8_t *const pieces = new_blocks(type);
    fill_bell(values, random, 0.1f);
    type->quantise_row(values, NULL, whole, N);
    for (uint32_t i = 0; i < N / info->block_length; i++) {
        type->quantise_row(values + i * info->block_length,
                           NULL,
                           pieces + i * info->block_bytes,
                           info->block_length);
    }
    assert_memory_equal(whole, pieces, row_bytes(type));
    alloc_free(whole);
    alloc_free(pieces);
}

static void blocks_do_not_depend_on_their_neighbours(void **state)
{
    (void)state;
    for_each_type(quantise_in_pieces, __func__);
}

static void quantise_with_importance(const struct quant_type *type, struct test_random *random)
{
    float values[N];
    float importance[N];
    float plain[N];
    float guided[N];
    double plain_error = 0;
    double guided_error = 0;
    uint8_t *const blocks = new_blocks(type);
    for (int round = 0; round < 20; round++) {
        fill_bell(values, random, 0.1f);
        for (uint32_t i = 0; i < N; i++) {
            importance[i] = i % 4 == 0 ? 100.0f : 1.0f;
        }
        type->quantise_row(values, NULL, blocks, N);
        type->dequantise_row(blocks, plain, N);
        type->quantise_row(values, importance, blocks, N);
        type->dequantise_row(blocks, guided, N);
        plain_error += squared_error(values, plain, importance);
        guided_error += squared_error(values, guided, importance);
    }
    /* Floats and the 8-bit types have nothing to choose. */
    const char bits = tensor_type_name(type->type)[1];
    const bool chooses = tensor_type_name(type->type)[0] == 'Q' && bits != '8';
    assert_true(chooses ? guided_error < 0.97 * plain_error : guided_error == plain_error);
    alloc_free(blocks);
}

static void weights_that_count_more_are_told_better(void **state)
{
    (void)state;
    for_each_type(quantise_with_importance, __func__);
}

static void quantise_zeros(const struct quant_type *type, struct test_random *random)
{
    (void)random;
    float values[N] = {0};
    float back[N];
    uint8_t *const blocks = new_blocks(type);
    memset(blocks, 0xFF, row_bytes(type));
    type->quantise_row(values, NULL, blocks, N);
    type->dequantise_row(blocks, back, N);
    for (uint32_t i = 0; i < N; i++) {
        assert_true(back[i] == 0);
    }
    alloc_free(blocks);
}

static void zeros_stay_zeros(void **state)
{
    (void)state;
    for_each_type(quantise_zeros, __func__);
}

/* --- F16 and BF16 --- */

/* The halves in order are the numbers in order, so half way between neighbours must go to the even
 * one, and a step off the middle to the nearer one. */
static void
check_rounding(uint16_t last_finite, float (*widen)(uint16_t), uint16_t (*narrow)(float))
{
    for (uint32_t bits = 0; bits < last_finite; bits++) {
        const float low = widen((uint16_t)bits);
        const float high = widen((uint16_t)(bits + 1));
        const float middle = (float)(((double)low + (double)high) / 2);
        const uint16_t even = (uint16_t)(bits + bits % 2);
        assert_int_equal(narrow(low), bits);
        assert_int_equal(narrow(middle), even);
        assert_int_equal(narrow(-middle), even | 0x8000u);
        assert_int_equal(narrow(nextafterf(middle, 0)), bits);
        assert_int_equal(narrow(nextafterf(middle, INFINITY)), bits + 1);
    }
}

static void halves_round_to_the_nearest_even(void **state)
{
    (void)state;
    check_rounding(0x7BFF, quant_f16_to_f32, quant_f32_to_f16);
    check_rounding(0x7F7F, quant_bf16_to_f32, quant_f32_to_bf16);
}

static void halves_know_infinity_and_what_is_no_number(void **state)
{
    (void)state;
    assert_int_equal(quant_f32_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(quant_f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(quant_f32_to_f16(-INFINITY), 0xFC00);
    assert_int_equal(quant_f32_to_bf16(INFINITY), 0x7F80);
    assert_int_equal(quant_f32_to_bf16(3.4028235e38f), 0x7F80);
    assert_true(isnan(quant_f16_to_f32(quant_f32_to_f16(NAN))));
    assert_true(isnan(quant_bf16_to_f32(quant_f32_to_bf16(NAN))));
    assert_true(signbit(quant_f16_to_f32(0x8000)) && quant_f16_to_f32(0x8000) == 0);
    /* A NaN whose upper half alone would be infinity. */
    const uint32_t bits = 0x7F800001u;
    float low_nan;
    memcpy(&low_nan, &bits, sizeof(low_nan));
    assert_true(isnan(quant_bf16_to_f32(quant_f32_to_bf16(low_nan))));
    assert_true(isnan(quant_f16_to_f32(quant_f32_to_f16(low_nan))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_bytes_are_taken_for_blocks),
        cmocka_unit_test(any_floats_are_taken_for_weights),
        cmocka_unit_test(a_scale_beyond_f16_stays_finite),
        cmocka_unit_test(tiny_values_become_nothing_worse_than_zeros),
        cmocka_unit_test(a_second_round_trip_changes_little),
        cmocka_unit_test(blocks_do_not_depend_on_their_neighbours),
        cmocka_unit_test(weights_that_count_more_are_told_better),
        cmocka_unit_test(zeros_stay_zeros),
        cmocka_unit_test(halves_round_to_the_nearest_even),
        cmocka_unit_test(halves_know_infinity_and_what_is_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
