/* What quantised numbers mean: the reference for every type, one row at a time.  These functions
 * define results; speed lives in the backends.  Any thread; no state.
 * Source: the block layouts published with the GGUF format. */
#ifndef REALM_QUANT_QUANT_H
#define REALM_QUANT_QUANT_H

#include "base/status.h"
#include "gguf/tensor_type.h"

/* n: elements, a multiple of the type's block length.  blocks, out of quantise_row: aligned to 4
 * bytes, as every tensor of an opened GGUF file and each of its rows of more than one block is.
 * importance: n weights of the squared error by column, or NULL. */
struct quant_type {
    enum tensor_type type;
    void (*dequantise_row)(const void *blocks, float *out, size_t n);
    void (*quantise_row)(const float *values, const float *importance, void *out, size_t n);
};

/* NULL: the type holds no real numbers (I8 ... I64) or is not known. */
const struct quant_type *quant_find(enum tensor_type type);

float quant_f16_to_f32(uint16_t half);
uint16_t quant_f32_to_f16(float value); /* nearest even */
float quant_bf16_to_f32(uint16_t half);
uint16_t quant_f32_to_bf16(float value); /* nearest even; NaN stays NaN */

/* --- choosing types for a whole model --- */

/* A named mix ("Q4_K_M") or a plain type ("Q8_0"): which type each tensor gets. */
struct quant_mix;

/* By name, any letter case ("Q4_K" means Q4_K_M, as with other programs); NULL: unknown. */
const struct quant_mix *quant_mix_find(const char *name);
const char *quant_mix_name(const struct quant_mix *mix);
/* Walks the mixes for --help: NULL at the end. */
const struct quant_mix *quant_mix_at(size_t index);
/* A few words for --help. */
const char *quant_mix_about(const struct quant_mix *mix);
/* The type of most of its matrices; of all of them where no mix is wanted. */
enum tensor_type quant_mix_base_type(const struct quant_mix *mix);
/* Q8_1 and Q8_K: made for activations; as weights they are not told apart by file type and other
 * programs do not load them. */
bool quant_mix_is_for_activations(const struct quant_mix *mix);
/* The file-type number of general.file_type; QUANT_NO_FILE_TYPE: there is none. */
#define QUANT_NO_FILE_TYPE UINT32_MAX
uint32_t quant_mix_file_type(const struct quant_mix *mix);

/* What choosing needs to know of the model. */
struct quant_mix_model {
    const char *architecture;
    uint32_t n_layers;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    bool tied_embeddings; /* no output.weight */
};

/* Does a mix decide over this tensor?  Vectors, norms, routers, convolutions and position tables
 * stay as they are. */
bool quant_mix_covers(const char *tensor_name, uint32_t n_dims);

/* The type itself where `columns` are whole blocks of it; else its stand-in of 32-value blocks with
 * at least as many bits, else F16. */
enum tensor_type quant_fit_columns(enum tensor_type type, uint64_t columns);

/* The type for a tensor by name and shape; falls back by column count (quant_fit_columns) and keeps
 * `now` where the mix does not cover the tensor. */
enum tensor_type quant_mix_choose(const struct quant_mix *mix,
                                  const struct quant_mix_model *model,
                                  const char *tensor_name,
                                  enum tensor_type now,
                                  uint32_t n_dims,
                                  const uint64_t *shape);

#endif
