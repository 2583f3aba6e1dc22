/* The integer kernels by tile registers: 16 weight rows times up to 16 token rows at once.
 *
 * A group of a packed block (4 columns of 16 rows, pack.h) is a row of the register that tdpbssd
 * wants its second factor in, and rows of quantised activations are its first as they lie: the sums
 * come out as one vector of 16 weight rows for each token.
 *
 * Some weight tiles at a time are unpacked to signed bytes and F32 scales: the panel, which stays
 * in the second-level cache.  Then, part by part of the token rows and chunk by chunk of the
 * columns, so that both stay in the first-level cache, each tile goes by: the registers make the
 * exact dots of a block while vectors scale and add those of two blocks before. */
#ifndef REALM_BACKEND_CPU_AMXINT8_MATMUL_QUANTISED_H
#define REALM_BACKEND_CPU_AMXINT8_MATMUL_QUANTISED_H

#include "backend/cpu/amxint8/matmul.h"
#include "backend/cpu/amxint8/tiles.h"
#include "backend/cpu/avx512vnni/matmul_quantised.h"

#define PART_TOKENS  16u
#define CHUNK_BLOCKS 32u
#define PANEL_BYTES  (256u * 1024u)
#define PANEL_TILES  16u
#define AHEAD_BLOCKS 2u /* that the registers are ahead of the vectors */
#define DOTS_SLOTS   4u

/* What is done with a block's dots; each layout is of one kind. */
enum dots_kind {
    DOTS_SCALED,    /* sum += scale * x_scale * dot */
    DOTS_AS_PACKED, /* the same; Q8_0's blocks are what a panel would hold, but for F16 scales */
    DOTS_WITH_MIN,  /* the same, then sum += min * x_sum */
    DOTS_OF_PARTS,  /* dot = part scale * the first half's + the other's, exact in F32 */
    DOTS_OF_PARTS_AND_MIN /* the same, and part mins * the halves' sums of x */
};

INLINE enum dots_kind kind_of(enum tile_layout layout)
{
    if (layout == TILE_Q2_K) {
        return DOTS_OF_PARTS_AND_MIN;
    }
    if (layout == TILE_Q8_0) {
        return DOTS_AS_PACKED;
    }
    return has_parts(layout) ? DOTS_OF_PARTS : has_float_min(layout) ? DOTS_WITH_MIN : DOTS_SCALED;
}

INLINE bool is_of_parts(enum dots_kind kind)
{
    return kind == DOTS_OF_PARTS || kind == DOTS_OF_PARTS_AND_MIN;
}

INLINE bool has_min(enum dots_kind kind)
{
    return kind == DOTS_WITH_MIN || kind == DOTS_OF_PARTS_AND_MIN;
}

/* A block of the panel: its weights as [group][row][4] signed bytes, then vectors of 16 rows. */
enum panel_vector {
    PANEL_SCALE,
    PANEL_MIN,
    PANEL_FIRST_PARTS, /* of first halves, of second ones */
    PANEL_SECOND_PARTS,
    PANEL_PART_MINS,
    PANEL_N_VECTORS
};

INLINE uint32_t panel_block_bytes(enum dots_kind kind)
{
    if (kind == DOTS_AS_PACKED) {
        return tile_block_bytes(TILE_Q8_0);
    }
    static const uint8_t n_vectors[] = {
        [DOTS_SCALED] = PANEL_MIN,
        [DOTS_WITH_MIN] = PANEL_FIRST_PARTS,
        [DOTS_OF_PARTS] = PANEL_PART_MINS,
        [DOTS_OF_PARTS_AND_MIN] = PANEL_N_VECTORS,
    };
    return TILE_BYTES_BYTES + 64u * n_vectors[kind];
}

INLINE void put_vector(uint8_t *block, enum panel_vector which, __m512i vector)
{
    _mm512_store_si512((void *)(block + TILE_BYTES_BYTES + 64 * which), vector);
}

