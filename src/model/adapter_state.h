/* What an adapter's file becomes; only model/'s own files read this. */
#ifndef REALM_MODEL_ADAPTER_STATE_H
#define REALM_MODEL_ADAPTER_STATE_H

#include "model/adapter.h"
#include "model/safetensors.h"

struct adapter {
    struct gguf *gguf;               /* NULL: it is not GGUF */
    struct safetensors *safetensors; /* NULL: it is */
    struct adapter_part *parts;
    void **owned; /* [n_parts]: rows of B in the model's order; NULL: they are as in the file */
    uint32_t n_parts;
};

/* One half of a part, as its file has it. */
struct adapter_half {
    const char *name;
    enum tensor_type type;
    uint64_t rows;
    uint64_t columns;
    struct bytes data;
};

/* The weight of the model by that name; the error blames `half`. */
REALM_MUST_CHECK realm_status adapter_find_weight(const struct model *model,
                                                  const char *name,
                                                  const char *half,
                                                  tensor_id *out,
                                                  struct realm_error *error);
/* Checks the shapes against each other and the weight; scale is the caller's to fill in. */
REALM_MUST_CHECK realm_status adapter_make_part(const struct model *model,
                                                tensor_id weight,
                                                const struct adapter_half *a,
                                                const struct adapter_half *b,
                                                struct adapter_part *out,
                                                struct realm_error *error);

/* adapter_peft.c: fills adapter->parts from adapter->safetensors. */
REALM_MUST_CHECK realm_status adapter_read_peft(struct adapter *adapter,
                                                const struct model *model,
                                                struct realm_error *error);

#endif
