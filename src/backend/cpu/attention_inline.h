/* The body of the attention kernels; an instruction set's attention.c says what a vector is and
 * includes it:
 *
 *   vec                VEC_FLOATS floats (a power of two, at most 16)
 *   vec_zero() vec_set(f) vec_load(p) vec_store(p, v)
 *   vec_halves(p) vec_bf16(p) vec_bytes(p): as many numbers of a KV page; vec_half(p): one F16 in
 *                      all lanes
 *   vec_nibbles(p, i)  part i of the 16 numbers of 4 bits in 8 bytes, i a constant
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

/* Some queries side by side, a fixed distance apart: so many pointers are more than there are
 * registers. */
struct block {
    _Alignas(64) float weights[BLOCK][ATTENTION_SEGMENT_TOKENS]; /* scores, then e^(score - max) */
    _Alignas(64) float queries[BLOCK][ATTENTION_MAX_COLUMNS];
};

INLINE const uint8_t *page_keys(const struct attention_call *call, uint32_t page)
{
    return call->kv + call->pages[page] * call->page_stride;
}

INLINE const uint8_t *page_values(const struct attention_call *call, uint32_t page)
{
    return page_keys(call, page) + call->values_offset;
}

/* Numbers `index` and on; those of 8 bits still want their scale.  type, which is one of keys, is a
 * constant wherever it is passed on. */
INLINE vec load_numbers(const uint8_t *numbers, size_t index, enum kv_type type)
{
    switch (type) {
    case KV_F16:
        return vec_halves((const uint16_t *)(const void *)numbers + index);
    case KV_BF16:
        return vec_bf16((const uint16_t *)(const void *)numbers + index);
    default:
        return vec_bytes((const int8_t *)numbers + index);
    }
}

/* The scales of a page's keys for the block of column c. */
INLINE const uint16_t *key_scales(const uint8_t *keys, uint32_t head_columns, uint32_t c)
{
    const uint8_t *const scales = keys + (size_t)head_columns * KV_PAGE_TOKENS;
    return (const uint16_t *)(const void *)scales + (size_t)c / KV_BLOCK_COLUMNS * KV_PAGE_TOKENS;
}

/* One token's values of a page. */
struct token_values {
    const uint8_t *numbers; /* column 0 */
    const uint16_t *scales; /* block 0's, where the type has scales */
};

INLINE struct token_values
find_values(const uint8_t *values, uint32_t head_columns, uint32_t slot, enum kv_type type)
{
    const size_t columns = kv_value_columns(head_columns);
    const size_t row_bytes = type == KV_Q8_0_Q4_1 ? columns / 2
                             : type == KV_Q8_0    ? columns
                                                  : 2 * columns;
    const uint8_t *const scales = values + row_bytes * KV_PAGE_TOKENS;
    const size_t n_scales = (type == KV_Q8_0_Q4_1 ? 2 : 1) * (size_t)kv_blocks(head_columns);
    return (struct token_values){values + slot * row_bytes,
                                 (const uint16_t *)(const void *)scales + slot * n_scales};
}

/* Vector v of the columns from `column` on, a multiple of 16: a page's vectors are of one block. */
INLINE vec load_values(struct token_values of, uint32_t column, uint32_t v, enum kv_type type)
{
    const uint32_t first = column + v / PAGE_VECTORS * KV_PAGE_TOKENS;
    const size_t block = first / KV_BLOCK_COLUMNS;
    if (type == KV_Q8_0_Q4_1) {
        const vec bits = vec_nibbles(of.numbers + first / 2, v % PAGE_VECTORS);
        return vec_fma(bits, vec_half(of.scales + 2 * block), vec_half(of.scales + 2 * block + 1));
    }
    const vec numbers = load_numbers(of.numbers, column + (size_t)v * VEC_FLOATS, type);
    return type == KV_Q8_0 ? vec_mul(numbers, vec_half(of.scales + block)) : numbers;
}

/* Scores of n queries against n_pages pages from `page` on.  n and n_pages are constants wherever
 * this is called, so that the sums are registers. */