INLINE void put_floats(uint8_t *block, enum panel_vector which, __m512 vector)
{
    put_vector(block, which, _mm512_castps_si512(vector));
}

INLINE __m512i get_vector(const uint8_t *block, enum panel_vector which)
{
    return _mm512_load_si512((const void *)(block + TILE_BYTES_BYTES + 64 * which));
}

INLINE __m512 get_floats(const uint8_t *block, enum panel_vector which)
{
    return _mm512_castsi512_ps(get_vector(block, which));
}

INLINE __m512i unpack_signed(enum tile_layout layout, const uint8_t *block, uint32_t g)
{
    if (is_8_bit(layout)) {
        return load_64(block + 64 * g);
    }
    const __m512i number = unpack_group(layout, block, g);
    const int offset = offset_of(layout);
    return offset == 0 ? number : _mm512_sub_epi8(number, _mm512_set1_epi8((char)offset));
}

INLINE void
fill_block(enum tile_layout layout, const uint8_t *head, const uint8_t *block, uint8_t *out)
{
    UNROLL
    for (uint32_t g = 0; g < 8; g++) {
        _mm512_store_si512((void *)(out + 64 * g), unpack_signed(layout, block, g));
    }
    __m512 scale;
    __m512 min = _mm512_setzero_ps();
    load_scales(layout, head, block, &scale, &min);
    put_floats(out, PANEL_SCALE, scale);
    if (has_min(kind_of(layout))) {
        const bool is_subtracted = tile_is_super(layout);
        put_floats(out, PANEL_MIN, is_subtracted ? _mm512_xor_ps(min, _mm512_set1_ps(-0.0f)) : min);
    }
    if (has_parts(layout)) {
        const int32_t pick[2] = {1, 1 << 16}; /* a half's int16 of each pair */
        const uint8_t *const bytes = block + tile_block_bytes(layout) - 32;
        const __m512i parts = load_parts(layout, bytes);
        put_floats(out, PANEL_FIRST_PARTS, to_floats(dot_pairs(parts, &pick[0])));
        put_floats(out, PANEL_SECOND_PARTS, to_floats(dot_pairs(parts, &pick[1])));
        if (layout == TILE_Q2_K) {
            put_vector(out, PANEL_PART_MINS, load_part_mins(bytes));
        }
    }
}

/* Blocks [first, first + n) of a tile; first is a whole number of chunks. */
INLINE void
fill_blocks(enum tile_layout layout, const uint8_t *tile, uint32_t first, uint32_t n, uint8_t *out)
{
    const uint8_t *head;
    const uint8_t *block = tile_find_block(layout, tile, first, &head);
    block -= tile_is_super(layout) ? tile_head_bytes(layout) : 0;
    for (uint32_t b = 0; b < n; b++) {
        if (tile_is_super(layout) && b % TILE_SUPER_BLOCKS == 0) {
            head = block;
            block += tile_head_bytes(layout);
        }
        prefetch_block(block, tile_block_bytes(layout));
        fill_block(layout, head, block, out);
        block += tile_block_bytes(layout);
        out += panel_block_bytes(kind_of(layout));
    }
}

/* What one part of the token rows does with one chunk of the columns. */
struct pass {
    const int8_t *values; /* of the part's first token, the chunk's first column */
    size_t columns;       /* from one token to the next */
    bool shorter;         /* one token less than the first parts */
    _Alignas(64) float x_scales[CHUNK_BLOCKS][PART_TOKENS];
    _Alignas(64) int32_t x_sums[CHUNK_BLOCKS][PART_TOKENS]; /* bits of floats; with parts: pairs */
    _Alignas(64) int32_t dots[DOTS_SLOTS][2][PART_TOKENS][TILE_ROWS]; /* [1]: of second halves */
};

