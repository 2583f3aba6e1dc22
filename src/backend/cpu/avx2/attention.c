/* Attention over F16 pages, up to BLOCK queries at a time: a vector of tokens for the scores (keys
 * are transposed), a vector of columns for the values.  Each query has accumulators of its own and
 * takes columns and tokens in order, so its bits do not depend on who shares its block. */
#include "backend/cpu/avx2/vector.h"
#include "backend/cpu/half_inline.h"

#define BLOCK   6u /* queries: 12 accumulators, and a pair of registers they share */
#define INLINE  __attribute__((always_inline)) static inline
#define NOTHING (-__builtin_inff())

/* Some queries' weights of one segment: scores first, then e^(score - max). */
struct weights {
    _Alignas(32) float of[BLOCK][ATTENTION_SEGMENT_TOKENS];
};

static inline __m256 load_8(const uint16_t *halves)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)halves));
}

static inline const uint16_t *page_keys(const struct attention_call *call, uint32_t page)
{
    return (const void *)(call->kv + call->pages[page] * call->page_stride);
}

static inline const uint16_t *page_values(const struct attention_call *call, uint32_t page)
{
    return (const void *)(call->kv + call->pages[page] * call->page_stride + call->values_offset);
}

/* Scores of n queries against n_pages pages from `page` on.  n and n_pages are constants wherever
 * this is called, so that the accumulators are registers. */
INLINE void score_pages(const struct attention_call *call,
                        const struct attention_query *queries,
                        uint32_t n,
                        uint32_t page,
                        uint32_t n_pages,
                        struct weights *weights)
{
    __m256 sums[BLOCK * 2];
    const uint16_t *keys[4];
#pragma GCC unroll 16
    for (uint32_t p = 0; p < n_pages; p++) {
        keys[p] = page_keys(call, page + p);
    }
#pragma GCC unroll 16
    for (uint32_t i = 0; i < 2 * n * n_pages; i++) {
        sums[i] = _mm256_setzero_ps();
    }
    for (uint32_t c = 0; c < call->head_columns; c++) {
#pragma GCC unroll 16
        for (uint32_t p = 0; p < n_pages; p++) {
            const __m256 low = load_8(keys[p] + (size_t)c * KV_PAGE_TOKENS);
            const __m256 high = load_8(keys[p] + (size_t)c * KV_PAGE_TOKENS + 8);
#pragma GCC unroll 16
            for (uint32_t i = 0; i < n; i++) {
                const __m256 q = _mm256_broadcast_ss(queries[i].q + c);
                __m256 *const sum = sums + 2 * (i * n_pages + p);
                sum[0] = _mm256_fmadd_ps(q, low, sum[0]);
                sum[1] = _mm256_fmadd_ps(q, high, sum[1]);
            }
        }
    }
    const __m256 scale = _mm256_set1_ps(call->scale);
#pragma GCC unroll 16
    for (uint32_t i = 0; i < n; i++) {
#pragma GCC unroll 16
        for (uint32_t k = 0; k < 2 * n_pages; k++) {
            float *const out = weights->of[i] + page * KV_PAGE_TOKENS + 8 * k;
            _mm256_store_ps(out, _mm256_mul_ps(sums[i * n_pages * 2 + k], scale));
        }
    }
}

INLINE void score_all(const struct attention_call *call,
                      const struct attention_query *queries,
                      uint32_t n,
                      uint32_t at_a_time,
                      uint32_t first_page,
                      uint32_t end_page,
                      struct weights *weights)
{
    uint32_t page = first_page;
    for (; page + at_a_time <= end_page; page += at_a_time) {
        score_pages(call, queries, n, page, at_a_time, weights);
    }
    for (; page < end_page; page++) {
        score_pages(call, queries, n, page, 1, weights);
    }
}

/* Few queries take several pages at once, so that enough sums are on their way. */
static void score_block(const struct attention_call *call,
                        const struct attention_query *queries,
                        uint32_t n,
                        uint32_t first_page,
                        uint32_t end_page,
                        struct weights *weights)
{
    switch (n) {
    case 1:
        score_all(call, queries, 1, 4, first_page, end_page, weights);
        break;
    case 2:
        score_all(call, queries, 2, 2, first_page, end_page, weights);
        break;
    case 3:
        score_all(call, queries, 3, 2, first_page, end_page, weights);
        break;
    case 4:
        score_all(call, queries, 4, 1, first_page, end_page, weights);
        break;
    case 5:
        score_all(call, queries, 5, 1, first_page, end_page, weights);
        break;
    default:
        score_all(call, queries, 6, 1, first_page, end_page, weights);
        break;
    }
}

