/* Mixes: which type each tensor of a model gets.  The choices are those that users of GGUF files
 * know under these names: some matrices hurt more than others when they are rounded (the output,
 * attn_v, ffn_down of the first and last layers), so they get more bits. */
#include "quant/quant.h"

#include <string.h>
#include <strings.h>

/* In which layers a choice holds. */
enum layers {
    LAYERS_NONE = 0,
    LAYERS_ALL,
    LAYERS_FIRST_2,
    LAYERS_FIRST_4,
    LAYERS_FIRST_EIGHTH,
    LAYERS_FIRST_SIXTEENTH,
    LAYERS_MORE_BITS,  /* the first and last eighth and every third between */
    LAYERS_IF_GROUPED, /* all, where at least four heads share their keys and values */
};

struct choice {
    enum layers layers;
    enum tensor_type type;
};

/* The first choice that holds counts, else the base type. */
#define MAX_CHOICES 2

struct quant_mix {
    const char *name;
    const char *about;
    uint32_t file_type;
    enum tensor_type base;
    struct choice attn_v[MAX_CHOICES];
    struct choice ffn_down[MAX_CHOICES];
    struct choice attn_output[MAX_CHOICES];
};

static const struct quant_mix mixes[] = {
    {.name = "F32", .about = "32-bit floats", .file_type = 0, .base = TENSOR_F32},
    {.name = "F16", .about = "16-bit floats", .file_type = 1, .base = TENSOR_F16},
    {.name = "BF16", .about = "bfloat16", .file_type = 32, .base = TENSOR_BF16},
    {.name = "Q8_0", .about = "8.5 bits a weight", .file_type = 7, .base = TENSOR_Q8_0},
    {.name = "Q6_K", .about = "6.6 bits a weight", .file_type = 18, .base = TENSOR_Q6_K},
    {.name = "Q5_K_M",
     .about = "5.5 bits a weight, 6.6 where it counts",
     .file_type = 17,
     .base = TENSOR_Q5_K,
     .attn_v = {{LAYERS_MORE_BITS, TENSOR_Q6_K}},
     .ffn_down = {{LAYERS_MORE_BITS, TENSOR_Q6_K}}},
    {.name = "Q5_K_S", .about = "5.5 bits a weight", .file_type = 16, .base = TENSOR_Q5_K},
    {.name = "Q5_1", .about = "6 bits a weight, older", .file_type = 9, .base = TENSOR_Q5_1},
    {.name = "Q5_0", .about = "5.5 bits a weight, older", .file_type = 8, .base = TENSOR_Q5_0},
    {.name = "Q4_K_M",
     .about = "4.5 bits a weight, 6.6 where it counts: the usual choice",
     .file_type = 15,
     .base = TENSOR_Q4_K,
     .attn_v = {{LAYERS_MORE_BITS, TENSOR_Q6_K}},
     .ffn_down = {{LAYERS_MORE_BITS, TENSOR_Q6_K}}},
    {.name = "Q4_K_S",
     .about = "4.5 bits a weight, 5.5 in the first layers",
     .file_type = 14,
     .base = TENSOR_Q4_K,
     .attn_v = {{LAYERS_FIRST_4, TENSOR_Q5_K}},
     .ffn_down = {{LAYERS_FIRST_EIGHTH, TENSOR_Q5_K}}},
    {.name = "Q4_1", .about = "5 bits a weight, older", .file_type = 3, .base = TENSOR_Q4_1},
    {.name = "Q4_0", .about = "4.5 bits a weight, older", .file_type = 2, .base = TENSOR_Q4_0},
    {.name = "Q3_K_L",
     .about = "3.4 bits a weight, 5.5 where it counts",
     .file_type = 13,
     .base = TENSOR_Q3_K,
     .attn_v = {{LAYERS_ALL, TENSOR_Q5_K}},
     .ffn_down = {{LAYERS_ALL, TENSOR_Q5_K}},
     .attn_output = {{LAYERS_ALL, TENSOR_Q5_K}}},
    {.name = "Q3_K_M",
     .about = "3.4 bits a weight, 4.5 where it counts",
     .file_type = 12,
     .base = TENSOR_Q3_K,
     .attn_v = {{LAYERS_FIRST_2, TENSOR_Q5_K}, {LAYERS_ALL, TENSOR_Q4_K}},
     .ffn_down = {{LAYERS_FIRST_SIXTEENTH, TENSOR_Q5_K}, {LAYERS_ALL, TENSOR_Q4_K}},
     .attn_output = {{LAYERS_ALL, TENSOR_Q4_K}}},
    {.name = "Q3_K_S", .about = "3.4 bits a weight", .file_type = 11, .base = TENSOR_Q3_K},
    {.name = "Q2_K",
     .about = "2.6 bits a weight, 3.4 where it counts: answers suffer",
     .file_type = 10,
     .base = TENSOR_Q2_K,
     .attn_v = {{LAYERS_IF_GROUPED, TENSOR_Q4_K}, {LAYERS_ALL, TENSOR_Q3_K}},
     .ffn_down = {{LAYERS_ALL, TENSOR_Q3_K}},
     .attn_output = {{LAYERS_ALL, TENSOR_Q3_K}}},
    {.name = "Q2_K_S",
     .about = "2.6 bits a weight: answers suffer",
     .file_type = 21,
     .base = TENSOR_Q2_K,
     .attn_v = {{LAYERS_IF_GROUPED, TENSOR_Q4_K}},
     .ffn_down = {{LAYERS_FIRST_EIGHTH, TENSOR_Q4_K}}},
    {.name = "Q8_1",
     .about = "9 bits a weight; only pure, other programs do not load it",
     .file_type = QUANT_NO_FILE_TYPE,
     .base = TENSOR_Q8_1},
    {.name = "Q8_K",
     .about = "9.1 bits a weight; only pure, other programs do not load it",
     .file_type = QUANT_NO_FILE_TYPE,
     .base = TENSOR_Q8_K},
};