INLINE void score_pages(const struct attention_call *call,
                        uint32_t n,
                        uint32_t page,
                        uint32_t n_pages,
                        struct block *block,
                        enum kv_type type)
{
    vec sums[MAX_SUMS];
    vec scales[4 * PAGE_VECTORS];
    const uint8_t *keys[4];
#pragma GCC unroll 16
    for (uint32_t p = 0; p < n_pages; p++) {
        keys[p] = page_keys(call, page + p);
    }
#pragma GCC unroll 16
    for (uint32_t i = 0; i < n * n_pages * PAGE_VECTORS; i++) {
        sums[i] = vec_zero();
    }
#pragma GCC unroll 16
    for (uint32_t i = 0; i < n_pages * PAGE_VECTORS; i++) {
        scales[i] = vec_zero();
    }
    for (uint32_t c = 0; c < call->head_columns; c++) {
        if (type == KV_Q8_0 && c % KV_BLOCK_COLUMNS == 0) {
#pragma GCC unroll 16
            for (uint32_t i = 0; i < n_pages * PAGE_VECTORS; i++) {
                scales[i] = vec_halves(key_scales(keys[i / PAGE_VECTORS], call->head_columns, c) +
                                       (size_t)(i % PAGE_VECTORS) * VEC_FLOATS);
            }
        }
        vec key[4 * PAGE_VECTORS];
#pragma GCC unroll 16
        for (uint32_t k = 0; k < n_pages * PAGE_VECTORS; k++) {
            const size_t first = (size_t)c * KV_PAGE_TOKENS + k % PAGE_VECTORS * VEC_FLOATS;
            key[k] = load_numbers(keys[k / PAGE_VECTORS], first, type);
            key[k] = type == KV_Q8_0 ? vec_mul(key[k], scales[k]) : key[k];
        }
        /* One query's factor at a time: all of them are more than there are registers. */
#pragma GCC unroll 16
        for (uint32_t i = 0; i < n; i++) {
            const vec factor = vec_set(block->queries[i][c]);
            vec *const sum = sums + (size_t)i * n_pages * PAGE_VECTORS;
#pragma GCC unroll 16
            for (uint32_t k = 0; k < n_pages * PAGE_VECTORS; k++) {
                sum[k] = vec_fma(factor, key[k], sum[k]);
            }
        }
    }
    const vec scale = vec_set(call->scale);
#pragma GCC unroll 16
    for (uint32_t i = 0; i < n; i++) {
        float *const out = block->weights[i] + (size_t)page * KV_PAGE_TOKENS;
#pragma GCC unroll 16
        for (uint32_t k = 0; k < n_pages * PAGE_VECTORS; k++) {
            vec_store(out + (size_t)k * VEC_FLOATS,
                      vec_mul(sums[i * n_pages * PAGE_VECTORS + k], scale));
        }
    }
}

INLINE void score_all(const struct attention_call *call,
                      uint32_t n,
                      uint32_t first_page,
                      uint32_t end_page,
                      struct block *block,
                      enum kv_type type)
{
    uint32_t page = first_page;
    for (; page + AT_A_TIME(n) <= end_page; page += AT_A_TIME(n)) {
        score_pages(call, n, page, AT_A_TIME(n), block, type);
    }
    for (; page < end_page; page++) {
        score_pages(call, n, page, 1, block, type);
    }
}

INLINE void score_block_of(const struct attention_call *call,
                           uint32_t n,
                           uint32_t first_page,
                           uint32_t end_page,
                           struct block *block,
                           enum kv_type type)
{
    switch (n) {
    case 1:
        score_all(call, 1, first_page, end_page, block, type);
        break;
    case 2:
        score_all(call, 2, first_page, end_page, block, type);
        break;
    case 3:
        score_all(call, 3, first_page, end_page, block, type);
        break;
    case 4:
        score_all(call, 4, first_page, end_page, block, type);
        break;
    default:
        score_all(call, BLOCK, first_page, end_page, block, type);
        break;
    }
}

