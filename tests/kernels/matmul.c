/* The matmul kernels: bit-equal to their scalar twins and to themselves for any number of rows,
 * tile range and neighbour; the scalar twins near the product in double. */
#include "backend/cpu/pack.h"
#include "kernels/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MOST_TOKENS 40u

/* Everything one comparison needs. */
struct scene {
    struct kernel_test *test;
    struct test_weight weight;
    uint32_t n_tokens;
    struct guarded x;
    struct guarded values;
    struct guarded scales;
    struct guarded sums;
    struct guarded bias;
    struct guarded residual;
    struct quantised_rows quantised;
    size_t stride; /* of out and residual */
    struct matmul_call call;
};

static bool is_integer(enum tile_layout layout)
{
    return layout != TILE_F16 && layout != TILE_BF16 && layout != TILE_F32;
}

static void quantise_rows(struct scene *s)
{
    const uint32_t columns = s->weight.columns;
    s->values = guarded_make((size_t)s->n_tokens * columns, PACK_SLACK_BYTES);
    s->scales = guarded_make(sizeof(float) * s->n_tokens * (columns / 32), PACK_SLACK_BYTES);
    s->sums = guarded_make(sizeof(int32_t) * s->n_tokens * (columns / 16), PACK_SLACK_BYTES);
    s->quantised = (struct quantised_rows){.values = (void *)s->values.bytes,
                                           .scales = (void *)s->scales.bytes,
                                           .sums = (void *)s->sums.bytes,
                                           .columns = columns};
    for (uint32_t t = 0; t < s->n_tokens; t++) {
        const struct quantised_rows row = {
            .values = s->quantised.values + (size_t)t * columns,
            .scales = s->quantised.scales + (size_t)t * (columns / 32),
            .sums = s->quantised.sums + (size_t)t * (columns / 16),
            .columns = columns,
        };
        s->test->scalar.quantise(
            (const float *)(void *)s->x.bytes + (size_t)t * columns, columns, &row);
    }
    s->call.quantised = &s->quantised;
}

/* extremes: activations that quantise to 127, -127 or both in turn. */
static void fill_activations(struct scene *s, int extremes)
{
    float *const x = (void *)s->x.bytes;
    const size_t n = (size_t)s->n_tokens * s->weight.columns;
    kernel_test_floats(s->test, x, n);
    for (size_t i = 0; extremes != 0 && i < n; i++) {
        x[i] = extremes == 1 ? 1.0f : extremes == 2 ? -1.0f : i % 4 < 2 ? 1.0f : -1.0f;
    }
}

static void scene_make(struct scene *s, uint32_t n_tokens, int extremes, bool extras)
{
    const struct test_weight *const w = &s->weight;
    s->n_tokens = n_tokens;
    s->x = guarded_make((size_t)n_tokens * w->columns * sizeof(float), PACK_SLACK_BYTES);
    s->stride = w->rows + 3;
    s->call = (struct matmul_call){
        .tiles = w->tiles.bytes,
        .tile_bytes = w->tile_bytes,
        .n_weight_rows = w->rows,
        .columns = w->columns,
        .n_tiles = w->n_tiles,
        .x = (void *)s->x.bytes,
        .x_stride = w->columns,
        .n_rows = n_tokens,
        .out_stride = s->stride,
        .residual_stride = s->stride,
    };
    fill_activations(s, extremes);
    if (is_integer(w->layout)) {
        quantise_rows(s);
    }
    s->bias = guarded_make(w->rows * sizeof(float), 0);
    s->residual = guarded_make(n_tokens * s->stride * sizeof(float), 0);
    kernel_test_floats(s->test, (void *)s->bias.bytes, w->rows);
    kernel_test_floats(s->test, (void *)s->residual.bytes, n_tokens * s->stride);
    s->call.bias = extras ? (void *)s->bias.bytes : NULL;
    s->call.residual = extras ? (void *)s->residual.bytes : NULL;
}

static void scene_free(struct scene *s)
{
    if (is_integer(s->weight.layout)) {
        (void)guarded_free(&s->values);
        (void)guarded_free(&s->scales);
        (void)guarded_free(&s->sums);
    }
    (void)guarded_free(&s->x);
    (void)guarded_free(&s->bias);
    (void)guarded_free(&s->residual);
}

/* The call's rows [first, first + n). */
static void run_rows(const struct scene *s,
                     matmul_function kernel,
                     struct matmul_call call,
                     uint32_t first,
                     uint32_t n,
                     float *out)
{
    const uint32_t columns = call.columns;
    struct quantised_rows q = s->quantised;
    if (q.values != NULL) {
        q.values += (size_t)first * columns;
        q.scales += (size_t)first * (columns / 32);
        q.sums += (size_t)first * (columns / 16);
    }
    call.quantised = &q;
    if (call.x != NULL) {
        call.x += (size_t)first * columns;
    }
    call.out = out + first * call.out_stride;
    if (call.residual != NULL) {
        call.residual += first * call.residual_stride;
    }
    call.n_rows = n;
    kernel(&call);
}

