/* realm quantize: the file it writes, and what it refuses. */
#include "base/alloc.h"
#include "base/file.h"
#include "cli/quantize_model.h"
#include "gguf/gguf.h"
#include "support/cmocka_all.h"
#include "support/gguf_support.h"
#include "support/test_support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)64 << 20)
#define N_LAYERS       8u
#define COLUMNS        256u
#define ODD_COLUMNS    288u /* nine blocks of 32, no whole blocks of 256 */

static struct temp_folder folder;
static char in_path[TEST_PATH_BYTES];
static char out_path[TEST_PATH_BYTES];

/* --- files --- */

struct planned_tensor {
    char name[64];
    enum tensor_type type;
    uint32_t n_dims;
    uint64_t shape[GGUF_MAX_DIMS];
};

/* What a test wants to be different in its input. */
struct input {
    enum tensor_type type; /* of the matrices */
    const char *spoilt;    /* tensor with one weight replaced; NULL: none */
    float spoilt_weight;
    bool tied;
};

static size_t plan_tensors(const struct input *input, struct planned_tensor *out)
{
    size_t n = 0;
    out[n++] = (struct planned_tensor){"token_embd.weight", input->type, 2, {COLUMNS, 40, 1, 1}};
    if (!input->tied) {
        out[n++] = (struct planned_tensor){"output.weight", input->type, 2, {COLUMNS, 40, 1, 1}};
    }
    out[n++] = (struct planned_tensor){"output_norm.weight", TENSOR_F32, 1, {COLUMNS, 1, 1, 1}};
    for (uint32_t layer = 0; layer < N_LAYERS; layer++) {
        static const struct {
            const char *name;
            uint64_t columns;
        } matrices[] = {
            {"attn_v", COLUMNS}, {"ffn_down", 2 * (uint64_t)COLUMNS}, {"ffn_up", ODD_COLUMNS}};
        for (size_t i = 0; i < sizeof(matrices) / sizeof(matrices[0]); i++) {
            struct planned_tensor *const tensor = &out[n++];
            *tensor = (struct planned_tensor){
                .type = input->type, .n_dims = 2, .shape = {matrices[i].columns, 24, 1, 1}};
            (void)snprintf(
                tensor->name, sizeof(tensor->name), "blk.%u.%s.weight", layer, matrices[i].name);
        }
    }
    /* Experts: three dimensions. */
    out[n++] =
        (struct planned_tensor){"blk.0.ffn_up_exps.weight", input->type, 3, {COLUMNS, 3, 5, 1}};
    return n;
}

static float random_weight(struct test_random *random)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        sum += (float)test_random_below(random, 1u << 20) / (float)(1u << 20) - 0.5f;
    }
    return sum / 10;
}

static void write_tensor(struct gguf_writer *writer,
                         const struct input *input,
                         const struct planned_tensor *tensor,
                         struct test_random *random)
{
    float values[2 * COLUMNS];
    uint8_t blocks[sizeof(values)];
    uint64_t n_bytes;
    const uint64_t n_rows = tensor->shape[1] * tensor->shape[2];
    assert_true(tensor_type_row_bytes(tensor->type, tensor->shape[0], &n_bytes));
    for (uint64_t row = 0; row < n_rows; row++) {
        for (uint64_t i = 0; i < tensor->shape[0]; i++) {
            values[i] = random_weight(random);
        }
        if (input->spoilt != NULL && strcmp(input->spoilt, tensor->name) == 0 && row >= 2) {
            values[5] = input->spoilt_weight;
        }
        quant_find(tensor->type)->quantise_row(values, NULL, blocks, tensor->shape[0]);
        assert_int_equal(gguf_writer_data(writer, blocks, n_bytes, NULL), REALM_OK);
    }
}

