/* How plans become stages, and where activations lie. */
#include "backend/cpu/program.h"
#include "base/alloc.h"
#include "support/backend_support.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS   8u
#define MAX_LOGITS 3u

struct fixture {
    struct bank bank;
    struct program program;
    struct program_memory memory;
    uint8_t *shared;
    float *logits;
};

static int set_up(void **state)
{
    struct fixture *const f = calloc(1, sizeof *f);
    bank_init(&f->bank, "program");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *const f = *state;
    program_deinit(&f->program);
    bank_deinit(&f->bank);
    free(f->shared);
    free(f->logits);
    free(f);
    return 0;
}

/* From the bank's plan, checked, to a bound program. */
static void build(struct fixture *f)
{
    struct realm_error error;
    assert_int_equal(plan_check(f->bank.plan, &error), REALM_OK);
    assert_int_equal(program_build(&f->program, f->bank.plan, &error), REALM_OK);
    assert_int_equal(program_lay_out(&f->program, MAX_ROWS, MAX_LOGITS, &f->memory, &error),
                     REALM_OK);
    f->shared = calloc(1, f->memory.shared_bytes + PACK_SLACK_BYTES);
    f->logits = calloc(MAX_LOGITS * plan_vocabulary(f->bank.plan), sizeof(float));
    program_bind(&f->program, f->shared, f->logits);
}

/* "rows: angles embed norm quantise", a line a stage. */
static void describe(const struct program *program, char *out, size_t n)
{
    static const char *const names[ROW_N_KINDS] = {
        "angles", "embed", "norm", "rope", "write", "silu", "gelu", "add", "select", "quantise"};
    size_t length = 0;
    for (uint32_t i = 0; i < program->n_stages; i++) {
        const struct stage *const stage = &program->stages[i];
        const char *const kind = stage->kind == STAGE_ROWS     ? "rows"
                                 : stage->kind == STAGE_MATMUL ? "matmul"
                                                               : "attention";
        length +=
            (size_t)snprintf(out + length, n - length, "%s%s", stage->alone ? "alone " : "", kind);
        for (uint32_t k = 0; stage->kind == STAGE_ROWS && k < stage->n_row_ops; k++) {
            const struct row_op *const op = &program->row_ops[stage->first_row_op + k];
            length += (size_t)snprintf(out + length, n - length, " %s", names[op->kind]);
        }
        if (stage->kind == STAGE_MATMUL && stage->gated != QUANTISED_NONE) {
            length +=
                (size_t)snprintf(out + length, n - length, " %s quantise", names[stage->gate]);
        }
        length += (size_t)snprintf(
            out + length, n - length, "%s\n", stage->residual == TENSOR_NONE ? "" : " + residual");
    }
}

static void expect_stages(const struct fixture *f, const char *wanted)
{
    char text[4096];
    describe(&f->program, text, sizeof text);
    assert_string_equal(text, wanted);
}

static const struct small_shape shape = {
    .vocabulary = 40,
    .columns = 64,
    .n_layers = 1,
    .n_heads = 4,
    .n_kv_heads = 2,
    .head_columns = 32,
    .ffn_columns = 96,
    .types = {TENSOR_Q8_0, TENSOR_Q4_0, TENSOR_Q5_0},
};

static void llama_layer_is_seven_stages(void **state)
{
    struct fixture *const f = *state;
    small_plan(&f->bank, &shape);
    build(f);
    expect_stages(f,
                  "rows angles embed norm quantise\n"
                  "matmul\n"
                  "rows rope rope write\n"
                  "attention\n"
                  "matmul + residual\n"
                  "alone rows norm quantise\n"
                  "matmul silu quantise\n"
                  "matmul + residual\n"
                  "rows select norm quantise\n"
                  "matmul\n");
}

static void gemma_norms_run_with_their_rows(void **state)
{
    struct fixture *const f = *state;
    struct small_shape gemma = shape;
    gemma.gemma = true;
    small_plan(&f->bank, &gemma);
    build(f);
    expect_stages(f,
                  "rows angles embed norm quantise\n"
                  "matmul\n"
                  "rows norm norm rope rope write\n"
                  "attention\n"
                  "matmul\n"
                  "rows norm add norm quantise\n"
                  "matmul gelu quantise\n"
                  "matmul\n"
                  "rows norm add\n"
                  "rows select norm quantise\n"
                  "matmul\n");
}

static void products_of_floats_need_no_quantising(void **state)
{
    struct fixture *const f = *state;
    struct small_shape floats = shape;
    floats.types[0] = floats.types[1] = floats.types[2] = TENSOR_F16;
    small_plan(&f->bank, &floats);
    build(f);
    assert_int_equal(f->program.n_quantised, 0);
    expect_stages(f,
                  "rows angles embed norm\n"
                  "matmul\n"
                  "rows rope rope write\n"
                  "attention\n"
                  "matmul + residual\n"
                  "rows norm\n"
                  "matmul\n"
                  "rows silu\n"
                  "matmul + residual\n"
                  "rows select norm\n"
                  "matmul\n");
}