static void compare(const struct scene *s,
                    const struct guarded *wanted,
                    const struct guarded *got,
                    const char *how)
{
    const size_t n = s->n_tokens * s->stride;
    const float *const a = (const void *)wanted->bytes;
    const float *const b = (const void *)got->bytes;
    const size_t at = floats_differ_at(a, b, n);
    if (at != n) {
        kernel_test_fail(s->test,
                         "%s %s: %u x %u, %u tokens: token %zu row %zu is %a, wants %a",
                         tensor_type_name(s->weight.type),
                         how,
                         s->weight.rows,
                         s->weight.columns,
                         s->n_tokens,
                         at / s->stride,
                         at % s->stride,
                         (double)b[at],
                         (double)a[at]);
    }
}

static void round_to_bf16(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits += 0x7fffu + (bits >> 16 & 1u);
        bits &= 0xffff0000u;
        memcpy(&x[i], &bits, sizeof bits);
    }
}

/* The exception of kernels.h: this level rounds the activations, and sums in another order. */
static void compare_rounded(const struct scene *s, const struct guarded *got)
{
    const size_t n_x = (size_t)s->n_tokens * s->weight.columns;
    struct guarded x = guarded_make(n_x * sizeof(float), PACK_SLACK_BYTES);
    struct guarded wanted = guarded_make(got->n_bytes, 0);
    memcpy(x.bytes, s->x.bytes, x.n_bytes);
    round_to_bf16((void *)x.bytes, n_x);
    struct matmul_call call = s->call;
    call.x = (void *)x.bytes;
    run_rows(s, s->test->scalar.matmul[TILE_BF16], call, 0, s->n_tokens, (void *)wanted.bytes);
    const size_t n = s->n_tokens * s->stride;
    const float absolute = 0x1p-21f * (float)s->weight.columns;
    const size_t at =
        floats_far_at((const void *)got->bytes, (const void *)wanted.bytes, n, 0.0f, absolute);
    if (at != n) {
        kernel_test_fail(s->test, "BF16: output %zu is too far", at);
    }
    (void)guarded_free(&x);
    (void)guarded_free(&wanted);
}

static bool is_exact(const struct scene *s)
{
    return s->weight.layout != TILE_BF16 ||
           strncmp(s->test->kernels.matmul_name[TILE_BF16], "matmul_bf16_", 12) != 0;
}

/* Whole, token by token, and in odd parts of tokens and tiles: always the same bits. */
static void check_scene(struct scene *s)
{
    const size_t n_bytes = s->n_tokens * s->stride * sizeof(float);
    const matmul_function kernel = s->test->kernels.matmul[s->weight.layout];
    struct guarded wanted = guarded_make(n_bytes, 0);
    struct guarded whole = guarded_make(n_bytes, 0);
    struct guarded parts = guarded_make(n_bytes, 0);
    run_rows(
        s, s->test->scalar.matmul[s->weight.layout], s->call, 0, s->n_tokens, (void *)wanted.bytes);
    run_rows(s, kernel, s->call, 0, s->n_tokens, (void *)whole.bytes);
    if (is_exact(s)) {
        compare(s, &wanted, &whole, "against scalar");
    } else {
        compare_rounded(s, &whole);
    }
    for (uint32_t t = 0; t < s->n_tokens; t++) {
        run_rows(s, kernel, s->call, t, 1, (void *)parts.bytes);
    }
    compare(s, &whole, &parts, "token by token");
    (void)guarded_free(&parts);
    parts = guarded_make(n_bytes, 0);
    const uint32_t cut = s->n_tokens / 3;
    for (uint32_t i = 0; i < s->weight.n_tiles; i++) {
        struct matmul_call call = s->call;
        call.first_tile = i;
        call.n_tiles = 1;
        if (cut > 0) {
            run_rows(s, kernel, call, 0, cut, (void *)parts.bytes);
        }
        run_rows(s, kernel, call, cut, s->n_tokens - cut, (void *)parts.bytes);
    }
    compare(s, &whole, &parts, "in parts");
    const bool clean = guarded_free(&wanted);
    const bool clean_whole = guarded_free(&whole);
    if (!guarded_free(&parts) || !clean_whole || !clean) {
        kernel_test_fail(s->test, "%s: wrote outside", tensor_type_name(s->weight.type));
    }
}