/* Numbers `stride` apart, of the first n_tokens tokens. */
#if REALM_SIMDE
INLINE __m512i gather_tokens(const void *from, uint32_t stride, uint32_t n_tokens)
{
    int32_t out[PART_TOKENS] = {0};
    for (uint32_t t = 0; t < n_tokens; t++) {
        __builtin_memcpy(&out[t], (const int32_t *)from + (size_t)t * stride, sizeof out[t]);
    }
    return _mm512_loadu_si512(out);
}
#else
INLINE __m512i gather_tokens(const void *from, uint32_t stride, uint32_t n_tokens)
{
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(),
                                       (__mmask16)((1u << n_tokens) - 1),
                                       _mm512_mullo_epi32(lanes, _mm512_set1_epi32((int)stride)),
                                       from,
                                       4);
}
#endif

/* Scales and sums of the part's tokens side by side, for blocks [first, first + n) */
INLINE void gather(enum dots_kind kind,
                   const struct quantised_rows *x,
                   uint32_t n_blocks,
                   uint32_t t0,
                   uint32_t n_tokens,
                   uint32_t first,
                   uint32_t n,
                   struct pass *pass)
{
    const float *const scales = x->scales + (size_t)t0 * n_blocks + first;
    const int32_t *const sums = x->sums + 2 * ((size_t)t0 * n_blocks + first);
    for (uint32_t b = 0; b < n; b++) {
        _mm512_store_si512(pass->x_scales[b], gather_tokens(scales + b, n_blocks, n_tokens));
        if (has_min(kind)) {
            const int32_t *const from = sums + 2 * b + (kind == DOTS_WITH_MIN ? 1 : 0);
            _mm512_store_si512(pass->x_sums[b], gather_tokens(from, 2 * n_blocks, n_tokens));
        }
    }
}

/* Dots of the part's tokens and a panel's columns.  Sums go to registers 0 and 1 by turns (shorter
 * parts: 2 and 3), weights to 6 and 7; blocks of parts take both for their halves. */
#define START(pass, sums, a, b, x, weights, to)                                                    \
    do {                                                                                           \
        TILE_ZERO(sums);                                                                           \
        TILE_LOAD(a, x, (pass)->columns);                                                          \
        TILE_LOAD(b, weights, (size_t)64);                                                         \
        TILE_DOTS(sums, a, b);                                                                     \
        TILE_STORE(sums, to, (size_t)64);                                                          \
    } while (0)

INLINE void start_half(const struct pass *pass,
                       const int8_t *x,
                       const uint8_t *weights,
                       bool odd,
                       int32_t to[PART_TOKENS][TILE_ROWS])
{
    if (pass->shorter) {
        if (odd) {
            START(pass, 3, 5, 7, x, weights, to);
        } else {
            START(pass, 2, 5, 6, x, weights, to);
        }
    } else if (odd) {
        START(pass, 1, 4, 7, x, weights, to);
    } else {
        START(pass, 0, 4, 6, x, weights, to);
    }
}

INLINE void
start_block(enum dots_kind kind, struct pass *pass, const uint8_t *block, uint32_t b, bool odd)
{
    const int8_t *const x = pass->values + (size_t)b * TILE_COLUMNS;
    int32_t(*const to)[PART_TOKENS][TILE_ROWS] = pass->dots[b % DOTS_SLOTS];
    if (is_of_parts(kind)) {
        start_half(pass, x, block, false, to[0]);
        start_half(pass, x + TILE_COLUMNS / 2, block + TILE_BYTES_BYTES / 2, true, to[1]);
    } else {
        start_half(pass, x, block, odd, to[0]);
    }
}

