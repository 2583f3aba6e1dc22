/* The work behind `realm quantize`: a model file read, its matrices written with smaller types.
 * One call, one thread; the rows are worked on by a compute pool of its own. */
#ifndef REALM_CLI_QUANTIZE_MODEL_H
#define REALM_CLI_QUANTIZE_MODEL_H

#include "base/status.h"
#include "quant/quant.h"

/* Tensors whose name matches get this type instead of the mix's choice; the first that matches
 * counts. */
struct quantize_override {
    char pattern[80]; /* found anywhere in the name; * stands for any run of characters */
    enum tensor_type type;
};

/* "ffn_down=Q6_K", "blk.0.*=Q8_0": INVALID_ARGUMENT says what is wrong with it. */
REALM_MUST_CHECK realm_status quantize_override_parse(const char *text,
                                                      struct quantize_override *out,
                                                      struct realm_error *error);

/* Told as the bytes of a tensor are done; the last time of a tensor with tensor_done set. */
struct quantize_progress {
    const char *tensor;
    size_t index; /* of the tensor, from 0 */
    size_t n_tensors;
    enum tensor_type from;
    enum tensor_type to;
    bool fell_back; /* its columns are no whole blocks of what the mix wanted */
    bool tensor_done;
    uint64_t bytes_done;  /* of the input's tensors, all so far */
    uint64_t bytes_total; /* of the input's tensors */
};

/* False: stop; the result is then CANCELLED and the output has not changed. */
typedef bool (*quantize_progress_function)(void *context, const struct quantize_progress *progress);

struct quantize_summary {
    size_t n_tensors;
    size_t n_converted; /* the others were copied as they are */
    size_t n_fell_back;
    uint64_t bytes_before; /* of tensors */
    uint64_t bytes_after;
};

struct quantize_options {
    const char *in_path; /* the first part of a split model */
    const char *out_path;
    const struct quant_mix *mix;
    uint32_t n_threads;    /* 0: one per core */
    bool pure;             /* the mix's base type for every matrix */
    bool keep_output;      /* the output matrix (tied: the embeddings) stays as it is */
    bool allow_requantise; /* from a quantised type to another one */
    const struct quantize_override *overrides;
    size_t n_overrides;
    quantize_progress_function progress; /* NULL: none */
    void *progress_context;
    struct quantize_summary *summary; /* filled on success; NULL: not wanted */
};

/* Writes out_path (one file, replaced at once when whole) from in_path.  All metadata is kept but
 * split.*; general.file_type and general.quantization_version are set.  The bytes written do not
 * depend on n_threads.
 * INVALID_ARGUMENT: out_path is (a part of) the input; a tensor is quantised already and
 * allow_requantise is not set; an override matches nothing; Q8_1 or Q8_K without pure.
 * INVALID_FORMAT: the input is no good GGUF file, or a weight is NaN, infinite or too large for its
 * type: the error names the tensor. */
REALM_MUST_CHECK realm_status quantize_model(const struct quantize_options *options,
                                             struct realm_error *error);

#endif