/* Residual and output in one place, as a layer's running sum is. */
static void check_in_place(struct scene *s)
{
    const size_t n_bytes = s->n_tokens * s->stride * sizeof(float);
    struct guarded apart = guarded_make(n_bytes, 0);
    struct guarded in_place = guarded_make(n_bytes, 0);
    memcpy(apart.bytes, s->residual.bytes, n_bytes); /* gaps between rows stay */
    memcpy(in_place.bytes, s->residual.bytes, n_bytes);
    const matmul_function kernel = s->test->kernels.matmul[s->weight.layout];
    run_rows(s, kernel, s->call, 0, s->n_tokens, (void *)apart.bytes);
    struct matmul_call call = s->call;
    call.residual = (void *)in_place.bytes;
    run_rows(s, kernel, call, 0, s->n_tokens, (void *)in_place.bytes);
    compare(s, &apart, &in_place, "in place");
    (void)guarded_free(&apart);
    (void)guarded_free(&in_place);
}

/* |scalar - double| <= what half a step of the activations can do, and rounding. */
static void check_against_double(struct scene *s)
{
    const struct test_weight *const w = &s->weight;
    struct guarded out = guarded_make(s->n_tokens * s->stride * sizeof(float), 0);
    struct guarded row = guarded_make(w->columns * sizeof(float), 0);
    run_rows(s, s->test->scalar.matmul[w->layout], s->call, 0, s->n_tokens, (void *)out.bytes);
    const float *const x = (const void *)s->x.bytes;
    for (uint32_t r = 0; r < w->rows; r++) {
        const float *const weights = (const void *)row.bytes;
        pack_unpack_row(w->layout, w->tiles.bytes, w->columns, r, (void *)row.bytes);
        for (uint32_t t = 0; t < s->n_tokens; t++) {
            double sum = 0.0;
            double bound = 0.0;
            for (uint32_t c = 0; c < w->columns; c++) {
                const double step = is_integer(w->layout)
                                        ? (double)s->quantised.scales[(t * w->columns + c) / 32]
                                        : 0.0;
                sum += (double)weights[c] * (double)x[t * w->columns + c];
                bound += fabs((double)weights[c]) * (0.51 * step + 1e-4);
            }
            const double got = (double)((const float *)(void *)out.bytes)[t * s->stride + r];
            if (!(fabs(got - sum) <= bound + 1e-5)) {
                kernel_test_fail(s->test,
                                 "%s: row %u token %u is %g, double says %g within %g",
                                 tensor_type_name(w->type),
                                 r,
                                 t,
                                 got,
                                 sum,
                                 bound);
            }
        }
    }
    (void)guarded_free(&out);
    (void)guarded_free(&row);
}

static void test_random_scenes(struct kernel_test *test, const struct tensor_type_info *info)
{
    static const uint32_t rows[] = {1, 9, 16, 23, 32, 49};
    const uint32_t unit = info->block_length;
    for (uint32_t n_tokens = 1; n_tokens <= MOST_TOKENS; n_tokens++) {
        const uint32_t i = n_tokens % 6;
        const uint32_t blocks = 1 + (uint32_t)test_random_below(&test->random, unit < 32 ? 99 : 5);
        struct scene s = {.test = test};
        s.weight = test_weight_make(test, info->type, rows[i], unit * blocks, WEIGHT_RANDOM);
        scene_make(&s, n_tokens, 0, n_tokens % 2 == 0);
        check_scene(&s);
        if (n_tokens % 2 == 0) {
            check_in_place(&s);
        } else if (n_tokens < 10) {
            check_against_double(&s);
        }
        scene_free(&s);
        test_weight_free(test, &s.weight);
    }
}

/* More than kernels keep at a time: of tiles, of columns, of tokens. */
static void test_large(struct kernel_test *test, const struct tensor_type_info *info)
{
    struct scene s = {.test = test};
    s.weight = test_weight_make(test, info->type, 19 * TILE_ROWS - 3, 1280, WEIGHT_RANDOM);
    scene_make(&s, 35, 0, true);
    check_scene(&s);
    scene_free(&s);
    test_weight_free(test, &s.weight);
}

static void test_extremes(struct kernel_test *test, const struct tensor_type_info *info)
{
    for (int pattern = WEIGHT_ALL_ONES; pattern < WEIGHT_N_PATTERNS; pattern++) {
        for (int extremes = 1; extremes <= 3; extremes++) {
            struct scene s = {.test = test};
            s.weight = test_weight_make(
                test, info->type, 19, info->block_length * 2, (enum weight_pattern)pattern);
            scene_make(&s, 7, extremes, false);
            check_scene(&s);
            scene_free(&s);
            test_weight_free(test, &s.weight);
        }
    }
}