static void write_input(const struct input *input)
{
    struct planned_tensor tensors[64];
    const size_t n = plan_tensors(input, tensors);
    struct test_random random = {.state = 12345};
    struct gguf_writer *writer;
    assert_int_equal(gguf_writer_create(&writer, NULL), REALM_OK);
    assert_int_equal(gguf_writer_put_string(writer, "general.architecture", "llama", NULL), 0);
    assert_int_equal(gguf_writer_put_u32(writer, "llama.block_count", N_LAYERS, NULL), 0);
    assert_int_equal(gguf_writer_put_u32(writer, "llama.attention.head_count", 8, NULL), 0);
    assert_int_equal(gguf_writer_put_u32(writer, "general.file_type", 0, NULL), 0);
    assert_int_equal(gguf_writer_put_u32(writer, "general.alignment", 64, NULL), 0);
    assert_int_equal(gguf_writer_put_u32(writer, "split.count", 1, NULL), 0);
    assert_int_equal(gguf_writer_put_string(writer, "general.name", "a tiny model", NULL), 0);
    for (size_t i = 0; i < n; i++) {
        const struct planned_tensor *const t = &tensors[i];
        assert_int_equal(
            gguf_writer_add_tensor(writer, t->name, t->type, t->n_dims, t->shape, NULL), REALM_OK);
    }
    assert_int_equal(gguf_writer_begin(writer, in_path, NULL), REALM_OK);
    for (size_t i = 0; i < n; i++) {
        write_tensor(writer, input, &tensors[i], &random);
    }
    assert_int_equal(gguf_writer_commit(writer, NULL), REALM_OK);
    gguf_writer_destroy(writer);
}

static int begin(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "in.gguf", in_path);
    (void)temp_folder_path(&folder, "out.gguf", out_path);
    return 0;
}

static int end(void **state)
{
    (void)state;
    temp_folder_remove(&folder);
    return alloc_held_bytes(ALLOC_TEST) == 0 && alloc_held_bytes(ALLOC_MODEL) == 0 ? 0 : -1;
}

/* --- helpers --- */

static struct quantize_options options_for(const char *mix)
{
    const struct quantize_options options = {
        .in_path = in_path, .out_path = out_path, .mix = quant_mix_find(mix), .n_threads = 2};
    assert_non_null(options.mix);
    return options;
}

