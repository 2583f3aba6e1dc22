/* Attention through one segment, and the writing of KV pages. */
#include "backend/cpu/half_inline.h"
#include "backend/cpu/scalar/kv_number.h"
#include "kernels/kernels_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    N_PAGES = ATTENTION_SEGMENT_TOKENS / KV_PAGE_TOKENS,
    N_STORED = N_PAGES + 3, /* pages in memory; the segment uses some of them, in any order */
    MOST_VALUES = ATTENTION_MAX_QUERIES * ATTENTION_MAX_COLUMNS
};

struct setting {
    enum kv_type type;
    uint32_t head_columns;
    uint32_t first_position;
    struct guarded kv;
    struct guarded q;
    uint32_t pages[N_PAGES];
    struct attention_query queries[ATTENTION_MAX_QUERIES];
    uint32_t n_queries;
    struct attention_call call;
};

static size_t page_bytes(enum kv_type type, uint32_t head_columns)
{
    return kv_keys_bytes(type, head_columns) + kv_values_bytes(type, head_columns);
}

static bool keys_have_scales(enum kv_type type)
{
    return kv_key_type(type) == KV_Q8_0;
}

/* F16 numbers behind the values of a token. */
static uint32_t n_value_scales(enum kv_type type, uint32_t head_columns)
{
    return kv_blocks(head_columns) * (type == KV_Q8_0_Q4_1 ? 2 : 1);
}

static uint16_t *key_scales(uint8_t *page, uint32_t head_columns)
{
    return (void *)(page + (size_t)head_columns * KV_PAGE_TOKENS);
}

static uint16_t *value_scales(uint8_t *page, enum kv_type type, uint32_t head_columns)
{
    const size_t n = (size_t)n_value_scales(type, head_columns) * KV_PAGE_TOKENS;
    return (void *)(page + page_bytes(type, head_columns) - n * sizeof(uint16_t));
}

/* Every scale of a page: the keys' and the values'. */
static void fill_scales(struct kernel_test *test, struct setting *s, uint8_t *page)
{
    const float of_value = s->type == KV_Q8_0_Q4_1 ? 1.0f / 15.0f : 2.0f / 127.0f;
    uint16_t *const keys = key_scales(page, s->head_columns);
    uint16_t *const values = value_scales(page, s->type, s->head_columns);
    for (uint32_t i = 0; i < kv_blocks(s->head_columns) * KV_PAGE_TOKENS; i++) {
        keys[i] = half_from_float_clamped(2.0f / 127.0f * kernel_test_float(test));
    }
    for (uint32_t i = 0; i < n_value_scales(s->type, s->head_columns) * KV_PAGE_TOKENS; i++) {
        const bool min = s->type == KV_Q8_0_Q4_1 && i % 2 == 1;
        values[i] = half_from_float_clamped((min ? 1.0f : of_value) * kernel_test_float(test));
    }
}

/* Numbers in [-2, 2). */
static void fill_pages(struct kernel_test *test, struct setting *s)
{
    uint16_t *const halves = (void *)s->kv.bytes;
    for (size_t i = 0; i < s->kv.n_bytes / 2; i++) {
        const float number = 2.0f * kernel_test_float(test);
        halves[i] = s->type == KV_F16    ? half_from_float_clamped(number)
                    : s->type == KV_BF16 ? bf16_from_float_clamped(number)
                                         : (uint16_t)test_random_below(&test->random, 1u << 16);
    }
    for (uint32_t i = 0; keys_have_scales(s->type) && i < N_STORED; i++) {
        fill_scales(test, s, s->kv.bytes + i * page_bytes(s->type, s->head_columns));
    }
    for (uint32_t i = 0; i < N_PAGES; i++) {
        s->pages[i] = (5 * i + 2) % N_STORED;
    }
}

static void
make_setting(struct kernel_test *test, struct setting *s, enum kv_type type, uint32_t head_columns)
{
    *s = (struct setting){.type = type, .head_columns = head_columns, .first_position = 512};
    s->kv = guarded_make(N_STORED * page_bytes(type, head_columns), PACK_SLACK_BYTES);
    s->q = guarded_make(ATTENTION_MAX_QUERIES * (size_t)head_columns * sizeof(float), 0);
    kernel_test_floats(test, (void *)s->q.bytes, ATTENTION_MAX_QUERIES * (size_t)head_columns);
    fill_pages(test, s);
    s->call = (struct attention_call){
        .kv = s->kv.bytes,
        .page_stride = page_bytes(type, head_columns),
        .values_offset = kv_keys_bytes(type, head_columns),
        .pages = s->pages,
        .first_position = s->first_position,
        .head_columns = head_columns,
        .scale = 1.0f / sqrtf((float)head_columns),
        .queries = s->queries,
    };
}

