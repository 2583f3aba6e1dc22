/* Architectures: what turns hyper-parameters and weights into a plan.  Each is one file
 * arch_<name>.c and one line in the table of arch.c; docs/adding-an-architecture.md leads through
 * one.
 *
 * Neither function checks for errors: struct metadata, struct weights and struct plan keep the
 * first one. */
#ifndef REALM_MODEL_ARCH_H
#define REALM_MODEL_ARCH_H

#include "model/hparams.h"
#include "model/weights.h"

/* What a build function works with. */
struct builder {
    const struct hparams *hparams;
    struct weights *weights;
    struct plan *plan;
    uint32_t context_length; /* that sequences may reach; at most or above the trained one */
};

struct architecture {
    const char *name; /* as in general.architecture; also the prefix of its keys */
    /* Reads and overrides what is its own; the common numbers are there already.  May be NULL. */
    void (*read_hparams)(struct metadata *metadata, struct hparams *hparams);
    /* Appends the forward pass. */
    void (*build)(struct builder *builder);
};

extern const struct architecture arch_llama;
extern const struct architecture arch_gemma3;
extern const struct architecture arch_qwen2;
extern const struct architecture arch_qwen3;
extern const struct architecture arch_phi3;

/* UNSUPPORTED: the message lists the known ones. */
REALM_MUST_CHECK realm_status architecture_find(struct bytes name,
                                                const struct architecture **out,
                                                struct realm_error *error);
/* NULL behind the last. */
const struct architecture *architecture_at(uint32_t index);

#endif
