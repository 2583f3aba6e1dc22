/* Metadata into hyper-parameters: every number with its range, every refusal with its key.
 *
 * struct metadata keeps the first error, so that an architecture lists what it reads without a
 * check a line; hparams_read tells it at the end.  Used by one thread during model_open. */
#ifndef REALM_MODEL_HPARAMS_H
#define REALM_MODEL_HPARAMS_H

#include "model/model.h"

#define HPARAMS_MAX_LAYERS       1024u
#define HPARAMS_MAX_WIDTH        (1u << 20)
#define HPARAMS_MAX_FFN_WIDTH    (1u << 22)
#define HPARAMS_MAX_HEADS        65536u
#define HPARAMS_MAX_HEAD_COLUMNS 256u
#define HPARAMS_MAX_CONTEXT      (1u << 27)
#define HPARAMS_MAX_VOCABULARY   (1u << 24)

struct metadata {
    const struct gguf *gguf;
    const char *architecture; /* keys are read as "<architecture>.<key>" */
    struct realm_error first_error;
};

bool metadata_has(const struct metadata *metadata, const char *key);
/* The value of a key that must be there, or must be within [min, max] when it is.  After an error
 * (kept in metadata->first_error) the results are within range and mean nothing. */
uint32_t metadata_u32(struct metadata *metadata, const char *key, uint32_t min, uint32_t max);
uint32_t metadata_u32_or(
    struct metadata *metadata, const char *key, uint32_t min, uint32_t max, uint32_t fallback);
float metadata_f32_or(
    struct metadata *metadata, const char *key, float min, float max, float fallback);
/* The same for keys that may hold an array with a number a layer; UNSUPPORTED: they differ.
 * fallback UINT32_MAX: the key must be there. */
uint32_t metadata_u32_all_layers(
    struct metadata *metadata, const char *key, uint32_t min, uint32_t max, uint32_t fallback);
/* Which layers have a window: a period, or an array of booleans a layer (true: window) that has
 * one. 0: all have it; n: each n-th has not. */
uint32_t metadata_window_interval(struct metadata *metadata,
                                  const char *key,
                                  uint32_t n_layers,
                                  uint32_t fallback);
/* Refuses a feature whose key says that the model has it. */
void metadata_refuse_above_zero(struct metadata *metadata, const char *key, const char *feature);
/* Keeps an error, unless there is one already; "<architecture>.<key>: " is put before the text. */
__attribute__((format(printf, 4, 5))) void metadata_fail(
    struct metadata *metadata, realm_status status, const char *key, const char *format, ...);

/* What all architectures share; vocabulary is left to the weights. */
void hparams_read_common(struct metadata *metadata, struct hparams *hparams);

/* The window of a layer; 0: none. */
static inline uint32_t hparams_layer_window(const struct hparams *hparams, uint32_t layer)
{
    const bool global = hparams->global_interval > 0 && (layer + 1) % hparams->global_interval == 0;
    return global ? 0 : hparams->window;
}

#endif