static const struct alias {
    const char *name;
    const char *means;
} aliases[] = {{"Q3_K", "Q3_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q5_K", "Q5_K_M"}};

const struct quant_mix *quant_mix_at(size_t index)
{
    return index < sizeof mixes / sizeof mixes[0] ? &mixes[index] : NULL;
}

const struct quant_mix *quant_mix_find(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        if (strcasecmp(name, aliases[i].name) == 0) {
            name = aliases[i].means;
            break;
        }
    }
    for (size_t i = 0; i < sizeof mixes / sizeof mixes[0]; i++) {
        if (strcasecmp(name, mixes[i].name) == 0) {
            return &mixes[i];
        }
    }
    return NULL;
}

const char *quant_mix_name(const struct quant_mix *mix)
{
    return mix->name;
}

const char *quant_mix_about(const struct quant_mix *mix)
{
    return mix->about;
}

enum tensor_type quant_mix_base_type(const struct quant_mix *mix)
{
    return mix->base;
}

uint32_t quant_mix_file_type(const struct quant_mix *mix)
{
    return mix->file_type;
}

bool quant_mix_is_for_activations(const struct quant_mix *mix)
{
    return mix->base == TENSOR_Q8_1 || mix->base == TENSOR_Q8_K;
}

/* --- tensors by name --- */

static bool contains(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name);
    const size_t n_end = strlen(end);
    return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

bool quant_mix_covers(const char *tensor_name, uint32_t n_dims)
{
    /* Small matrices that steer, and tables that are added: nothing to win, much to lose. */
    static const char *const kept[] = {"_norm.weight",
                                       "ffn_gate_inp",
                                       "position_embd",
                                       "token_types",
                                       "ssm_conv1d",
                                       "shortconv.conv",
                                       "time_mix_",
                                       "attn_rel_b",
                                       "patch_embd",
                                       "per_layer_model_proj",
                                       "altup",
                                       "laurel"};
    if (n_dims < 2 || !ends_with(tensor_name, "weight")) {
        return false;
    }
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        if (contains(tensor_name, kept[i])) {
            return false;
        }
    }
    return true;
}

/* N of "blk.N."; 0 where the name has none. */
static uint32_t layer_of(const char *name)
{
    uint32_t layer = 0;
    if (strncmp(name, "blk.", 4) != 0) {
        return 0;
    }
    for (const char *digit = name + 4; *digit >= '0' && *digit <= '9' && layer < 100000; digit++) {
        layer = layer * 10 + (uint32_t)(*digit - '0');
    }
    return layer;
}