/* Scores into weights, for the offsets begin <= t < end that the query sees. */
static void weigh(const struct attention_call *call, struct attention_query *query, float *scores)
{
    const uint32_t begin = query->begin - call->first_position;
    const uint32_t end = query->end - call->first_position;
    const uint32_t first = begin & ~(KV_PAGE_TOKENS - 1);
    const uint32_t last = (end + KV_PAGE_TOKENS - 1) & ~(KV_PAGE_TOKENS - 1);
    for (uint32_t t = first; t < begin; t++) {
        scores[t] = NOTHING;
    }
    for (uint32_t t = end; t < last; t++) {
        scores[t] = NOTHING;
    }
    __m256 largest = _mm256_set1_ps(NOTHING);
    for (uint32_t t = first; t < last; t += 8) {
        largest = _mm256_max_ps(largest, _mm256_load_ps(scores + t));
    }
    query->max = max_8(largest);
    const __m256 max = _mm256_set1_ps(query->max);
    __m256 sum = _mm256_setzero_ps();
    for (uint32_t t = first; t < last; t += 8) {
        const __m256 weight = exp_8(_mm256_sub_ps(_mm256_load_ps(scores + t), max));
        _mm256_store_ps(scores + t, weight);
        sum = _mm256_add_ps(sum, weight);
    }
    query->sum = sum_8(sum);
}

/* Adds the values of offsets begin <= t < end to columns [column, column + 8 n_vectors) of n
 * queries. n and n_vectors are constants wherever this is called. */
INLINE void add_columns(const struct attention_call *call,
                        struct attention_query *queries,
                        const float *const *weights,
                        uint32_t n,
                        uint32_t column,
                        uint32_t n_vectors,
                        uint32_t begin,
                        uint32_t end)
{
    const uint32_t value_columns = kv_value_columns(call->head_columns);
    __m256 sums[BLOCK * 2];
#pragma GCC unroll 16
    for (uint32_t i = 0; i < n; i++) {
#pragma GCC unroll 16
        for (uint32_t v = 0; v < n_vectors; v++) {
            sums[i * n_vectors + v] = _mm256_loadu_ps(queries[i].values + column + 8 * v);
        }
    }
    uint32_t t = begin;
    while (t < end) {
        const uint32_t page = t / KV_PAGE_TOKENS;
        const uint32_t page_end =
            (page + 1) * KV_PAGE_TOKENS < end ? (page + 1) * KV_PAGE_TOKENS : end;
        const uint16_t *values =
            page_values(call, page) + (size_t)(t % KV_PAGE_TOKENS) * value_columns + column;
        for (; t < page_end; t++, values += value_columns) {
#pragma GCC unroll 16
            for (uint32_t v = 0; v < n_vectors; v++) {
                const __m256 value = load_8(values + (size_t)8 * v);
#pragma GCC unroll 16
                for (uint32_t i = 0; i < n; i++) {
                    const __m256 weight = _mm256_broadcast_ss(weights[i] + t);
                    __m256 *const sum = &sums[i * n_vectors + v];
                    *sum = _mm256_fmadd_ps(weight, value, *sum);
                }
            }
        }
    }
#pragma GCC unroll 16
    for (uint32_t i = 0; i < n; i++) {
#pragma GCC unroll 16
        for (uint32_t v = 0; v < n_vectors; v++) {
            _mm256_storeu_ps(queries[i].values + column + 8 * v, sums[i * n_vectors + v]);
        }
    }
}

INLINE void add_all(const struct attention_call *call,
                    struct attention_query *queries,
                    const float *const *weights,
                    uint32_t n,
                    uint32_t n_vectors,
                    uint32_t begin,
                    uint32_t end)
{
    const uint32_t columns = kv_value_columns(call->head_columns);
    uint32_t column = 0;
    for (; column + 8 * n_vectors <= columns; column += 8 * n_vectors) {
        add_columns(call, queries, weights, n, column, n_vectors, begin, end);
    }
    for (; column < columns; column += 16) {
        add_columns(call, queries, weights, n, column, 2, begin, end);
    }
}

