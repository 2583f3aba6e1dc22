/* The body of the attention kernels; an instruction set's attention.c says what a vector is and
 * includes it:
 *
 *   vec                VEC_FLOATS floats (a power of two, at most 16)
 *   vec_zero() vec_set(f) vec_load(p) vec_store(p, v) vec_halves(p)
 *   vec_add(a, b) vec_sub(a, b) vec_mul(a, b) vec_max(a, b) vec_fma(a, b, c): a * b + c
 *   vec_exp(v) vec_sum(v) vec_largest(v)
 *   BLOCK              most queries at a time, 4 or more
 *   CHAINS             sums that should be on their way at once
 *
 * Scores take a vector of tokens (keys are transposed), values a vector of columns.  Each query has
 * sums of its own and takes columns and tokens in order, so its bits do not depend on who shares
 * its block. */
#ifndef REALM_BACKEND_CPU_ATTENTION_INLINE_H
#define REALM_BACKEND_CPU_ATTENTION_INLINE_H

#define INLINE  __attribute__((always_inline)) static inline
#define NOTHING (-__builtin_inff())

#define PAGE_VECTORS (KV_PAGE_TOKENS / VEC_FLOATS)
/* Few queries take several pages, or more columns, at once. */
#define AT_A_TIME(n_queries)                                                                       \
    ((n_queries) * PAGE_VECTORS * 4 <= CHAINS   ? 4u                                               \
     : (n_queries) * PAGE_VECTORS * 2 <= CHAINS ? 2u                                               \
                                                : 1u)
#define MAX_SUMS (BLOCK * PAGE_VECTORS > CHAINS ? BLOCK * PAGE_VECTORS : CHAINS)

/* Some queries' weights of one segment: scores first, then e^(score - max). */
struct weights {
    _Alignas(64) float of[BLOCK][ATTENTION_SEGMENT_TOKENS];
};

INLINE const uint16_t *page_keys(const struct attention_call *call, uint32_t page)
{
    return (const void *)(call->kv + call->pages[page] * call->page_stride);
}

INLINE const uint16_t *page_values(const struct attention_call *call, uint32_t page)
{
    return (const void *)(call->kv + call->pages[page] * call->page_stride + call->values_offset);
}

/* Scores of n queries against n_pages pages from `page` on.  n and n_pages are constants wherever
 * this is called, so that the sums are registers. */
INLINE void score_pages(const struct attention_call *call,
                        const struct attention_query *queries,
                        uint32_t n,
                        uint32_t page,
                        uint32_t n_pages,
                        struct weights *weights)
{
    vec sums[MAX_SUMS];
    const uint16_t *keys[4];
    const float *q[BLOCK];
#pragma GCC unroll 16
    for (uint32_t p = 0; p < n_pages; p++) {
        keys[p] = page_keys(call, page + p);
    }
#pragma GCC unroll 16
    for (uint32_t i = 0; i < n; i++) {
        q[i] = queries[i].q;
    }
#pragma GCC unroll 16
    for (uint32_t i = 0; i < n * n_pages * PAGE_VECTORS; i++) {
        sums[i] = vec_zero();
    }
    for (uint32_t c = 0; c < call->head_columns; c++) {
#pragma GCC unroll 16
        for (uint32_t p = 0; p < n_pages; p++) {
            vec key[PAGE_VECTORS];
#pragma GCC unroll 16
            for (uint32_t v = 0; v < PAGE_VECTORS; v++) {
                key[v] = vec_halves(keys[p] + (size_t)c * KV_PAGE_TOKENS + v * VEC_FLOATS);
            }
#pragma GCC unroll 16
            for (uint32_t i = 0; i < n; i++) {
                const vec factor = vec_set(q[i][c]);
                vec *const sum = sums + (i * n_pages + p) * PAGE_VECTORS;
#pragma GCC unroll 16
                for (uint32_t v = 0; v < PAGE_VECTORS; v++) {
                    sum[v] = vec_fma(factor, key[v], sum[v]);
                }
            }
        }
    }
    const vec scale = vec_set(call->scale);
#pragma GCC unroll 16
    for (uint32_t i = 0; i < n; i++) {
        float *const out = weights->of[i] + (size_t)page * KV_PAGE_TOKENS;
#pragma GCC unroll 16
        for (uint32_t k = 0; k < n_pages * PAGE_VECTORS; k++) {
            vec_store(out + (size_t)k * VEC_FLOATS,
                      vec_mul(sums[i * n_pages * PAGE_VECTORS + k], scale));
        }
    }
}

INLINE void score_all(const struct attention_call *call,
                      const struct attention_query *queries,
                      uint32_t n,
                      uint32_t first_page,
                      uint32_t end_page,
                      struct weights *weights)
{
    uint32_t page = first_page;
    for (; page + AT_A_TIME(n) <= end_page; page += AT_A_TIME(n)) {
        score_pages(call, queries, n, page, AT_A_TIME(n), weights);
    }
    for (; page < end_page; page++) {
        score_pages(call, queries, n, page, 1, weights);
    }
}