static void assert_written(const struct quantize_options *options)
{
    struct realm_error error = {.message = ""};
    if (quantize_model(options, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
}

static void
assert_refused(const struct quantize_options *options, realm_status expected, const char *words)
{
    struct realm_error error = {.message = ""};
    assert_int_equal(quantize_model(options, &error), expected);
    if (strstr(error.message, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    }
}

static struct gguf *open_path(const char *path)
{
    struct gguf *gguf;
    struct realm_error error = {.message = ""};
    if (gguf_open(path, &gguf, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return gguf;
}

static void assert_type(const struct gguf *gguf, const char *name, enum tensor_type expected)
{
    const struct gguf_tensor *const tensor = gguf_find_tensor(gguf, name);
    assert_non_null(tensor);
    if (tensor->type != expected) {
        fail_msg("%s is %s instead of %s",
                 name,
                 tensor_type_name(tensor->type),
                 tensor_type_name(expected));
    }
}

static uint32_t u32_of(const struct gguf *gguf, const char *key)
{
    uint32_t number = UINT32_MAX;
    assert_int_equal(gguf_get_u32(gguf, key, &number, NULL), REALM_OK);
    return number;
}

/* Root of the mean square of the difference over that of the weights, over all rows. */
static double relative_error(const struct gguf_tensor *a, const struct gguf_tensor *b)
{
    float left[2 * COLUMNS];
    float right[2 * COLUMNS];
    uint64_t a_bytes;
    uint64_t b_bytes;
    double off = 0;
    double all = 0;
    assert_true(tensor_type_row_bytes(a->type, a->shape[0], &a_bytes));
    assert_true(tensor_type_row_bytes(b->type, b->shape[0], &b_bytes));
    for (uint64_t row = 0; row < a->shape[1] * a->shape[2]; row++) {
        quant_find(a->type)->dequantise_row(a->data.data + row * a_bytes, left, a->shape[0]);
        quant_find(b->type)->dequantise_row(b->data.data + row * b_bytes, right, b->shape[0]);
        for (uint64_t i = 0; i < a->shape[0]; i++) {
            const double d = (double)left[i] - (double)right[i];
            off += d * d;
            all += (double)left[i] * (double)left[i];
        }
    }
    return sqrt(off / all);
}

/* --- what is written --- */

static void a_mix_gives_each_tensor_its_type(void **state)
{
    (void)state;
    write_input(&(struct input){.type = TENSOR_F16});
    struct quantize_options options = options_for("Q4_K_M");
    struct quantize_summary summary;
    options.summary = &summary;
    assert_written(&options);
    struct gguf *const gguf = open_path(out_path);
    assert_int_not_equal(gguf_walk(gguf), 0);
    assert_type(gguf, "token_embd.weight", TENSOR_Q4_K);
    assert_type(gguf, "output.weight", TENSOR_Q6_K);
    assert_type(gguf, "output_norm.weight", TENSOR_F32);
    assert_type(gguf, "blk.0.attn_v.weight", TENSOR_Q6_K);
    assert_type(gguf, "blk.1.attn_v.weight", TENSOR_Q4_K);
    assert_type(gguf, "blk.7.ffn_down.weight", TENSOR_Q6_K);
    assert_type(gguf, "blk.0.ffn_up.weight", TENSOR_Q5_0);
    assert_type(gguf, "blk.0.ffn_up_exps.weight", TENSOR_Q4_K);
    assert_int_equal(summary.n_tensors, 4 + 3 * N_LAYERS);
    assert_int_equal(summary.n_converted, 3 + 3 * N_LAYERS);
    assert_int_equal(summary.n_fell_back, N_LAYERS);
    uint64_t bytes = 0;
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        bytes += gguf_tensor_at(gguf, i)->data.length;
    }
    assert_int_equal(summary.bytes_after, bytes);
    assert_true(summary.bytes_after * 2 < summary.bytes_before);
    gguf_close(gguf);
}

static void metadata_is_kept_but_for_what_quantising_changes(void **state)
{
    (void)state;
    write_input(&(struct input){.type = TENSOR_F32});
    const struct quantize_options options = options_for("Q5_1");
    assert_written(&options);
    struct gguf *const gguf = open_path(out_path);
    struct bytes name;
    assert_int_equal(gguf_get_string(gguf, "general.name", &name, NULL), REALM_OK);
    assert_int_equal(name.length, strlen("a tiny model"));
    assert_int_equal(u32_of(gguf, "llama.block_count"), N_LAYERS);
    assert_int_equal(u32_of(gguf, "general.file_type"), 9);
    assert_int_equal(u32_of(gguf, "general.quantization_version"), 2);
    assert_int_equal(u32_of(gguf, "general.alignment"), 64);
    assert_null(gguf_find(gguf, "split.count"));
    gguf_close(gguf);
}

/* Of a bell curve's weights: each bit more halves the error. */
static double expected_error(enum tensor_type type)
{
    switch (type) {
    case TENSOR_F32:
        return 0;
    case TENSOR_F16:
        return 0x1p-11;
    case TENSOR_BF16:
        return 0x1p-8;
    default:
        return ldexp(2.0, '0' - tensor_type_name(type)[1]); /* "Q4_K" */
    }
}

static void every_mix_writes_weights_near_the_input(void **state)
{
    (void)state;
    write_input(&(struct input){.type = TENSOR_F32});
    struct gguf *const in = open_path(in_path);
    for (size_t m = 0; quant_mix_at(m) != NULL; m++) {
        struct quantize_options options = options_for(quant_mix_name(quant_mix_at(m)));
        options.pure = true;
        assert_written(&options);
        struct gguf *const out = open_path(out_path);
        for (size_t i = 0; i < gguf_n_tensors(in); i++) {
            const struct gguf_tensor *const before = gguf_tensor_at(in, i);
            const struct gguf_tensor *const after = gguf_tensor_at(out, i);
            assert_string_equal(before->name, after->name);
            assert_memory_equal(before->shape, after->shape, sizeof(before->shape));
            assert_true(relative_error(before, after) <= expected_error(after->type));
        }
        gguf_close(out);
    }
    gguf_close(in);
}

static void pure_gives_every_matrix_the_base_type(void **state)
{
    (void)state;
    write_input(&(struct input){.type = TENSOR_F32});
    struct quantize_options options = options_for("Q4_K_M");
    options.pure = true;
    assert_written(&options);
    struct gguf *const gguf = open_path(out_path);
    assert_type(gguf, "output.weight", TENSOR_Q4_K);
    assert_type(gguf, "blk.0.attn_v.weight", TENSOR_Q4_K);
    assert_type(gguf, "blk.0.ffn_up.weight", TENSOR_Q5_0);
    gguf_close(gguf);
}

static void the_output_matrix_can_be_kept(void **state)
{
    (void)state;
    struct quantize_options options = options_for("Q4_0");
    options.keep_output = true;
    write_input(&(struct input){.type = TENSOR_F16});
    assert_written(&options);
    struct gguf *gguf = open_path(out_path);
    assert_type(gguf, "output.weight", TENSOR_F16);
    assert_type(gguf, "token_embd.weight", TENSOR_Q4_0);
    gguf_close(gguf);
    write_input(&(struct input){.type = TENSOR_F16, .tied = true});
    assert_written(&options);
    gguf = open_path(out_path);
    assert_type(gguf, "token_embd.weight", TENSOR_F16);
    gguf_close(gguf);
}

static void overrides_count_before_the_mix_and_the_first_wins(void **state)
{
    (void)state;
    struct quantize_override overrides[3];
    assert_int_equal(quantize_override_parse("blk.*5*down=q8_0", &overrides[0], NULL), REALM_OK);
    assert_int_equal(quantize_override_parse("ffn_down=BF16", &overrides[1], NULL), REALM_OK);
    assert_int_equal(quantize_override_parse("ffn_up.=Q6_K", &overrides[2], NULL), REALM_OK);
    struct quantize_options options = options_for("Q4_K_M");
    options.overrides = overrides;
    options.n_overrides = 3;
    write_input(&(struct input){.type = TENSOR_F32});
    assert_written(&options);
    struct gguf *const gguf = open_path(out_path);
    assert_type(gguf, "blk.5.ffn_down.weight", TENSOR_Q8_0);
    assert_type(gguf, "blk.4.ffn_down.weight", TENSOR_BF16);
    assert_type(gguf, "blk.4.ffn_up.weight", TENSOR_Q8_0); /* of Q6_K, for 288 columns */
    assert_type(gguf, "blk.0.ffn_up_exps.weight", TENSOR_Q4_K);
    gguf_close(gguf);
}

static void read_out(char **text, size_t *n_bytes)
{
    assert_int_equal(file_read(out_path, MAX_FILE_BYTES, text, n_bytes, NULL), REALM_OK);
}

static void threads_do_not_change_the_bytes(void **state)
{
    (void)state;
    static const uint32_t counts[] = {2, 3, 8};
    char *first;
    size_t n_first;
    struct quantize_options options = options_for("Q3_K_M");
    write_input(&(struct input){.type = TENSOR_F32});
    options.n_threads = 1;
    assert_written(&options);
    read_out(&first, &n_first);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        char *other;
        size_t n_other;
        options.n_threads = counts[i];
        assert_written(&options);
        read_out(&other, &n_other);
        assert_int_equal(n_other, n_first);
        assert_memory_equal(other, first, n_first);
        alloc_free(other);
    }
    alloc_free(first);
}

struct told {
    size_t n_done;
    uint64_t bytes_done;
    size_t stop_at; /* tensors */
};

static bool listen(void *context, const struct quantize_progress *progress)
{
    struct told *const told = context;
    assert_non_null(progress->tensor);
    assert_true(progress->index < progress->n_tensors);
    assert_true(progress->bytes_done >= told->bytes_done);
    assert_true(progress->bytes_done <= progress->bytes_total);
    told->bytes_done = progress->bytes_done;
    if (progress->tensor_done) {
        assert_int_equal(progress->index, told->n_done);
        told->n_done++;
    }
    return told->n_done < told->stop_at;
}

static void progress_tells_every_tensor_and_all_bytes(void **state)
{
    (void)state;
    struct told told = {.stop_at = SIZE_MAX};
    struct quantize_summary summary;
    struct quantize_options options = options_for("Q8_0");
    options.progress = listen;
    options.progress_context = &told;
    options.summary = &summary;
    write_input(&(struct input){.type = TENSOR_F32});
    assert_written(&options);
    assert_int_equal(told.n_done, summary.n_tensors);
    assert_int_equal(told.bytes_done, summary.bytes_before);
}

static void a_stopped_run_leaves_the_old_file(void **state)
{
    (void)state;
    struct told told = {.stop_at = 5};
    struct quantize_options options = options_for("Q8_0");
    options.progress = listen;
    options.progress_context = &told;
    write_input(&(struct input){.type = TENSOR_F32});
    test_write_file(out_path, "before", 6);
    assert_refused(&options, REALM_CANCELLED, "has not changed");
    char *text;
    size_t n_bytes;
    read_out(&text, &n_bytes);
    assert_string_equal(text, "before");
    alloc_free(text);
}

/* --- what is refused --- */

static void what_is_quantised_already_needs_the_flag(void **state)
{
    (void)state;
    write_input(&(struct input){.type = TENSOR_Q8_0});
    struct quantize_options options = options_for("Q4_0");
    assert_refused(&options, REALM_INVALID_ARGUMENT, "token_embd.weight: it is Q8_0 already");
    assert_refused(&options, REALM_INVALID_ARGUMENT, "--allow-requantize");
    options.allow_requantise = true;
    assert_written(&options);
    struct gguf *gguf = open_path(out_path);
    assert_type(gguf, "blk.3.attn_v.weight", TENSOR_Q4_0);
    gguf_close(gguf);
    /* The same type again is a copy, and a float type loses nothing. */
    static const char *const harmless[] = {"Q8_0", "F32", "F16", "BF16"};
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
        options = options_for(harmless[i]);
        assert_written(&options);
    }
}

static void weights_of_the_same_type_are_copied_bit_for_bit(void **state)
{
    (void)state;
    write_input(&(struct input){.type = TENSOR_Q5_1});
    struct quantize_options options = options_for("Q5_1");
    options.pure = true;
    assert_written(&options);
    struct gguf *const in = open_path(in_path);
    struct gguf *const out = open_path(out_path);
    for (size_t i = 0; i < gguf_n_tensors(in); i++) {
        const struct gguf_tensor *const a = gguf_tensor_at(in, i);
        const struct gguf_tensor *const b = gguf_tensor_at(out, i);
        assert_int_equal(a->data.length, b->data.length);
        assert_memory_equal(a->data.data, b->data.data, a->data.length);
    }
    gguf_close(in);
    gguf_close(out);
}

static void a_weight_that_is_no_number_is_named(void **state)
{
    (void)state;
    const struct quantize_options options = options_for("Q4_K_M");
    write_input(&(struct input){
        .type = TENSOR_F32, .spoilt = "blk.2.ffn_down.weight", .spoilt_weight = NAN});
    assert_refused(&options,
                   REALM_INVALID_FORMAT,
                   "tensor blk.2.ffn_down.weight: the weight in row 2, column 5 is not a number");
    write_input(
        &(struct input){.type = TENSOR_F16, .spoilt = "output.weight", .spoilt_weight = -INFINITY});
    assert_refused(&options, REALM_INVALID_FORMAT, "tensor output.weight");
    write_input(
        &(struct input){.type = TENSOR_F32, .spoilt = "output.weight", .spoilt_weight = 1e6f});
    assert_refused(&options, REALM_INVALID_FORMAT, "is 1e+06, beyond what Q6_K can hold");
    assert_false(file_exists(out_path));
    const struct quantize_options wide = options_for("BF16");
    assert_written(&wide);
}

static void vectors_that_stay_are_looked_at_too(void **state)
{
    (void)state;
    const struct quantize_options options = options_for("F32");
    write_input(&(struct input){
        .type = TENSOR_F32, .spoilt = "blk.0.attn_v.weight", .spoilt_weight = INFINITY});
    assert_refused(&options, REALM_INVALID_FORMAT, "blk.0.attn_v.weight");
}

static void the_input_is_never_overwritten(void **state)
{
    (void)state;
    char parts[2][TEST_PATH_BYTES];
    char dotted[TEST_PATH_BYTES];
    struct quantize_options options = options_for("Q4_0");
    write_input(&(struct input){.type = TENSOR_F32});
    options.out_path = in_path;
    assert_refused(&options, REALM_INVALID_ARGUMENT, "is the input");
    options.out_path = temp_folder_path(&folder, "./in.gguf", dotted);
    assert_refused(&options, REALM_INVALID_ARGUMENT, "is the input");
    options.in_path = temp_folder_path(&folder, "m-00001-of-00002.gguf", parts[0]);
    options.out_path = temp_folder_path(&folder, "m-00002-of-00002.gguf", parts[1]);
    test_write_file(parts[0], "x", 1);
    test_write_file(parts[1], "x", 1);
    assert_refused(&options, REALM_INVALID_ARGUMENT, "is the input");
}

static void write_part(uint16_t number, const char *path)
{
    struct strbuf text;
    strbuf_init(&text, ALLOC_TEST, SIZE_MAX);
    put_header(&text, 3, 1, 3);
    put_key(&text, "split.no", GGUF_U16);
    put_u16(&text, number);
    put_key(&text, "split.count", GGUF_U16);
    put_u16(&text, 2);
    put_key(&text, "split.tensors.count", GGUF_I32);
    put_u32(&text, 2);
    const uint64_t shape[2] = {32, 2};
    put_tensor(&text,
               number == 0 ? "blk.0.attn_q.weight" : "blk.1.attn_q.weight",
               2,
               shape,
               TENSOR_F32,
               0);
    while (text.length % 32 != 0) {
        put_u8(&text, 0);
    }
    for (uint32_t i = 0; i < 64; i++) {
        put_f32(&text, (float)i - 20.0f * (float)number);
    }
    test_write_file(path, text.text, text.length);
    strbuf_deinit(&text);
}

static void a_split_model_becomes_one_file(void **state)
{
    (void)state;
    char parts[2][TEST_PATH_BYTES];
    write_part(0, temp_folder_path(&folder, "m-00001-of-00002.gguf", parts[0]));
    write_part(1, temp_folder_path(&folder, "m-00002-of-00002.gguf", parts[1]));
    struct quantize_options options = options_for("Q8_0");
    options.in_path = parts[0];
    assert_written(&options);
    struct gguf *const gguf = open_path(out_path);
    assert_int_equal(gguf_n_tensors(gguf), 2);
    assert_type(gguf, "blk.1.attn_q.weight", TENSOR_Q8_0);
    assert_null(gguf_find(gguf, "split.no"));
    assert_null(gguf_find(gguf, "split.tensors.count"));
    float row[32];
    quant_find(TENSOR_Q8_0)
        ->dequantise_row(gguf_find_tensor(gguf, "blk.1.attn_q.weight")->data.data, row, 32);
    assert_true(fabsf(row[0] + 20.0f) < 0.1f);
    gguf_close(gguf);
}

static void types_for_activations_are_only_for_the_pure(void **state)
{
    (void)state;
    write_input(&(struct input){.type = TENSOR_F32});
    struct quantize_options options = options_for("Q8_K");
    assert_refused(&options, REALM_INVALID_ARGUMENT, "other programs do not");
    options.pure = true;
    assert_written(&options);
    struct gguf *const gguf = open_path(out_path);
    assert_type(gguf, "output.weight", TENSOR_Q8_K);
    assert_null(gguf_find(gguf, "general.file_type"));
    gguf_close(gguf);
}

static void overrides_that_say_nothing_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "ffn_down", "=Q4_0", "ffn_down=", "ffn_down=Q9_9", "ffn_down=I32"};
    struct quantize_override override;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(quantize_override_parse(wrong[i], &override, NULL),
                         REALM_INVALID_ARGUMENT);
    }
    char text[256];
    memset(text, '*', sizeof(text));
    (void)snprintf(text + 200, 56, "=Q4_0");
    assert_int_equal(quantize_override_parse(text, &override, NULL), REALM_INVALID_ARGUMENT);
    write_input(&(struct input){.type = TENSOR_F32});
    assert_int_equal(quantize_override_parse("ffn_dwon=Q4_0", &override, NULL), REALM_OK);
    struct quantize_options options = options_for("Q4_0");
    options.overrides = &override;
    options.n_overrides = 1;
    assert_refused(&options, REALM_INVALID_ARGUMENT, "no matrix has \"ffn_dwon\"");
    /* A pattern that could go back for ever. */
    (void)snprintf(override.pattern, sizeof(override.pattern), "*b*l*k*.*.*.*f*f*n*_*_*_*x");
    assert_refused(&options, REALM_INVALID_ARGUMENT, "no matrix has");
}