static void free_setting(struct kernel_test *test, struct setting *s)
{
    bool whole = guarded_free(&s->kv);
    whole &= guarded_free(&s->q);
    if (!whole) {
        kernel_test_fail(test, "%u columns: wrote into its input", s->head_columns);
    }
}

/* Query `i` sees offsets begin <= t < end of the segment. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the kernel writes them */
static void add_query(struct setting *s, uint32_t begin, uint32_t end, float *values)
{
    const uint32_t i = s->n_queries++;
    s->queries[i] = (struct attention_query){
        .q = (const float *)(void *)s->q.bytes + (size_t)i * s->head_columns,
        .begin = s->first_position + begin,
        .end = s->first_position + end,
        .values = values + (size_t)i * kv_value_columns(s->head_columns),
    };
    s->call.n_queries = s->n_queries;
}

static double key_at(const struct setting *s, uint32_t t, uint32_t column)
{
    const uint8_t *const page = s->kv.bytes + s->pages[t / KV_PAGE_TOKENS] * s->call.page_stride;
    return (double)kv_key(page, s->type, s->head_columns, t % KV_PAGE_TOKENS, column);
}

static double value_at(const struct setting *s, uint32_t t, uint32_t column)
{
    const uint8_t *const page = s->kv.bytes + s->pages[t / KV_PAGE_TOKENS] * s->call.page_stride;
    const uint8_t *const values = page + s->call.values_offset;
    return (double)kv_value(values, s->type, s->head_columns, t % KV_PAGE_TOKENS, column);
}

/* One query in double: softmax's average of the values. */
static void attend_exactly(const struct setting *s, const struct attention_query *query, float *out)
{
    double scores[ATTENTION_SEGMENT_TOKENS];
    double largest = -INFINITY;
    const uint32_t begin = query->begin - s->first_position;
    const uint32_t end = query->end - s->first_position;
    for (uint32_t t = begin; t < end; t++) {
        scores[t] = 0;
        for (uint32_t c = 0; c < s->head_columns; c++) {
            scores[t] += (double)query->q[c] * key_at(s, t, c);
        }
        scores[t] *= (double)s->call.scale;
        largest = fmax(largest, scores[t]);
    }
    double sum = 0;
    for (uint32_t t = begin; t < end; t++) {
        scores[t] = exp(scores[t] - largest);
        sum += scores[t];
    }
    for (uint32_t c = 0; c < s->head_columns; c++) {
        double average = 0;
        for (uint32_t t = begin; t < end; t++) {
            average += scores[t] / sum * value_at(s, t, c);
        }
        out[c] = (float)average;
    }
}

static void compare(struct kernel_test *test, struct setting *s, attention_function function)
{
    function(&s->call);
    for (uint32_t i = 0; i < s->n_queries; i++) {
        const struct attention_query *const query = &s->queries[i];
        float expected[ATTENTION_MAX_COLUMNS];
        float got[ATTENTION_MAX_COLUMNS];
        attend_exactly(s, query, expected);
        for (uint32_t c = 0; c < s->head_columns; c++) {
            got[c] = query->values[c] / query->sum;
        }
        const size_t at = floats_far_at(expected, got, s->head_columns, 1e-5f, 3e-6f);
        if (at != s->head_columns) {
            kernel_test_fail(
                test,
                "KV type %u, %u columns, query %u of %u [%u, %u): column %zu is %g, wants %g",
                s->type,
                s->head_columns,
                i,
                s->n_queries,
                query->begin - s->first_position,
                query->end - s->first_position,
                at,
                (double)got[at],
                (double)expected[at]);
        }
    }
}

/* Every query again by itself: the same bits. */
static void compare_alone(struct kernel_test *test, struct setting *s)
{
    static float alone[ATTENTION_MAX_COLUMNS];
    test->kernels.attention[s->type](&s->call);
    struct attention_call call = s->call;
    for (uint32_t i = 0; i < s->n_queries; i++) {
        struct attention_query query = s->queries[i];
        query.values = alone;
        call.queries = &query;
        call.n_queries = 1;
        test->kernels.attention[s->type](&call);
        const bool same = query.max == s->queries[i].max && query.sum == s->queries[i].sum &&
                          memcmp(alone, s->queries[i].values, s->head_columns * sizeof(float)) == 0;
        if (!same) {
            kernel_test_fail(test, "%u columns: query %u has other bits alone", s->head_columns, i);
        }
    }
}

