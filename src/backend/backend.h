/* Machines: the one interface that CPU and GPUs fill.
 *
 *   struct backend        a machine: threads or a device; made once, serves many models
 *   struct backend_model  a prepared plan: packed weights, chosen kernels, scratch, KV storage
 *
 * A step is backend_submit, then backend_wait; one step at a time per backend.  Called by the
 * engine thread only, except backend_prepare (any thread, before the model is used). Answers do not
 * depend on how rows are grouped into batches (bit-equal on one backend and level). */
#ifndef REALM_BACKEND_BACKEND_H
#define REALM_BACKEND_BACKEND_H

#include "backend/kv_type.h"
#include "plan/adapter.h"
#include "plan/batch.h"
#include "plan/plan.h"

struct backend;
struct backend_model;

struct backend_options {
    const char *name;   /* "cpu"; NULL: the best there is */
    uint32_t n_threads; /* 0: one per core */
    const char
        *level; /* highest CPU level to use ("scalar", "avx2", ...); NULL: what the CPU has */
};

struct backend_model_options {
    uint32_t max_rows;   /* most rows of one step */
    uint32_t max_logits; /* most logits rows of one step */
    uint32_t n_pages;    /* KV pages, PAGE_TOKENS tokens each, all layers */
    enum kv_type kv_type;
    /* Called on the preparing thread with parts of 1; may be NULL. */
    void (*progress)(void *context, float part);
    void *progress_context;
};

/* What a kernel-by-kernel profile says: one entry per operation of the plan (fused ones have 0). */
struct backend_profile {
    uint64_t ns;
    uint64_t weight_bytes; /* read */
    uint64_t kv_bytes;
    uint64_t multiply_adds;
};

/* UNSUPPORTED: no such backend, or level not there on this machine (the message lists what is). */
REALM_MUST_CHECK realm_status backend_create(const struct backend_options *options,
                                             struct backend **out,
                                             struct realm_error *error);
/* After all its models. */
void backend_destroy(struct backend *backend);
const char *backend_name(const struct backend *backend);
/* "avx2", ... : the level in use. */
const char *backend_level(const struct backend *backend);
uint32_t backend_n_threads(const struct backend *backend);

/* "f16", "bf16", "q8_0". */
const char *backend_kv_type_name(enum kv_type type);
/* Bytes of one KV page over all layers. */
uint64_t backend_page_bytes(const struct plan_kv *kv, enum kv_type type);

/* Packs the weights and takes all memory the model will ever need; steps allocate nothing.
 * plan outlives the model; `source` is used during the call only.
 * OUT_OF_MEMORY names the bytes; UNSUPPORTED the operation or type. */
REALM_MUST_CHECK realm_status backend_prepare(struct backend *backend,
                                              const struct plan *plan,
                                              const struct weight_source *source,
                                              const struct backend_model_options *options,
                                              struct backend_model **out,
                                              struct realm_error *error);
void backend_model_destroy(struct backend_model *model);
uint64_t backend_model_weight_bytes(const struct backend_model *model);
uint64_t backend_model_kv_bytes(const struct backend_model *model);
uint64_t backend_model_scratch_bytes(const struct backend_model *model);

/* Adapters that a model may have at once. */
#define BACKEND_MAX_ADAPTERS 1024u

/* Packs an adapter; *out is its number, by which sequences of a batch name it.  parts and their
 * bytes are used during the call only.  A step is bit-equal whatever adapters its other sequences
 * have, and costs nothing where none has one.
 * Any thread, also while steps run.  INVALID_ARGUMENT: rank or tensor out of range; INVALID_FORMAT:
 * too few bytes, a type without numbers, a number that is not finite; UNSUPPORTED: a tensor that
 * not only MATMULs read; RESOURCE_EXHAUSTED: BACKEND_MAX_ADAPTERS are there; OUT_OF_MEMORY. */
REALM_MUST_CHECK realm_status backend_adapter_create(struct backend_model *model,
                                                     const struct adapter_part *parts,
                                                     uint32_t n_parts,
                                                     uint32_t *out,
                                                     struct realm_error *error);
/* No step that names it runs or will come.  Any thread.  ADAPTER_NONE is fine.  Those that are left
 * end with the model. */
void backend_adapter_destroy(struct backend_model *model, uint32_t adapter);
/* Memory it takes. */
uint64_t backend_adapter_bytes(const struct backend_model *model, uint32_t adapter);

/* Starts one step.  The batch keeps the rules of batch.h (checked in debug builds) and the limits
 * of the options (INVALID_ARGUMENT). */
REALM_MUST_CHECK realm_status backend_submit(struct backend_model *model,
                                             const struct batch *batch,
                                             struct realm_error *error);
/* Ends the step that was submitted. */
REALM_MUST_CHECK realm_status backend_wait(struct backend_model *model, struct realm_error *error);
/* Logits of the i-th logits row of the last step; vocabulary-wide F32, valid and writable until the
 * next submit. */
float *backend_logits(struct backend_model *model, uint32_t i);

/* The hidden state that those logits are made of, behind the model's last norm: n_columns F32,
 * valid until the next submit.  NULL, 0 columns: the plan has no such thing. */
const float *backend_hidden(struct backend_model *model, uint32_t i, uint32_t *n_columns);

/* Calls job(context, i, worker) once for every i < n, side by side on the machine's host threads
 * (worker: below backend_n_threads), and returns when all have returned.  Between two steps. */
void backend_spread(struct backend *backend,
                    uint32_t n,
                    void (*job)(void *context, uint32_t i, uint32_t worker),
                    void *context);

/* Profiling: off at first. entries: plan_n_ops, summed over the steps since it was switched on. */
void backend_profile_enable(struct backend_model *model, bool on);
const struct backend_profile *backend_profile(const struct backend_model *model);

/* The machine's own limits, measured now on all threads (for roofline figures; takes about a
 * second). */
struct backend_limits {
    double read_bytes_per_s;
    double int8_ops_per_s; /* multiply-adds count as two */
};
REALM_MUST_CHECK realm_status backend_measure_limits(struct backend *backend,
                                                     struct backend_limits *out,
                                                     struct realm_error *error);

#endif
