/* Safetensors files: what is read, what is refused; and adapters as PEFT saves them. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "model/adapter.h"
#include "model/safetensors.h"
#include "support/cmocka_all.h"

#include <stdio.h>

/* Length, header and n_bytes of numbers that count up. */
static void make(struct strbuf *out, const char *header, size_t n_bytes)
{
    const size_t n = strlen(header);
    strbuf_clear(out);
    for (uint32_t i = 0; i < 8; i++) {
        strbuf_append_char(out, (char)(uint8_t)(n >> 8 * i));
    }
    strbuf_append_text(out, header);
    for (size_t i = 0; i < n_bytes; i++) {
        strbuf_append_char(out, (char)(uint8_t)i);
    }
}

static struct bytes view(const struct strbuf *text)
{
    return (struct bytes){.data = (const uint8_t *)text->text, .length = text->length};
}

static void names_types_shapes_and_places_are_read(void **state)
{
    (void)state;
    struct strbuf text;
    struct safetensors *file;
    struct realm_error error;
    strbuf_init(&text, ALLOC_TEST, SIZE_MAX);
    make(&text,
         " {\"b\\u00e4\": {\"data_offsets\":[24,30],\"shape\":[3],\"dtype\":\"BF16\"},\n"
         "  \"__metadata__\":{\"format\":\"pt\",\"adapter_config.json\":\"{\\\"r\\\":4}\"},"
         "  \"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24],\"more\":[{}]}} ",
         30);
    if (safetensors_open(view(&text), &file, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(safetensors_n(file), 2);
    const struct safetensor *const a = safetensors_find(file, "a");
    assert_int_equal(a->type, TENSOR_F32);
    assert_int_equal(a->rows, 2);
    assert_int_equal(a->columns, 3);
    assert_int_equal(a->data.length, 24);
    assert_int_equal(a->data.data[1], 1);
    const struct safetensor *const b = safetensors_find(file, "b\xc3\xa4");
    assert_int_equal(b->type, TENSOR_BF16);
    assert_int_equal(b->rows, 1);
    assert_int_equal(b->columns, 3);
    assert_int_equal(b->data.data[0], 24);
    assert_null(safetensors_find(file, "c"));
    assert_string_equal(safetensors_config(file), "{\"r\":4}");
    safetensors_close(file);
    strbuf_deinit(&text);
}

static void headers_that_are_wrong_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        const char *words;
    } cases[] = {
        {"", "an object is missing"},
        {"[]", "an object is missing"},
        {"{", "a string is missing"},
        {"{}x", "something follows"},
        {"{\"a\" 1}", "a colon"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]\"x\"}}", "a comma"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,],\"data_offsets\":[0,8]}}", "a number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "a whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[02],\"data_offsets\":[0,8]}}", "a number"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", "\"F64\""},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", "is \"\""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", "dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,2],\"data_offsets\":[0,8]}}", "dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,2],\"data_offsets\":[0,0]}}", "dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296],\"data_offsets\":[0,8]}}", "dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "place 0 to 4"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,12]}}", "place 0 to 12"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[12,20]}}", "in 16 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "place 8 to 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", "place 0 to 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4,8]}}", "place 0 to 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967295,4294967295],"
         "\"data_offsets\":[0,8]}}",
         "4294967295 x 4294967295"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         "twice"},
        {"{\"a\":{\"x\":\"\\ud800\"}}", "surrogate"},
        {"{\"a\":{\"x\":\"\\q\"}}", "escape"},
        {"{\"a\":{\"x\":\"\n\"}}", "control character"},
        {"{\"__metadata__\":[]}", "an object is missing"},
        {"{\"__metadata__\":{\"adapter_config.json\":7}}", "a string is missing"},
        {"{\"a\":{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
         "]]]]]"
         "]]}}",
         "too deep"},
    };
    struct strbuf text;
    strbuf_init(&text, ALLOC_TEST, SIZE_MAX);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct safetensors *file;
        struct realm_error error;
        char header[256];
        /* Numbers begin at a multiple of 8, as writers see to it. */
        const int pad = (int)((8 - strlen(cases[i].header) % 8) % 8);
        (void)snprintf(header, sizeof header, "%s%*s", cases[i].header, pad, "");
        make(&text, header, 16);
        const realm_status status = safetensors_open(view(&text), &file, &error);
        assert_null(file);
        if ((status != REALM_INVALID_FORMAT && status != REALM_UNSUPPORTED) ||
            strstr(error.message, cases[i].words) == NULL) {
            fail_msg(
                "%s: \"%s\" does not say \"%s\"", cases[i].header, error.message, cases[i].words);
        }
    }
    strbuf_deinit(&text);
}

