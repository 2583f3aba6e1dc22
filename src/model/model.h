/* A model: a GGUF file opened, understood and turned into a plan.
 *
 * Owner: whoever called model_open; ends with model_close.  Holds the mapping of the file (weights
 * are read from it when a backend prepares the plan), the hyper-parameters and the plan.  Immutable
 * after model_open: any thread may read it. */
#ifndef REALM_MODEL_MODEL_H
#define REALM_MODEL_MODEL_H

#include "gguf/gguf.h"
#include "plan/plan.h"

struct model;

/* Zero means default in every field. */
struct model_options {
    /* Tokens a sequence may have, which chooses between a model's short and long RoPE factors; 0:
     * what the model was trained for. */
    uint32_t context_length;
};

enum rope_scaling { ROPE_SCALING_NONE, ROPE_SCALING_LINEAR, ROPE_SCALING_YARN };

/* The numbers of an architecture, as its file gives them; every one was checked against its range.
 */
struct hparams {
    uint32_t n_layers;
    uint32_t width; /* columns of the hidden state */
    uint32_t ffn_width;
    uint32_t n_heads;
    uint32_t n_kv_heads;   /* divides n_heads */
    uint32_t head_columns; /* of queries, keys and values alike; even, at most 256 */
    uint32_t vocabulary;   /* rows of the embedding */
    uint32_t context_length;
    float norm_epsilon;

    float embed_scale;     /* 1 normally */
    float attention_scale; /* usually 1 / sqrt(head_columns) */
    uint32_t window;       /* sliding window in tokens; 0: none */
    /* With a window: every n-th layer has none; 0: all layers have it. */
    uint32_t global_interval;

    uint32_t rope_columns; /* of a head that rotate; even */
    float rope_base;
    float rope_window_base; /* of layers with a window; the same as rope_base normally */
    enum rope_scaling rope_scaling;
    float rope_factor;           /* of the context's stretching; 1: none */
    float rope_attention_factor; /* multiplies cos and sin beside what YaRN gives */
    uint32_t rope_original_context;
    float yarn_mix;
    float yarn_beta_fast;
    float yarn_beta_slow;
    float yarn_log_multiplier; /* 0: the usual magnitude 1 + 0.1 ln(factor) */
};

/* Opens a GGUF file (the first part of a split one): reads the hyper-parameters, finds each tensor
 * of the architecture and checks its shape and type, builds and checks the plan.  Reads no weights;
 * takes a few milliseconds.
 *
 * path: copied.  options: NULL means default.
 * *out: the caller's on success, NULL on error.
 *
 * NOT_FOUND, IO: the file.  INVALID_FORMAT names the key or tensor, the bad value and what is
 * allowed.  UNSUPPORTED: the architecture (the known ones are listed), a tensor's type, or a
 * feature, naming its key.  OUT_OF_MEMORY.
 * Any thread. */
REALM_MUST_CHECK realm_status model_open(const char *path,
                                         const struct model_options *options,
                                         struct model **out,
                                         struct realm_error *error);
/* The same from bytes that outlive the model; for fuzzers and tests. */
REALM_MUST_CHECK realm_status model_open_bytes(struct bytes bytes,
                                               const struct model_options *options,
                                               struct model **out,
                                               struct realm_error *error);
/* NULL is fine.  Nothing of the model may be used after, nor a backend_model prepared from its
 * plan. */
void model_close(struct model *model);

/* All of what follows lives as long as the model. */
const struct plan *model_plan(const struct model *model);
const struct gguf *model_gguf(const struct model *model);
const struct hparams *model_hparams(const struct model *model);

/* For backend_prepare: read gives a tensor's bytes in the mapping, done gives their pages back to
 * the system.  Usable as long as the model lives, by one thread at a time. */
struct weight_source model_weight_source(const struct model *model);

/* "llama", "gemma3", ... as the file says. */
const char *model_architecture(const struct model *model);
/* general.name; "" when the file has none. */
const char *model_name(const struct model *model);
/* The mix the file was quantised with, "Q4_K_M"; the commonest type of its weights, when it does
 * not say. */
const char *model_file_type_name(const struct model *model);
/* Tokens it was trained for. */
uint32_t model_context_length(const struct model *model);
/* Columns of the hidden state. */
uint32_t model_width(const struct model *model);
/* Columns of the logits. */
uint32_t model_vocabulary(const struct model *model);
/* Elements of all tensors in the file. */
uint64_t model_n_parameters(const struct model *model);
uint64_t model_file_bytes(const struct model *model);

/* Name of the index-th architecture that model_open knows; NULL at the end. */
const char *model_known_architecture(uint32_t index);

#endif