/* What is not seen may be anything, NaN and infinities too. */
static void spoil_slot(const struct setting *s, uint8_t *page, uint32_t slot)
{
    static const uint16_t strange[KV_N_TYPES][3] = {{0x7e00, 0x7c00, 0xfc00},
                                                    {0x7fc0, 0x7f80, 0xff80},
                                                    {0x7e00, 0x7c00, 0xfc00},
                                                    {0x7e00, 0x7c00, 0xfc00}};
    const uint16_t *const with = strange[s->type];
    uint16_t *keys = (void *)page;
    uint16_t *values = (void *)(page + s->call.values_offset);
    uint32_t n_key_rows = s->head_columns;
    uint32_t n_values = kv_value_columns(s->head_columns);
    if (keys_have_scales(s->type)) { /* bytes are never strange: the scales */
        keys = key_scales(page, s->head_columns);
        values = value_scales(page, s->type, s->head_columns);
        n_key_rows = kv_blocks(s->head_columns);
        n_values = n_value_scales(s->type, s->head_columns);
    }
    for (uint32_t i = 0; i < n_key_rows; i++) {
        keys[i * KV_PAGE_TOKENS + slot] = with[i % 2];
    }
    for (uint32_t i = 0; i < n_values; i++) {
        values[slot * n_values + i] = with[i % 2 == 0 ? 2 : 0];
    }
}

static void spoil_unseen(const struct setting *s, uint32_t begin, uint32_t end)
{
    for (uint32_t t = 0; t < ATTENTION_SEGMENT_TOKENS; t++) {
        if (t < begin || t >= end) {
            uint8_t *const page = s->kv.bytes + s->pages[t / KV_PAGE_TOKENS] * s->call.page_stride;
            spoil_slot(s, page, t % KV_PAGE_TOKENS);
        }
    }
}

static void check_rows(
    struct kernel_test *test, enum kv_type type, uint32_t head_columns, uint32_t n, uint32_t heads)
{
    static float values[MOST_VALUES];
    struct setting s;
    make_setting(test, &s, type, head_columns);
    const uint32_t window =
        1 + (uint32_t)test_random_below(&test->random, 2ULL * ATTENTION_SEGMENT_TOKENS);
    uint32_t end = 1 + (uint32_t)test_random_below(&test->random, ATTENTION_SEGMENT_TOKENS);
    const uint32_t first_begin = end > window ? end - window : 0;
    for (uint32_t i = 0; i < n; i++) {
        add_query(&s, end > window ? end - window : 0, end, values);
        end += i % heads == heads - 1 && end < ATTENTION_SEGMENT_TOKENS;
    }
    compare(test, &s, test->scalar.attention[type]);
    compare(test, &s, test->kernels.attention[type]);
    compare_alone(test, &s);
    spoil_unseen(&s, first_begin, end);
    compare(test, &s, test->scalar.attention[type]);
    compare(test, &s, test->kernels.attention[type]);
    free_setting(test, &s);
}

/* Queries of one call that have nothing to do with each other. */
static void check_scattered(struct kernel_test *test, enum kv_type type, uint32_t head_columns)
{
    static float values[MOST_VALUES];
    struct setting s;
    make_setting(test, &s, type, head_columns);
    for (uint32_t i = 0; i < 13; i++) {
        const uint32_t begin = (uint32_t)test_random_below(&test->random, ATTENTION_SEGMENT_TOKENS);
        const uint32_t left = ATTENTION_SEGMENT_TOKENS - begin;
        add_query(&s, begin, begin + 1 + (uint32_t)test_random_below(&test->random, left), values);
    }
    compare(test, &s, test->scalar.attention[type]);
    compare(test, &s, test->kernels.attention[type]);
    compare_alone(test, &s);
    free_setting(test, &s);
}

/* What may lie between a number and what is kept of it; largest and range: the largest magnitude of
 * its block of columns, and what lies between its ends. */
static float rounding(enum kv_type type, bool is_key, float x, float largest, float range)
{
    switch (is_key ? kv_key_type(type) : type) {
    case KV_F16:
        return fmaxf(fabsf(x) * 0x1p-11f, 0x1p-25f);
    case KV_BF16:
        return fabsf(x) * 0x1p-8f;
    case KV_Q8_0_Q4_1:
        /* Half a step, and the roundings of scale and min. */
        return range / 15.0f * 0.51f + largest * 0x1p-10f + 16 * 0x1p-25f;
    default:
        /* Half a step of the scale, and the scale's own rounding. */
        return largest / 127.0f * 0.51f + fabsf(x) * 0x1p-11f + 127 * 0x1p-25f;
    }
}