static void numbers_that_cannot_be_read_where_they_lie_are_refused(void **state)
{
    (void)state;
    struct strbuf text;
    struct safetensors *file;
    struct realm_error error;
    strbuf_init(&text, ALLOC_TEST, SIZE_MAX);
    make(&text, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}} ", 8);
    assert_int_not_equal((text.length - 8) % 4, 0);
    assert_int_equal(safetensors_open(view(&text), &file, &error), REALM_INVALID_FORMAT);
    strbuf_deinit(&text);
}

static void lengths_that_lie_are_refused(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {3, UINT64_MAX, (uint64_t)1 << 40, 0x80000000u};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char bytes[10] = {0};
        struct safetensors *file;
        struct realm_error error;
        memcpy(bytes, &lengths[i], 8);
        const struct bytes cut = {.data = (const uint8_t *)bytes, .length = sizeof bytes};
        assert_int_equal(safetensors_open(cut, &file, &error), REALM_INVALID_FORMAT);
        assert_null(file);
    }
}

/* --- PEFT --------------------------------------------------------------------------------------
 */

static const char *path_of(const char *name, char out[512])
{
    (void)snprintf(out, 512, "%s/golden/%s", REALM_TEST_DATA, name);
    return out;
}

static void read_golden(const char *name, char **text, size_t *n_bytes)
{
    char path[512];
    struct realm_error error;
    if (file_read(path_of(name, path), (size_t)1 << 24, text, n_bytes, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
}

/* The golden PEFT adapter as one file, with these settings. */
static void join(const char *config, struct strbuf *out)
{
    char *file;
    size_t n_bytes;
    uint64_t n_header;
    struct strbuf header;
    read_golden("adapters/llama_tied_peft/adapter_model.safetensors", &file, &n_bytes);
    memcpy(&n_header, file, sizeof n_header);
    strbuf_init(&header, ALLOC_TEST, SIZE_MAX);
    strbuf_append_text(&header, "{\"__metadata__\":{\"adapter_config.json\":");
    strbuf_append_json(&header, config, strlen(config));
    strbuf_append_text(&header, "},");
    strbuf_append(&header, file + 9, (size_t)n_header - 1); /* behind the brace */
    while (header.length % 8 != 0) {
        strbuf_append_char(&header, ' ');
    }
    make(out, header.text, 0);
    strbuf_append(out, file + 8 + n_header, n_bytes - 8 - (size_t)n_header);
    strbuf_deinit(&header);
    alloc_free(file);
}

static struct model *open_model(void)
{
    char path[512];
    struct model *model;
    struct realm_error error;
    if (model_open(path_of("models/llama_tied.gguf", path), NULL, &model, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return model;
}

static const struct adapter_part *part_of(const struct adapter *adapter, tensor_id weight)
{
    uint32_t n_parts;
    const struct adapter_part *const parts = adapter_parts(adapter, &n_parts);
    for (uint32_t i = 0; i < n_parts; i++) {
        if (parts[i].weight == weight) {
            return &parts[i];
        }
    }
    fail_msg("no part of tensor %u", weight);
    return NULL;
}

/* Every number is that of the GGUF file, with q's and k's rows in its order. */
static void peft_and_gguf_say_the_same(void **state)
{
    (void)state;
    struct strbuf text;
    struct file_map map;
    struct realm_error error;
    struct adapter *peft;
    struct adapter *gguf;
    char path[512];
    char *config;
    size_t n_bytes;
    uint32_t n_parts;
    struct model *const model = open_model();
    read_golden("adapters/llama_tied_peft/adapter_config.json", &config, &n_bytes);
    strbuf_init(&text, ALLOC_TEST, SIZE_MAX);
    join(config, &text);
    if (adapter_open(model, view(&text), &peft, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(file_map_open(path_of("adapters/llama_tied.gguf", path), &map, &error),
                     REALM_OK);
    assert_int_equal(adapter_open(model, map.bytes, &gguf, &error), REALM_OK);
    const struct adapter_part *const parts = adapter_parts(gguf, &n_parts);
    assert_int_equal(n_parts, 14);
    for (uint32_t i = 0; i < n_parts; i++) {
        const struct adapter_part *const other = part_of(peft, parts[i].weight);
        assert_int_equal(other->rank, parts[i].rank);
        assert_true(other->scale == parts[i].scale);
        assert_int_equal(other->a.bytes.n_bytes, parts[i].a.bytes.n_bytes);
        assert_int_equal(other->b.bytes.n_bytes, parts[i].b.bytes.n_bytes);
        assert_memory_equal(other->a.bytes.data, parts[i].a.bytes.data, parts[i].a.bytes.n_bytes);
        assert_memory_equal(other->b.bytes.data, parts[i].b.bytes.data, parts[i].b.bytes.n_bytes);
    }
    adapter_close(peft);
    adapter_close(gguf);
    file_map_close(&map);
    alloc_free(config);
    strbuf_deinit(&text);
    model_close(model);
}

static void the_scale_may_be_by_the_root_of_the_rank(void **state)
{
    (void)state;
    struct strbuf text;
    struct adapter *adapter;
    struct realm_error error;
    uint32_t n_parts;
    struct model *const model = open_model();
    strbuf_init(&text, ALLOC_TEST, SIZE_MAX);
    join("{\"peft_type\":\"LORA\",\"lora_alpha\":3.0,\"use_rslora\":true}", &text);
    if (adapter_open(model, view(&text), &adapter, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    assert_true(adapter_parts(adapter, &n_parts)[0].scale == 1.5f); /* 3 / sqrt(4) */
    adapter_close(adapter);
    strbuf_deinit(&text);
    model_close(model);
}

static void settings_that_change_the_numbers_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        const char *words;
    } cases[] = {
        {"{", "wrong at byte"},
        {"{}", "peft_type is \"\""},
        {"{\"peft_type\":\"LOHA\"}", "\"LOHA\""},
        {"{\"peft_type\":\"LORA\"}", "lora_alpha is missing"},
        {"{\"peft_type\":\"LORA\",\"lora_alpha\":1e999}", "lora_alpha"},
        {"{\"peft_type\":\"LORA\",\"lora_alpha\":8,\"use_dora\":true}", "use_dora is set"},
        {"{\"peft_type\":\"LORA\",\"lora_alpha\":8,\"fan_in_fan_out\":true}", "fan_in_fan_out"},
        {"{\"peft_type\":\"LORA\",\"lora_alpha\":8,\"bias\":\"all\"}", "bias is set"},
        {"{\"peft_type\":\"LORA\",\"lora_alpha\":8,\"alpha_pattern\":{\"q\":4}}", "alpha_pattern"},
    };
    struct strbuf text;
    struct model *const model = open_model();
    strbuf_init(&text, ALLOC_TEST, SIZE_MAX);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct adapter *adapter;
        struct realm_error error;
        join(cases[i].config, &text);
        assert_int_not_equal(adapter_open(model, view(&text), &adapter, &error), REALM_OK);
        assert_null(adapter);
        if (strstr(error.message, cases[i].words) == NULL) {
            fail_msg(
                "%s: \"%s\" does not say \"%s\"", cases[i].config, error.message, cases[i].words);
        }
    }
    strbuf_deinit(&text);
    model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_types_shapes_and_places_are_read),
        cmocka_unit_test(headers_that_are_wrong_are_refused),
        cmocka_unit_test(numbers_that_cannot_be_read_where_they_lie_are_refused),
        cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(peft_and_gguf_say_the_same),
        cmocka_unit_test(the_scale_may_be_by_the_root_of_the_rank),
        cmocka_unit_test(settings_that_change_the_numbers_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