/* sum += what block b adds, in the order that kernels.h says. */
INLINE void finish_block(enum dots_kind kind,
                         const struct pass *pass,
                         const uint8_t *block,
                         uint32_t b,
                         uint32_t n_tokens,
                         __m512 sum[])
{
    const int32_t(*const dots)[PART_TOKENS][TILE_ROWS] = pass->dots[b % DOTS_SLOTS];
    const __m512 scale = kind == DOTS_AS_PACKED ? load_halves(block + TILE_BYTES_BYTES)
                                                : get_floats(block, PANEL_SCALE);
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        const __m512 x_scale = _mm512_set1_ps(pass->x_scales[b][t]);
        __m512 dot = to_floats(load_64(dots[0][t]));
        if (is_of_parts(kind)) {
            dot = _mm512_fmadd_ps(to_floats(load_64(dots[1][t])),
                                  get_floats(block, PANEL_SECOND_PARTS),
                                  _mm512_mul_ps(dot, get_floats(block, PANEL_FIRST_PARTS)));
        }
        sum[t] = _mm512_fmadd_ps(_mm512_mul_ps(scale, x_scale), dot, sum[t]);
        if (kind == DOTS_WITH_MIN) {
            const __m512 x_sum = _mm512_castsi512_ps(broadcast_4(&pass->x_sums[b][t]));
            sum[t] = _mm512_fmadd_ps(get_floats(block, PANEL_MIN), x_sum, sum[t]);
        } else if (kind == DOTS_OF_PARTS_AND_MIN) {
            const __m512 mins =
                to_floats(dot_pairs(get_vector(block, PANEL_PART_MINS), &pass->x_sums[b][t]));
            const __m512 min = _mm512_mul_ps(get_floats(block, PANEL_MIN), x_scale);
            sum[t] = _mm512_fmadd_ps(min, mins, sum[t]);
        }
    }
}

/* Adds a chunk of n_blocks blocks of one tile to the sums of the part's tokens. */
INLINE void multiply_chunk(enum dots_kind kind,
                           struct pass *pass,
                           const uint8_t *panel,
                           uint32_t n_blocks,
                           struct prefetch *share,
                           uint32_t n_tokens,
                           float sums[PART_TOKENS][TILE_ROWS])
{
    const uint32_t stride = panel_block_bytes(kind);
    __m512 sum[PART_TOKENS];
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        sum[t] = _mm512_loadu_ps(sums[t]);
    }
    start_block(kind, pass, panel, 0, false);
    if (n_blocks > 1) {
        start_block(kind, pass, panel + stride, 1, true);
    }
    for (uint32_t b = 0; b < n_blocks; b += 2) {
        UNROLL
        for (uint32_t odd = 0; odd < 2; odd++) {
            const uint32_t ahead = b + odd + AHEAD_BLOCKS;
            if (ahead < n_blocks) {
                start_block(kind, pass, panel + (size_t)ahead * stride, ahead, odd == 1);
            }
            if (b + odd < n_blocks) {
                prefetch_share(share);
                finish_block(
                    kind, pass, panel + (size_t)(b + odd) * stride, b + odd, n_tokens, sum);
            }
        }
    }
    UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        _mm512_storeu_ps(sums[t], sum[t]);
    }
}

#if defined(MATMUL_ROLLED)
#define CHUNK_SWITCH(kind) multiply_chunk(kind, pass, panel, n_blocks, share, n_tokens, sums)
#else
#define CHUNK_CASE(kind, n)                                                                        \
    case n:                                                                                        \
        multiply_chunk(kind, pass, panel, n_blocks, share, n, sums);                               \
        break
