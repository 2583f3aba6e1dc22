/* The kernels of the CPU backend: function types with their contract, and the table that holds the
 * chosen ones.  The scalar folder defines every result; an instruction-set folder may differ from
 * it in the last bits where the contract says "up to the order of a sum", and nowhere else.
 *
 * Files in instruction-set folders include this header and intrinsics, nothing else. */
#ifndef REALM_BACKEND_CPU_KERNELS_H
#define REALM_BACKEND_CPU_KERNELS_H

#include "backend/kv_type.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- packed weights ---------------------------------------------------------------------------
 *
 * A weight of R x C is cut into tiles of TILE_ROWS rows, row-interleaved, one after the other; the
 * last is padded with zero rows.  Inside a tile, blocks of TILE_COLUMNS columns follow one another,
 * so that a kernel streams a tile from its first byte to its last.  One layout serves all
 * instruction sets; the pictures are in pack.h. */
#define TILE_ROWS    16u
#define TILE_COLUMNS 32u

/* Reads past the end of packed weights, quantised rows and activations up to this are allowed:
 * every buffer given to a kernel has it behind. */
#define PACK_SLACK_BYTES 64u

/* What the tiles hold; several tensor types may share one. */
enum tile_layout {
    TILE_Q4_0, /* 4 bits, scale                       (Q4_0) */
    TILE_Q4_1, /* 4 bits, scale, min                  (Q4_1) */
    TILE_Q5_0, /* 5 bits, scale                       (Q5_0) */
    TILE_Q5_1, /* 5 bits, scale, min                  (Q5_1) */
    TILE_Q8_0, /* 8 bits, scale                       (Q8_0, Q8_1) */
    TILE_Q2_K, /* 2 bits, 16-column scale and min under 256-column ones */
    TILE_Q3_K, /* 3 bits, 16-column scale under a 256-column one */
    TILE_Q4_K, /* 4 bits, 32-column scale and min under 256-column ones */
    TILE_Q5_K, /* 5 bits, the same */
    TILE_Q6_K, /* 6 bits, 16-column scale under a 256-column one */
    TILE_Q8_K, /* 8 bits, 256-column scale, F32 */
    TILE_F16,  /* pairs of columns: [C/2][16 rows][2]; an odd last column is paired with zeros */
    TILE_BF16, /* the same */
    TILE_F32,  /* [C][16 rows] */
    TILE_N_LAYOUTS
};

/* Activations quantised to 8 bits, shared by all weights that read them.  Row t, block b of 32
 * columns: scale = max |x| / 127 ; value = round to nearest even(x * (127 / max |x|)) in [-127,
 * 127] sums[2b]      two int16: the sums of the 16 values of each half, the first half's in the low
 * bits sums[2b + 1]  the bits of a float: scale * (float)(sum of the 32 values) A block whose max
 * |x| is under QUANTISE_MIN is all zero, scale too.  In a block that holds NaN or an infinity the
 * values are 0 and the scale is NaN, so that whatever reads it becomes NaN. columns is a multiple
 * of 32. */
struct quantised_rows {
    int8_t *values; /* [n_rows][columns] */
    float *scales;  /* [n_rows][columns / 32] */
    int32_t *sums;  /* [n_rows][columns / 16] */
    uint32_t columns;
};
#define QUANTISE_MIN 0x1p-100f

/* One call of a matmul kernel: tiles [first_tile, first_tile + n_tiles) of one weight against
 * n_rows token rows.
 *   out[t * out_stride + r - first_out_row] = dot(weight row r, x row t)  (+ bias[r])
 *                                             (+ residual[t * residual_stride + r - first_out_row])
 * r counts from the weight's row 0; rows >= n_weight_rows are not written. */
struct matmul_call {
    const uint8_t *tiles; /* of the whole weight */
    size_t tile_bytes;    /* one tile's */
    uint32_t n_weight_rows;
    uint32_t columns;
    uint32_t first_tile;
    uint32_t n_tiles;
    const struct quantised_rows *quantised; /* row 0 of the call; integer layouts */
    const float *x;                         /* [n_rows][x_stride]; float layouts */
    size_t x_stride;
    uint32_t n_rows;
    float *out;
    size_t out_stride;
    uint32_t first_out_row; /* the weight's row that out and residual begin with; <= the call's */
    const float *bias;      /* or NULL */
    const float *residual;  /* or NULL; may be out */
    size_t residual_stride;
};
/* For given weights and x row, the result is bit-equal for every n_rows, tile range and neighbour,
 * and on every level: dots inside a block are exact integers, and floats are combined in one order:
 *
 *   integer layouts  block by block: sum = fma(scale of weights * scale of x, (float)dot, sum),
 * then for those with a min: sum = fma(min, scaled sum of x, sum) float layouts    two chains of
 * fma, even columns and odd ones, added at the end both             after that + bias, then +
 * residual
 *
 * One exception: levels from avx512bf16 on, and neonbf16, round x to BF16 (nearest even) for
 * TILE_BF16 weights, and sum pairs of products at a time (their results are bit-equal among
 * themselves). TILE_F16 has no such kernel: BF16 would drop three of its digits. */