static void bad_files_and_places_are_named(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    struct quantize_options options = options_for("Q4_0");
    options.in_path = temp_folder_path(&folder, "absent.gguf", path);
    assert_refused(&options, REALM_NOT_FOUND, "absent.gguf");
    test_write_file(in_path, "GGUX", 4);
    options = options_for("Q4_0");
    assert_refused(&options, REALM_INVALID_FORMAT, "");
    write_input(&(struct input){.type = TENSOR_F32});
    options.out_path = temp_folder_path(&folder, "no/such/folder.gguf", path);
    assert_refused(&options, REALM_NOT_FOUND, "no/such");
}

static void any_allocation_or_write_may_fail(void **state)
{
    (void)state;
    write_input(&(struct input){.type = TENSOR_F16});
    const struct quantize_options options = options_for("Q4_K_S");
    realm_status status = REALM_OUT_OF_MEMORY;
    for (uint64_t n = 0; status != REALM_OK; n++) {
        struct realm_error error = {.message = ""};
        alloc_fail_after(n);
        status = quantize_model(&options, &error);
        alloc_fail_after(UINT64_MAX);
        assert_true(status == REALM_OK || status == REALM_OUT_OF_MEMORY);
        assert_true(status == REALM_OK || error.message[0] != '\0');
        assert_int_equal(alloc_held_bytes(ALLOC_MODEL), 0);
        assert_true(n < 5000);
    }
    test_write_file(out_path, "before", 6);
    for (uint64_t n = 0;; n++) {
        file_fail_after(n, 28 /* ENOSPC */);
        status = quantize_model(&options, NULL);
        file_fail_after(UINT64_MAX, 0);
        if (status == REALM_OK) {
            break;
        }
        char *text;
        size_t n_bytes;
        read_out(&text, &n_bytes);
        assert_true(strcmp(text, "before") == 0 || memcmp(text, "GGUF", 4) == 0);
        alloc_free(text);
        assert_int_equal(alloc_held_bytes(ALLOC_MODEL), 0);
        assert_true(n < 5000);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_mix_gives_each_tensor_its_type),
        TEST(metadata_is_kept_but_for_what_quantising_changes),
        TEST(every_mix_writes_weights_near_the_input),
        TEST(pure_gives_every_matrix_the_base_type),
        TEST(the_output_matrix_can_be_kept),
        TEST(overrides_count_before_the_mix_and_the_first_wins),
        TEST(threads_do_not_change_the_bytes),
        TEST(progress_tells_every_tensor_and_all_bytes),
        TEST(a_stopped_run_leaves_the_old_file),
        TEST(what_is_quantised_already_needs_the_flag),
        TEST(weights_of_the_same_type_are_copied_bit_for_bit),
        TEST(a_weight_that_is_no_number_is_named),
        TEST(vectors_that_stay_are_looked_at_too),
        TEST(the_input_is_never_overwritten),
        TEST(a_split_model_becomes_one_file),
        TEST(types_for_activations_are_only_for_the_pure),
        TEST(overrides_that_say_nothing_are_refused),
        TEST(bad_files_and_places_are_named),
        TEST(any_allocation_or_write_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