/* Few queries take more columns at once. */
static void add_values(const struct attention_call *call,
                       struct attention_query *queries,
                       const float *const *weights,
                       uint32_t n,
                       uint32_t begin,
                       uint32_t end)
{
    if (begin >= end) {
        return;
    }
    switch (n) {
    case 1:
        add_all(call, queries, weights, 1, 8, begin, end);
        break;
    case 2:
        add_all(call, queries, weights, 2, 4, begin, end);
        break;
    case 3:
        add_all(call, queries, weights, 3, 4, begin, end);
        break;
    case 4:
        add_all(call, queries, weights, 4, 2, begin, end);
        break;
    case 5:
        add_all(call, queries, weights, 5, 2, begin, end);
        break;
    default:
        add_all(call, queries, weights, 6, 2, begin, end);
        break;
    }
}

/* Offsets that some queries see, and those that all of them see. */
struct range {
    uint32_t begin;
    uint32_t end;
    uint32_t common_begin;
    uint32_t common_end;
};

static struct range
find_range(const struct attention_call *call, const struct attention_query *queries, uint32_t n)
{
    struct range r = {.begin = ATTENTION_SEGMENT_TOKENS, .common_end = ATTENTION_SEGMENT_TOKENS};
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t begin = queries[i].begin - call->first_position;
        const uint32_t end = queries[i].end - call->first_position;
        r.begin = begin < r.begin ? begin : r.begin;
        r.end = end > r.end ? end : r.end;
        r.common_begin = begin > r.common_begin ? begin : r.common_begin;
        r.common_end = end < r.common_end ? end : r.common_end;
    }
    return r;
}

static void attend(const struct attention_call *call, struct attention_query *queries, uint32_t n)
{
    struct weights weights;
    const float *rows[BLOCK];
    const struct range r = find_range(call, queries, n);
    const uint32_t end_page = (r.end + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    score_block(call, queries, n, r.begin / KV_PAGE_TOKENS, end_page, &weights);
    for (uint32_t i = 0; i < n; i++) {
        rows[i] = weights.of[i];
        weigh(call, &queries[i], weights.of[i]);
        for (uint32_t c = 0; c < kv_value_columns(call->head_columns); c += 8) {
            _mm256_storeu_ps(queries[i].values + c, _mm256_setzero_ps());
        }
    }
    /* Together where all see, alone before and behind it. */
    const bool common = r.common_begin < r.common_end;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t end = common ? r.common_begin : queries[i].end - call->first_position;
        add_values(call, &queries[i], &rows[i], 1, queries[i].begin - call->first_position, end);
    }
    if (!common) {
        return;
    }
    add_values(call, queries, rows, n, r.common_begin, r.common_end);
    for (uint32_t i = 0; i < n; i++) {
        add_values(
            call, &queries[i], &rows[i], 1, r.common_end, queries[i].end - call->first_position);
    }
}

void attention_f32_f16__avx2(const struct attention_call *call)
{
    for (uint32_t i = 0; i < call->n_queries; i += BLOCK) {
        const uint32_t left = call->n_queries - i;
        attend(call, call->queries + i, left < BLOCK ? left : BLOCK);
    }
}

/* Eight halves, magnitudes clamped; NaN stays. */
static inline __m128i halves_8(__m256 x)
{
    const __m256 below = _mm256_min_ps(_mm256_set1_ps(HALF_MAX), x);
    const __m256 clamped = _mm256_max_ps(_mm256_set1_ps(-HALF_MAX), below);
    return _mm256_cvtps_ph(clamped, _MM_FROUND_TO_NEAREST_INT);
}

void kv_write_f16__avx2(const float *key,
                        const float *value,
                        uint32_t head_columns,
                        uint32_t slot,
                        uint8_t *keys,
                        uint8_t *values)
{
    const uint32_t value_columns = kv_value_columns(head_columns);
    uint16_t *const key_halves = (uint16_t *)(void *)keys + slot;
    uint16_t *const value_halves = (uint16_t *)(void *)values + (size_t)slot * value_columns;
    for (uint32_t c = 0; c < value_columns; c += 8) {
        const uint32_t left = head_columns > c ? head_columns - c : 0;
        const __m256i mask = lanes_below(left < 8 ? left : 8);
        uint16_t column[8];
        _mm_storeu_si128((void *)column, halves_8(_mm256_maskload_ps(key + c, mask)));
        for (uint32_t k = 0; k < 8 && k < left; k++) {
            key_halves[(size_t)(c + k) * KV_PAGE_TOKENS] = column[k];
        }
        const __m128i converted = halves_8(_mm256_maskload_ps(value + c, mask));
        _mm_storeu_si128((void *)(value_halves + c), converted);
    }
}