static void score_block(const struct attention_call *call,
                        uint32_t n,
                        uint32_t first_page,
                        uint32_t end_page,
                        struct block *block,
                        enum kv_type type)
{
    switch (kv_key_type(type)) {
    case KV_F16:
        score_block_of(call, n, first_page, end_page, block, KV_F16);
        break;
    case KV_BF16:
        score_block_of(call, n, first_page, end_page, block, KV_BF16);
        break;
    default:
        score_block_of(call, n, first_page, end_page, block, KV_Q8_0);
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

/* Copies a query to its place in the block. */
INLINE void take_query(const float *query, uint32_t head_columns, float *out)
{
    uint32_t c = 0;
    for (; c + VEC_FLOATS <= head_columns; c += VEC_FLOATS) {
        vec_store(out + c, vec_load(query + c));
    }
    for (; c < head_columns; c++) {
        out[c] = query[c];
    }
}

/* Adds the values of offsets begin <= t < end to n_vectors vectors of columns of n queries.  n and
 * n_vectors are constants wherever this is called. */
INLINE void add_columns(const struct attention_call *call,
                        const struct attention_query *queries,
                        const float (*weights)[ATTENTION_SEGMENT_TOKENS],
                        uint32_t n,
                        uint32_t column,
                        uint32_t n_vectors,
                        uint32_t begin,
                        uint32_t end,
                        enum kv_type type)
{
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
        const uint8_t *const values = page_values(call, page);
        for (; t < page_end; t++) {
            const struct token_values of =
                find_values(values, call->head_columns, t % KV_PAGE_TOKENS, type);
            vec value[MAX_SUMS];
#pragma GCC unroll 16
            for (uint32_t v = 0; v < n_vectors; v++) {
                value[v] = load_values(of, column, v, type);
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
                    const float (*weights)[ATTENTION_SEGMENT_TOKENS],
                    uint32_t n,
                    uint32_t begin,
                    uint32_t end,
                    enum kv_type type)
{
    const uint32_t columns = kv_value_columns(call->head_columns);
    const uint32_t step = AT_A_TIME(n) * KV_PAGE_TOKENS;
    uint32_t column = 0;
    for (; column + step <= columns; column += step) {
        add_columns(
            call, queries, weights, n, column, AT_A_TIME(n) * PAGE_VECTORS, begin, end, type);
    }
    for (; column < columns; column += KV_PAGE_TOKENS) {
        add_columns(call, queries, weights, n, column, PAGE_VECTORS, begin, end, type);
    }
}

INLINE void add_values_of(const struct attention_call *call,
                          const struct attention_query *queries,
                          const float (*weights)[ATTENTION_SEGMENT_TOKENS],
                          uint32_t n,
                          uint32_t begin,
                          uint32_t end,
                          enum kv_type type)
{
    if (begin >= end) {
        return;
    }
    switch (n) {
    case 1:
        add_all(call, queries, weights, 1, begin, end, type);
        break;
    case 2:
        add_all(call, queries, weights, 2, begin, end, type);
        break;
    case 3:
        add_all(call, queries, weights, 3, begin, end, type);
        break;
    case 4:
        add_all(call, queries, weights, 4, begin, end, type);
        break;
    default:
        add_all(call, queries, weights, BLOCK, begin, end, type);
        break;
    }
}

static void add_values(const struct attention_call *call,
                       const struct attention_query *queries,
                       const float (*weights)[ATTENTION_SEGMENT_TOKENS],
                       uint32_t n,
                       uint32_t begin,
                       uint32_t end,
                       enum kv_type type)
{
    switch (type) {
    case KV_F16:
        add_values_of(call, queries, weights, n, begin, end, KV_F16);
        break;
    case KV_BF16:
        add_values_of(call, queries, weights, n, begin, end, KV_BF16);
        break;
    case KV_Q8_0:
        add_values_of(call, queries, weights, n, begin, end, KV_Q8_0);
        break;
    default:
        add_values_of(call, queries, weights, n, begin, end, KV_Q8_0_Q4_1);
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

static void attend(const struct attention_call *call,
                   struct attention_query *queries,
                   uint32_t n,
                   enum kv_type type)
{
    struct block block;
    const struct range r = find_range(call, queries, n);
    const uint32_t end_page = (r.end + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    for (uint32_t i = 0; i < n; i++) {
        take_query(queries[i].q, call->head_columns, block.queries[i]);
    }
    score_block(call, n, r.begin / KV_PAGE_TOKENS, end_page, &block, type);
    for (uint32_t i = 0; i < n; i++) {
        weigh(call, &queries[i], block.weights[i]);
        for (uint32_t c = 0; c < kv_value_columns(call->head_columns); c += VEC_FLOATS) {
            vec_store(queries[i].values + c, vec_zero());
        }
    }
    /* Together where all see, alone before and behind it. */
    const bool common = r.common_begin < r.common_end;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t end = common ? r.common_begin : queries[i].end - call->first_position;
        add_values(call,
                   &queries[i],
                   &block.weights[i],
                   1,
                   queries[i].begin - call->first_position,
                   end,
                   type);
    }
    if (!common) {
        return;
    }
    add_values(call, queries, block.weights, n, r.common_begin, r.common_end, type);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t end = queries[i].end - call->first_position;
        add_values(call, &queries[i], &block.weights[i], 1, r.common_end, end, type);
    }
}

/* Blocks are of 1 to 4 queries, or of BLOCK. */
static inline void attend_all(const struct attention_call *call, enum kv_type type)
{
    for (uint32_t i = 0; i < call->n_queries;) {
        const uint32_t left = call->n_queries - i;
        const uint32_t n = left >= BLOCK ? BLOCK : left >= 4 ? 4 : left;
        attend(call, call->queries + i, n, type);
        i += n;
    }
}

#endif