#define CHUNK_SWITCH(kind)                                                                         \
    switch (n_tokens) {                                                                            \
        CHUNK_CASE(kind, 1);                                                                       \
        CHUNK_CASE(kind, 2);                                                                       \
        CHUNK_CASE(kind, 3);                                                                       \
        CHUNK_CASE(kind, 4);                                                                       \
        CHUNK_CASE(kind, 5);                                                                       \
        CHUNK_CASE(kind, 6);                                                                       \
        CHUNK_CASE(kind, 7);                                                                       \
        CHUNK_CASE(kind, 8);                                                                       \
        CHUNK_CASE(kind, 9);                                                                       \
        CHUNK_CASE(kind, 10);                                                                      \
        CHUNK_CASE(kind, 11);                                                                      \
        CHUNK_CASE(kind, 12);                                                                      \
        CHUNK_CASE(kind, 13);                                                                      \
        CHUNK_CASE(kind, 14);                                                                      \
        CHUNK_CASE(kind, 15);                                                                      \
    default:                                                                                       \
        multiply_chunk(kind, pass, panel, n_blocks, share, PART_TOKENS, sums);                     \
        break;                                                                                     \
    }
#endif

typedef void (*chunk_function)(struct pass *pass,
                               const uint8_t *panel,
                               uint32_t n_blocks,
                               struct prefetch *share,
                               uint32_t n_tokens,
                               float sums[PART_TOKENS][TILE_ROWS]);

/* Asks for the lines that will be written: the part's products take longer than memory does. */
INLINE void fetch_results(const struct matmul_call *call,
                          uint32_t first_tile,
                          uint32_t n_tiles,
                          uint32_t t0,
                          uint32_t n_tokens)
{
    const size_t column = (size_t)first_tile * TILE_ROWS - call->first_out_row;
    for (uint32_t t = 0; t < n_tokens; t++) {
        const float *const out = call->out + (t0 + t) * call->out_stride + column;
        for (uint32_t i = 0; i < n_tiles; i++) {
            __builtin_prefetch(out + (size_t)i * TILE_ROWS, 1, 3);
        }
    }
}

/* Token rows [t0, t0 + n_tokens) against tiles [first_tile, + n_tiles).  The panel holds them, or,
 * where there is one part only, takes them chunk by chunk. */
INLINE void multiply_part(enum tile_layout layout,
                          chunk_function multiply,
                          const struct matmul_call *call,
                          uint8_t *panel,
                          uint32_t first_tile,
                          uint32_t n_tiles,
                          uint32_t t0,
                          uint32_t n_tokens,
                          struct pass *pass)
{
    const struct quantised_rows *const x = call->quantised;
    const uint32_t n_blocks = call->columns / TILE_COLUMNS;
    const size_t block_bytes = panel_block_bytes(kind_of(layout));
    const bool as_packed = kind_of(layout) == DOTS_AS_PACKED;
    const bool one_part = n_tokens == call->n_rows;
    _Alignas(64) float sums[PANEL_TILES][PART_TOKENS][TILE_ROWS];
    __builtin_memset(sums, 0, n_tiles * sizeof sums[0]);
    fetch_results(call, first_tile, n_tiles, t0, n_tokens);
    for (uint32_t first = 0; first < n_blocks; first += CHUNK_BLOCKS) {
        const uint32_t left = n_blocks - first;
        const uint32_t n = left < CHUNK_BLOCKS ? left : CHUNK_BLOCKS;
        gather(kind_of(layout), x, n_blocks, t0, n_tokens, first, n, pass);
        pass->values = x->values + (size_t)t0 * call->columns + (size_t)first * TILE_COLUMNS;
        for (uint32_t i = 0; i < n_tiles; i++) {
            const uint8_t *const tile = call->tiles + (first_tile + i) * call->tile_bytes;
            const uint8_t *chunk = panel + (i * n_blocks + first) * block_bytes;
            struct prefetch share = {.from = tile};
            if (call->n_rows <= MOST_SHARING) {
                const uint32_t bytes = (uint32_t)(call->tile_bytes / n_blocks);
                share = share_prefetch(call, tile, bytes, t0, n_tokens);
                share.from += (size_t)first * share.bytes;
            }
            if (as_packed) {
                chunk = tile + first * block_bytes;
            } else if (one_part) {
                fill_blocks(layout, tile, first, n, panel);
                chunk = panel;
            }
            multiply(pass, chunk, n, &share, n_tokens, sums[i]);
        }
    }
    for (uint32_t t = 0; t < n_tokens; t++) {
        for (uint32_t i = 0; i < n_tiles; i++) {
            write_rows(call, t0 + t, (first_tile + i) * TILE_ROWS, _mm512_load_ps(sums[i][t]));
        }
    }
}