static float largest_kept(enum kv_type type, bool is_key)
{
    switch (is_key ? kv_key_type(type) : type) {
    case KV_BF16:
        return bf16_to_float(0x7f7f);
    case KV_Q8_0:
        return 127.0f * HALF_MAX;
    default:
        return HALF_MAX;
    }
}

/* Near what was given, block by block; what is too large is the largest there is. */
static void check_written(struct kernel_test *test,
                          enum kv_type type,
                          uint32_t head_columns,
                          uint32_t slot,
                          const struct guarded *page,
                          const float *key,
                          const float *value)
{
    const uint8_t *const values = page->bytes + kv_keys_bytes(type, head_columns);
    for (uint32_t c = 0; c < 2 * head_columns; c++) {
        const bool is_key = c < head_columns;
        const float most = largest_kept(type, is_key);
        const uint32_t column = c % head_columns;
        const uint32_t block = column & ~(KV_BLOCK_COLUMNS - 1);
        const float *const x = is_key ? key : value;
        const float kept = is_key ? kv_key(page->bytes, type, head_columns, slot, column)
                                  : kv_value(values, type, head_columns, slot, column);
        const float wanted = fmaxf(fminf(x[column], most), -most);
        float low = wanted;
        float high = wanted;
        for (uint32_t i = block; i < head_columns && i < block + KV_BLOCK_COLUMNS; i++) {
            low = fminf(low, fmaxf(x[i], -most));
            high = fmaxf(high, fminf(x[i], most));
        }
        const float largest = fmaxf(fabsf(low), fabsf(high));
        if (!(fabsf(kept - wanted) <= rounding(type, is_key, wanted, largest, high - low))) {
            kernel_test_fail(test,
                             "KV type %u, %u columns, slot %u, column %u: %g is kept as %g",
                             type,
                             head_columns,
                             slot,
                             c,
                             (double)x[column],
                             (double)kept);
        }
    }
}

/* A key and a value with NaN: NaN in its column, or in its block of columns, and nowhere else. */
static void check_nan(struct kernel_test *test, enum kv_type type)
{
    enum { COLUMNS = 70, STRANGE = 40 };
    static uint8_t page[KV_PAGE_TOKENS * (COLUMNS + 80) * 2];
    float x[COLUMNS];
    kernel_test_floats(test, x, COLUMNS);
    x[STRANGE] = NAN;
    uint8_t *const values = page + kv_keys_bytes(type, COLUMNS);
    test->kernels.kv_write[type](x, x, COLUMNS, 3, page, values);
    for (uint32_t c = 0; c < COLUMNS; c++) {
        const bool wanted = keys_have_scales(type)
                                ? c / KV_BLOCK_COLUMNS == STRANGE / KV_BLOCK_COLUMNS
                                : c == STRANGE;
        if (isnan(kv_key(page, type, COLUMNS, 3, c)) != wanted ||
            isnan(kv_value(values, type, COLUMNS, 3, c)) != wanted) {
            kernel_test_fail(test, "KV type %u: NaN in column %u, and column %u", type, STRANGE, c);
        }
    }
}

/* Keys and values of every slot, and nothing else of the page. */
static void check_write(struct kernel_test *test, enum kv_type type, uint32_t head_columns)
{
    const size_t keys_bytes = kv_keys_bytes(type, head_columns);
    struct guarded twin = guarded_make(page_bytes(type, head_columns), 0);
    struct guarded page = guarded_make(page_bytes(type, head_columns), 0);
    struct guarded key = guarded_make(head_columns * sizeof(float), 0);
    struct guarded value = guarded_make(head_columns * sizeof(float), 0);
    for (uint32_t slot = 0; slot < KV_PAGE_TOKENS; slot++) {
        float *const k = (void *)key.bytes;
        float *const v = (void *)value.bytes;
        kernel_test_floats(test, k, head_columns);
        kernel_test_floats(test, v, head_columns);
        for (uint32_t c = 0; c < head_columns; c++) {
            k[c] = ldexpf(k[c], (int)test_random_below(&test->random, 48) - 30);
        }
        /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): a head has columns */
        k[slot % head_columns] = slot % 2 == 0 ? INFINITY : -70000.0f;
        test->scalar.kv_write[type](k, v, head_columns, slot, twin.bytes, twin.bytes + keys_bytes);
        test->kernels.kv_write[type](k, v, head_columns, slot, page.bytes, page.bytes + keys_bytes);
        if (memcmp(twin.bytes, page.bytes, twin.n_bytes) != 0) {
            kernel_test_fail(
                test, "KV type %u, %u columns, slot %u: pages differ", type, head_columns, slot);
        }
        check_written(test, type, head_columns, slot, &page, k, v);
    }
    bool whole = guarded_free(&twin);
    whole &= guarded_free(&page);
    whole &= guarded_free(&key);
    whole &= guarded_free(&value);
    if (!whole) {
        kernel_test_fail(test, "%u columns: wrote outside", head_columns);
    }
}