/* x + W norm(x): a member that is ahead may not write x while another still norms it. */
static void matmul_over_what_is_normed_waits(void **state)
{
    struct fixture *const f = *state;
    struct plan *const plan = f->bank.plan;
    const tensor_id table = bank_add(&f->bank, "table", TENSOR_F32, 40, 64, 0, 1);
    const tensor_id g = bank_add(&f->bank, "g", TENSOR_F32, 1, 64, 1, 0);
    const tensor_id w = bank_add(&f->bank, "w", TENSOR_Q8_0, 64, 64, 0, 1);
    tensor_id x = plan_append_embed(plan, table, 1);
    for (uint32_t i = 0; i < 2; i++) {
        const tensor_id normed = plan_append_rms_norm(plan, "norm", x, g, 1e-5f, 0);
        x = plan_append_add(plan, "add", plan_append_matmul(plan, "m", normed, &w, NULL, 1), x);
    }
    plan_append_logits(plan, plan_append_select(plan, x));
    build(f);
    expect_stages(f,
                  "rows embed norm quantise\n"
                  "matmul + residual\n"
                  "rows norm quantise\n"
                  "matmul + residual\n"
                  "rows select\n");
}

/* Bytes of the shared memory that an activation takes. */
struct extent {
    const uint8_t *begin;
    const uint8_t *end;
};

static struct extent extent_of(const struct fixture *f, tensor_id id)
{
    const struct place *const place = &f->program.places[id];
    const uint8_t *const begin = (const uint8_t *)place->base;
    return (struct extent){begin, begin + place->stride * MAX_ROWS * sizeof(float)};
}

static void activations_stay_in_their_memory(void **state)
{
    struct fixture *const f = *state;
    small_plan(&f->bank, &shape);
    build(f);
    for (tensor_id id = 0; id < plan_n_tensors(f->bank.plan); id++) {
        const struct plan_tensor *const t = plan_tensor(f->bank.plan, id);
        const struct place *const place = &f->program.places[id];
        if (t->kind != TENSOR_ACTIVATION || place->base == NULL || t->span == SPAN_LOGITS) {
            continue;
        }
        const struct extent e = extent_of(f, id);
        assert_true(e.begin >= f->shared);
        assert_true(e.end <= f->shared + f->memory.shared_bytes);
        assert_true(place->stride >= t->columns);
    }
    for (uint32_t i = 0; i < f->program.n_quantised; i++) {
        const struct quantised_buffer *const q = &f->program.quantised[i];
        const uint32_t n_rows = q->span == SPAN_TOKENS ? MAX_ROWS : MAX_LOGITS;
        const uint8_t *const end =
            (const uint8_t *)(q->rows.sums + (size_t)n_rows * q->columns / 16) + PACK_SLACK_BYTES;
        assert_true((const uint8_t *)q->rows.values >= f->shared);
        assert_true(end <= f->shared + f->memory.shared_bytes + PACK_SLACK_BYTES);
    }
}

static void residual_stream_keeps_one_place(void **state)
{
    struct fixture *const f = *state;
    small_plan(&f->bank, &shape);
    build(f);
    const struct stage *const stages = f->program.stages;
    const tensor_id x = f->program.row_ops[1].out;
    assert_ptr_equal(f->program.places[stages[4].out].base, f->program.places[x].base);
    assert_ptr_equal(f->program.places[stages[7].out].base, f->program.places[x].base);
    assert_ptr_equal(f->program.places[stages[9].out].base, f->logits);
}

/* Twelve layers take far less than twelve times a layer. */
static void layers_share_memory(void **state)
{
    struct fixture *const f = *state;
    struct small_shape deep = shape;
    deep.n_layers = 12;
    small_plan(&f->bank, &deep);
    build(f);
    const size_t one_layer_bytes = 64u * MAX_ROWS * sizeof(float);
    assert_true(f->memory.shared_bytes < 12 * one_layer_bytes);
}

static void running_out_of_memory_is_told(void **state)
{
    struct fixture *const f = *state;
    struct realm_error error;
    small_plan(&f->bank, &shape);
    for (uint64_t n = 0;; n++) {
        alloc_fail_after(n);
        realm_status status = program_build(&f->program, f->bank.plan, &error);
        if (status == REALM_OK) {
            status = program_lay_out(&f->program, MAX_ROWS, MAX_LOGITS, &f->memory, &error);
        }
        alloc_fail_after(UINT64_MAX);
        program_deinit(&f->program);
        if (status == REALM_OK) {
            assert_true(n > 3);
            return;
        }
        assert_int_equal(status, REALM_OUT_OF_MEMORY);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(llama_layer_is_seven_stages),
        TEST(gemma_norms_run_with_their_rows),
        TEST(products_of_floats_need_no_quantising),
        TEST(matmul_over_what_is_normed_waits),
        TEST(activations_stay_in_their_memory),
        TEST(residual_stream_keeps_one_place),
        TEST(layers_share_memory),
        TEST(running_out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