/* Registers for parts of the call's two lengths. */
INLINE void configure(enum dots_kind kind, const struct matmul_call *call)
{
    const uint32_t longest = next_part(call->n_rows, PART_TOKENS);
    const uint32_t n_parts = (call->n_rows + PART_TOKENS - 1) / PART_TOKENS;
    const uint8_t x_bytes = is_of_parts(kind) ? TILE_COLUMNS / 2 : TILE_COLUMNS;
    const uint8_t lengths[2] = {(uint8_t)longest, (uint8_t)(call->n_rows / n_parts)};
    struct tile_shapes shapes = {.palette = 1};
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; k < 2; k++) {
            shapes.rows[2 * i + k] = lengths[i];
            shapes.row_bytes[2 * i + k] = 64;
        }
        shapes.rows[4 + i] = lengths[i];
        shapes.row_bytes[4 + i] = x_bytes;
        shapes.rows[6 + i] = x_bytes / 4;
        shapes.row_bytes[6 + i] = 64;
    }
    tiles_configure(&shapes);
}

/* Tiles that go by for each part; 0: not even one fits. */
INLINE uint32_t tiles_at_once(enum dots_kind kind, const struct matmul_call *call)
{
    const size_t bytes = (size_t)call->columns / TILE_COLUMNS * panel_block_bytes(kind);
    const size_t n = call->n_rows <= PART_TOKENS ? PANEL_TILES : PANEL_BYTES / bytes;
    return n < PANEL_TILES ? (uint32_t)n : PANEL_TILES;
}

INLINE void multiply_tiles(enum tile_layout layout,
                           chunk_function multiply,
                           const struct matmul_call *call,
                           uint32_t at_once)
{
    const uint32_t n_blocks = call->columns / TILE_COLUMNS;
    const size_t bytes = (size_t)n_blocks * panel_block_bytes(kind_of(layout));
    const uint32_t longest = next_part(call->n_rows, PART_TOKENS);
    const bool fills = call->n_rows > PART_TOKENS && kind_of(layout) != DOTS_AS_PACKED;
    _Alignas(64) uint8_t panel[PANEL_BYTES];
    struct pass pass;
    pass.columns = call->columns;
    configure(kind_of(layout), call);
    for (uint32_t done = 0; done < call->n_tiles; done += at_once) {
        const uint32_t first = call->first_tile + done;
        const uint32_t left = call->n_tiles - done;
        const uint32_t n_tiles = left < at_once ? left : at_once;
        for (uint32_t i = 0; fills && i < n_tiles; i++) {
            const uint8_t *const tile = call->tiles + (first + i) * call->tile_bytes;
            fill_blocks(layout, tile, 0, n_blocks, panel + i * bytes);
        }
        uint32_t n;
        for (uint32_t t = 0; t < call->n_rows; t += n) {
            n = next_part(call->n_rows - t, PART_TOKENS);
            pass.shorter = n < longest;
            multiply_part(layout, multiply, call, panel, first, n_tiles, t, n, &pass);
        }
    }
    tiles_release();
}

/* least: rows from which on the registers are worth their while; with fewer, the level below. */
#define TILES_KERNEL(name, layout, multiply, below, least)                                         \
    void name(const struct matmul_call *call)                                                      \
    {                                                                                              \
        const uint32_t at_once = tiles_at_once(kind_of(layout), call);                             \
        if (call->n_rows < (least) || at_once == 0) {                                              \
            below(call);                                                                           \
        } else {                                                                                   \
            multiply_tiles(layout, multiply, call, at_once);                                       \
        }                                                                                          \
    }

#endif
