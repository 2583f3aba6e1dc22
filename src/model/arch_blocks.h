/* Pieces that several architectures have exactly alike.  Operations get the names that the dump
 * shows: "blk.3.attn_norm" and so on. */
#ifndef REALM_MODEL_ARCH_BLOCKS_H
#define REALM_MODEL_ARCH_BLOCKS_H

#include "model/arch.h"

/* Queries, keys and values of a layer, each heads x head_columns wide. */
struct block_qkv {
    tensor_id all; /* the one activation they are views of; TENSOR_NONE after a norm of their own */
    tensor_id q;
    tensor_id k;
    tensor_id v;
};

enum block_bias { BIAS_NONE, BIAS_OPTIONAL, BIAS_NEEDED };

/* Names and weights that follow belong to this layer. */
void block_begin_layer(struct builder *b, uint32_t layer);
void block_end_layers(struct builder *b);

/* The embedding matrix, which some models also use as output. */
tensor_id block_embedding(struct builder *b);
/* RMS norm over the whole row by the weight "<name>.weight". */
tensor_id block_norm(struct builder *b, const char *name, tensor_id x);
/* The same over each head of q or k. */
tensor_id block_head_norm(struct builder *b, const char *name, tensor_id x);

/* attn_q, attn_k, attn_v as one product with a shared input. */
struct block_qkv block_project_qkv(struct builder *b, tensor_id x, enum block_bias bias);
/* The views into an activation that holds q, k and v side by side. */
struct block_qkv block_split_qkv(struct builder *b, tensor_id all);

/* How the heads of a layer rotate; factors: divisors by pair, or TENSOR_NONE. */
struct rope_attributes block_rope_attributes(const struct builder *b,
                                             uint32_t layer,
                                             enum rope_pairing pairing,
                                             tensor_id factors);
void block_rope(struct builder *b, const struct block_qkv *qkv, const struct rope_attributes *rope);
/* Attention, then the product with attn_output. */
tensor_id block_attention(struct builder *b, const struct block_qkv *qkv, uint32_t layer);

/* ffn_gate and ffn_up as one product; their activations side by side. */
tensor_id block_ffn_gate_up(struct builder *b, tensor_id x, enum block_bias bias);
/* silu(gate) * up, then the product with ffn_down. */
tensor_id block_ffn_silu(struct builder *b, tensor_id gate_up, enum block_bias bias);
tensor_id block_ffn_gelu(struct builder *b, tensor_id gate_up, enum block_bias bias);

/* From the last attention on only rows that want logits matter: in the last layer both become those
 * rows, else they stay. */
void block_select_last(struct builder *b, uint32_t layer, tensor_id *x, tensor_id *y);
/* Final norm and the product with output.weight, or with the embedding when there is none. */
void block_output(struct builder *b, tensor_id x, tensor_id embedding);

#endif
