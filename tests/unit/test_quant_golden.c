/* Every block type against the gguf package and llama.cpp: values bit for bit, errors no larger. */
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include "quant/quant.h"
#include "support/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)64 << 20)
/* Ours may be worse than the better of the two oracles by this part at most. */
#define ERROR_SLACK 1.001

struct section {
    char name[17];
    uint32_t n_source;
    uint32_t n_bytes;
    uint32_t n_values;
    double errors[2]; /* of the package's and of llama.cpp's quantiser; NaN: it has none */
    const uint8_t *source;
    const uint8_t *bytes;
    const uint8_t *values;
};

static double take_double(struct byte_cursor *cursor)
{
    uint64_t bits = 0;
    double value;
    assert_true(byte_cursor_u64(cursor, &bits));
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void take_section(struct byte_cursor *cursor, struct section *out)
{
    struct bytes taken = {.length = 0};
    assert_true(byte_cursor_take(cursor, 16, &taken));
    memcpy(out->name, taken.data, 16);
    out->name[16] = '\0';
    assert_true(byte_cursor_u32(cursor, &out->n_source));
    assert_true(byte_cursor_u32(cursor, &out->n_bytes));
    assert_true(byte_cursor_u32(cursor, &out->n_values));
    out->errors[0] = take_double(cursor);
    out->errors[1] = take_double(cursor);
    assert_true(byte_cursor_take(cursor, out->n_source * sizeof(float), &taken));
    out->source = taken.data;
    assert_true(byte_cursor_take(cursor, out->n_bytes, &taken));
    out->bytes = taken.data;
    assert_true(byte_cursor_take(cursor, out->n_values * sizeof(float), &taken));
    out->values = taken.data;
}

/* Root of the mean squared error after quantising and dequantising. */
static double our_error(const struct quant_type *type, const struct section *section)
{
    float *const source = alloc_bytes(ALLOC_TEST, section->n_source * sizeof(float));
    float *const back = alloc_bytes(ALLOC_TEST, section->n_source * sizeof(float));
    uint8_t *const blocks = alloc_zeroed(ALLOC_TEST, section->n_bytes, 1);
    assert_true(source != NULL && back != NULL && blocks != NULL);
    memcpy(source, section->source, section->n_source * sizeof(float));
    type->quantise_row(source, NULL, blocks, section->n_source);
    type->dequantise_row(blocks, back, section->n_source);
    double sum = 0;
    for (uint32_t i = 0; i < section->n_source; i++) {
        const double off = (double)back[i] - (double)source[i];
        sum += off * off;
    }
    alloc_free(source);
    alloc_free(back);
    alloc_free(blocks);
    return sqrt(sum / section->n_source);
}

static void check_section(const struct quant_type *type, const struct section *section)
{
    float *const values = alloc_bytes(ALLOC_TEST, section->n_values * sizeof(float));
    uint8_t *const blocks = alloc_bytes(ALLOC_TEST, section->n_bytes);
    assert_true(values != NULL && blocks != NULL);
    memcpy(blocks, section->bytes, section->n_bytes); /* the file does not align them */
    type->dequantise_row(blocks, values, section->n_values);
    for (uint32_t i = 0; i < section->n_values; i++) {
        if (memcmp(&values[i], section->values + i * sizeof(float), sizeof(float)) != 0) {
            float wanted;
            memcpy(&wanted, section->values + i * sizeof(float), sizeof wanted);
            fail_msg("%s, %s, value %u: %.9g instead of %.9g",
                     tensor_type_name(type->type),
                     section->name,
                     i,
                     (double)values[i],
                     (double)wanted);
        }
    }
    alloc_free(values);
    alloc_free(blocks);
    if (section->n_source == 0) {
        return;
    }
    const double error = our_error(type, section);
    const double theirs = fmin(isnan(section->errors[0]) ? INFINITY : section->errors[0],
                               isnan(section->errors[1]) ? INFINITY : section->errors[1]);
    print_message("%-5s %-10s error %.6g, theirs %.6g\n",
                  tensor_type_name(type->type),
                  section->name,
                  error,
                  theirs);
    assert_true(error <= theirs * ERROR_SLACK);
}

static void check_file(const char *stem)
{
    char path[1024];
    char *text;
    size_t n_bytes;
    uint32_t header[5] = {0};
    struct bytes taken = {.length = 0};
    (void)snprintf(path, sizeof path, "%s/golden/quant/%s.bin", REALM_TEST_DATA, stem);
    assert_int_equal(file_read(path, MAX_FILE_BYTES, &text, &n_bytes, NULL), REALM_OK);
    struct byte_cursor cursor = {.bytes = {.data = (const uint8_t *)text, .length = n_bytes}};
    assert_true(byte_cursor_take(&cursor, 4, &taken));
    assert_memory_equal(taken.data, "RQNT", 4);
    for (size_t i = 0; i < 5; i++) {
        assert_true(byte_cursor_u32(&cursor, &header[i]));
    }
    assert_true(byte_cursor_take(&cursor, header[4], &taken));
    const struct quant_type *const type = quant_find((enum tensor_type)header[0]);
    const struct tensor_type_info *const info = tensor_type_find(header[0]);
    assert_non_null(type);
    assert_int_equal(info->block_length, header[1]);
    assert_int_equal(info->block_bytes, header[2]);
    assert_true(header[3] >= 2);
    for (uint32_t s = 0; s < header[3]; s++) {
        struct section section;
        take_section(&cursor, &section);
        check_section(type, &section);
    }
    assert_int_equal(byte_cursor_left(&cursor), 0);
    alloc_free(text);
}

#define GOLDEN_TEST(stem)                                                                          \
    static void stem##_is_what_the_oracles_say(void **state)                                       \
    {                                                                                              \
        (void)state;                                                                               \
        check_file(#stem);                                                                         \
    }

GOLDEN_TEST(f16)
GOLDEN_TEST(bf16)
GOLDEN_TEST(q4_0)
GOLDEN_TEST(q4_1)
GOLDEN_TEST(q5_0)
GOLDEN_TEST(q5_1)
GOLDEN_TEST(q8_0)
GOLDEN_TEST(q8_1)
GOLDEN_TEST(q2_k)
GOLDEN_TEST(q3_k)
GOLDEN_TEST(q4_k)
GOLDEN_TEST(q5_k)
GOLDEN_TEST(q6_k)
GOLDEN_TEST(q8_k)

/* Anything may stand in a row: nothing but a block of the type may come out, whatever it says. */
static void no_value_can_break_a_quantiser(void **state)
{
    (void)state;
    static const float hostile[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 3e38f, -3e38f, 1e-45f};
    for (uint32_t id = 0; id < 32; id++) {
        const struct quant_type *const type = quant_find((enum tensor_type)id);
        if (type == NULL) {
            continue;
        }
        for (uint32_t round = 0; round < 200; round++) {
            float values[256];
            float back[256];
            uint8_t blocks[2048];
            for (uint32_t i = 0; i < 256; i++) {
                const uint32_t pick = (i * 2654435761u + round * 40503u) >> 13;
                values[i] = round < 8 ? hostile[round] : hostile[pick % (round % 8 + 1)];
            }
            type->quantise_row(values, NULL, blocks, 256);
            type->dequantise_row(blocks, back, 256);
        }
    }
}

static void every_half_float_survives_the_way_through_f32(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        const float value = quant_f16_to_f32((uint16_t)bits);
        const uint16_t back = quant_f32_to_f16(value);
        if (isnan(value)) {
            assert_true((back & 0x7C00u) == 0x7C00u && (back & 0x3FFu) != 0);
        } else {
            assert_int_equal(back, bits);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_is_what_the_oracles_say),
        cmocka_unit_test(bf16_is_what_the_oracles_say),
        cmocka_unit_test(q4_0_is_what_the_oracles_say),
        cmocka_unit_test(q4_1_is_what_the_oracles_say),
        cmocka_unit_test(q5_0_is_what_the_oracles_say),
        cmocka_unit_test(q5_1_is_what_the_oracles_say),
        cmocka_unit_test(q8_0_is_what_the_oracles_say),
        cmocka_unit_test(q8_1_is_what_the_oracles_say),
        cmocka_unit_test(q2_k_is_what_the_oracles_say),
        cmocka_unit_test(q3_k_is_what_the_oracles_say),
        cmocka_unit_test(q4_k_is_what_the_oracles_say),
        cmocka_unit_test(q5_k_is_what_the_oracles_say),
        cmocka_unit_test(q6_k_is_what_the_oracles_say),
        cmocka_unit_test(q8_k_is_what_the_oracles_say),
        cmocka_unit_test(no_value_can_break_a_quantiser),
        cmocka_unit_test(every_half_float_survives_the_way_through_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