/* The conversions by hand, over all halves and the gaps between them. */
static void check_halves(struct kernel_test *test)
{
    for (uint32_t half = 0; half < 0x7bff; half++) {
        const float low = half_to_float((uint16_t)half);
        const float high = half_to_float((uint16_t)(half + 1));
        const float middle = low + (high - low) / 2; /* exact; goes to the even one */
        const uint32_t even = half % 2 == 0 ? half : half + 1;
        const bool fine = half_from_float_clamped(low) == half &&
                          half_from_float_clamped(middle) == even &&
                          half_from_float_clamped(nextafterf(middle, 0.0f)) == half &&
                          half_from_float_clamped(nextafterf(middle, 1e9f)) == half + 1 &&
                          half_from_float_clamped(-low) == (half | 0x8000u) && low < high;
        if (!fine) {
            kernel_test_fail(test, "half %04x", half);
        }
    }
    if (half_to_float(0x3c00) != 1.0f || half_to_float(1) != 0x1p-24f ||
        !isnan(half_to_float(0x7e01)) || !isinf(half_to_float(0xfc00)) ||
        (half_from_float_clamped(NAN) & 0x7fff) <= 0x7c00) {
        kernel_test_fail(test, "strange halves");
    }
}

void test_attention(struct kernel_test *test)
{
    static const uint32_t head_columns[] = {2, 14, 16, 30, 64, 80, 96, 128, 250, 256};
    if (!kernel_test_begin(test, "attention")) {
        return;
    }
    check_halves(test);
    for (enum kv_type type = KV_F16; type < KV_N_TYPES; type++) {
        for (uint32_t i = 0; i < sizeof head_columns / sizeof head_columns[0]; i++) {
            for (uint32_t n = 1; n <= 13; n++) {
                check_rows(test, type, head_columns[i], n, 1 + n % 4);
            }
            check_rows(test, type, head_columns[i], ATTENTION_MAX_QUERIES, 3);
            check_scattered(test, type, head_columns[i]);
            check_write(test, type, head_columns[i]);
        }
        check_nan(test, type);
    }
}

struct bench_call {
    const struct attention_call *call;
    attention_function function;
};

static void run_call(void *context)
{
    const struct bench_call *const bench = context;
    bench->function(bench->call);
}

static void bench_one(struct kernel_test *test, enum kv_type type, uint32_t columns, uint32_t n)
{
    static const char *const names[KV_N_TYPES] = {"f16", "bf16", "q8_0", "q8_0_q4_1"};
    static float values[MOST_VALUES];
    struct setting s;
    make_setting(test, &s, type, columns);
    for (uint32_t q = 0; q < n; q++) {
        add_query(&s, 0, ATTENTION_SEGMENT_TOKENS, values);
    }
    struct bench_call bench = {.call = &s.call, .function = test->kernels.attention[type]};
    const double seconds = bench_seconds(run_call, &bench);
    printf("attention %-9s %3u columns, %2u queries: %6.2f G multiply-adds/s, %6.2f GB/s of KV\n",
           names[type],
           columns,
           n,
           2.0 * n * ATTENTION_SEGMENT_TOKENS * columns / seconds * 1e-9,
           (double)(N_PAGES * page_bytes(type, columns)) / seconds * 1e-9);
    free_setting(test, &s);
}

void bench_attention(struct kernel_test *test)
{
    static const uint32_t head_columns[] = {64, 128, 256};
    static const uint32_t n_queries[] = {1, 3, 4, 8, 64};
    if (!kernel_test_begin(test, "attention")) {
        return;
    }
    for (enum kv_type type = KV_F16; type < KV_N_TYPES; type++) {
        for (uint32_t i = 0; i < 3; i++) {
            for (uint32_t k = 0; k < 5; k++) {
                bench_one(test, type, head_columns[i], n_queries[k]);
            }
        }
    }
}