typedef void (*matmul_function)(const struct matmul_call *call);

/* --- the others ------------------------------------------------------------------------------- */

/* Quantises one row of n columns (multiple of 32) to row 0 of `out` (out->columns is not read).
 * Bit-equal on all levels. */
typedef void (*quantise_function)(const float *x, uint32_t n, const struct quantised_rows *out);

/* out[c] = x[c] * (1 / sqrt(mean(x^2) + epsilon)) * weight[c]; out may be x.  Up to the order of a
 * sum. */
typedef void (*rms_norm_function)(
    const float *x, const float *weight, uint32_t n, float epsilon, float *out);

/* out = silu(gate) * up, gelu_tanh(gate) * up; a + b.  out may be an input. exp and tanh within 4
 * ulp of scalar's polynomial, which all levels share. */
typedef void (*binary_function)(const float *a, const float *b, uint32_t n, float *out);

/* Rotates one head in place: pairs (i, i + n_pairs) or (2i, 2i + 1) by cosines[i], sines[i]. */
typedef void (*rope_function)(
    float *head, const float *cosines, const float *sines, uint32_t n_pairs, bool adjacent);

/* --- attention ---------------------------------------------------------------------------------
 *
 * KV storage of one layer and KV head in one page, V = head_columns rounded up to 16, B =
 * head_columns / 32 rounded up:
 *   keys         [head_columns][PAGE_TOKENS]   (transposed: a vector of tokens per column)
 *   key scales   [B][PAGE_TOKENS] F16          (Q8_0, Q8_0_Q4_1)
 *   values       [PAGE_TOKENS][V]              (the columns past head_columns are zero)
 *   value scales [PAGE_TOKENS][B] F16          (Q8_0)
 *                [PAGE_TOKENS][B][2] F16       (Q8_0_Q4_1: scale, min)
 * F16, BF16: the numbers.  Q8_0, and the keys of Q8_0_Q4_1: 8 bits; the number is (float)bits *
 * scale, rounded to F32, which has room for it.  Values of Q8_0_Q4_1: 16 columns in 8 bytes, byte i
 * with column i in its low bits and column i + 8 in its high ones; the number is (float)bits *
 * scale + min, rounded once, as the product fits.
 *
 * The positions of a sequence are cut into segments of ATTENTION_SEGMENT_TOKENS, counted from 0.  A
 * call takes some query rows of one KV head (query heads of its group x token rows) through one
 * segment and leaves, for each, the softmax's parts over the positions it sees there:
 *   max     = largest score            score(p) = scale * (q . key p), the sum in order of columns
 *   sum     = sum of e^(score - max)
 *   values  = sum of e^(score - max) * value p, in order of p
 * The driver merges segments in order (online softmax: Milakov & Gimelshein 2018; Dao et al. 2022).
 * Since the cuts are fixed, the result of a query is bit-equal whatever the other queries of the
 * call are, and however segments are shared out.  Positions that are not seen are never used,
 * whatever their slots hold. */
#define KV_PAGE_TOKENS           16u /* = PAGE_TOKENS of plan/batch.h */
#define KV_BLOCK_COLUMNS         32u /* with one scale */
#define ATTENTION_SEGMENT_TOKENS 256u
#define ATTENTION_MAX_QUERIES    64u
#define ATTENTION_MAX_COLUMNS    256u

static inline uint32_t kv_value_columns(uint32_t head_columns)
{
    return (head_columns + 15u) & ~15u;
}

static inline uint32_t kv_blocks(uint32_t head_columns)
{
    return (head_columns + KV_BLOCK_COLUMNS - 1) / KV_BLOCK_COLUMNS;
}

/* The type whose keys look the same, and which has its values so too. */
static inline enum kv_type kv_key_type(enum kv_type type)
{
    return type == KV_Q8_0_Q4_1 ? KV_Q8_0 : type;
}

/* Bytes of n_columns numbers of a page's tokens, and of their scales. */
static inline size_t kv_page_part(uint32_t n_columns, uint32_t bits, size_t scales_bytes)
{
    return KV_PAGE_TOKENS * ((size_t)n_columns * bits / 8 + kv_blocks(n_columns) * scales_bytes);
}