/* One bad activation must reach every output of its token and no other token's. */
static void test_nan(struct kernel_test *test, const struct tensor_type_info *info)
{
    struct scene s = {.test = test};
    const uint32_t columns = info->block_length == 1 ? 63 : info->block_length * 2;
    s.weight = test_weight_make(test, info->type, 19, columns, WEIGHT_RANDOM);
    scene_make(&s, 3, 0, false);
    ((float *)(void *)s.x.bytes)[columns] = NAN; /* just behind token 0's row */
    if (is_integer(s.weight.layout)) {
        (void)guarded_free(&s.values);
        (void)guarded_free(&s.scales);
        (void)guarded_free(&s.sums);
        quantise_rows(&s);
    }
    struct guarded out = guarded_make(s.n_tokens * s.stride * sizeof(float), 0);
    run_rows(&s, test->kernels.matmul[s.weight.layout], s.call, 0, 3, (void *)out.bytes);
    for (uint32_t t = 0; t < 3; t++) {
        for (uint32_t r = 0; r < s.weight.rows; r++) {
            const float value = ((const float *)(void *)out.bytes)[t * s.stride + r];
            if (isnan(value) != (t == 1)) {
                kernel_test_fail(
                    test, "%s: token %u row %u is %g", info->name, t, r, (double)value);
            }
        }
    }
    (void)guarded_free(&out);
    scene_free(&s);
    test_weight_free(test, &s.weight);
}

void test_matmul(struct kernel_test *test)
{
    for (uint32_t i = 0; i < WEIGHT_N_TYPES; i++) {
        const struct tensor_type_info *const info = tensor_type_find((uint32_t)weight_types[i]);
        char name[32];
        (void)snprintf(name, sizeof name, "matmul_%s", info->name);
        if (!kernel_test_begin(test, name)) {
            continue;
        }
        test_random_scenes(test, info);
        test_large(test, info);
        test_extremes(test, info);
        test_nan(test, info);
    }
}

/* --- bench -------------------------------------------------------------------------------------
 */

struct timed {
    const struct matmul_call *call;
    matmul_function kernel;
};

static void run_timed(void *context)
{
    const struct timed *const timed = context;
    timed->kernel(timed->call);
}

static void bench_shape(struct kernel_test *test,
                        const struct tensor_type_info *info,
                        uint32_t rows,
                        uint32_t columns,
                        uint32_t n_tokens)
{
    if (columns % info->block_length != 0) {
        return;
    }
    struct scene s = {.test = test};
    s.weight = test_weight_make(test, info->type, rows, columns, WEIGHT_RANDOM);
    scene_make(&s, n_tokens, 0, false);
    struct guarded out = guarded_make(n_tokens * s.stride * sizeof(float), 0);
    s.call.out = (void *)out.bytes;
    struct timed timed = {&s.call, test->kernels.matmul[s.weight.layout]};
    const double seconds = bench_seconds(run_timed, &timed);
    const double ops = 2.0 * rows * columns * n_tokens;
    const double bytes = (double)(s.weight.tile_bytes * s.weight.n_tiles);
    printf("%-34s %6u x %-5u %4u tokens %9.1f us %8.1f GOPS %7.2f GB/s\n",
           test->kernels.matmul_name[s.weight.layout],
           rows,
           columns,
           n_tokens,
           seconds * 1e6,
           ops / seconds * 1e-9,
           bytes / seconds * 1e-9);
    (void)guarded_free(&out);
    scene_free(&s);
    test_weight_free(test, &s.weight);
}

struct peak {
    peak_function run;
    uint64_t done;
    int32_t sink;
};

static void run_peak(void *context)
{
    struct peak *const peak = context;
    peak->done = peak->run(100000, &peak->sink);
}

static void bench_peak(struct kernel_test *test)
{
    struct peak peak = {.run = test->kernels.peak_int8};
    const double seconds = bench_seconds(run_peak, &peak);
    printf("peak_int8__%s %.1f GOPS\n", test->kernels.level, 2e-9 * (double)peak.done / seconds);
}

/* SmolLM2 135M (576 wide, 1536 inside, vocabulary 49152) and Gemma 3 270M (640, 2048, 262144). */
void bench_matmul(struct kernel_test *test)
{
    static const struct shape {
        uint32_t rows;
        uint32_t columns;
        uint32_t n_tokens;
    } shapes[] = {
        {576, 576, 512},
        {1536, 576, 512},
        {576, 1536, 512},
        {2048, 640, 512},
        {640, 2048, 512},
        {2048, 1024, 512},
        {1536, 576, 16},
        {49152, 576, 4},
        {49152, 576, 1},
        {32768, 1024, 1},
        {262144, 640, 1},
    };
    bench_peak(test);
    for (uint32_t i = 0; i < WEIGHT_N_TYPES; i++) {
        const struct tensor_type_info *const info = tensor_type_find((uint32_t)weight_types[i]);
        if (!kernel_test_begin(test, info->name)) {
            continue;
        }
        for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
            bench_shape(test, info, shapes[k].rows, shapes[k].columns, shapes[k].n_tokens);
        }
    }
}
