#include "model/hparams.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_KEY_BYTES 128

/* The key must be there. */
#define NO_FALLBACK UINT32_MAX

static void full_key(const struct metadata *metadata, const char *key, char out[MAX_KEY_BYTES])
{
    (void)snprintf(out, MAX_KEY_BYTES, "%s.%s", metadata->architecture, key);
}

static bool failed(const struct metadata *metadata)
{
    return metadata->first_error.status != REALM_OK;
}

void metadata_fail(
    struct metadata *metadata, realm_status status, const char *key, const char *format, ...)
{
    if (failed(metadata)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    realm_error_setv(&metadata->first_error, status, format, arguments);
    va_end(arguments);
    realm_error_prefix(&metadata->first_error, status, "%s.%s", metadata->architecture, key);
}

static const struct gguf_value *find(const struct metadata *metadata, const char *key)
{
    char name[MAX_KEY_BYTES];
    full_key(metadata, key, name);
    return gguf_find(metadata->gguf, name);
}

bool metadata_has(const struct metadata *metadata, const char *key)
{
    return find(metadata, key) != NULL;
}

/* What gguf says of a key that is of another type names the key already. */
static void keep(struct metadata *metadata, const struct realm_error *error)
{
    if (!failed(metadata)) {
        metadata->first_error = *error;
    }
}

static uint32_t
check_u32(struct metadata *metadata, const char *key, uint32_t value, uint32_t min, uint32_t max)
{
    if (value < min || value > max) {
        metadata_fail(metadata,
                      REALM_INVALID_FORMAT,
                      key,
                      "%u is out of range; allowed are %u to %u",
                      value,
                      min,
                      max);
        return min;
    }
    return value;
}

uint32_t metadata_u32(struct metadata *metadata, const char *key, uint32_t min, uint32_t max)
{
    if (!metadata_has(metadata, key)) {
        metadata_fail(metadata,
                      REALM_INVALID_FORMAT,
                      key,
                      "the key is missing; it needs a number from %u to %u",
                      min,
                      max);
        return min;
    }
    return metadata_u32_or(metadata, key, min, max, min);
}

uint32_t metadata_u32_or(
    struct metadata *metadata, const char *key, uint32_t min, uint32_t max, uint32_t fallback)
{
    if (!metadata_has(metadata, key)) {
        return fallback;
    }
    char name[MAX_KEY_BYTES];
    full_key(metadata, key, name);
    uint32_t value;
    struct realm_error error;
    if (gguf_get_u32(metadata->gguf, name, &value, &error) != REALM_OK) {
        keep(metadata, &error);
        return min;
    }
    return check_u32(metadata, key, value, min, max);
}

float metadata_f32_or(
    struct metadata *metadata, const char *key, float min, float max, float fallback)
{
    if (!metadata_has(metadata, key)) {
        return fallback;
    }
    char name[MAX_KEY_BYTES];
    full_key(metadata, key, name);
    float value;
    struct realm_error error;
    if (gguf_get_f32(metadata->gguf, name, &value, &error) != REALM_OK) {
        keep(metadata, &error);
        return min;
    }
    /* Written so that NaN is refused too. */
    if (!(value >= min && value <= max)) {
        metadata_fail(metadata,
                      REALM_INVALID_FORMAT,
                      key,
                      "%g is out of range; allowed are %g to %g",
                      (double)value,
                      (double)min,
                      (double)max);
        return min;
    }
    return value;
}

/* Item of an array of 32-bit integers; negative ones become large and so out of range. */
static uint32_t array_u32(const struct gguf_value *value, uint64_t index)
{
    const uint8_t *const b = value->bytes.data + index * 4;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static uint32_t same_in_all_layers(struct metadata *metadata,
                                   const char *key,
                                   const struct gguf_value *value,
                                   uint32_t min,
                                   uint32_t max)
{
    const bool integers = value->item_type == GGUF_U32 || value->item_type == GGUF_I32;
    if (!integers || value->n_items == 0) {
        metadata_fail(metadata,
                      REALM_INVALID_FORMAT,
                      key,
                      "an array of %llu items of type %d; needs 32-bit integers, one a layer",
                      (unsigned long long)value->n_items,
                      (int)value->item_type);
        return min;
    }
    const uint32_t first = array_u32(value, 0);
    for (uint64_t i = 1; i < value->n_items; i++) {
        if (array_u32(value, i) != first) {
            metadata_fail(metadata,
                          REALM_UNSUPPORTED,
                          key,
                          "%u in layer 0 and %u in layer %llu; only models that have the same in "
                          "all layers can run",
                          first,
                          array_u32(value, i),
                          (unsigned long long)i);
            return min;
        }
    }
    return check_u32(metadata, key, first, min, max);
}

uint32_t metadata_u32_all_layers(
    struct metadata *metadata, const char *key, uint32_t min, uint32_t max, uint32_t fallback)
{
    const struct gguf_value *const value = find(metadata, key);
    if (value != NULL && value->type == GGUF_ARRAY) {
        return same_in_all_layers(metadata, key, value, min, max);
    }
    if (fallback == NO_FALLBACK) {
        return metadata_u32(metadata, key, min, max);
    }
    return metadata_u32_or(metadata, key, min, max, fallback);
}

uint32_t metadata_window_interval(struct metadata *metadata,
                                  const char *key,
                                  uint32_t n_layers,
                                  uint32_t fallback)
{
    const struct gguf_value *const value = find(metadata, key);
    if (value == NULL || value->type != GGUF_ARRAY) {
        return metadata_u32_or(metadata, key, 0, HPARAMS_MAX_LAYERS, fallback);
    }
    if (value->item_type != GGUF_BOOL || value->n_items < n_layers) {
        metadata_fail(metadata,
                      REALM_INVALID_FORMAT,
                      key,
                      "an array of %llu items of type %d; needs %u booleans, one a layer",
                      (unsigned long long)value->n_items,
                      (int)value->item_type,
                      n_layers);
        return fallback;
    }
    const uint8_t *const has_window = value->bytes.data;
    uint32_t interval = 0;
    for (uint32_t i = 0; i < n_layers && interval == 0; i++) {
        interval = has_window[i] ? 0 : i + 1;
    }
    for (uint32_t i = 0; i < n_layers; i++) {
        const bool expected = interval == 0 || (i + 1) % interval != 0;
        if ((has_window[i] != 0) != expected) {
            metadata_fail(metadata,
                          REALM_UNSUPPORTED,
                          key,
                          "layer %u breaks the period of %u that the layers before it have",
                          i,
                          interval);
            return fallback;
        }
    }
    return interval;
}

void metadata_refuse_above_zero(struct metadata *metadata, const char *key, const char *feature)
{
    const uint32_t n = metadata_u32_or(metadata, key, 0, UINT32_MAX, 0);
    if (n > 0) {
        metadata_fail(metadata, REALM_UNSUPPORTED, key, "%u: %s cannot run yet", n, feature);
    }
}

static void refuse_not_causal(struct metadata *metadata)
{
    if (!metadata_has(metadata, "attention.causal")) {
        return;
    }
    char name[MAX_KEY_BYTES];
    full_key(metadata, "attention.causal", name);
    bool causal;
    struct realm_error error;
    if (gguf_get_bool(metadata->gguf, name, &causal, &error) != REALM_OK) {
        keep(metadata, &error);
    } else if (!causal) {
        metadata_fail(metadata,
                      REALM_UNSUPPORTED,
                      "attention.causal",
                      "false: models that look ahead cannot generate text");
    }
}

static void read_heads(struct metadata *metadata, struct hparams *h)
{
    h->n_heads = metadata_u32_all_layers(
        metadata, "attention.head_count", 1, HPARAMS_MAX_HEADS, NO_FALLBACK);
    h->n_kv_heads = metadata_u32_all_layers(
        metadata, "attention.head_count_kv", 1, HPARAMS_MAX_HEADS, h->n_heads);
    if (h->n_heads % h->n_kv_heads != 0) {
        metadata_fail(metadata,
                      REALM_INVALID_FORMAT,
                      "attention.head_count_kv",
                      "%u does not divide the %u heads of attention.head_count",
                      h->n_kv_heads,
                      h->n_heads);
    }
    const uint32_t key_length = metadata_u32_or(
        metadata, "attention.key_length", 2, HPARAMS_MAX_HEAD_COLUMNS, h->width / h->n_heads);
    const bool divides =
        h->width % h->n_heads == 0 || metadata_has(metadata, "attention.key_length");
    if (!divides || key_length < 2 || key_length > HPARAMS_MAX_HEAD_COLUMNS ||
        key_length % 2 != 0) {
        metadata_fail(metadata,
                      REALM_INVALID_FORMAT,
                      "attention.key_length",
                      "%u columns a head (width %u, %u heads); allowed are even numbers to %u",
                      key_length,
                      h->width,
                      h->n_heads,
                      HPARAMS_MAX_HEAD_COLUMNS);
    }
    h->head_columns = failed(metadata) ? 2 : key_length;
    const uint32_t value_length = metadata_u32_or(
        metadata, "attention.value_length", 2, HPARAMS_MAX_HEAD_COLUMNS, h->head_columns);
    if (value_length != h->head_columns) {
        metadata_fail(metadata,
                      REALM_UNSUPPORTED,
                      "attention.value_length",
                      "%u, but keys have %u columns; only heads with both the same can run",
                      value_length,
                      h->head_columns);
    }
    h->attention_scale = metadata_f32_or(
        metadata, "attention.scale", 1e-6f, 1e3f, 1.0f / sqrtf((float)h->head_columns));
}

static enum rope_scaling read_scaling_type(struct metadata *metadata)
{
    static const char key[] = "rope.scaling.type";
    static const struct {
        const char *name;
        enum rope_scaling scaling;
    } known[] = {
        {"none", ROPE_SCALING_NONE},
        {"linear", ROPE_SCALING_LINEAR},
        {"yarn", ROPE_SCALING_YARN},
        /* These two stretch by the factor tensors alone. */
        {"longrope", ROPE_SCALING_NONE},
        {"su", ROPE_SCALING_NONE},
    };
    if (!metadata_has(metadata, key)) {
        return ROPE_SCALING_LINEAR; /* what a factor without a type means */
    }
    char name[MAX_KEY_BYTES];
    full_key(metadata, key, name);
    struct bytes text;
    struct realm_error error;
    if (gguf_get_string(metadata->gguf, name, &text, &error) != REALM_OK) {
        keep(metadata, &error);
        return ROPE_SCALING_NONE;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (text.length == strlen(known[i].name) &&
            memcmp(text.data, known[i].name, text.length) == 0) {
            return known[i].scaling;
        }
    }
    metadata_fail(metadata,
                  REALM_UNSUPPORTED,
                  key,
                  "\"%.*s\" is not known; known are none, linear, yarn, longrope",
                  text.length < 40 ? (int)text.length : 40,
                  (const char *)text.data);
    return ROPE_SCALING_NONE;
}

static void read_rope(struct metadata *metadata, struct hparams *h)
{
    h->rope_columns =
        metadata_u32_or(metadata, "rope.dimension_count", 2, h->head_columns, h->head_columns);
    if (h->rope_columns % 2 != 0) {
        metadata_fail(metadata,
                      REALM_INVALID_FORMAT,
                      "rope.dimension_count",
                      "%u is odd; columns rotate in pairs",
                      h->rope_columns);
    }
    h->rope_base = metadata_f32_or(metadata, "rope.freq_base", 2.0f, 1e12f, 10000.0f);
    h->rope_window_base = h->rope_base;
    h->rope_scaling = read_scaling_type(metadata);
    /* The second key is how early files said it; 0 stands for "not stretched". */
    const float old_factor = metadata_f32_or(metadata, "rope.scale_linear", 0.0f, 1e6f, 1.0f);
    h->rope_factor = metadata_f32_or(metadata, "rope.scaling.factor", 0.0f, 1e6f, old_factor);
    if (h->rope_factor == 0.0f || h->rope_scaling == ROPE_SCALING_NONE) {
        h->rope_factor = 1.0f;
    }
    if (h->rope_factor < 1e-6f) {
        metadata_fail(metadata,
                      REALM_INVALID_FORMAT,
                      "rope.scaling.factor",
                      "%g is out of range; allowed are 0 (none) and 1e-06 to 1e+06",
                      (double)h->rope_factor);
    }
    h->rope_attention_factor =
        metadata_f32_or(metadata, "rope.scaling.attn_factor", 1e-3f, 1e3f, 1.0f);
    h->rope_original_context = metadata_u32_or(metadata,
                                               "rope.scaling.original_context_length",
                                               1,
                                               HPARAMS_MAX_CONTEXT,
                                               h->context_length);
    h->yarn_mix = metadata_f32_or(metadata, "rope.scaling.yarn_ext_factor", 0.0f, 1.0f, 1.0f);
    h->yarn_beta_fast =
        metadata_f32_or(metadata, "rope.scaling.yarn_beta_fast", 1e-3f, 1e6f, 32.0f);
    h->yarn_beta_slow = metadata_f32_or(metadata, "rope.scaling.yarn_beta_slow", 1e-3f, 1e6f, 1.0f);
    h->yarn_log_multiplier =
        metadata_f32_or(metadata, "rope.scaling.yarn_log_multiplier", 0.0f, 1e3f, 0.0f);
}

void hparams_read_common(struct metadata *metadata, struct hparams *hparams)
{
    metadata_refuse_above_zero(metadata, "expert_count", "mixture-of-experts models");
    refuse_not_causal(metadata);
    hparams->n_layers = metadata_u32(metadata, "block_count", 1, HPARAMS_MAX_LAYERS);
    hparams->width = metadata_u32(metadata, "embedding_length", 1, HPARAMS_MAX_WIDTH);
    hparams->context_length = metadata_u32(metadata, "context_length", 1, HPARAMS_MAX_CONTEXT);
    hparams->ffn_width = metadata_u32_all_layers(
        metadata, "feed_forward_length", 1, HPARAMS_MAX_FFN_WIDTH, NO_FALLBACK);
    static const char epsilon[] = "attention.layer_norm_rms_epsilon";
    if (!metadata_has(metadata, epsilon)) {
        metadata_fail(metadata, REALM_INVALID_FORMAT, epsilon, "the key is missing");
    }
    hparams->norm_epsilon = metadata_f32_or(metadata, epsilon, 0.0f, 0.1f, 1e-6f);
    hparams->embed_scale = 1.0f;
    read_heads(metadata, hparams);
    read_rope(metadata, hparams);
}