static bool holds(enum layers layers, uint32_t layer, const struct quant_mix_model *model)
{
    const uint32_t n = model->n_layers;
    switch (layers) {
    case LAYERS_ALL:
        return true;
    case LAYERS_FIRST_2:
        return layer < 2;
    case LAYERS_FIRST_4:
        return layer < 4;
    case LAYERS_FIRST_EIGHTH:
        return layer < n / 8;
    case LAYERS_FIRST_SIXTEENTH:
        return layer < n / 16;
    case LAYERS_MORE_BITS:
        return layer < n / 8 || layer >= (uint32_t)(7 * (uint64_t)n / 8) ||
               (layer - n / 8) % 3 == 2;
    case LAYERS_IF_GROUPED:
        return model->n_kv_heads > 0 && model->n_heads / model->n_kv_heads >= 4;
    case LAYERS_NONE:
        break;
    }
    return false;
}

static enum tensor_type pick(const struct choice choices[MAX_CHOICES],
                             uint32_t layer,
                             const struct quant_mix_model *model,
                             enum tensor_type base)
{
    for (size_t i = 0; i < MAX_CHOICES; i++) {
        if (holds(choices[i].layers, layer, model)) {
            return choices[i].type;
        }
    }
    return base;
}

/* attn_v is an eighth of attn_q in the 80-layer models of 70 billion weights: a finer type costs
 * nearly nothing. */
static enum tensor_type raise_small_values(enum tensor_type type,
                                           const struct quant_mix_model *model)
{
    const bool small =
        model->n_layers == 80 && model->n_kv_heads > 0 && model->n_heads / model->n_kv_heads == 8;
    return small && (type == TENSOR_Q3_K || type == TENSOR_Q4_K) ? TENSOR_Q5_K : type;
}

static enum tensor_type choose_by_role(const struct quant_mix *mix,
                                       const struct quant_mix_model *model,
                                       const char *name,
                                       uint64_t columns)
{
    const bool is_output = strcmp(name, "output.weight") == 0 ||
                           (model->tied_embeddings && strcmp(name, "token_embd.weight") == 0);
    const uint32_t layer = layer_of(name);
    if (is_output) {
        const bool whole = quant_fit_columns(mix->base, columns) == mix->base;
        return mix->base == TENSOR_Q8_0 || !whole ? TENSOR_Q8_0 : TENSOR_Q6_K;
    }
    if (contains(name, "attn_v.weight") || contains(name, "attn_qkv.weight")) {
        return raise_small_values(pick(mix->attn_v, layer, model, mix->base), model);
    }
    if (contains(name, "ffn_down")) {
        return pick(mix->ffn_down, layer, model, mix->base);
    }
    if (contains(name, "attn_output.weight")) {
        return pick(mix->attn_output, layer, model, mix->base);
    }
    return mix->base;
}

enum tensor_type quant_fit_columns(enum tensor_type type, uint64_t columns)
{
    static const struct {
        enum tensor_type type;
        enum tensor_type instead;
    } stand_ins[] = {{TENSOR_Q2_K, TENSOR_Q4_0},
                     {TENSOR_Q3_K, TENSOR_Q4_0},
                     {TENSOR_Q4_K, TENSOR_Q5_0},
                     {TENSOR_Q5_K, TENSOR_Q5_1},
                     {TENSOR_Q6_K, TENSOR_Q8_0},
                     {TENSOR_Q8_K, TENSOR_Q8_0}};
    const struct tensor_type_info *info = tensor_type_find((uint32_t)type);
    if (info == NULL || columns % info->block_length == 0) {
        return type;
    }
    for (size_t i = 0; i < sizeof stand_ins / sizeof stand_ins[0]; i++) {
        if (stand_ins[i].type == type && columns % 32 == 0) {
            return stand_ins[i].instead;
        }
    }
    return TENSOR_F16;
}

enum tensor_type quant_mix_choose(const struct quant_mix *mix,
                                  const struct quant_mix_model *model,
                                  const char *tensor_name,
                                  enum tensor_type now,
                                  uint32_t n_dims,
                                  const uint64_t *shape)
{
    if (!quant_mix_covers(tensor_name, n_dims) || quant_find(now) == NULL) {
        return now;
    }
    const struct tensor_type_info *base = tensor_type_find((uint32_t)mix->base);
    if (!base->quantised || quant_mix_is_for_activations(mix)) {
        return quant_fit_columns(mix->base, shape[0]);
    }
    return quant_fit_columns(choose_by_role(mix, model, tensor_name, shape[0]), shape[0]);
}