static void score_block(const struct attention_call *call,
                        const struct attention_query *queries,
                        uint32_t n,
                        uint32_t first_page,
                        uint32_t end_page,
                        struct weights *weights)
{
    switch (n) {
    case 1:
        score_all(call, queries, 1, first_page, end_page, weights);
        break;
    case 2:
        score_all(call, queries, 2, first_page, end_page, weights);
        break;
    case 3:
        score_all(call, queries, 3, first_page, end_page, weights);
        break;
    case 4:
        score_all(call, queries, 4, first_page, end_page, weights);
        break;
    default:
        score_all(call, queries, BLOCK, first_page, end_page, weights);
        break;
    }
}

/* Scores into weights, for the offsets that the query sees. */
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
    vec largest = vec_set(NOTHING);
    for (uint32_t t = first; t < last; t += VEC_FLOATS) {
        largest = vec_max(largest, vec_load(scores + t));
    }
    query->max = vec_largest(largest);
    const vec max = vec_set(query->max);
    vec sum = vec_zero();
    for (uint32_t t = first; t < last; t += VEC_FLOATS) {
        const vec weight = vec_exp(vec_sub(vec_load(scores + t), max));
        vec_store(scores + t, weight);
        sum = vec_add(sum, weight);
    }
    query->sum = vec_sum(sum);
}

/* Adds the values of offsets begin <= t < end to n_vectors vectors of columns of n queries.  n and
 * n_vectors are constants wherever this is called. */
INLINE void add_columns(const struct attention_call *call,
                        const struct attention_query *queries,
                        const float *const *weights,
                        uint32_t n,
                        uint32_t column,
                        uint32_t n_vectors,
                        uint32_t begin,
                        uint32_t end)
{
    const uint32_t value_columns = kv_value_columns(call->head_columns);
    vec sums[MAX_SUMS];
#pragma GCC unroll 16
    for (uint32_t i = 0; i < n; i++) {
#pragma GCC unroll 16
        for (uint32_t v = 0; v < n_vectors; v++) {
            sums[i * n_vectors + v] = vec_load(queries[i].values + column + (size_t)v * VEC_FLOATS);
        }
    }
    uint32_t t = begin;
    while (t < end) {
        const uint32_t page = t / KV_PAGE_TOKENS;
        const uint32_t next = (page + 1) * KV_PAGE_TOKENS;
        const uint32_t page_end = next < end ? next : end;
        const uint16_t *values =
            page_values(call, page) + (size_t)(t % KV_PAGE_TOKENS) * value_columns + column;
        for (; t < page_end; t++, values += value_columns) {
            vec value[MAX_SUMS];
#pragma GCC unroll 16
            for (uint32_t v = 0; v < n_vectors; v++) {
                value[v] = vec_halves(values + (size_t)v * VEC_FLOATS);
            }
#pragma GCC unroll 16
            for (uint32_t i = 0; i < n; i++) {
                const vec weight = vec_set(weights[i][t]);
#pragma GCC unroll 16
                for (uint32_t v = 0; v < n_vectors; v++) {
                    sums[i * n_vectors + v] = vec_fma(weight, value[v], sums[i * n_vectors + v]);
                }
            }
        }
    }
#pragma GCC unroll 16
    for (uint32_t i = 0; i < n; i++) {
#pragma GCC unroll 16
        for (uint32_t v = 0; v < n_vectors; v++) {
            vec_store(queries[i].values + column + (size_t)v * VEC_FLOATS, sums[i * n_vectors + v]);
        }
    }
}

INLINE void add_all(const struct attention_call *call,
                    const struct attention_query *queries,
                    const float *const *weights,
                    uint32_t n,
                    uint32_t begin,
                    uint32_t end)
{
    const uint32_t columns = kv_value_columns(call->head_columns);
    const uint32_t step = AT_A_TIME(n) * KV_PAGE_TOKENS;
    uint32_t column = 0;
    for (; column + step <= columns; column += step) {
        add_columns(call, queries, weights, n, column, AT_A_TIME(n) * PAGE_VECTORS, begin, end);
    }
    for (; column < columns; column += KV_PAGE_TOKENS) {
        add_columns(call, queries, weights, n, column, PAGE_VECTORS, begin, end);
    }
}

static void add_values(const struct attention_call *call,
                       const struct attention_query *queries,
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
        add_all(call, queries, weights, 1, begin, end);
        break;
    case 2:
        add_all(call, queries, weights, 2, begin, end);
        break;
    case 3:
        add_all(call, queries, weights, 3, begin, end);
        break;
    case 4:
        add_all(call, queries, weights, 4, begin, end);
        break;
    default:
        add_all(call, queries, weights, BLOCK, begin, end);
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
        for (uint32_t c = 0; c < kv_value_columns(call->head_columns); c += VEC_FLOATS) {
            vec_store(queries[i].values + c, vec_zero());
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
        const uint32_t end = queries[i].end - call->first_position;
        add_values(call, &queries[i], &rows[i], 1, r.common_end, end);
    }
}

/* Blocks are of 1 to 4 queries, or of BLOCK. */
static inline void attend_all(const struct attention_call *call)
{
    for (uint32_t i = 0; i < call->n_queries;) {
        const uint32_t left = call->n_queries - i;
        const uint32_t n = left >= BLOCK ? BLOCK : left >= 4 ? 4 : left;
        attend(call, call->queries + i, n);
        i += n;
    }
}

#endif