/* Of one page, layer and KV head: the keys with their scales, which is where the values begin. */
static inline size_t kv_keys_bytes(enum kv_type type, uint32_t head_columns)
{
    const bool bytes = kv_key_type(type) == KV_Q8_0;
    return kv_page_part(head_columns, bytes ? 8 : 16, bytes ? 2 : 0);
}

static inline size_t kv_values_bytes(enum kv_type type, uint32_t head_columns)
{
    const uint32_t n_columns = kv_value_columns(head_columns);
    switch (type) {
    case KV_Q8_0:
        return kv_page_part(n_columns, 8, 2);
    case KV_Q8_0_Q4_1:
        return kv_page_part(n_columns, 4, 4);
    default:
        return kv_page_part(n_columns, 16, 0);
    }
}

struct attention_query {
    const float *q; /* [head_columns] */
    uint32_t begin; /* sees positions begin <= p < end, */
    uint32_t end;   /* begin < end, all inside the segment of the call */
    float *values;  /* out, [kv_value_columns(head_columns)] */
    float max;      /* out */
    float sum;      /* out */
};

struct attention_call {
    const uint8_t *kv;       /* page 0 of this layer and KV head */
    size_t page_stride;      /* bytes from one page to the next */
    size_t values_offset;    /* from a page's keys to its values */
    const uint32_t *pages;   /* of the segment: pages[0] holds its first position */
    uint32_t first_position; /* the segment's */
    uint32_t head_columns;
    float scale;
    struct attention_query *queries;
    uint32_t n_queries; /* 1 .. ATTENTION_MAX_QUERIES */
};
typedef void (*attention_function)(const struct attention_call *call);

/* Writes one token's key and value of one KV head into slot `slot` of its page.  Magnitudes over
 * the largest that the type holds (infinities too) become that; NaN stays.  Q8_0: scale = max |x| /
 * 127 of the block's columns as F16, value = round to nearest even(x / scale) within [-127, 127]; a
 * block that holds NaN has the scale NaN.  4 bits: min = least x, scale = (largest x - least x) /
 * 15, both as F16; value = round to nearest even((x - min) / scale) within [0, 15]; NaN makes both
 * NaN. */
typedef void (*kv_write_function)(const float *key,
                                  const float *value,
                                  uint32_t head_columns,
                                  uint32_t slot,
                                  uint8_t *keys,
                                  uint8_t *values);

/* Runs the level's fastest exact 8-bit dot products on registers, `rounds` times; returns how many
 * multiply-adds that were.  *sink takes the sums, so that they are not optimised away. */
typedef uint64_t (*peak_function)(uint32_t rounds, int32_t *sink);

struct cpu_kernels {
    const char *level; /* "scalar", "avx2", "avx512vnni", "avx512bf16", "amxint8", "neondot",
                        "neoni8mm", "neonbf16" */
    matmul_function matmul[TILE_N_LAYOUTS];
    const char *matmul_name[TILE_N_LAYOUTS]; /* "matmul_q8_q4k_16x12__avx512vnni" */
    quantise_function quantise;
    peak_function peak_int8; /* set by the matmul half */
    rms_norm_function rms_norm;
    binary_function silu_mul;
    binary_function gelu_mul;
    binary_function add;
    rope_function rope;
    attention_function attention[KV_N_TYPES];
    kv_write_function kv_write[KV_N_TYPES];
};

/* Each level's folder overrides the entries it has (in <folder>/table.c): first the matmul family,
 * then the others.  Called in order of level by select.c only. */
void cpu_kernels_scalar_matmul(struct cpu_kernels *kernels);
void cpu_kernels_scalar_vector(struct cpu_kernels *kernels);
void cpu_kernels_avx2_matmul(struct cpu_kernels *kernels);
void cpu_kernels_avx2_vector(struct cpu_kernels *kernels);
void cpu_kernels_avx512vnni_matmul(struct cpu_kernels *kernels);
void cpu_kernels_avx512vnni_vector(struct cpu_kernels *kernels);
void cpu_kernels_avx512bf16_matmul(struct cpu_kernels *kernels);
void cpu_kernels_amxint8_matmul(struct cpu_kernels *kernels);
void cpu_kernels_neondot_matmul(struct cpu_kernels *kernels);
void cpu_kernels_neondot_vector(struct cpu_kernels *kernels);
void cpu_kernels_neoni8mm_matmul(struct cpu_kernels *kernels);
void cpu_kernels_neonbf16_matmul(struct cpu_kernels *kernels);

#endif
